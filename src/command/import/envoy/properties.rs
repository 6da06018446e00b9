//! Whatever is imported lets nobody pass whom Envoy would not: small configurations, and what Envoy's filters decide by
//! them, as its documentation says.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value as Json, json};

use crate::{
    command::{
        import::told::Told,
        json,
        offline::{Asked, Described, Gateway, Keys, Prepared},
        source::Source,
    },
    time::Timestamp,
};

const NOW: u64 = 1_800_000_000;
const TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// Where a request goes, in Envoy's own sense.
#[derive(Clone, Debug)]
enum Where {
    Any,
    Prefix(&'static str),
    Exact(&'static str),
    Regex(&'static str),
    Method(&'static str),
    Debug,
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    /// A port, of which a policy knows nothing. Whether it holds, nobody here knows.
    Port,
}

#[derive(Clone, Debug)]
enum Who {
    Any,
    /// The team of a token of `a`.
    Team(&'static str),
    Inside,
    And(Vec<Self>),
    Not(Box<Self>),
    /// The connection's peer, of which a policy knows nothing.
    Peer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Need {
    Nothing,
    A,
    B,
    Either,
    MaybeA,
    Both,
}

#[derive(Clone, Debug)]
struct Config {
    rules: Vec<(Where, Need)>,
    /// Policies that let in; `None`: there is no such filter.
    allow: Option<Vec<(Where, Who)>>,
    deny: Vec<(Where, Who)>,
}

/// What comes with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Credential {
    None,
    /// With a team.
    A(&'static str),
    B,
}

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    path: &'static str,
    credential: Credential,
    is_inside: bool,
    has_debug: bool,
    /// What nobody knows: whether it comes to that port, and from that peer.
    unknown: bool,
}

impl Where {
    fn takes(&self, request: &Request) -> bool {
        match self {
            Self::Any => true,
            Self::Prefix(text) => request.path.starts_with(text),
            Self::Exact(text) => request.path == *text,
            Self::Regex(text) => {
                regex_lite::Regex::new(&format!("^(?:{text})$")).unwrap().is_match(request.path)
            }
            Self::Method(method) => request.method == *method,
            Self::Debug => request.has_debug,
            Self::And(all) => all.iter().all(|one| one.takes(request)),
            Self::Or(any) => any.iter().any(|one| one.takes(request)),
            Self::Not(inner) => !inner.takes(request),
            Self::Port => request.unknown,
        }
    }

    fn permission(&self) -> Json {
        let path = |matcher: Json| json!({"url_path": {"path": matcher}});
        let list = |all: &[Self]| json!({"rules": all.iter().map(Self::permission).collect::<Vec<_>>()});
        match self {
            Self::Any => json!({"any": true}),
            Self::Prefix(text) => path(json!({"prefix": text})),
            Self::Exact(text) => path(json!({"exact": text})),
            Self::Regex(text) => path(json!({"safe_regex": {"regex": text}})),
            Self::Method(method) => json!({"header": {"name": ":method", "string_match": {"exact": method}}}),
            Self::Debug => json!({"header": {"name": "x-debug", "present_match": true}}),
            Self::And(all) => json!({"and_rules": list(all)}),
            Self::Or(any) => json!({"or_rules": list(any)}),
            Self::Not(inner) => json!({"not_rule": inner.permission()}),
            Self::Port => json!({"destination_port": 8080}),
        }
    }

    /// As a match of a rule of `jwt_authn`, which knows less.
    fn matcher(&self) -> Json {
        match self {
            Self::Prefix(text) => json!({"prefix": text}),
            Self::Exact(text) => json!({"path": text}),
            Self::Regex(text) => json!({"safe_regex": {"regex": text}}),
            Self::Debug => json!({"prefix": "/", "headers": [{"name": "x-debug", "present_match": true}]}),
            _ => json!({"prefix": "/"}),
        }
    }
}

impl Who {
    /// `team`: of the token that was verified, if one was.
    fn is(&self, request: &Request, team: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Team(wanted) => team == Some(wanted),
            Self::Inside => request.is_inside,
            Self::And(all) => all.iter().all(|one| one.is(request, team)),
            Self::Not(inner) => !inner.is(request, team),
            Self::Peer => request.unknown,
        }
    }

    fn principal(&self) -> Json {
        match self {
            Self::Any => json!({"any": true}),
            Self::Team(team) => json!({"metadata": {
                "filter": "envoy.filters.http.jwt_authn",
                "path": [{"key": "of-a"}, {"key": "team"}],
                "value": {"string_match": {"exact": team}},
            }}),
            Self::Inside => json!({"remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}),
            Self::And(all) => {
                json!({"and_ids": {"ids": all.iter().map(Self::principal).collect::<Vec<_>>()}})
            }
            Self::Not(inner) => json!({"not_id": inner.principal()}),
            Self::Peer => json!({"source_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}),
        }
    }
}

impl Config {
    fn filters(&self) -> Json {
        let provider = |name: &str| {
            json!({
                "issuer": format!("https://{name}.test"),
                "payload_in_metadata": format!("of-{name}"),
                "remote_jwks": {"http_uri": {"uri": format!("https://{name}.test/jwks"), "cluster": name}},
                "from_headers": [{"name": format!("x-{name}")}],
            })
        };
        let rule = |(place, need): &(Where, Need)| {
            let one = |name: &str| json!({"provider_name": name});
            let requires = match need {
                Need::Nothing => return json!({"match": place.matcher()}),
                Need::A => one("a"),
                Need::B => one("b"),
                Need::Either => json!({"requires_any": {"requirements": [one("a"), one("b")]}}),
                Need::MaybeA => json!({"requires_any": {"requirements": [one("a"), {"allow_missing": {}}]}}),
                Need::Both => json!({"requires_all": {"requirements": [one("a"), one("b")]}}),
            };
            json!({"match": place.matcher(), "requires": requires})
        };
        let rbac = |name: &str, action: &str, policies: &[(Where, Who)]| {
            let policies: Map<String, Json> = policies
                .iter()
                .enumerate()
                .map(|(n, (place, who))| {
                    let policy =
                        json!({"permissions": [place.permission()], "principals": [who.principal()]});
                    (format!("p{n}"), policy)
                })
                .collect();
            let config = json!({"@type": format!("{TYPE}.rbac.v3.RBAC"), "rules": {"action": action, "policies": policies}});
            json!({"name": name, "typed_config": config})
        };
        let mut filters = vec![json!({"name": "jwt", "typed_config": {
            "@type": format!("{TYPE}.jwt_authn.v3.JwtAuthentication"),
            "providers": {"a": provider("a"), "b": provider("b")},
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
        }})];
        filters.push(rbac("deny", "DENY", &self.deny));
        if let Some(allow) = &self.allow {
            filters.push(rbac("allow", "ALLOW", allow));
        }
        json!({"http_filters": filters})
    }

    /// What Envoy decides.
    fn lets_pass(&self, request: &Request) -> bool {
        let known = |place: &Where| match place {
            Where::Prefix(_) | Where::Exact(_) | Where::Regex(_) | Where::Debug => place.takes(request),
            _ => true,
        };
        let need = self.rules.iter().find(|(place, _)| known(place)).map_or(Need::Nothing, |(_, need)| *need);
        let (is_met, team) = match (need, request.credential) {
            (Need::Nothing, _) => (true, None),
            (Need::A | Need::Either | Need::MaybeA, Credential::A(team)) => (true, Some(team)),
            (Need::B | Need::Either, Credential::B) => (true, None),
            // Not looked at, for it stands where nobody's is looked for.
            (Need::MaybeA, _) => (true, None),
            _ => (false, None),
        };
        let any = |policies: &[(Where, Who)]| {
            policies.iter().any(|(place, who)| place.takes(request) && who.is(request, team))
        };
        is_met && !any(&self.deny) && self.allow.as_deref().is_none_or(any)
    }

    fn gateway(&self) -> Result<(Prepared, Gateway), String> {
        let text = self.filters().to_string();
        let source = Source::new("envoy.json", text.clone());
        let (node, _) = json::read(&text).unwrap();
        let mut told = Told::default();
        let mut draft = super::draft(&node, &source, None, &mut told).map_err(|refusal| refusal.message)?;
        let sections = draft.sections.clone();
        draft.close_what_is_refused(&sections, true, &mut told);
        let mut policy = draft.to_json();
        if draft.rules.is_empty() {
            policy["rules"] = json!([{"name": "nothing", "action": "Deny"}]);
        }
        let keys = BTreeMap::from([("a".to_owned(), Keys::Made), ("b".to_owned(), Keys::Made)]);
        let prepared = Prepared::new(policy.clone(), &keys, &[]).unwrap();
        let gateway = prepared
            .gateway(&[], Timestamp::from_secs(NOW))
            .map_err(|faults| format!("{faults:?}\n{policy:#}"))?;
        Ok((prepared, gateway))
    }
}

impl Request {
    fn asked(&self, prepared: &Prepared, gateway: &Gateway) -> Asked {
        let mut asked = Asked::new(self.method, self.path).unwrap();
        asked.address = Some(if self.is_inside { "10.1.2.3" } else { "192.0.2.7" }.parse().unwrap());
        if self.has_debug {
            asked = asked.with_header("x-debug", "1");
        }
        let token = |provider: &str, claims: Json| {
            let claims = claims.as_object().unwrap().clone();
            let described = Described { provider: provider.to_owned(), claims, ..Described::default() };
            prepared.minted().token(&described, gateway.now()).unwrap()
        };
        match self.credential {
            Credential::None => asked,
            Credential::A(team) => asked.with_header("x-a", &token("a", json!({"team": team}))),
            Credential::B => asked.with_header("x-b", &token("b", json!({"team": "ops"}))),
        }
    }
}

fn places() -> impl Strategy<Value = Where> {
    let leaf = prop_oneof![
        1 => Just(Where::Any),
        6 => select(vec!["/a", "/a/", "/a/b", "/ab", "/b"]).prop_map(Where::Prefix),
        2 => select(vec!["/a", "/a/b", "/b"]).prop_map(Where::Exact),
        1 => select(vec!["/a/[a-z]+", "/a.*", "/a|/b"]).prop_map(Where::Regex),
        3 => select(vec!["GET", "POST"]).prop_map(Where::Method),
        1 => Just(Where::Debug),
        1 => Just(Where::Port),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..3).prop_map(Where::And),
            1 => prop::collection::vec(inner.clone(), 1..3).prop_map(Where::Or),
            1 => inner.prop_map(|inner| Where::Not(Box::new(inner))),
        ]
    })
}

fn callers() -> impl Strategy<Value = Who> {
    let leaf = prop_oneof![
        3 => Just(Who::Any),
        2 => select(vec!["ops", "dev"]).prop_map(Who::Team),
        1 => Just(Who::Inside),
        1 => Just(Who::Peer),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 1..3).prop_map(Who::And),
            1 => inner.prop_map(|inner| Who::Not(Box::new(inner))),
        ]
    })
}

fn configs() -> impl Strategy<Value = Config> {
    let needs = select(vec![Need::Nothing, Need::A, Need::B, Need::Either, Need::MaybeA, Need::Both]);
    let matched = prop_oneof![
        6 => select(vec!["/a", "/a/", "/a/b", "/b", "/"]).prop_map(Where::Prefix),
        2 => select(vec!["/a", "/a/b"]).prop_map(Where::Exact),
        1 => select(vec!["/a/[a-z]+", "/a.*"]).prop_map(Where::Regex),
        1 => Just(Where::Debug),
    ];
    let rules = prop::collection::vec((matched, needs), 0..4);
    let policies = || prop::collection::vec((places(), callers()), 0..3);
    (rules, prop::option::weighted(0.7, policies()), policies()).prop_map(|(rules, allow, deny)| Config {
        rules,
        allow,
        deny,
    })
}

fn requests() -> Vec<Request> {
    let mut all = Vec::new();
    for path in ["/", "/a", "/a/", "/a/b", "/a/b/c", "/a/bc", "/ab", "/ab/c", "/b"] {
        for method in ["GET", "POST", "PUT"] {
            for credential in [Credential::None, Credential::A("ops"), Credential::A("dev"), Credential::B] {
                for (is_inside, has_debug) in [(false, false), (true, false), (false, true)] {
                    all.push(Request { method, path, credential, is_inside, has_debug, unknown: false });
                }
            }
        }
    }
    all
}

proptest! {
    #[test]
    fn nobody_passes_whom_envoy_would_not_let_pass(config in configs()) {
        let (prepared, gateway) = match config.gateway() {
            Ok(both) => both,
            Err(why) => return Err(TestCaseError::fail(why)),
        };
        for request in requests() {
            let ours = gateway.decide(&request.asked(&prepared, &gateway));
            // Whatever it is that nobody knows.
            let theirs = [false, true].map(|unknown| config.lets_pass(&Request { unknown, ..request.clone() }));
            let is_let = theirs.iter().all(|passes| *passes);
            prop_assert!(!ours.is_allowed() || is_let, "{request:?} by {:?}: {:#}", ours.rule(), prepared.document);
        }
    }
}

/// What is said of openness above would hold of a policy that denies everything, too.
#[test]
fn who_passes_there_passes_here() {
    let config = Config {
        rules: vec![(Where::Prefix("/a/"), Need::A), (Where::Prefix("/b"), Need::MaybeA)],
        allow: Some(vec![
            (Where::And(vec![Where::Method("GET"), Where::Prefix("/a")]), Who::Any),
            (Where::Prefix("/a/"), Who::Team("ops")),
            (Where::Prefix("/b"), Who::Inside),
        ]),
        deny: vec![(Where::Exact("/a/bc"), Who::Not(Box::new(Who::Inside)))],
    };
    let (prepared, gateway) = config.gateway().unwrap();
    let (mut passed, mut closed) = (0, Vec::new());
    for request in requests() {
        let ours = gateway.decide(&request.asked(&prepared, &gateway)).is_allowed();
        match (config.lets_pass(&request), ours) {
            (true, true) => passed += 1,
            (true, false) => closed.push(request),
            (false, ours) => assert!(!ours, "{request:?}"),
        }
    }
    assert!(passed > 50, "{passed}");
    // A prefix ends with a segment here.
    assert!(closed.iter().all(|request| request.path.starts_with("/ab")), "{closed:?}");
}
