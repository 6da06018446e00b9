//! What Envoy's access log and traces are told of decisions, as filter state of each request.

use super::host_calls::Host;
use crate::{answer::Reason, config::AccessLogField, engine::Text};

/// What the filter state of each field is called; empty where the policy wants none.
pub(super) struct AccessLog(Vec<(AccessLogField, Box<[u8]>)>);

impl AccessLog {
    pub(super) const fn new(names: Vec<(AccessLogField, Box<[u8]>)>) -> Self {
        Self(names)
    }

    /// Tells what is known of the request of the host's effective context. Of it nothing decides, so what cannot be told is
    /// not; the decision stands.
    pub(super) fn tell(&self, host: &impl Host, told: &[(AccessLogField, Text<'_>)]) {
        for (field, text) in told {
            self.tell_field(host, *field, text.as_str());
        }
    }

    /// Tells why a request is refused of which nothing else is known, or nothing else is new.
    #[cold]
    pub(super) fn tell_reason(&self, host: &impl Host, reason: Reason) {
        self.tell_field(host, AccessLogField::Reason, reason.code());
    }

    fn tell_field(&self, host: &impl Host, field: AccessLogField, text: &str) {
        if let Some((_, name)) = self.0.iter().find(|(own, _)| *own == field) {
            let _ = host.set_filter_state(name, text.as_bytes());
        }
    }
}
