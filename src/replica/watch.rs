//! A watch on the store by a stream: `Watch.Watch` of etcd's v3 API, over gRPC.
//!
//! It is a bell and no more. Whatever comes by it makes the reader ask at once what has changed, by the questions that it
//! asks anyway every now and then. So nothing hangs on it: a message that is lost, late, or of a revision that is gone
//! costs time and no change.

use std::{fmt, rc::Rc, time::Duration};

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::{
    calls::pacing,
    etcd::{Client, Token, is_about_who_asks},
    protobuf,
    store::{Expected, SharedStore},
    time::Timestamp,
};

/// So often workers look whether one of them has read something, where there is a watch: it is what the slowest of them
/// is late by. No reading that is rung for follows the one before sooner either.
pub const QUICK_TICK: Duration = Duration::from_millis(25);

/// A worker that watches says so for this time; then it is taken for dead.
const LEASE: Duration = Duration::from_secs(3);

/// It says so anew when no more than this is left.
const RENEW: Duration = Duration::from_secs(2);

/// After failures a watch is asked for again no later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One worker's side of the watch.
#[derive(Debug)]
pub(super) struct Watch {
    cluster: String,
    etcd: Rc<Client>,
    /// As it stands in the shared store while this is the worker that watches.
    lease_until: Option<Timestamp>,
    /// It was asked for, and has not ended since.
    asked: bool,
    /// Something came by it since it was asked for.
    works: bool,
    /// Ends that came one after the other before it had worked.
    failures: u32,
    /// One of them was told by etcd itself.
    cancelled: bool,
    /// There was another login since etcd last knew who asks.
    renewed: bool,
    /// When it is asked for next.
    due_at: Timestamp,
    /// There may be something new to read.
    pub(super) rung: bool,
}

/// What the host is to do for a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchStep {
    /// Send `request` by a new stream to `cluster`; one that is there is closed.
    Ask {
        /// The Envoy cluster that reaches etcd by gRPC.
        cluster: String,
        /// What etcd knows us by; `None`: it asks nobody who they are, or a certificate says so.
        token: Option<Token>,
        /// A message.
        request: Vec<u8>,
    },
    /// Close the stream: another worker watches.
    Leave,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEvent<'a> {
    /// A message, or its beginning: there stands whether the watch was cancelled.
    Message(&'a [u8]),
    /// The stream ended, with this gRPC status.
    Ended(u32),
    /// No stream could be opened.
    NotOpened,
}

/// Why there is no watch.
#[derive(Debug, PartialEq, Eq)]
pub struct Unwatched {
    cluster: String,
    why: Why,
}

#[derive(Debug, PartialEq, Eq)]
enum Why {
    Cancelled(String),
    Ended(u32),
    NotOpened,
}

impl Watch {
    pub(super) fn new(cluster: &str, etcd: Rc<Client>) -> Self {
        Self {
            cluster: cluster.to_owned(),
            etcd,
            lease_until: None,
            asked: false,
            works: false,
            failures: 0,
            cancelled: false,
            renewed: false,
            due_at: Timestamp::default(),
            rung: false,
        }
    }

    /// Whether this worker watches, under a lease at `key` in the shared store; what the host is to do, if anything.
    /// `prefix` begins the names of what is watched, `end` is behind them.
    pub(super) fn tick(
        &mut self,
        key: &str,
        [prefix, end]: [&[u8]; 2],
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Option<WatchStep> {
        if !self.holds_lease(key, now, store) {
            self.lease_until = None;
            return std::mem::take(&mut self.asked).then_some(WatchStep::Leave);
        }
        if self.asked || self.due_at.lies_ahead(now, LONGEST_PAUSE.saturating_mul(2)) {
            return None;
        }
        // Without a login it waits for one.
        let token = self.etcd.token(now).ok()?;
        (self.asked, self.works) = (true, false);
        Some(WatchStep::Ask { cluster: self.cluster.clone(), token, request: request(prefix, end) })
    }

    fn holds_lease(&mut self, key: &str, now: Timestamp, store: &dyn SharedStore) -> bool {
        let Ok(stored) = store.get(key) else { return self.lease_until.is_some() };
        let until = stored.as_ref().and_then(|stored| stored.value.as_slice().try_into().ok());
        let until = until.map(|bytes| Timestamp::from_nanos(u64::from_be_bytes(bytes)));
        let holds = until.filter(|until| until.lies_ahead(now, LEASE));
        let is_ours = until.is_some() && until == self.lease_until;
        if holds.is_some_and(|until| !is_ours || until > now.saturating_add(RENEW)) {
            return is_ours;
        }
        let new = now.saturating_add(LEASE);
        let written = store.replace(key, &new.as_nanos().to_be_bytes(), Expected::of(stored.as_ref()));
        if written.is_ok() {
            self.lease_until = Some(new);
        }
        written.is_ok()
    }

    /// Takes in what came. Of several ends in a row the first is told, and the first of which etcd says why.
    pub(super) fn take(&mut self, event: WatchEvent<'_>, now: Timestamp, random: u64) -> Option<Unwatched> {
        let why = match event {
            WatchEvent::Message(message) => match cancelled(message) {
                None => {
                    self.etcd.confirm_token();
                    // That it has begun may mean something new, too: what was changed before.
                    (self.works, self.rung) = (true, true);
                    (self.failures, self.cancelled, self.renewed) = (0, false, false);
                    return None;
                }
                Some(reason) => Why::Cancelled(reason),
            },
            WatchEvent::Ended(status) => Why::Ended(status),
            WatchEvent::NotOpened => Why::NotOpened,
        };
        self.asked = false;
        // etcd looks at a token when a watch begins, and never again.
        match &why {
            Why::Cancelled(reason) if is_about_who_asks(reason) && self.etcd.has_login() => {
                self.etcd.forget_token();
                if !std::mem::replace(&mut self.renewed, true) {
                    return None;
                }
            }
            Why::Cancelled(_) => {
                self.etcd.confirm_token();
                self.renewed = false;
            }
            Why::Ended(_) | Why::NotOpened => {}
        }
        self.due_at = now.saturating_add(pacing::backoff(self.failures, LONGEST_PAUSE, random));
        // A stream that worked ends now and then: proxies cut long ones off.
        if std::mem::take(&mut self.works) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let is_first = matches!(why, Why::Cancelled(_)) && !std::mem::replace(&mut self.cancelled, true);
        (self.failures == 1 || is_first).then(|| Unwatched { cluster: self.cluster.clone(), why })
    }
}

/// `WatchRequest { WatchCreateRequest create_request = 1 { bytes key = 1; bytes range_end = 2; } }`: from now on.
fn request(prefix: &[u8], end: &[u8]) -> Vec<u8> {
    let (mut create, mut request) = (Vec::new(), Vec::new());
    protobuf::append(1, prefix, &mut create);
    protobuf::append(2, end, &mut create);
    protobuf::append(1, &create, &mut request);
    request
}

/// `WatchResponse { bool canceled = 4; string cancel_reason = 6; .. }`: why the watch is over; `None`: it is not. What
/// cannot be read, as where it was cut off, is taken for news.
fn cancelled(mut message: &[u8]) -> Option<String> {
    let (mut is_cancelled, mut reason) = (false, String::new());
    while let Ok((field, wire)) = decode_key(&mut message) {
        let read = match (field, wire) {
            (4, WireType::Varint) => decode_varint(&mut message).map(|flag| is_cancelled = flag != 0).is_ok(),
            (6, WireType::LengthDelimited) => text(&mut message).map(|text| reason = text).is_some(),
            _ => skip_field(wire, field, &mut message, DecodeContext::default()).is_ok(),
        };
        if !read {
            break;
        }
    }
    is_cancelled.then_some(reason)
}

fn text(message: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(decode_varint(message).ok()?).ok()?;
    let (text, rest) = message.split_at_checked(len)?;
    *message = rest;
    Some(text.escape_ascii().to_string())
}

impl fmt::Display for Unwatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no watch by cluster {:?}, so they are polled: ", self.cluster)?;
        match &self.why {
            Why::Cancelled(reason) => write!(f, "etcd cancelled it: {reason}"),
            Why::Ended(status) => write!(f, "the stream ended with gRPC status {status}"),
            Why::NotOpened => {
                f.write_str("Envoy opened no stream; has it this cluster, and the cluster a host?")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calls::Outcome,
        etcd::{Login, Password, Server},
        store::MemoryStore,
        url::Url,
    };

    const NAMES: [&[u8]; 2] = [b"/p/", b"/p0"];

    fn client(login: Option<Login>) -> Rc<Client> {
        Rc::new(Client::new(Server {
            section: "apiKeys.etcd",
            endpoint: Url::parse("http://etcd.test:2379").unwrap(),
            cluster: "etcd".to_owned(),
            prefix: "/p/".to_owned(),
            timeout: Duration::from_secs(5),
            login,
        }))
    }

    fn watch() -> Watch {
        Watch::new("g", client(None))
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000).saturating_add(Duration::from_millis(millis))
    }

    #[test]
    fn what_is_asked() {
        let expected = b"\x0a\x0a\x0a\x03/p/\x12\x03/p0";
        assert_eq!(request(b"/p/", b"/p0"), expected);
        let long = [b'x'; 200];
        assert!(request(&long, b"y").starts_with(b"\x0a\xce\x01\x0a\xc8\x01xxx"));
    }

    #[test]
    fn what_is_said() {
        for (message, expected) in [
            (&b""[..], None),
            (b"\x0a\x02\x08\x07\x18\x01", None),
            (b"\x20\x00", None),
            (b"\x20\x01", Some("")),
            (b"\x0a\x02\x08\x07\x10\x01\x20\x01\x28\x09\x32\x05g\"ne\n", Some("g\\\"ne\\n")),
            // Events, cut off.
            (b"\x0a\x02\x08\x07\x5a\x7fxxx", None),
            (b"\x20\x01\x5a\x7fxxx", Some("")),
            (b"\x20\x01\x32\x7fxxx", Some("")),
            (b"\xff\xff\xff", None),
            (b"\x00\x00", None),
        ] {
            assert_eq!(cancelled(message).as_deref(), expected, "{message:?}");
        }
    }

    #[test]
    fn one_worker_watches() {
        let store = MemoryStore::default();
        let mut workers = [watch(), watch(), watch()];
        let mut tick = |place: usize, millis| workers[place].tick("w", NAMES, at(millis), &store);
        let ask =
            Some(WatchStep::Ask { cluster: "g".to_owned(), token: None, request: request(b"/p/", b"/p0") });
        assert_eq!([tick(0, 0), tick(1, 0), tick(2, 0)], [ask.clone(), None, None]);
        for millis in (250..10_000).step_by(250) {
            assert_eq!([tick(1, millis), tick(0, millis), tick(2, millis)], [None, None, None], "{millis}");
        }
        // It is gone, and another one takes over; or was only held up.
        assert_eq!(
            [tick(1, 11_000), tick(1, 11_750), tick(1, 12_000), tick(2, 12_000)],
            [None, None, ask, None]
        );
        assert_eq!([tick(0, 13_100), tick(0, 13_200)], [Some(WatchStep::Leave), None]);
        // The clock is set back.
        assert!(matches!(tick(2, 0), Some(WatchStep::Ask { .. })));
        assert_eq!(tick(1, 0), Some(WatchStep::Leave));
    }

    #[test]
    fn it_is_asked_for_again() {
        let store = MemoryStore::default();
        let mut watch = watch();
        let mut now = 0;
        let until_asked = |watch: &mut Watch, now: &mut u64| {
            let began = *now;
            while watch.tick("w", NAMES, at(*now), &store).is_none() {
                *now += 250;
                assert!(*now - began < 60_000, "never");
            }
            *now - began
        };
        assert_eq!(until_asked(&mut watch, &mut now), 0);
        let mut pauses = Vec::new();
        for (n, event) in [WatchEvent::NotOpened, WatchEvent::Ended(14), WatchEvent::Message(b"\x20\x01")]
            .into_iter()
            .cycle()
            .take(8)
            .enumerate()
        {
            let told = watch.take(event, at(now), 0).is_some();
            assert_eq!(told, n == 0 || n == 2, "the first is told, and the first that etcd ends");
            assert!(!watch.rung);
            pauses.push(until_asked(&mut watch, &mut now));
        }
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert_eq!(watch.take(WatchEvent::Message(b"\x18\x01"), at(now), 0), None);
        assert!(watch.rung, "what was changed before it began is new, too");
        assert_eq!(watch.take(WatchEvent::Ended(13), at(now), 0), None, "one that worked may end");
        assert_eq!(until_asked(&mut watch, &mut now), 1000);
        let told = watch.take(WatchEvent::Ended(14), at(now), 0).map(|told| told.to_string());
        let expected = "no watch by cluster \"g\", so they are polled: the stream ended with gRPC status 14";
        assert_eq!(told.as_deref(), Some(expected));
    }
    /// A token that is known no more is no failure, the first time.
    #[test]
    fn a_watch_has_a_token_that_etcd_knows() {
        let login = Login { user: "gateway".to_owned(), password: Password("hunter2".to_owned()) };
        let etcd = client(Some(login));
        let store = MemoryStore::default();
        let mut watch = Watch::new("g", Rc::clone(&etcd));
        let log_in = |token: &str, millis| {
            etcd.tick(at(millis), 0).unwrap();
            let body = format!("{{\"token\":\"{token}\"}}");
            etcd.on_answer(Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() }).unwrap();
        };
        let asked = |watch: &mut Watch, millis| match watch.tick("w", NAMES, at(millis), &store) {
            Some(WatchStep::Ask { token, .. }) => token.map(|token| token.as_str().to_owned()),
            _ => None,
        };
        let cancelled = |reason: &str| {
            let mut message = b"\x18\x01\x20\x01".to_vec();
            protobuf::append(6, reason.as_bytes(), &mut message);
            message
        };
        let unknown = cancelled("etcdserver: invalid auth token");
        assert_eq!(asked(&mut watch, 0), None, "it waits for the login");
        log_in("t.1", 0);
        assert_eq!(asked(&mut watch, 1).as_deref(), Some("t.1"));
        assert_eq!(watch.take(WatchEvent::Message(b"\x18\x01"), at(2), 0), None);
        assert_eq!(watch.take(WatchEvent::Ended(14), at(3), 0), None);
        assert_eq!(asked(&mut watch, 1003).as_deref(), Some("t.1"));
        assert_eq!(watch.take(WatchEvent::Message(&unknown), at(1004), 0), None);
        assert_eq!(asked(&mut watch, 1005), None);
        log_in("t.2", 1005);
        assert_eq!(asked(&mut watch, 1006).as_deref(), Some("t.2"), "at once");
        let told = watch.take(WatchEvent::Message(&unknown), at(1007), 0).unwrap().to_string();
        assert!(told.ends_with("etcd cancelled it: etcdserver: invalid auth token"), "{told}");
        assert_eq!(asked(&mut watch, 2007), None);
        log_in("t.3", 2007);
        assert_eq!(asked(&mut watch, 2008).as_deref(), Some("t.3"));
        // What the user may not do, no other token lets it do.
        let denied = cancelled("etcdserver: permission denied");
        assert_eq!(watch.take(WatchEvent::Message(&denied), at(2009), 0), None, "the first was told");
        assert_eq!(asked(&mut watch, 4008), None);
        assert_eq!(asked(&mut watch, 4009).as_deref(), Some("t.3"));
        // The token was known then. That it is no more is as if it were for the first time.
        assert_eq!(watch.take(WatchEvent::Message(&unknown), at(4010), 0), None);
        assert_eq!(asked(&mut watch, 4011), None);
        log_in("t.4", 4011);
        assert_eq!(asked(&mut watch, 4012).as_deref(), Some("t.4"));
    }
}
