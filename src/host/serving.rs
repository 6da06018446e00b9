//! One configuration of the filter on one thread: its requests, and those of them that wait.

use std::{
    cell::{Cell, OnceCell, RefCell},
    net::IpAddr,
    rc::Rc,
};

use hashbrown::HashMap;
use log::{info, warn};

use super::{
    access_log::AccessLog,
    calls::Calls,
    carry_out::{answer, apply, hide, refuse},
    etcd_watch::EtcdWatch,
    host_calls::{Failed, Host},
    policy_stats::Unshown,
    services::Services,
    stats::{Counted, Stats},
    ticks::Ticks,
    waiting::{BodyState, OnPart, Progress, Waiting, WaitingRequests},
    wire,
};
use crate::{
    answer::Reason,
    calls::{Call, Client, Outcome},
    engine::{Body, Exchange, HostServices, Purpose, Step, WorkerState},
    replica::WatchEvent,
    request::{RequestHead, client_certificate::PeerCertificate},
    text::hex,
};

/// Most requests that one call of the host answers or lets go on. Envoy carries these out when the call returns, each
/// from within the one before (an answer calls the module, and what that call leaves to do comes first). Between 200
/// and 350 of them exhaust the stack of V8, which ends the VM. All that wait meet their deadline within four seconds.
const MAX_WOKEN: usize = 32;

/// Said of a request whose body Envoy keeps to itself.
const WITHHELD: &str = "Envoy hands over no body while its request waits: the filter needs allow_on_headers_stop_iteration: \
                        true beside its vm_config";

/// Most streams that one tick ends. Envoy carries these out as it does answers, beside those of [`MAX_WOKEN`].
const MAX_ENDED: usize = 64;

/// One configuration of the filter on one thread.
pub(super) struct Serving<H: Host> {
    host: H,
    worker: WorkerState,
    /// The name of the mark; `None`: there is none.
    mark: Option<Box<[u8]>>,
    access_log: AccessLog,
    stats: Stats,
    unshown: Unshown,
    services: Services<H>,
    calls: Calls,
    /// By what is asked about what they watch.
    watches: [(Purpose, EtcdWatch); 2],
    ticks: Ticks,
    requests: WaitingRequests,
    /// The host was seen to hand over bodies of requests that wait.
    bodies_come: Cell<bool>,
    /// Requests whose answer gets headers from us, by stream.
    answering: RefCell<HashMap<u32, Exchange>>,
}

/// What is decided about.
struct Asked<'a> {
    stream: u32,
    head: &'a [u8],
    /// Nothing follows its headers.
    ends: bool,
    body: Progress,
}

/// What became of a request for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decided {
    Forward,
    Answered,
    Wait,
}

impl<H: Host> Serving<H> {
    pub(super) fn new(
        host: H,
        worker: WorkerState,
        (mark, access_log): (Option<Box<[u8]>>, AccessLog),
        unshown: Unshown,
    ) -> Self {
        let serving = Self {
            stats: Stats::define(&host, &worker),
            worker,
            mark,
            access_log,
            unshown,
            services: Services::of(&host),
            host,
            calls: Calls::default(),
            watches: [Purpose::KeyStore, Purpose::RevocationStore]
                .map(|purpose| (purpose, EtcdWatch::default())),
            ticks: Ticks::default(),
            requests: WaitingRequests::default(),
            bodies_come: Cell::default(),
            answering: RefCell::default(),
        };
        // Before the first request, so that filters that are configured together are seen to stand side by side.
        serving.worker.confirm_limits(&serving.host_services());
        serving
    }

    /// To be called when `other` was configured on the same thread: if it counts together with this one.
    pub(super) fn note_configured(&self, other: &Self) {
        if self.worker.namespace() == other.worker.namespace() {
            self.worker.confirm_limits(&self.host_services());
            self.unshown.drop_out();
        }
    }

    /// Decides the request of `stream`. `ends` says that nothing follows its headers.
    pub(super) fn on_request(&self, stream: u32, ends: bool) -> Decided {
        match self.host.request_headers() {
            Ok(head) => {
                let asked = Asked { stream, head: &head, ends, body: Progress::default() };
                self.decide(&asked, Exchange::default(), OnceCell::new(), || Rc::from(&*head))
            }
            Err(Failed) => self.answer_failure(Reason::StateUnavailable),
        }
    }

    /// Whether a trailer of this name stays here.
    pub(super) fn guards_trailer(&self, name: &[u8]) -> bool {
        self.worker.guards_trailer(name)
    }

    /// Whether the request of `stream` waits to be decided again.
    #[cfg(test)]
    pub(super) fn has_waiting(&self, stream: u32) -> bool {
        self.requests.has(stream)
    }

    /// The request of `stream` is not decided again.
    pub(super) fn forget(&self, stream: u32) {
        self.requests.forget(stream);
    }

    /// A part of the body of a request has come that was told to wait: `size` bytes so far. `whole`: it is all.
    pub(super) fn on_request_body(&self, stream: u32, size: usize, whole: bool) -> Decided {
        self.bodies_come.set(true);
        self.on_part(stream, self.requests.on_part(stream, size, whole))
    }

    /// The body of a request has ended that was told to wait, and trailers have come.
    pub(super) fn on_request_body_end(&self, stream: u32) -> Decided {
        self.on_part(stream, self.requests.on_body_end(stream))
    }

    fn on_part(&self, stream: u32, part: OnPart) -> Decided {
        match part {
            OnPart::Wait => Decided::Wait,
            OnPart::GoOn => Decided::Forward,
            OnPart::Stop => Decided::Answered,
            OnPart::Decide => {
                let waiting = self.requests.take(stream);
                waiting.map_or(Decided::Answered, |waiting| self.decide_again(stream, waiting))
            }
        }
    }

    /// Adds our headers to the answer. One that waits is answered by Envoy itself, by a time-out of its own: that request
    /// is over, though its end may be long in coming where the client takes no more of the answer.
    pub(super) fn on_response(&self, stream: u32) {
        self.forget(stream);
        if self.answering.borrow().is_empty() {
            return;
        }
        if let Some(exchange) = self.answering.borrow_mut().remove(&stream) {
            self.add_response_headers(&exchange);
        }
    }

    /// The stream is gone.
    pub(super) fn on_end(&self, stream: u32) {
        self.requests.end(stream);
        self.worker.forget_stream(stream);
        if !self.answering.borrow().is_empty() {
            self.answering.borrow_mut().remove(&stream);
        }
    }

    #[inline(never)]
    fn add_response_headers(&self, exchange: &Exchange) {
        for (name, value) in exchange.on_response(&self.worker) {
            // An answer without one of these headers is still the right answer.
            let _ = self.host.set_response_header(name, value.as_bytes());
        }
    }

    pub(super) fn on_tick(&self) {
        if self.worker.watches() && self.ticks.is_for_replicas_alone() {
            self.send(self.worker.look_after_replicas(&self.host_services()));
            return;
        }
        self.services.on_tick(&self.host);
        self.stats.observe(&self.host, &self.worker, self.requests.len(), H::now());
        self.stats.flush(&self.host, &self.worker);
        self.unshown.on_tick(&self.host, H::now());
        self.worker.take_repeated(&self.host_services()).iter().for_each(|told| warn!("{told}"));
        self.send(self.worker.on_tick(&self.host_services()));
        self.worker.take_key_uses(false).iter().for_each(|told| info!("{told}"));
        self.note_withheld_bodies();
        self.requests.wake_due(H::now());
        self.wake();
        self.end_streams();
        self.send_calls();
        for (purpose, step) in self.worker.watch(&self.host_services()) {
            for (_, watch) in self.watches.iter().filter(|(own, _)| *own == purpose) {
                if let Some(event) = watch.carry_out(&self.host, step.clone()) {
                    self.report_watched(purpose, event);
                }
            }
        }
    }

    /// A message has come by a gRPC stream.
    pub(super) fn on_grpc_message(&self, token: u32, size: usize) {
        for (purpose, watch) in &self.watches {
            if let Some(message) = watch.message(&self.host, token, size) {
                self.report_watched(*purpose, WatchEvent::Message(&message));
            }
        }
    }

    /// A gRPC stream has ended.
    pub(super) fn on_grpc_close(&self, token: u32, status: u32) {
        self.host.forget_grpc_stream(token);
        for (purpose, _) in self.watches.iter().filter(|(_, watch)| watch.end(token)) {
            self.report_watched(*purpose, WatchEvent::Ended(status));
        }
    }

    /// What came of a watch may be a reason to read what is watched.
    fn report_watched(&self, purpose: Purpose, event: WatchEvent<'_>) {
        if let Some(message) = self.worker.on_watched(purpose, event, &self.host_services()) {
            warn!("{message}");
        }
        self.send(self.worker.look_after_replicas(&self.host_services()));
    }

    /// Hands on what is left to tell, when nothing more will come.
    pub(super) fn end(&self) {
        self.stats.end(&self.host, &self.worker);
        self.worker.end_repeated(&self.host_services()).iter().for_each(|told| warn!("{told}"));
        self.worker.take_key_uses(true).iter().for_each(|told| info!("{told}"));
    }

    /// Takes the answer to a call.
    pub(super) fn on_call_response(&self, token: u32, headers: usize, body_size: usize) {
        let report = |purpose, outcome: Outcome<'_>| self.report(purpose, outcome);
        let Some(purpose) = self.calls.on_response(&self.host, token, headers, body_size, report) else {
            return;
        };
        // One answer may lead to the next call, to the keys that a document names.
        self.send(self.worker.on_tick(&self.host_services()));
        self.requests.wake_for(purpose);
        self.wake();
        self.send_calls();
    }

    /// Sends the calls that requests asked for. To be called for the root context, which gets the answers.
    pub(super) fn send_calls(&self) {
        self.send(self.worker.take_calls());
    }

    /// What the host has to offer now, beside what it knows of a request.
    fn host_services(&self) -> HostServices<'_> {
        self.services.of_call()
    }

    /// Decides a request again that has waited, in the host's effective context.
    fn decide_again(&self, stream: u32, waiting: Waiting) -> Decided {
        let Waiting { exchange, head, ends, body, client } = waiting;
        let asked = Asked { stream, head: &head, ends, body };
        let decided = self.decide(&asked, exchange, OnceCell::from(client), || Rc::clone(&head));
        if decided == Decided::Forward {
            self.requests.let_go(stream);
        }
        decided
    }

    /// Decides the request of the host's effective context and carries the decision out, but for letting it go
    /// on. Whatever the host does not give refuses the request. `kept` is its head, for later; `client` is known of one
    /// that has waited.
    fn decide(
        &self,
        asked: &Asked<'_>,
        mut exchange: Exchange,
        client: OnceCell<Client>,
        kept: impl FnOnce() -> Rc<[u8]>,
    ) -> Decided {
        let stream = asked.stream;
        let decided = self.try_decide(asked, &mut exchange, &client);
        let decided = decided.unwrap_or_else(|reason| {
            self.worker.forget_stream(stream);
            self.answer_failure(reason)
        });
        if decided == Decided::Wait {
            let client = client.into_inner().unwrap_or_default();
            let body =
                Progress { received: asked.body.received.or_else(|| self.received(asked)), ..asked.body };
            let waiting = Waiting { exchange, head: kept(), ends: asked.ends, body, client };
            self.requests.insert(stream, waiting);
        } else if exchange.has_response(&self.worker) {
            self.answering.borrow_mut().insert(stream, exchange);
        }
        decided
    }

    fn try_decide(
        &self,
        asked: &Asked<'_>,
        exchange: &mut Exchange,
        client: &OnceCell<Client>,
    ) -> Result<Decided, Reason> {
        let (stream, policy) = (asked.stream, self.worker.policy());
        let headers = wire::parse_pairs(asked.head).ok_or(Reason::MalformedRequest)?;
        let head = RequestHead {
            headers,
            remote_address: policy.needs_remote_address().then(|| remote_address(&self.host)).flatten(),
            tls: policy.needs_connection() && has_tls(&self.host),
            peer_certificate: policy.needs_peer_certificate().then(|| peer_certificate(&self.host)).flatten(),
            ends: asked.ends,
        };
        // Whoever has waited has its place, but where it waited for something of another kind.
        let awaits_body = exchange.waits_for_body().is_some();
        let has_waited = client.get().is_some() && !awaits_body;
        let client = || {
            *client.get_or_init(|| Client::new(head.remote_address.or_else(|| remote_address(&self.host))))
        };
        let may_wait = || has_waited || self.requests.has_room(client());
        let has_body_room = || awaits_body || self.requests.has_room_for_body(client());
        let body = |limit| self.body(asked.body, limit, &has_body_room);
        let services =
            HostServices { client: &client, may_wait: &may_wait, body: &body, ..self.host_services() };
        let decision = exchange.on_request(&self.worker, &head, &services);
        if let Some(record) = &decision.record {
            write_down(record, decision.is_notable());
        }
        if let Some((outcome, reason)) = decision.shadow {
            self.stats.count_shadow(outcome, reason);
        }
        let counted = Counted::of(&decision);
        // Before the mark, which is last.
        self.access_log.tell(&self.host, &decision.access_log);
        match decision.step {
            Step::Forward(changes) => {
                let may_begin = |open| self.worker.begin_stream(stream, open);
                if !decision.stream.is_none_or(may_begin) {
                    return Err(Reason::StateUnavailable);
                }
                apply(&self.host, &changes, self.mark.as_deref()).map_err(|_| Reason::StateUnavailable)?;
                self.stats.count(counted);
                Ok(Decided::Forward)
            }
            Step::Reply(reply, changes) => {
                self.stats.count(counted);
                // An answer whose request could not be changed is still the right answer.
                let _ = apply(&self.host, &changes, None);
                answer(&self.host, &reply);
                Ok(Decided::Answered)
            }
            Step::Wait(changes) => {
                apply(&self.host, &changes, None).map_err(|_| Reason::StateUnavailable)?;
                Ok(Decided::Wait)
            }
        }
    }

    /// What has come of the body of the host's effective context, if it is no longer than `limit`.
    #[cold]
    fn body(&self, progress: Progress, limit: usize, has_room: &dyn Fn() -> bool) -> Body {
        let Progress { size, state, .. } = progress;
        match state {
            BodyState::Withheld => Body::Unavailable(WITHHELD),
            _ if size > limit => Body::TooLong,
            BodyState::Whole if size == 0 => Body::Whole(Vec::new()),
            BodyState::Whole => match self.host.request_body(size) {
                Ok(body) if body.len() == size => Body::Whole(body),
                _ => Body::Unavailable("the host did not give it"),
            },
            BodyState::Crowded => Body::Unavailable("too much is held of bodies that are waited for"),
            BodyState::Coming if has_room() => Body::Coming,
            BodyState::Coming => Body::Unavailable("too many requests wait for their bodies"),
        }
    }

    /// How many bytes the host has received of a request, as far as that may show that it keeps a body to itself.
    fn received(&self, asked: &Asked<'_>) -> Option<u64> {
        let shows = !asked.ends && !self.bodies_come.get() && self.worker.policy().reads_bodies();
        if shows { received(&self.host) } else { None }
    }

    /// Finds requests whose bodies the host keeps to itself: it receives them and never calls. No setting tells.
    fn note_withheld_bodies(&self) {
        if self.bodies_come.get() {
            return;
        }
        for (stream, before) in self.requests.without_bodies() {
            if self.host.set_effective_context(stream).is_ok()
                && received(&self.host).is_some_and(|received| received > before)
            {
                self.requests.withhold(stream);
            }
        }
    }

    /// Refuses a request for what the host did not give. Of what it holds is removed what can be without a look at it.
    #[cold]
    fn answer_failure(&self, reason: Reason) -> Decided {
        hide(&self.host, self.worker.guarded_names());
        self.stats.count(Counted { reason: Some(reason), ..Counted::default() });
        self.access_log.tell_reason(&self.host, reason);
        refuse(&self.host, reason);
        Decided::Answered
    }

    /// Goes on with those that are to be decided again, up to [`MAX_WOKEN`] that wait no longer; the next calls go
    /// on from there.
    fn wake(&self) {
        let mut woken = 0_usize;
        while woken < MAX_WOKEN {
            let Some((stream, waiting)) = self.requests.next() else {
                self.worker.settled();
                return;
            };
            // A stream that is gone has no context.
            if self.host.set_effective_context(stream).is_err() {
                continue;
            }
            let decided = self.decide_again(stream, waiting);
            if decided != Decided::Wait {
                woken = woken.saturating_add(1);
            }
            if decided == Decided::Forward && self.host.resume_request().is_err() {
                self.warn("a request could not be resumed".to_owned());
            }
        }
    }

    /// Ends streams whose credential has ended: by an answer where none has begun, else Envoy resets them.
    fn end_streams(&self) {
        for ended in self.worker.take_ended_streams(MAX_ENDED, &self.host_services()) {
            if let Some(record) = &ended.record {
                write_down(record, true);
            }
            self.stats.count_ended(ended.reason);
            // A stream that is gone has no context.
            if self.host.set_effective_context(ended.stream).is_ok() {
                self.access_log.tell_reason(&self.host, ended.reason);
                answer(&self.host, &ended.reply);
            }
        }
    }

    fn send(&self, calls: impl IntoIterator<Item = (Purpose, Call)>) {
        for (purpose, call) in calls {
            if let Err(why) = self.calls.send(&self.host, purpose, &call) {
                self.stats.count_unsent(purpose);
                self.warn(self.worker.on_unsent(purpose, &call.cluster, why, &self.host_services()));
            }
        }
    }

    fn report(&self, purpose: Purpose, outcome: Outcome<'_>) {
        for message in self.worker.on_answer(purpose, outcome, &self.host_services()) {
            warn!("{message}");
        }
    }

    /// Writes what clients may cause any number of times.
    #[cold]
    fn warn(&self, message: String) {
        if let Some(message) = self.worker.warning(message) {
            warn!("{message}");
        }
    }
}

/// How many bytes the host has received of a request, with its head.
fn received(host: &impl Host) -> Option<u64> {
    let bytes = host.property("request\0total_size")?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[inline(never)]
fn remote_address(host: &impl Host) -> Option<IpAddr> {
    wire::parse_address(&host.property("source\0address")?)
}

/// Plaintext connections have no TLS version.
#[inline(never)]
fn has_tls(host: &impl Host) -> bool {
    host.property("connection\0tls_version").is_some_and(|version| !version.is_empty())
}

/// The certificate that the client showed; `None` when it showed none.
#[inline(never)]
fn peer_certificate(host: &impl Host) -> Option<PeerCertificate> {
    let text = |path| host.property(path).and_then(|value| String::from_utf8(value).ok());
    let digest = text("connection\0sha256_peer_certificate_digest")?;
    Some(PeerCertificate {
        digest: hex::decode_digest(&digest),
        uri: text("connection\0uri_san_peer_certificate"),
        dns: text("connection\0dns_san_peer_certificate"),
        subject: text("connection\0subject_peer_certificate"),
    })
}

#[cold]
fn write_down(record: &str, is_notable: bool) {
    if is_notable { warn!("{record}") } else { info!("{record}") }
}
