//! One request: reads it, asks the engine, carries out the verdict.

use std::rc::Rc;

use log::{info, warn};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use super::{abi, root::Serving, services, wire};
use crate::{
    certificate::{self, PeerCertificate},
    engine::{Changes, Exchange, Step},
    problem::{Challenges, Reason, Reply},
    request::RequestHead,
};

/// The filter state, seen by other filters as `wasm.portcullis`, that says that this module allowed the request.
/// Only a module can set it, so Envoy's own rbac filter behind this one can refuse whatever lacks it.
const INTERLOCK: (&str, &str) = ("portcullis", "allowed");

pub(super) struct Stream {
    /// `None` when the root was never configured: everything is refused.
    serving: Option<Rc<Serving>>,
    exchange: Exchange,
    decided: bool,
}

impl Stream {
    pub(super) fn new(serving: Option<Rc<Serving>>) -> Self {
        Self { serving, exchange: Exchange::default(), decided: false }
    }

    /// Decides the request. `Err` is a refusal for want of something that the host should have given.
    fn decide(&mut self) -> Result<Action, Reason> {
        let serving = self.serving.as_ref().ok_or(Reason::NoPolicy)?;
        let policy = serving.gate.policy();
        let bytes = abi::request_headers().map_err(|_| Reason::StateUnavailable)?;
        let headers = wire::parse_pairs(&bytes).ok_or(Reason::MalformedRequest)?;
        let head = RequestHead {
            headers,
            remote_address: policy
                .needs_remote_address()
                .then(|| abi::property("source\0address"))
                .flatten()
                .and_then(|text| wire::parse_address(&text)),
            // Plaintext connections have no TLS version.
            tls: policy.needs_connection()
                && abi::property("connection\0tls_version").is_some_and(|version| !version.is_empty()),
            peer_certificate: policy.needs_peer_certificate().then(peer_certificate).flatten(),
        };
        let around = services::around();
        let verdict = self.exchange.on_request(&serving.gate, &head, &around);
        serving.stats.count(verdict.reason, verdict.evicted);
        match (&verdict.record, verdict.reason) {
            (Some(record), Some(_)) => warn!("{record}"),
            (Some(record), None) => info!("{record}"),
            (None, _) => {}
        }
        match verdict.step {
            Step::Forward(changes) => {
                apply(&changes).map_err(|_| Reason::StateUnavailable)?;
                Ok(Action::Continue)
            }
            Step::Reply(reply) => {
                send(&reply);
                Ok(Action::Pause)
            }
        }
    }
}

/// The certificate that the client showed; `None` when it showed none.
fn peer_certificate() -> Option<PeerCertificate> {
    let text = |path| abi::property(path).and_then(|value| String::from_utf8(value).ok());
    let digest = text("connection\0sha256_peer_certificate_digest")?;
    Some(PeerCertificate {
        digest: certificate::parse_digest(&digest),
        uri: text("connection\0uri_san_peer_certificate"),
        dns: text("connection\0dns_san_peer_certificate"),
        subject: text("connection\0subject_peer_certificate"),
    })
}

/// Carries out every change and sets the interlock last: if anything fails before, nothing opens it.
fn apply(changes: &Changes<'_>) -> Result<(), abi::Failed> {
    for name in &changes.remove {
        abi::remove_request_header(name)?;
    }
    for (name, value) in &changes.set {
        abi::set_request_header(name, value.as_str().as_bytes())?;
    }
    abi::set_filter_state(INTERLOCK.0, INTERLOCK.1)
}

/// Answers the request. If even that fails the request stays paused, and Envoy's time-outs end it.
fn send(reply: &Reply) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let sent = wire::write_pairs(headers).ok_or(abi::Failed).and_then(|headers| {
        abi::send_local_response(reply.status, reply.details, &reply.body, &headers, reply.grpc_status)
    });
    if sent.is_err() {
        warn!("an answer could not be sent; the request stays refused");
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // INVARIANT: a request is decided once; nothing resumes one that was answered.
        if self.decided {
            return Action::Pause;
        }
        self.decided = true;
        #[cfg(feature = "faults")]
        super::faults::on_request();
        self.decide().unwrap_or_else(|reason| {
            send(&Reply::refusal(reason, Challenges::default()));
            Action::Pause
        })
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(serving) = &self.serving {
            for (name, value) in self.exchange.on_response(&serving.gate) {
                // An answer without one of these headers is still the right answer.
                let _ = abi::set_response_header(name, value.as_bytes());
            }
        }
        Action::Continue
    }
}
