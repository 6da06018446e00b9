//! By what a rule decides, read alike for a rule and for its shadow.

use hashbrown::HashSet;

use super::{
    ActionSpec, MethodSpec, RuleSpec,
    authenticate::{Who, authenticate},
    faults::quoted,
    model::{Bound, Kind, Shape, required},
    names::Definitions,
    protected_resource::resource_of_rule,
    reader::Object,
    requirement::authorize,
    scalar::limit_name,
};
use crate::{rbac::RequirementSpec, route::RouteSpec};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Action {
    Allow,
    Deny,
}

pub(super) const ACTIONS: [(&str, Action); 2] = [("Allow", Action::Allow), ("Deny", Action::Deny)];

/// What says nothing beside `Deny`: the members by which a rule decides, and behind them those that its shadow does not have.
pub(super) const UNDER_DENY: &[Bound] = &[
    Bound::Forbidden("authenticate"),
    Bound::Forbidden("protectedResource"),
    Bound::Forbidden("anyAudience"),
    Bound::Forbidden("authorize"),
    Bound::Forbidden("rateLimits"),
    Bound::Forbidden("transport"),
    Bound::Forbidden("corsPreflight"),
    Bound::Forbidden("endStreams"),
];

/// As [`UNDER_DENY`], for a rule's shadow.
pub(super) const UNDER_DENY_IN_SHADOW: &[Bound] = UNDER_DENY.split_at(6).0;

pub(super) static RULE_TRANSPORT: Shape = Shape::new(&[required(
    "requireTls",
    Kind::Boolean,
    "`true`: they are refused; `false`: they pass, which a rule that takes credentials may not say, for they would be \
     read on the way.",
)]);

/// By what a rule decides.
pub(super) struct Decides {
    pub(super) action: Option<ActionSpec>,
    pub(super) unknown: Unknown,
    pub(super) require_tls: Option<bool>,
    pub(super) resource: Option<usize>,
    pub(super) rate_limits: Vec<String>,
}

impl Decides {
    /// As `rule`, but for what decides. Streams are ended by rules in force alone.
    pub(super) fn rule_like(self, rule: &RuleSpec) -> Option<RuleSpec> {
        Some(RuleSpec {
            name: rule.name.clone(),
            // It is for the requests that its rule is for, and not looked for itself.
            route: RouteSpec { kept: rule.route.kept, ..RouteSpec::default() },
            action: self.action?,
            require_tls: self.require_tls,
            cors_preflight: rule.cors_preflight,
            resource: self.resource,
            rate_limits: self.rate_limits,
            end_streams: false,
            shadow: None,
        })
    }
}

/// Reads that of a rule, or of the shadow of one.
pub(super) fn decides(o: &mut Object<'_>, defs: &Definitions) -> Decides {
    let given = if o.has("action") { o.choice("action", &ACTIONS) } else { Some(Action::Allow) };
    let (action, unknown) = match given {
        Some(Action::Deny) => (deny(o), Unknown::Nobody),
        // Of an action that could not be read it is not known whether it needs this.
        action => allow(o, action.is_some(), defs),
    };
    if matches!(action, Some(ActionSpec::Deny)) {
        return Decides { action, unknown, require_tls: None, resource: None, rate_limits: Vec::new() };
    }
    // Of an action that could not be read it is not known.
    let lacks_actor = action.as_ref().is_some_and(|action| !action.has_actor());
    let resource = resource_of_rule(o, action.as_ref(), defs);
    let rate_limits = rate_limits(o, unknown, lacks_actor, defs).unwrap_or_default();
    let require_tls = o.object("transport").map(|mut o| o.boolean("requireTls"));
    let takes_credentials =
        unknown != Unknown::All || matches!(action, Some(ActionSpec::AllowAnyone { pass_through: true, .. }));
    if require_tls == Some(false) && takes_credentials && action.is_some() {
        let message = "takes plain HTTP together with credentials, which would be read on the way; only anonymous: true may";
        o.fault_at::<()>("transport", message);
    }
    Decides { action, unknown, require_tls, resource, rate_limits }
}

/// Nothing else is said of requests that are refused anyway.
fn deny(o: &Object<'_>) -> Option<ActionSpec> {
    for bound in UNDER_DENY {
        if let Bound::Forbidden(field) = bound
            && o.has(field)
        {
            o.fault_at::<()>(field, "contradicts action: Deny, which refuses every request that matches");
        }
    }
    Some(ActionSpec::Deny)
}

/// Who may come without a credential.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Nobody,
    /// Beside those who have one.
    Some,
    All,
}

/// The action, and who may come without a credential.
fn allow(o: &mut Object<'_>, required: bool, defs: &Definitions) -> (Option<ActionSpec>, Unknown) {
    if required && !o.has("authenticate") {
        let missing = "required; name who may pass, as in {anyOf: [apiKey]}, \
                       or write {anonymous: true} to let anyone pass";
        o.fault_at::<()>("authenticate", missing);
    }
    let who = o.object_like("authenticate", "{anyOf: [..]} or {anonymous: true}");
    let who = who.and_then(|o| authenticate(o, defs));
    let authorized = o.has("authorize");
    let unknown = match &who {
        Some(Who::Anyone { .. }) => Unknown::All,
        Some(Who::Known { optional: Some(_), .. }) => Unknown::Some,
        _ => Unknown::Nobody,
    };
    let authorize: Option<RequirementSpec> = o.object("authorize").and_then(|o| authorize(o, defs));
    if unknown != Unknown::Nobody && authorize.as_ref().is_some_and(|asked| !asked.is_of_address()) {
        let message = "asks for a principal, which not every request of the rule has; it may ask for remoteAddress alone";
        o.fault_at::<()>("authorize", message);
    }
    let has_actor = !matches!(&who, Some(Who::Anyone { .. } | Who::Known { actor: None, .. }));
    if !has_actor && authorize.as_ref().is_some_and(RequirementSpec::asks_for_actor) {
        o.fault_at::<()>("authorize", "asks for an actor, whom only the requests of a rule with allOf have");
    }
    let logs_in = |method: &MethodSpec| matches!(method, MethodSpec::Jwt(_));
    if let (Some(Who::Known { methods, .. }), Some(asked)) = (&who, &authorize)
        && asked.any_of.iter().any(|alternative| alternative.step_up.is_some())
        && !methods.iter().any(logs_in)
    {
        o.fault_at::<()>(
            "authorize",
            "stepUp asks how a user logged in, which only a token of {jwt: ..} can say",
        );
    }
    let action = match who {
        None => None,
        // Faulty and noted.
        Some(_) if authorized && authorize.is_none() => None,
        Some(Who::Anyone { pass_through }) => Some(ActionSpec::AllowAnyone { pass_through, authorize }),
        Some(Who::Known { methods, actor, optional }) => {
            Some(ActionSpec::Allow { authenticate: methods, actor, optional, authorize })
        }
    };
    (action, unknown)
}

/// Names of limits for requests of whoever comes.
pub(super) fn rate_limits_of_anyone(o: &mut Object<'_>, defs: &Definitions) -> Option<Vec<String>> {
    rate_limits(o, Unknown::All, true, defs)
}

fn rate_limits(
    o: &mut Object<'_>,
    unknown: Unknown,
    lacks_actor: bool,
    defs: &Definitions,
) -> Option<Vec<String>> {
    let mut seen = HashSet::new();
    o.list("rateLimits")?.all(|n| {
        let (path, faults) = (n.path, n.faults);
        let name = limit_name(n)?;
        let facts = defs.limits.resolve(&name, &path, faults)?;
        let fault = |message: String| {
            faults.add(&path, message);
            None
        };
        let shown = quoted(&name);
        if !seen.insert(name.clone()) {
            return fault(format!("{shown} is listed twice"));
        }
        if facts.before_authentication {
            return fault(format!(
                "limit {shown} applies before authentication, to every request; rules do not name it"
            ));
        }
        if facts.by_actor && lacks_actor {
            return fault(format!("limit {shown} counts per actor, whom only the requests of a rule with allOf have"));
        }
        match (facts.per_caller, unknown) {
            (Some(part), Unknown::All) => {
                return fault(format!(
                    "limit {shown} counts per {part}, which the requests of an anonymous rule do not have"
                ));
            }
            // Else one of them could use up what all of them have.
            (Some(part), Unknown::Some) if !facts.by_address => {
                return fault(format!(
                    "limit {shown} counts per {part}, which requests without a credential do not have: they would share \
                     one count; add remoteAddress to its key"
                ));
            }
            _ => {}
        }
        Some(name)
    })
}
