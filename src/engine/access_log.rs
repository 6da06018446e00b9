//! What Envoy's access log and traces are told of a decision, field by field.
//!
//! Each says what the decision record says under the same name, and nothing that the record would not.

use super::{
    Text,
    record::{Trace, is_plain, push_escaped},
};
use crate::{answer::Reason, config::AccessLogField, policy::Policy};

impl Trace {
    /// Those of the fields that the policy wants which have something to say. `reason` is `None` for an allowed request.
    #[inline]
    pub(super) fn told<'a>(
        &self,
        policy: &'a Policy,
        reason: Option<Reason>,
    ) -> Vec<(AccessLogField, Text<'a>)> {
        if policy.access_log.is_empty() { Vec::new() } else { self.each_told(policy, reason) }
    }

    #[inline(never)]
    fn each_told<'a>(&self, policy: &'a Policy, reason: Option<Reason>) -> Vec<(AccessLogField, Text<'a>)> {
        let rule = self.rule.and_then(|rule| policy.rules.get(rule));
        let principal = self.callers.principal.as_deref().map(|caller| &caller.principal);
        let of_policy = |text: &'a str| if is_plain(text) { Text::Policy(text) } else { made(text) };
        let told = policy.access_log.iter().filter_map(|field| {
            let text = match field {
                AccessLogField::Rule => of_policy(&rule?.name),
                AccessLogField::Reason => Text::Policy(reason?.code()),
                AccessLogField::Principal => made(&principal?.subject),
                AccessLogField::Kind => Text::Policy(principal?.kind.as_str()),
                AccessLogField::Authority => made(&principal?.authority),
                AccessLogField::Credential => made(&principal?.credential_id),
                AccessLogField::Limit => of_policy(policy.limiter.name(self.limit?)),
            };
            Some((*field, text)).filter(|(_, text)| !text.as_str().is_empty())
        });
        told.collect()
    }
}

/// Access logs may be lines of text, which nobody but us escapes.
fn made(text: &str) -> Text<'static> {
    let mut made = String::with_capacity(text.len());
    if is_plain(text) {
        made.push_str(text);
    } else {
        push_escaped(&mut made, text);
    }
    Text::Made(made)
}
