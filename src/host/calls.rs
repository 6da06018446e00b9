//! Our own calls to servers: sent for the core, their answers handed back to it.

use std::cell::RefCell;

use hashbrown::HashMap;

use super::{
    host_calls::{Failed, Host},
    wire,
};
use crate::{
    calls::{Call, Outcome, Unsent},
    engine::Purpose,
};

/// Calls under way, by the host's token.
#[derive(Default)]
pub(super) struct Calls(RefCell<HashMap<u32, Pending>>);

#[derive(Clone, Copy)]
struct Pending {
    purpose: Purpose,
    max_answer: usize,
}

impl Calls {
    /// Sends a call, if the host takes it.
    pub(super) fn send(&self, host: &impl Host, purpose: Purpose, call: &Call) -> Result<(), Unsent> {
        let endpoint = &call.endpoint;
        let mut headers = vec![
            (":method", call.method),
            (":scheme", endpoint.scheme),
            (":authority", &endpoint.authority),
            (":path", &endpoint.path),
            ("accept-encoding", "identity"),
        ];
        headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let token = host.http_call(&call.cluster, &headers, &call.body, call.timeout)?;
        self.0.borrow_mut().insert(token, Pending { purpose, max_answer: call.max_answer });
        Ok(())
    }

    /// Reads the answer to a call and runs `report` on what came of it; answers what it was for. `None`: it is none
    /// of ours.
    pub(super) fn on_response(
        &self,
        host: &impl Host,
        token: u32,
        headers: usize,
        body_size: usize,
        report: impl FnOnce(Purpose, Outcome<'_>),
    ) -> Option<Purpose> {
        let call = self.0.borrow_mut().remove(&token)?;
        // A reset within the body leaves no headers.
        let answer = if headers == 0 { Err(Failed) } else { Answer::read(host, body_size, call.max_answer) };
        let parsed = answer.as_ref().ok().and_then(Answer::parts);
        let outcome = parsed.as_ref().map_or(Outcome::Failed, |(status, headers, body)| Outcome::Answer {
            status: *status,
            headers,
            body,
        });
        report(call.purpose, outcome);
        Some(call.purpose)
    }
}

/// The answer to a call, as bytes.
struct Answer {
    headers: Vec<u8>,
    body: Vec<u8>,
}

type Parts<'a> = (u16, Vec<(&'a [u8], &'a [u8])>, &'a [u8]);

impl Answer {
    /// Envoy buffers whatever arrives; of what is too large, just enough is copied to be refused as such.
    fn read(host: &impl Host, size: usize, max: usize) -> Result<Self, Failed> {
        let size = size.min(max.saturating_add(1));
        let body = if size == 0 { Vec::new() } else { host.call_response_body(size)? };
        Ok(Self { headers: host.call_response_headers()?, body })
    }

    fn parts(&self) -> Option<Parts<'_>> {
        let headers = wire::parse_pairs(&self.headers)?;
        let status = headers.iter().find(|(name, _)| *name == b":status")?.1;
        Some((str::from_utf8(status).ok()?.parse().ok()?, headers, &self.body))
    }
}
