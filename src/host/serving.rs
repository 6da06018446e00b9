//! What the root and the streams of one configuration share: the gate, calls under way, requests that wait.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use hashbrown::HashMap;
use log::{info, warn};
use proxy_wasm::hostcalls;

use super::{abi, services, stats::Stats, wire};
use crate::{
    call::{Call, Outcome},
    certificate::{self, PeerCertificate},
    crypto::HostCrypto,
    engine::{Around, Changes, Exchange, Gate, Purpose, Step},
    problem::{Challenges, Reason, Reply},
    request::RequestHead,
};

/// The filter state, seen by other filters as `wasm.portcullis`, that says that this module allowed the request.
/// Only a module can set it, so Envoy's own rbac filter behind this one can refuse whatever lacks it.
const INTERLOCK: (&str, &str) = ("portcullis", "allowed");

/// Most requests that wait at once on one thread; beyond that they are refused instead. All of them meet their
/// deadline within two seconds, see [`MAX_WOKEN`].
const MAX_WAITING: usize = 256;
/// Most requests that one call of the host answers or lets go on. Envoy carries these out when the call returns, each
/// from within the one before (an answer calls the module, and what that call leaves to do comes first). Between 200
/// and 350 of them exhaust the stack of V8, which ends the VM.
const MAX_WOKEN: usize = 32;

/// One configuration of the filter on one thread.
pub(super) struct Serving {
    pub(super) gate: Gate,
    pub(super) stats: Stats,
    crypto: &'static dyn HostCrypto,
    /// Calls under way, by the host's token.
    calls: RefCell<HashMap<u32, Pending>>,
    /// Requests that wait, by stream. What a stream that is gone left here is skipped.
    waiting: RefCell<HashMap<u32, Weak<RefCell<Exchange>>>>,
    /// Those of them that are still to be decided again since [`Serving::wake`] was called.
    to_wake: RefCell<Vec<(u32, Weak<RefCell<Exchange>>)>>,
}

struct Pending {
    purpose: Purpose,
    max_answer: usize,
    /// The stream that sent it: the SDK drops the answer when that stream is gone.
    sender: Option<u32>,
}

/// What became of a request for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decided {
    Forward,
    Answered,
    Wait,
}

impl Serving {
    pub(super) fn new(gate: Gate, stats: Stats) -> Self {
        let crypto = services::crypto();
        Self {
            gate,
            stats,
            crypto,
            calls: RefCell::default(),
            waiting: RefCell::default(),
            to_wake: RefCell::default(),
        }
    }

    /// What the host has to offer now, to a request that may wait or to none.
    pub(super) fn around(&self, may_wait: bool) -> Around<'static> {
        services::around(self.crypto, may_wait)
    }

    /// Decides the request of the host's effective context and carries the decision out, but for letting it go
    /// on. Whatever the host does not give refuses the request.
    ///
    /// `caller` is the stream on whose behalf the host calls us, if any.
    pub(super) fn decide(
        &self,
        stream: u32,
        exchange: &Rc<RefCell<Exchange>>,
        caller: Option<u32>,
    ) -> Decided {
        let decided = self.try_decide(stream, exchange).unwrap_or_else(|reason| {
            answer(&Reply::refusal(reason, Challenges::default()));
            Decided::Answered
        });
        if decided == Decided::Wait {
            self.send(self.gate.take_calls(), caller);
        }
        decided
    }

    fn try_decide(&self, stream: u32, exchange: &Rc<RefCell<Exchange>>) -> Result<Decided, Reason> {
        let policy = self.gate.policy();
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
        let waiting = self.waiting.borrow().len().saturating_add(self.to_wake.borrow().len());
        let around = self.around(waiting < MAX_WAITING);
        let verdict = exchange.borrow_mut().on_request(&self.gate, &head, &around);
        match (&verdict.record, verdict.reason) {
            (Some(record), Some(_)) => warn!("{record}"),
            (Some(record), None) => info!("{record}"),
            (None, _) => {}
        }
        match verdict.step {
            Step::Forward(changes) => {
                apply(&changes).map_err(|_| Reason::StateUnavailable)?;
                self.stats.count(None, verdict.evicted);
                Ok(Decided::Forward)
            }
            Step::Reply(reply) => {
                self.stats.count(verdict.reason, verdict.evicted);
                answer(&reply);
                Ok(Decided::Answered)
            }
            Step::Wait => {
                self.waiting.borrow_mut().insert(stream, Rc::downgrade(exchange));
                Ok(Decided::Wait)
            }
        }
    }

    /// Decides those again that wait for the outcome of the call for `purpose`. Of all others nothing has changed:
    /// a flood of tokens that issuers are asked about must not make each answer cost a look at every request.
    fn wake_for(&self, purpose: Purpose, caller: Option<u32>) {
        let waits = |exchange: &Weak<RefCell<Exchange>>| {
            exchange.upgrade().is_none_or(|exchange| exchange.borrow().waits_for(purpose))
        };
        self.to_wake.borrow_mut().extend(self.waiting.borrow_mut().extract_if(|_, exchange| waits(exchange)));
        self.wake(caller);
    }

    /// Decides every waiting request again. To be called now and then, so that each meets its own deadline.
    pub(super) fn wake_all(&self) {
        if self.to_wake.borrow().is_empty() {
            self.to_wake.borrow_mut().extend(self.waiting.borrow_mut().drain());
        }
        self.wake(None);
    }

    /// Goes on with those that are to be decided again, up to [`MAX_WOKEN`] that wait no longer; the next calls go
    /// on from there.
    fn wake(&self, caller: Option<u32>) {
        let mut woken = 0_usize;
        while woken < MAX_WOKEN {
            let Some((stream, exchange)) = self.to_wake.borrow_mut().pop() else {
                self.gate.settled();
                return;
            };
            let Some(exchange) = exchange.upgrade() else { continue };
            // A stream that is gone has no context.
            if hostcalls::set_effective_context(stream).is_err() {
                continue;
            }
            let decided = self.decide(stream, &exchange, caller);
            if decided != Decided::Wait {
                woken = woken.saturating_add(1);
            }
            if decided == Decided::Forward && abi::resume_request().is_err() {
                warn!("a request could not be resumed");
            }
        }
    }

    /// Sends `calls`. `sender` is the stream on whose behalf the host calls us, if any.
    pub(super) fn send(&self, calls: impl IntoIterator<Item = (Purpose, Call)>, sender: Option<u32>) {
        for (purpose, call) in calls {
            let endpoint = &call.endpoint;
            let mut headers = vec![
                (":method", call.method),
                (":scheme", endpoint.scheme),
                (":authority", &endpoint.authority),
                (":path", &endpoint.path),
            ];
            headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_str())));
            let body = (!call.body.is_empty()).then_some(call.body.as_slice());
            match hostcalls::dispatch_http_call(&call.cluster, headers, body, vec![], call.timeout) {
                Ok(token) => {
                    let pending = Pending { purpose, max_answer: call.max_answer, sender };
                    self.calls.borrow_mut().insert(token, pending);
                }
                Err(status) => {
                    warn!("cluster \"{}\" took no request: {status:?}", call.cluster);
                    self.report(purpose, Outcome::Failed);
                }
            }
        }
    }

    /// Takes the answer to a call.
    pub(super) fn on_call_response(&self, token: u32, headers: usize, size: usize, caller: Option<u32>) {
        let Some(call) = self.calls.borrow_mut().remove(&token) else { return };
        // A reset within the body leaves no headers.
        let answer = if headers == 0 { Err(abi::Failed) } else { Answer::read(size, call.max_answer) };
        let parsed = answer.as_ref().ok().and_then(|answer| answer.parts());
        let outcome = parsed.as_ref().map_or(Outcome::Failed, |(status, headers, body)| Outcome::Answer {
            status: *status,
            headers,
            body,
        });
        self.report(call.purpose, outcome);
        // One answer may lead to the next call, to the keys that a document names. Not on behalf of a request: with
        // its end nobody would hear the answer.
        if caller.is_none() {
            self.send(self.gate.on_tick(&self.around(false)), None);
        }
        self.wake_for(call.purpose, caller);
    }

    /// A stream ends: answers to its calls will not be heard.
    pub(super) fn forget(&self, stream: u32) {
        self.waiting.borrow_mut().remove(&stream);
        let unheard: Vec<Pending> = self
            .calls
            .borrow_mut()
            .extract_if(|_, call| call.sender == Some(stream))
            .map(|(_, call)| call)
            .collect();
        for call in unheard {
            self.gate.abandon(call.purpose);
        }
    }

    fn report(&self, purpose: Purpose, outcome: Outcome<'_>) {
        for message in self.gate.on_answer(purpose, outcome, &self.around(false)) {
            warn!("{message}");
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
pub(super) fn answer(reply: &Reply) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let sent = wire::write_pairs(headers).ok_or(abi::Failed).and_then(|headers| {
        abi::send_local_response(reply.status, reply.details, &reply.body, &headers, reply.grpc_status)
    });
    if sent.is_err() {
        warn!("an answer could not be sent; the request stays refused");
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
    fn read(size: usize, max: usize) -> Result<Self, abi::Failed> {
        let size = size.min(max.saturating_add(1));
        let body = if size == 0 { Vec::new() } else { abi::call_response_body(size)? };
        Ok(Self { headers: abi::call_response_headers()?, body })
    }

    fn parts(&self) -> Option<Parts<'_>> {
        let headers = wire::parse_pairs(&self.headers)?;
        let status = headers.iter().find(|(name, _)| *name == b":status")?.1;
        Some((str::from_utf8(status).ok()?.parse().ok()?, headers, &self.body))
    }
}
