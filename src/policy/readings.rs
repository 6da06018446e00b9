//! Which rule decides a request, and whether it does so however its path is read.
//!
//! An encoded slash or a matrix parameter is part of its segment to the rule, which must keep it, and to the upstream of
//! that rule. The same path is read in the other ways too, so that what such a rule lets pass is nothing that another
//! rule was to decide.

use super::{Action, Policy, Rule};
use crate::{
    request::path::{CanonicalPath, Kept, PathError, with_decoded_slashes, without_parameters},
    route::{Doubt, RouteMatch, RouteRequest, Router, Unclear},
};

impl Policy {
    /// Reads a request target as the rules are held against it.
    ///
    /// # Errors
    /// It can be read in two ways, whatever the rules keep, or is too long.
    pub(crate) fn read_target<'a>(&self, target: &'a [u8]) -> Result<CanonicalPath<'a>, PathError> {
        CanonicalPath::parse_as(target, self.max_path_length, self.kept)
    }

    /// The rule that decides a request; `None` when none does.
    ///
    /// # Errors
    /// Nobody can tell which rule that is, or it depends on who reads the request.
    #[inline]
    pub(crate) fn find<'a>(
        &'a self,
        request: &RouteRequest<'a>,
    ) -> Result<Option<RouteMatch<'a>>, Unclear<'a>> {
        RuleList { router: &self.router, rules: &self.rules, kept: self.kept }.find(request)
    }
}

/// Rules in their order.
#[derive(Clone, Copy)]
pub(super) struct RuleList<'a> {
    pub(super) router: &'a Router,
    pub(super) rules: &'a [Rule],
    /// What paths may hold that are read.
    pub(super) kept: Kept,
}

impl<'a> RuleList<'a> {
    /// As [`Policy::find`].
    #[inline]
    pub(super) fn find(self, request: &RouteRequest<'a>) -> Result<Option<RouteMatch<'a>>, Unclear<'a>> {
        let found = self.router.find(request)?;
        if self.kept.is_nothing() { Ok(found) } else { self.find_kept(request, found) }
    }

    /// As [`Self::find`], where some rule keeps something. `found` is the rule for the path as it is.
    #[inline(never)]
    fn find_kept(
        self,
        request: &RouteRequest<'a>,
        found: Option<RouteMatch<'a>>,
    ) -> Result<Option<RouteMatch<'a>>, Unclear<'a>> {
        let held = Kept::of(request.path);
        let found = match found {
            Some(found) if !held.is_nothing() => found,
            found => return Ok(found),
        };
        let slash = |rule| Unclear { rule, doubt: Doubt::EncodedSlash, name: None };
        let parameters = |rule| Unclear { rule, doubt: Doubt::MatrixParameters, name: None };
        let Some(rule) = self.rules.get(found.rule) else { return Ok(None) };
        let kept = rule.kept;
        if held.encoded_slash && !kept.encoded_slash {
            return Err(slash(found.rule));
        }
        if held.matrix_parameters && !kept.matrix_parameters {
            return Err(parameters(found.rule));
        }
        // Nothing passes here, whoever reads it.
        if matches!(rule.action, Action::Deny) {
            return Ok(Some(found));
        }
        // The rule of the path as somebody else reads it. That nobody can tell is as bad as another rule.
        let reread = |path: &str, otherwise| {
            let other = self.router.find(&RouteRequest { path, ..*request });
            other.map(|other| other.map(|other| other.rule)).map_err(|_| otherwise)
        };
        if held.matrix_parameters
            && reread(&without_parameters(request.path), parameters(found.rule))? != Some(found.rule)
        {
            return Err(parameters(found.rule));
        }
        if held.encoded_slash {
            let decoded = with_decoded_slashes(request.path);
            let taker = reread(&decoded, slash(found.rule))?;
            // Who decodes them reaches nothing there, where no rule decides.
            if let Some(rule) = taker.and_then(|rule| self.rules.get(rule))
                && (!rule.kept.encoded_slash || matches!(rule.action, Action::Deny))
            {
                return Err(slash(taker.unwrap_or(found.rule)));
            }
            if held.matrix_parameters
                && reread(&without_parameters(&decoded), parameters(found.rule))? != taker
            {
                return Err(parameters(taker.unwrap_or(found.rule)));
            }
        }
        Ok(Some(if held.matrix_parameters { found.with_parameters() } else { found }))
    }
}
