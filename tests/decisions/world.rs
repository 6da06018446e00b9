//! A policy with a bit of everything, issuers that sign for it, and requests against it.

use std::{
    cell::Cell,
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ct_codecs::{Base64UrlSafeNoPadding, Encoder};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use portcullis::{
    crypto::{NoHostCrypto, sha256},
    engine::{Around, Exchange, Gate, Step},
    policy::Policy,
    problem::Reason,
    request::RequestHead,
    store::{MemoryStore, SharedStore},
    time::Timestamp,
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

pub(crate) const NOW: u64 = 1_800_000_000;

/// A signing key and what is published of it.
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

    pub(crate) fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// The policy, loaded, with everybody who can sign for it.
pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) corp: Issuer,
    pub(crate) partner: Issuer,
    pub(crate) remote: Issuer,
    pub(crate) store: Box<dyn SharedStore>,
    pub(crate) now: Cell<u64>,
    pub(crate) random: Cell<bool>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The policy with changes.
    pub(crate) fn with(change: impl FnOnce(&mut Value)) -> Self {
        let (corp, partner, remote) = (Issuer::new("c1"), Issuer::new("p1"), Issuer::new("r1"));
        let mut document = document(&corp, &partner);
        change(&mut document);
        let policy = Policy::compile(document.to_string().as_bytes(), "test");
        let policy = policy.unwrap_or_else(|faults| panic!("{faults:?}"));
        Self {
            gate: Gate::new(policy, "test"),
            corp,
            partner,
            remote,
            store: Box::new(MemoryStore::default()),
            now: Cell::new(NOW),
            random: Cell::new(true),
        }
    }

    /// Runs `with` on what the host provides now.
    pub(crate) fn around<T>(&self, with: impl FnOnce(&Around<'_>) -> T) -> T {
        with(&Around {
            now: Timestamp::from_secs(self.now.get()),
            store: &*self.store,
            crypto: &NoHostCrypto,
            may_wait: false,
            reads_record: &|_| true,
            random: &|| self.random.get().then_some([7; 16]),
        })
    }

    pub(crate) fn ask(&self, ask: &Ask) -> Answer {
        let head = ask.head();
        let mut exchange = Exchange::default();
        let mut answer = self.around(|around| {
            let verdict = exchange.on_request(&self.gate, &head, around);
            let debug = format!("{verdict:?} {head:?}");
            let upstream = match &verdict.step {
                Step::Forward(changes) => Ok(carried_out(&head, changes)),
                Step::Reply(reply) => Err((**reply).clone()),
                Step::Wait => panic!("told to wait where nobody may"),
            };
            assert_eq!(upstream.is_ok(), verdict.reason.is_none());
            let (reason, record) = (verdict.reason, verdict.record);
            Answer { reason, record, upstream, debug, response: Vec::new() }
        });
        let response = exchange.on_response(&self.gate).map(|(name, value)| (name, value.into_owned()));
        answer.response = response.collect();
        answer
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

pub(crate) fn changed(mut value: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut value);
    value
}

pub(crate) fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "sub": "alice", "aud": "api", "iat": NOW - 10, "exp": NOW + 600})
}

/// The request as the upstream gets it.
fn carried_out(head: &RequestHead<'_>, changes: &portcullis::engine::Changes<'_>) -> Headers {
    let kept = head.headers.iter().filter(|(name, _)| {
        !changes.remove.contains(name) && !changes.set.iter().any(|(set, _)| set.as_bytes() == *name)
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut headers: Headers = kept.map(|(name, value)| (text(name), text(value))).collect();
    headers.extend(changes.set.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().to_owned())));
    headers
}

pub(crate) type Headers = Vec<(String, String)>;

/// What became of a request.
pub(crate) struct Answer {
    pub(crate) reason: Option<Reason>,
    pub(crate) record: Option<String>,
    pub(crate) upstream: Result<Headers, portcullis::problem::Reply>,
    /// The verdict and the head, as a careless log line would show them.
    pub(crate) debug: String,
    /// Headers added on the way back.
    pub(crate) response: Vec<(&'static str, String)>,
}

impl Answer {
    /// All values of a header upstream, joined by `|`; empty for none.
    pub(crate) fn upstream(&self, name: &str) -> String {
        let Ok(headers) = &self.upstream else { panic!("refused: {:?}", self.reason) };
        let values = headers.iter().filter(|(own, _)| own == name);
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("|")
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
        let bare = Self { headers: Vec::new(), tls: true, address: Ipv4Addr::new(192, 0, 2, 1).into() };
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
            peer_certificate: None,
        }
    }
}

/// The hash of a key whose text is its id and `-secret`.
fn hash(id: &str) -> String {
    let digest = sha256(format!("{id}-secret").as_bytes());
    format!("sha256:{}", ct_codecs::Hex::encode_to_string(digest).unwrap())
}

fn document(corp: &Issuer, partner: &Issuer) -> Value {
    let rule = |name: &str, methods: &[&str], kind: &str, path: &str, more: Value| {
        let mut rule = json!({"name": name,
            "matches": [{"path": {"type": kind, "value": path}, "methods": methods}]});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    let (read, any) = (&["GET", "HEAD"][..], &["GET", "HEAD", "POST", "DELETE"][..]);
    let corp_only = json!({"anyOf": [{"jwt": "corp"}]});
    let everybody = json!({"anyOf": [{"jwt": "corp"}, {"jwt": "partner"}, "apiKey"]});
    let key = |id: &str, more: Value| {
        let mut key = json!({"id": id, "hash": hash(id)});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    json!({
        "realm": "test",
        "transport": {"hsts": {"maxAge": "1h"}},
        "jwt": {"providers": [
            {"name": "corp", "issuer": "https://idp.example", "audiences": ["api"], "algorithms": ["ES256"],
             "jwks": {"inline": corp.set()}, "maxLifetime": "1h",
             "claims": {"roles": "roles", "tier": "tier"},
             "claimToHeaders": [{"claim": "email", "header": "x-auth-email"},
                                {"claim": "groups", "header": "x-auth-groups"}],
             "extractFrom": {"headers": [{"name": "authorization", "valuePrefix": "Bearer "}],
                             "cookies": ["session"], "params": ["access_token"]}},
            {"name": "partner", "issuer": "https://partner.example", "anyAudience": true,
             "algorithms": ["ES256"], "jwks": {"inline": partner.set()}, "forward": true,
             "claims": {"roles": "roles"}, "extractFrom": {"headers": [{"name": "x-partner-token"}]}},
            {"name": "remote", "issuer": "https://remote.example", "anyAudience": true,
             "algorithms": ["ES256"], "jwks": {"uri": "https://remote.example/jwks", "cluster": "remote"}},
        ]},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": "x-api-key"}], "cookies": ["key"], "params": ["api_key"]},
            "levels": {"Read": {"permissions": ["orders:read"]}, "Write": {"permissions": ["orders:*"]}},
            "keys": [
                key("reader", json!({"level": "Read", "scopes": ["reports:read"]})),
                key("writer", json!({"level": "Write"})),
                key("gold", json!({"level": "Read", "tier": "gold"})),
                key("old", json!({"level": "Read", "client": "acme", "expiresAt": "2027-01-15T08:00:01Z"})),
                key("new", json!({"level": "Read", "client": "acme", "notBefore": "2027-01-15T08:00:00Z"})),
                key("expired", json!({"level": "Read", "expiresAt": "2027-01-15T08:00:00Z"})),
                key("future", json!({"level": "Read", "notBefore": "2027-01-15T08:00:01Z"})),
                key("disabled", json!({"level": "Read", "disabled": true})),
            ],
        },
        "roles": [
            {"name": "viewer", "permissions": ["orders:read"]},
            {"name": "editor", "inherits": ["viewer"], "permissions": ["orders:write"]},
            {"name": "admin", "inherits": ["editor"], "permissions": ["*"]},
        ],
        "rateLimits": [
            {"name": "throttle", "key": ["remoteAddress"], "limits": [{"requests": 8, "unit": "Minute"}],
             "before": "Authentication"},
            {"name": "reads", "key": ["principal"], "methods": ["GET"],
             "limits": [{"requests": 3, "unit": "Minute"}],
             "tiers": [{"name": "gold", "limits": [{"requests": 5, "unit": "Minute"}]}]},
            {"name": "tenants", "key": [{"header": "x-tenant"}], "limits": [{"requests": 2, "unit": "Hour"}]},
        ],
        "rules": [
            rule("health", &["GET"], "Exact", "/health", json!({"authenticate": {"anonymous": true}})),
            rule("closed", any, "PathPrefix", "/closed", json!({"action": "Deny"})),
            rule("write", &["POST"], "Exact", "/orders",
                json!({"authenticate": everybody, "authorize": {"permissions": ["orders:write"]}})),
            rule("orders", read, "PathPrefix", "/orders",
                json!({"authenticate": everybody, "authorize": {"permissions": ["orders:read"]}})),
            rule("reports", read, "PathTemplate", "/reports/{name}",
                json!({"authenticate": everybody, "authorize": {"scopes": ["reports:read"]}})),
            rule("own", read, "PathTemplate", "/own/{user}",
                json!({"authenticate": corp_only, "authorize": {"owner": {"pathVariable": "user"}}})),
            rule("admin", any, "PathPrefix", "/admin",
                json!({"authenticate": corp_only, "authorize": {"roles": ["admin"]}})),
            rule("tokens", read, "Exact", "/tokens", json!({"authenticate": corp_only})),
            rule("keys", read, "Exact", "/keys", json!({"authenticate": {"anyOf": ["apiKey"]}})),
            rule("remote", read, "Exact", "/remote", json!({"authenticate": {"anyOf": [{"jwt": "remote"}]}})),
            rule("limited", any, "Exact", "/limited",
                json!({"authenticate": everybody, "rateLimits": ["reads"]})),
            rule("both", any, "Exact", "/both",
                json!({"authenticate": everybody, "rateLimits": ["reads", "tenants"]})),
        ],
        "decisionLog": {"allowed": true},
    })
}
