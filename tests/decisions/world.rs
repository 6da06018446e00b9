//! A policy with a bit of everything, issuers that sign for it, and requests against it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
};

use ct_codecs::{Base64UrlSafeNoPadding, Encoder};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use portcullis::{
    answer::Reason,
    calls::{Call, Client, Outcome},
    config::{AccessLogField, RecordNames},
    crypto::{HostCrypto, sha256},
    engine::{Body, Exchange, HostServices, Purpose, ShadowOutcome, Step, WorkerState, record_schema},
    policy::Policy,
    request::{RequestHead, client_certificate::PeerCertificate},
    store::{MemoryStore, SharedStore},
    time::{Clock, Timestamp},
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Map, Value, json};

use crate::document::document;

pub(crate) const NOW: u64 = 1_800_000_000;

/// A signing key and what is published of it.
#[derive(Clone)]
pub(crate) struct Issuer {
    key: EncodingKey,
    pub(crate) kid: &'static str,
    pub(crate) jwk: Value,
}

impl Issuer {
    pub(crate) fn new(kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        // Uncompressed point: 0x04, then x and y.
        let point = pair.public_key().as_ref();
        let part = |bytes: &[u8]| Base64UrlSafeNoPadding::encode_to_string(bytes).unwrap();
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": kid,
            "x": part(&point[1..33]), "y": part(&point[33..])});
        Self { key: EncodingKey::from_ec_der(pkcs8.as_ref()), kid, jwk }
    }

    pub(crate) fn set(&self) -> Value {
        json!({"keys": [self.jwk]})
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(self.kid, claims)
    }

    /// As AWS load balancers do: every part is padded, and the signature is over the padded ones.
    pub(crate) fn sign_padded(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| ct_codecs::Base64UrlSafe::encode_to_string(value.to_string()).unwrap();
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        let padding = "=".repeat((4 - signature.len() % 4) % 4);
        format!("{signed}.{signature}{padding}")
    }

    pub(crate) fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// A DPoP proof (RFC 9449 section 4.2) for `token` at `path`.
    pub(crate) fn prove(&self, token: &str, path: &str, id: &str, nonce: Option<&str>) -> String {
        let ath = Base64UrlSafeNoPadding::encode_to_string(sha256(token.as_bytes())).unwrap();
        let mut claims = json!({"jti": id, "htm": "GET", "htu": format!("https://api.example{path}"),
            "iat": NOW, "ath": ath});
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        self.proof(&claims)
    }

    /// One that says these.
    pub(crate) fn proof(&self, claims: &Value) -> String {
        let jwk = serde_json::from_value(self.jwk.clone()).unwrap();
        let header =
            Header { typ: Some("dpop+jwt".to_owned()), jwk: Some(jwk), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// What binds a token to this key (RFC 7638, RFC 9449 section 6.1).
    pub(crate) fn confirmation(&self) -> Value {
        let (x, y) = (&self.jwk["x"], &self.jwk["y"]);
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":{x},"y":{y}}}"#);
        json!({"jkt": Base64UrlSafeNoPadding::encode_to_string(sha256(members.as_bytes())).unwrap()})
    }
}

/// The policy, loaded, with everybody who can sign for it.
pub(crate) struct World {
    pub(crate) document: Value,
    pub(crate) worker: WorkerState,
    pub(crate) corp: Issuer,
    pub(crate) partner: Issuer,
    pub(crate) remote: Issuer,
    pub(crate) store: Rc<dyn SharedStore>,
    pub(crate) now: Cell<u64>,
    pub(crate) random: Cell<bool>,
    pub(crate) may_wait: Cell<bool>,
    /// Whoever sends what is decided next, as far as room is shared.
    pub(crate) client: Cell<Option<IpAddr>>,
    /// What has come of the body of whatever is decided next.
    body: RefCell<Body>,
    /// Signatures that were held against a key.
    pub(crate) checked: Cell<u32>,
    /// What issuers answer about tokens; of others they say that they are not active.
    issued: RefCell<BTreeMap<String, (u16, Value)>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The policy with changes.
    pub(crate) fn with(change: impl FnOnce(&mut Value)) -> Self {
        let (corp, partner, remote) = (Issuer::new("c1"), Issuer::new("p1"), Issuer::new("r1"));
        let mut document = document(&corp.set(), &partner.set());
        change(&mut document);
        let policy = Policy::compile(document.to_string().as_bytes(), "test");
        let policy = policy.unwrap_or_else(|faults| panic!("{faults:?}"));
        Self {
            document,
            worker: WorkerState::new(policy, "test"),
            corp,
            partner,
            remote,
            store: Rc::new(MemoryStore::default()),
            now: Cell::new(NOW),
            random: Cell::new(true),
            may_wait: Cell::new(true),
            client: Cell::new(None),
            body: RefCell::new(Body::Coming),
            checked: Cell::default(),
            issued: RefCell::default(),
        }
    }

    /// Runs `with` on what the host provides now.
    pub(crate) fn with_services<T>(&self, with: impl FnOnce(&HostServices<'_>) -> T) -> T {
        let random = || self.random.get().then_some([7; 16]);
        let now = Clock::at(Timestamp::from_secs(self.now.get()));
        with(&HostServices {
            crypto: &Counting(&self.checked),
            may_wait: &|| self.may_wait.get(),
            client: &|| Client::new(self.client.get()),
            body: &|_| self.body.borrow().clone(),
            ..HostServices::new(now, &*self.store, &random)
        })
    }

    /// Decides a request; what is asked of issuers meanwhile is answered at once, other things that it waits for
    /// do not come.
    pub(crate) fn ask(&self, ask: &Ask) -> Answer {
        let mut pending = Pending::new(ask);
        let mut answer = pending.decide(self);
        while answer.is_none() {
            let calls = self.worker.take_calls();
            let may_wait = self.may_wait.replace(!calls.is_empty());
            for (purpose, call) in calls {
                self.answer_call(purpose, &call);
            }
            answer = pending.decide(self);
            self.may_wait.set(may_wait);
            self.worker.settled();
        }
        answer.unwrap()
    }

    /// From now on issuers answer this about `token`.
    pub(crate) fn issue(&self, token: &str, status: u16, answer: Value) {
        self.issued.borrow_mut().insert(token.to_owned(), (status, answer));
    }

    /// Answers a call about a token as its issuer would.
    pub(crate) fn answer_call(&self, purpose: Purpose, call: &Call) {
        let unknown = (200, json!({"active": false}));
        let (status, body) = self.issued.borrow().get(&asked_about(call)).cloned().unwrap_or(unknown);
        self.deliver(purpose, Outcome::Answer { status, headers: &[], body: body.to_string().as_bytes() });
    }

    pub(crate) fn deliver(&self, purpose: Purpose, outcome: Outcome<'_>) -> Vec<String> {
        self.with_services(|services| self.worker.on_answer(purpose, outcome, services))
    }

    /// What a tick asks for.
    pub(crate) fn tick(&self) -> Vec<(Purpose, Call)> {
        self.with_services(|services| self.worker.on_tick(services))
    }

    pub(crate) fn later(&self, secs: u64) {
        self.now.set(self.now.get() + secs);
    }

    /// `None`: it is forwarded.
    pub(crate) fn reason(&self, ask: &Ask) -> Option<Reason> {
        self.ask(ask).reason
    }

    /// A token of corp that is good but for what `change` does to it.
    pub(crate) fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        self.corp.sign(&changed(claims("https://idp.example"), change))
    }

    pub(crate) fn bearer(&self, ask: Ask, change: impl FnOnce(&mut Value)) -> Ask {
        ask.header("authorization", &format!("Bearer {}", self.token(change)))
    }
}

/// Verifies nothing itself.
struct Counting<'a>(&'a Cell<u32>);

impl HostCrypto for Counting<'_> {
    fn verify(&self, _: &str, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        self.0.set(self.0.get() + 1);
        None
    }
}

/// A request that may have to wait.
pub(crate) struct Pending {
    ask: Ask,
    exchange: Exchange,
    /// Its headers while it waits.
    pub(crate) shown: Option<Headers>,
}

impl Pending {
    pub(crate) fn new(ask: &Ask) -> Self {
        Self { ask: ask.clone(), exchange: Exchange::default(), shown: None }
    }

    /// `None`: it waits.
    pub(crate) fn decide(&mut self, w: &World) -> Option<Answer> {
        let head = self.ask.head();
        w.body.replace(self.ask.body.clone());
        let mut answer = w.with_services(|services| {
            let decision = self.exchange.on_request(&w.worker, &head, services);
            let debug = format!("{decision:?} {head:?}");
            let (upstream, changes) = match &decision.step {
                Step::Forward(changes) => (Ok(carried_out(&head, changes)), changes),
                Step::Reply(reply, changes) => (Err((**reply).clone()), changes),
                Step::Wait(changes) => {
                    assert!(decision.record.is_none() && decision.reason.is_none());
                    assert!(decision.access_log.is_empty());
                    self.shown.get_or_insert_with(|| carried_out(&head, changes));
                    return None;
                }
            };
            let shown = carried_out(&head, changes);
            // What is refused goes nowhere; a document that anyone may read is no refusal.
            assert!(upstream.is_err() || decision.reason.is_none());
            let told =
                decision.access_log.iter().map(|(field, text)| (*field, text.as_str().to_owned())).collect();
            let (reason, record, shadow) = (decision.reason, decision.record, decision.shadow);
            if let Some(record) = &record {
                check_members(record);
            }
            Some(Answer { reason, record, shadow, told, upstream, shown, debug, response: Vec::new() })
        })?;
        let response = self.exchange.on_response(&w.worker).map(|(name, value)| (name, value.into_owned()));
        answer.response = response.collect();
        Some(answer)
    }

    /// Why it is refused; `None`: it is forwarded.
    pub(crate) fn reason(&mut self, w: &World) -> Option<Reason> {
        self.decide(w).unwrap_or_else(|| panic!("still waits: {:?}", self.ask)).reason
    }

    pub(crate) fn waits(&mut self, w: &World) -> bool {
        self.decide(w).is_none()
    }

    /// Whether the host decides it again when the call for `purpose` has ended.
    pub(crate) fn waits_for(&self, purpose: Purpose) -> bool {
        self.exchange.waits_for(purpose)
    }
}

/// The token that a call asks about. Those of tests are not changed by the encoding of forms.
pub(crate) fn asked_about(call: &Call) -> String {
    let form = str::from_utf8(&call.body).unwrap();
    form.split('&').find_map(|field| field.strip_prefix("token=")).unwrap().to_owned()
}

/// Readers have a schema that knows each member.
fn check_members(record: &str) {
    let record: Map<String, Value> = serde_json::from_str(record).unwrap();
    MEMBERS.with(|known| {
        let unknown: Vec<_> = record.keys().filter(|name| !known.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    });
}

thread_local! {
    /// What the schema says of each member.
    static MEMBERS: Map<String, Value> = [RecordNames::Portcullis, RecordNames::Ecs]
        .into_iter()
        .flat_map(|names| record_schema(names)["properties"].as_object().unwrap().clone())
        .collect();
}

pub(crate) fn ok(body: &[u8]) -> Outcome<'_> {
    Outcome::Answer { status: 200, headers: &[], body }
}

pub(crate) fn changed(mut value: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut value);
    value
}

pub(crate) fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "sub": "alice", "aud": "api", "iat": NOW - 10, "exp": NOW + 600})
}

/// The request as it is then.
fn carried_out(head: &RequestHead<'_>, changes: &portcullis::engine::Changes<'_>) -> Headers {
    let kept = head.headers.iter().filter(|(name, _)| {
        !changes.remove.contains(name) && !changes.replace.iter().any(|(set, _)| set.as_bytes() == *name)
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut headers: Headers = kept.map(|(name, value)| (text(name), text(value))).collect();
    headers.extend(
        changes
            .replace
            .iter()
            .chain(&changes.add)
            .map(|(name, value)| ((*name).to_owned(), value.as_str().to_owned())),
    );
    headers
}

pub(crate) type Headers = Vec<(String, String)>;

fn values(headers: &Headers, name: &str) -> String {
    let values = headers.iter().filter(|(own, _)| own == name);
    values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("|")
}

/// What became of a request.
pub(crate) struct Answer {
    pub(crate) reason: Option<Reason>,
    pub(crate) record: Option<String>,
    /// What a shadow would have decided otherwise, with its reason.
    pub(crate) shadow: Option<(ShadowOutcome, Reason)>,
    /// What Envoy's access log is told.
    pub(crate) told: Vec<(AccessLogField, String)>,
    pub(crate) upstream: Result<Headers, portcullis::answer::Reply>,
    /// The request's headers as they stand in access logs.
    pub(crate) shown: Headers,
    /// The decision and the head, as a careless log line would show them.
    pub(crate) debug: String,
    /// Headers added on the way back.
    pub(crate) response: Vec<(&'static str, String)>,
}

impl Answer {
    /// All values of a header upstream, joined by `|`; empty for none.
    pub(crate) fn upstream(&self, name: &str) -> String {
        let Ok(headers) = &self.upstream else { panic!("refused: {:?}", self.reason) };
        values(headers, name)
    }

    /// All values of a header that stays in a request that is refused, joined by `|`; empty for none.
    pub(crate) fn shown(&self, name: &str) -> String {
        values(&self.shown, name)
    }

    /// A header of the refusal.
    pub(crate) fn reply(&self, name: &str) -> Option<&str> {
        let Err(reply) = &self.upstream else { panic!("forwarded") };
        reply.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn recorded(&self, member: &str) -> Value {
        let record: Value = serde_json::from_str(self.record.as_deref().unwrap()).unwrap();
        record[member].clone()
    }
}

/// A request; good in itself, over TLS.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) tls: bool,
    pub(crate) address: IpAddr,
    /// The URI of the client's certificate.
    pub(crate) certificate: Option<&'static str>,
    /// What has come of its body.
    pub(crate) body: Body,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tls={}", self.address, self.tls)?;
        self.headers
            .iter()
            .try_for_each(|(name, value)| write!(f, " {}={}", name.escape_ascii(), value.escape_ascii()))
    }
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let address = Ipv4Addr::new(192, 0, 2, 1).into();
        let body = Body::Whole(Vec::new());
        let bare = Self { headers: Vec::new(), tls: true, address, certificate: None, body };
        let bare = bare.header(":method", method).header(":path", target);
        bare.header(":authority", "api.example").header(":scheme", "https")
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(own, _)| own != name.as_bytes());
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn certificate(mut self, uri: &'static str) -> Self {
        self.certificate = Some(uri);
        self
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn plain(mut self) -> Self {
        self.tls = false;
        self
    }

    pub(crate) fn from(mut self, address: &str) -> Self {
        self.address = address.parse().unwrap();
        self
    }

    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            headers: self.headers.iter().map(|(name, value)| (&**name, &**value)).collect(),
            remote_address: Some(self.address),
            tls: self.tls,
            peer_certificate: self.certificate.map(|uri| PeerCertificate {
                digest: Some(sha256(uri.as_bytes())),
                uri: Some(uri.to_owned()),
                ..PeerCertificate::default()
            }),
            ..RequestHead::default()
        }
    }
}
