//! What rules ask of a caller, held against an evaluator that is slow and obvious: it reads the policy's JSON and the
//! token's, and knows nothing of bits, indexes and what is remembered.

use std::net::IpAddr;

use jsonwebtoken::{EncodingKey, Header};
use portcullis::{
    engine::{Exchange, HostServices, WorkerState},
    policy::Policy,
    request::RequestHead,
    store::MemoryStore,
    time::{Clock, Timestamp},
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const KEY: &str = "key-of-a-partner";
const RULES: usize = 3;

/// Policies, and requests for each: a hundred thousand decisions.
const POLICIES: u32 = 2_000;
const REQUESTS: usize = 50;

const NETWORKS: [&str; 3] = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"];
const ADDRESSES: [&str; 5] = ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.1", "2001:db8::7", "203.0.113.9"];
const CLAIMS: [&str; 4] = ["department", "level", "org.unit", "sub"];
const USERS: [&str; 3] = ["it", "alice", "7"];
const EXPRESSIONS: [&str; 3] = ["it|legal", "[a-z]+", "x.*"];

fn compared() -> impl Strategy<Value = Value> {
    select(vec![json!("it"), json!("legal"), json!("7"), json!(7), json!(8), json!(true), json!(false)])
}

fn claimed() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!("it"),
        json!("IT"),
        json!("legal"),
        json!("7"),
        json!(7),
        json!(7.5),
        json!(true),
        json!("true"),
        json!(["it"]),
        json!(["x1", 7]),
        json!([["it"]]),
        json!([]),
        json!({"it": 1}),
        json!("x1"),
    ])
}

fn names(of: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let some = prop::sample::subsequence(of, 1..=of.len());
    (some, prop::bool::ANY).prop_map(|(names, all)| if all { json!(names) } else { json!({"anyOf": names}) })
}

fn claim_condition() -> impl Strategy<Value = Value> {
    let few = || prop::collection::hash_set(compared().prop_map(|value| value.to_string()), 1..3);
    let list = |few: std::collections::HashSet<String>| -> Value {
        few.iter().map(|text| serde_json::from_str::<Value>(text).unwrap()).collect()
    };
    let test = prop_oneof![
        compared().prop_map(|value| ("equals", value)),
        few().prop_map(move |values| ("in", list(values))),
        compared().prop_map(|value| ("contains", value)),
        few().prop_map(move |values| ("containsAny", list(values))),
        select(&EXPRESSIONS[..]).prop_map(|text| ("matches", json!(text))),
        Just(("present", json!(true))),
    ];
    (select(&CLAIMS[..]), test).prop_map(|(claim, (test, value))| json!({"claim": claim, test: value}))
}

/// One condition by its name.
fn condition() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        2 => names(&["a", "b", "c"]).prop_map(|names| ("scopes", names)),
        2 => names(&["viewer", "editor", "admin"]).prop_map(|names| ("roles", names)),
        2 => names(&["orders:read", "orders:write"]).prop_map(|names| ("permissions", names)),
        6 => prop::collection::vec(claim_condition(), 1..3).prop_map(|claims| ("claims", json!(claims))),
        2 => networks().prop_map(|networks| ("remoteAddress", networks)),
    ]
}

fn networks() -> impl Strategy<Value = Value> {
    prop::sample::subsequence(&NETWORKS[..], 1..3).prop_map(|networks| json!(networks))
}

fn conditions() -> impl Strategy<Value = Value> {
    prop::collection::vec(condition(), 1..3)
        .prop_map(|conditions| conditions.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn alternative() -> impl Strategy<Value = Value> {
    let owner = (select(&["sub", "department"][..]), prop::bool::weighted(0.2));
    let none_of = prop::collection::vec(conditions(), 0..3);
    (conditions(), owner, none_of).prop_map(|(mut asked, (claim, owned), none_of)| {
        if owned {
            asked["owner"] = json!({"pathVariable": "user", "claim": claim});
        }
        if !none_of.is_empty() {
            asked["noneOf"] = json!(none_of);
        }
        asked
    })
}

/// The same, of the principal and of the actor.
fn alternative_of_both() -> impl Strategy<Value = Value> {
    let of_actor = alternative().prop_map(|mut asked| {
        asked.as_object_mut().unwrap().remove("remoteAddress");
        asked
    });
    (alternative(), of_actor, 0..3).prop_map(|(asked, of_actor, who)| {
        let mut both = if who == 0 { json!({}) } else { asked };
        if who != 1 && of_actor != json!({}) {
            both["actor"] = of_actor;
        }
        if both == json!({}) { json!({"scopes": ["a"]}) } else { both }
    })
}

fn one_or_any(alternative: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => alternative.clone(),
        1 => prop::collection::vec(alternative, 1..3).prop_map(|any_of| json!({"anyOf": any_of})),
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    let authorize = one_or_any(alternative().boxed());
    let both = select(vec![json!(["apiKey", {"jwt": "corp"}]), json!([{"jwt": "corp"}, "apiKey"])]);
    let of_both = one_or_any(alternative_of_both().boxed());
    let of_address = prop_oneof![
        networks().prop_map(|networks| json!({"remoteAddress": networks})),
        networks().prop_map(|networks| json!({"noneOf": [{"remoteAddress": networks}]})),
    ];
    let ways = select(vec![json!([{"jwt": "corp"}]), json!(["apiKey"]), json!([{"jwt": "corp"}, "apiKey"])]);
    let invalid = select(&["Refuse", "Anonymous"][..]);
    let any = prop_oneof![
        8 => (ways.clone(), authorize).prop_map(|(ways, asked)| json!({"authenticate": {"anyOf": ways}, "authorize": asked})),
        4 => (both, of_both).prop_map(|(both, asked)| json!({"authenticate": {"allOf": both}, "authorize": asked})),
        2 => (ways, invalid, of_address.clone()).prop_map(|(ways, invalid, asked)| json!({
            "authenticate": {"anyOf": ways, "optional": true, "invalidCredentials": invalid},
            "authorize": asked,
        })),
        1 => (select(&["anonymous", "passThrough"][..]), of_address)
            .prop_map(|(way, asked)| json!({"authenticate": {way: true}, "authorize": asked})),
        1 => Just(json!({"action": "Deny"})),
    ];
    // Which API a rule with tokens belongs to.
    let belongs = select(vec![
        json!({"protectedResource": "x"}),
        json!({"protectedResource": "y"}),
        json!({"anyAudience": true}),
    ]);
    (any, belongs).prop_map(|(mut rule, belongs)| {
        let both = rule["authenticate"]["allOf"].is_array();
        if both || ways_of(&rule).contains(&json!({"jwt": "corp"})) {
            rule.as_object_mut().unwrap().extend(belongs.as_object().unwrap().clone());
        }
        rule
    })
}

fn ways_of(rule: &Value) -> Vec<Value> {
    rule["authenticate"]["anyOf"].as_array().cloned().unwrap_or_default()
}

fn audience() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!("x"),
        json!("y"),
        json!("y2"),
        json!("z"),
        json!(["x", "y"]),
        json!(["z", "x"]),
        json!(["x", 7]),
        json!([]),
        json!({"x": true}),
    ])
}

/// RFC 7519 section 4.1.3.
fn is_for(resource: &str, claims: &Value) -> bool {
    let audiences: &[&str] = if resource == "x" { &["x"] } else { &["y", "y2"] };
    match &claims["aud"] {
        Value::Array(list) => {
            list.iter().all(Value::is_string) && list.iter().any(|one| audiences.iter().any(|own| one == own))
        }
        one => audiences.iter().any(|own| one == own),
    }
}

/// The policy around those rules.
fn document(mut rules: Vec<Value>) -> Value {
    for (n, rule) in rules.iter_mut().enumerate() {
        rule["name"] = json!(format!("rule-{n}"));
        rule["matches"] = json!([{"path": {"type": "PathTemplate", "value": format!("/{n}/{{user}}")}}]);
    }
    let secret = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, SECRET);
    json!({
        "transport": {"requireTls": false},
        "jwt": {"providers": [{
            "name": "corp", "issuer": "corp", "anyAudience": true, "algorithms": ["HS256"],
            "symmetricKeys": [{"secret": secret}], "claims": {"roles": "roles"},
        }]},
        "protectedResources": [
            {"name": "x", "resource": "https://x", "audiences": ["x"]},
            {"name": "y", "resource": "https://y", "audiences": ["y", "y2"]},
        ],
        "apiKeys": {
            "levels": {"Read": {"permissions": ["orders:read"]}},
            "keys": [{
                "id": "k1", "client": "it", "level": "Read", "scopes": ["a"], "roles": ["viewer"],
                "hash": format!("sha256:{}", hex(&<sha2::Sha256 as sha2::Digest>::digest(KEY))),
            }],
        },
        "roles": [
            {"name": "viewer", "permissions": ["orders:read"]},
            {"name": "editor", "inherits": ["viewer"], "permissions": ["orders:*"]},
            {"name": "admin"},
        ],
        "rules": rules,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Clone, Debug)]
enum Shown {
    Nothing,
    Token(Value),
    Key,
    /// A token with these claims, and the key.
    Both(Value),
    /// Whose signature is another's.
    Forged,
}

#[derive(Clone, Debug)]
struct Request {
    shown: Shown,
    rule: usize,
    user: &'static str,
    address: Option<&'static str>,
}

fn request() -> impl Strategy<Value = Request> {
    let subsets = (
        prop::sample::subsequence(&["a", "b", "c"][..], 0..=3),
        prop::sample::subsequence(&["viewer", "editor", "admin", "unknown"][..], 0..=2),
    );
    let claims = (subsets, prop::collection::vec(claimed(), 3), select(&USERS[..]), audience());
    let token = claims.prop_map(|((scopes, roles), values, sub, aud)| {
        let mut claims = json!({
            "iss": "corp", "sub": sub, "exp": NOW + 60, "scope": scopes.join(" "), "roles": roles,
            "aud": aud, "department": values[0], "level": values[1], "org": {"unit": values[2]},
        });
        if aud.is_null() {
            claims.as_object_mut().unwrap().remove("aud");
        }
        // Absent is not null.
        if values[0] == values[1] {
            claims.as_object_mut().unwrap().remove("level");
        }
        Shown::Token(claims)
    });
    let token = token.boxed();
    let with_key = |shown| match shown {
        Shown::Token(claims) => Shown::Both(claims),
        other => other,
    };
    let shown = prop_oneof![
        8 => token.clone(),
        4 => token.prop_map(with_key),
        2 => Just(Shown::Key),
        1 => Just(Shown::Nothing),
        1 => Just(Shown::Forged),
    ];
    let address = prop::option::weighted(0.9, select(&ADDRESSES[..]));
    (shown, 0..RULES, select(&USERS[..]), address).prop_map(|(shown, rule, user, address)| Request {
        shown,
        rule,
        user,
        address,
    })
}

/// Who it is: the claims that count, the names that it holds.
struct Caller {
    claims: Value,
    scopes: Vec<String>,
    roles: Vec<String>,
    permissions: Vec<String>,
}

/// What may be said of a condition: that it holds, that it does not, or neither.
type Verdict = Option<bool>;

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The roles that are defined, with what they inherit.
fn with_inherited(document: &Value, names: &[String]) -> Vec<Value> {
    let defined = document["roles"].as_array().unwrap();
    let mut found = Vec::new();
    for role in defined.iter().filter(|role| names.iter().any(|name| role["name"] == **name)) {
        found.push(role.clone());
        found.extend(with_inherited(document, &strings(&role["inherits"])));
    }
    found
}

fn known(document: &Value, claims: Value, scopes: Vec<String>, roles: &[String], level: &str) -> Caller {
    let roles = with_inherited(document, roles);
    let mut permissions = strings(&document["apiKeys"]["levels"][level]["permissions"]);
    permissions.extend(roles.iter().flat_map(|role| strings(&role["permissions"])));
    let names = roles.iter().map(|role| role["name"].as_str().unwrap().to_owned());
    Caller { claims, scopes, roles: names.collect(), permissions }
}

fn holds_names(asked: &Value, holds: impl Fn(&str) -> bool) -> Verdict {
    Some(match asked.get("anyOf") {
        Some(any) => strings(any).iter().any(|name| holds(name)),
        None => strings(asked).iter().all(|name| holds(name)),
    })
}

fn equal(wanted: &Value, own: &Value) -> Verdict {
    match (wanted, own) {
        (Value::String(a), Value::String(b)) => Some(a == b),
        (Value::Bool(a), Value::Bool(b)) => Some(a == b),
        (Value::Number(a), Value::Number(b)) if b.is_i64() => Some(a == b),
        _ => None,
    }
}

/// Whether one of several holds.
fn one_holds(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let all: Vec<Verdict> = verdicts.collect();
    if all.contains(&Some(true)) {
        Some(true)
    } else if all.contains(&None) {
        None
    } else {
        Some(false)
    }
}

fn claim_holds(condition: &Value, claims: &Value) -> Verdict {
    let path = condition["claim"].as_str().unwrap().split('.');
    let own = path.fold(claims, |value, name| &value[name]);
    if own.is_null() {
        return Some(false);
    }
    let one_of = |wanted: &Value, own: &Value| match wanted {
        Value::Array(wanted) => one_holds(wanted.iter().map(|wanted| equal(wanted, own))),
        wanted => equal(wanted, own),
    };
    let (test, wanted) = condition.as_object().unwrap().iter().find(|(name, _)| *name != "claim").unwrap();
    match (test.as_str(), own) {
        ("present", _) => Some(true),
        ("matches", Value::String(text)) => {
            let whole = format!("^(?:{})$", wanted.as_str().unwrap());
            Some(regex_lite::Regex::new(&whole).unwrap().is_match(text))
        }
        ("matches", _) => None,
        ("contains" | "containsAny", Value::Array(members)) => {
            one_holds(members.iter().map(|own| one_of(wanted, own)))
        }
        _ => one_of(wanted, own),
    }
}

fn within(networks: &Value, address: Option<&str>) -> Verdict {
    let address: IpAddr = address?.parse().unwrap();
    Some(strings(networks).iter().any(|network| match (network.as_str(), address.to_canonical()) {
        ("10.0.0.0/8", IpAddr::V4(address)) => address.octets()[0] == 10,
        ("192.0.2.1", IpAddr::V4(address)) => address.octets() == [192, 0, 2, 1],
        ("2001:db8::/32", IpAddr::V6(address)) => address.segments()[..2] == [0x2001, 0xdb8],
        _ => false,
    }))
}

fn verdicts(asked: &Value, caller: &Caller, address: Option<&str>) -> Vec<Verdict> {
    let permits = |wanted: &str| {
        caller
            .permissions
            .iter()
            .any(|own| own == wanted || (own == "orders:*" && wanted.starts_with("orders:")))
    };
    let has = |own: &[String], wanted: &str| own.iter().any(|name| name == wanted);
    let of_each = |(name, asked): (&String, &Value)| match name.as_str() {
        "scopes" => vec![holds_names(asked, |name| has(&caller.scopes, name))],
        "roles" => vec![holds_names(asked, |name| has(&caller.roles, name))],
        "permissions" => vec![holds_names(asked, permits)],
        "remoteAddress" => vec![within(asked, address)],
        "claims" => {
            asked.as_array().unwrap().iter().map(|condition| claim_holds(condition, &caller.claims)).collect()
        }
        _ => vec![],
    };
    asked.as_object().unwrap().iter().flat_map(of_each).collect()
}

fn is_met(asked: &Value, caller: &Caller, actor: Option<&Caller>, request: &Request) -> bool {
    let met = verdicts(asked, caller, request.address).iter().all(|verdict| *verdict == Some(true));
    let excluded = asked["noneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|excluded| !verdicts(excluded, caller, request.address).contains(&Some(false)));
    let owned = asked["owner"]["claim"].as_str().is_none_or(|claim| {
        let is_user = |own: &Value| {
            own == request.user || own.as_i64().is_some_and(|own| request.user.parse() == Ok(own))
        };
        let own = &caller.claims[claim];
        is_user(own) || own.as_array().is_some_and(|members| members.iter().any(is_user))
    });
    let acts = asked.get("actor").is_none_or(|asked| is_met(asked, actor.unwrap(), None, request));
    met && !excluded && owned && acts
}

fn bearer(document: &Value, claims: &Value) -> Caller {
    let scopes = claims["scope"].as_str().unwrap().split(' ').filter(|name| !name.is_empty());
    let scopes = scopes.map(str::to_owned).collect();
    known(document, claims.clone(), scopes, &strings(&claims["roles"]), "")
}

fn holder(document: &Value) -> Caller {
    known(document, json!({"sub": "it"}), vec!["a".into()], &["viewer".into()], "Read")
}

/// Whether the request passes.
fn passes(document: &Value, request: &Request) -> bool {
    let rule = &document["rules"][request.rule];
    if let Some(both) = rule["authenticate"]["allOf"].as_array() {
        let Shown::Both(claims) = &request.shown else { return false };
        let is_meant = rule["protectedResource"].as_str().is_none_or(|resource| is_for(resource, claims));
        let (token, key) = (bearer(document, claims), holder(document));
        let (actor, principal) = if both[0] == "apiKey" { (key, token) } else { (token, key) };
        return is_meant && may(&rule["authorize"], &principal, Some(&actor), request);
    }
    let ways = ways_of(rule);
    let takes = |way: Value| ways.contains(&way);
    let nobody = || known(document, json!({}), vec![], &[], "");
    let or_nobody = |may: bool| may.then(nobody);
    let optional = rule["authenticate"]["optional"] == true;
    let is_open = rule["authenticate"]["anonymous"] == true || rule["authenticate"]["passThrough"] == true;
    // Those that the rule does not take prove nothing here.
    let shown = match &request.shown {
        Shown::Both(claims) => match (takes(json!({"jwt": "corp"})), takes(json!("apiKey"))) {
            (true, true) => return false,
            (true, false) => &Shown::Token(claims.clone()),
            (false, true) => &Shown::Key,
            (false, false) => &Shown::Nothing,
        },
        one => one,
    };
    let caller = match shown {
        _ if rule["action"] == "Deny" => None,
        _ if is_open => Some(nobody()),
        Shown::Token(claims)
            if takes(json!({"jwt": "corp"}))
                && rule["protectedResource"].as_str().is_some_and(|resource| !is_for(resource, claims)) =>
        {
            or_nobody(rule["authenticate"]["invalidCredentials"] == "Anonymous")
        }
        Shown::Token(claims) if takes(json!({"jwt": "corp"})) => Some(bearer(document, claims)),
        Shown::Forged if takes(json!({"jwt": "corp"})) => {
            or_nobody(rule["authenticate"]["invalidCredentials"] == "Anonymous")
        }
        Shown::Key if takes(json!("apiKey")) => Some(holder(document)),
        _ => or_nobody(optional),
    };
    caller.is_some_and(|caller| may(&rule["authorize"], &caller, None, request))
}

/// Whether this is what `asked` asks for.
fn may(asked: &Value, caller: &Caller, actor: Option<&Caller>, request: &Request) -> bool {
    match asked.get("anyOf") {
        _ if asked.is_null() => true,
        Some(any) => any.as_array().unwrap().iter().any(|asked| is_met(asked, caller, actor, request)),
        None => is_met(asked, caller, actor, request),
    }
}

/// What the filter says.
fn decide(worker: &WorkerState, store: &MemoryStore, request: &Request) -> Option<&'static str> {
    let sign = |claims: &Value, secret: &[u8]| {
        let token =
            jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(secret)).unwrap();
        format!("Bearer {token}")
    };
    let target = format!("/{}/{}", request.rule, request.user);
    let mut headers = vec![
        (&b":method"[..], b"GET".to_vec()),
        (b":scheme", b"https".to_vec()),
        (b":authority", b"api.example".to_vec()),
        (b":path", target.into_bytes()),
    ];
    match &request.shown {
        Shown::Nothing => {}
        Shown::Token(claims) => headers.push((b"authorization", sign(claims, SECRET).into_bytes())),
        Shown::Forged => {
            let claims = json!({"iss": "corp", "sub": "alice", "exp": NOW + 60});
            headers.push((b"authorization", sign(&claims, b"another").into_bytes()));
        }
        Shown::Key => headers.push((b"x-api-key", KEY.into())),
        Shown::Both(claims) => {
            headers.push((b"authorization", sign(claims, SECRET).into_bytes()));
            headers.push((b"x-api-key", KEY.into()));
        }
    }
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    let remote_address = request.address.map(|address| address.parse().unwrap());
    let head = RequestHead { headers, tls: true, remote_address, ..RequestHead::default() };
    let services = HostServices::new(Clock::at(Timestamp::from_secs(NOW)), store, &|| Some([7; 16]));
    Exchange::default().on_request(worker, &head, &services).reason.map(|reason| reason.code())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: POLICIES, max_global_rejects: 1_000_000, ..ProptestConfig::default() })]

    #[test]
    fn conditions_decide_as_the_obvious_evaluator_does(
        rules in prop::collection::vec(rule(), RULES),
        requests in prop::collection::vec(request(), REQUESTS),
    ) {
        let document = document(rules);
        // Rules that nobody can pass are refused as a whole: nothing is to be decided then.
        let policy = Policy::compile(document.to_string().as_bytes(), "test");
        prop_assume!(policy.is_ok());
        let worker = WorkerState::new(policy.unwrap(), "test");
        let store = MemoryStore::default();
        for request in &requests {
            // Twice, for the second time the token is remembered.
            for _ in 0..2 {
                let said = decide(&worker, &store, request);
                prop_assert_eq!(said.is_none(), passes(&document, request), "{:?} {:?} {}", said, request, document);
            }
        }
    }
}
