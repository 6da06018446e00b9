//! Istio's policies, as the page shows them, beside the policy that takes their place. What its control plane makes of
//! them is made here by the rules of `pilot/pkg/security` in its sources, for what the page uses of them.

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::{Asked, Difference, SideBySide, difference, generated, hold_to_the_page, policy, shown};
use crate::harness::{
    envoy_parts::TYPE,
    issuer::{ISSUER_KEYS, Token, token},
    now,
    request::{Request, get, post, request},
};

const JWT_AUTHN: &str = "envoy.filters.http.jwt_authn";

const NO_TOKEN: &str = "no token where one is needed";
const BAD_TOKEN: &str = "a bad token where no rule applies";

const DIFFERENCES: [Difference; 9] = [
    difference(NO_TOKEN, 403, 401),
    difference(BAD_TOKEN, 401, 403),
    difference("a bad token, and `x-preview`", 401, 403),
    difference("a token for another audience", 403, 401),
    difference("a token without `exp`", 200, 401),
    difference("a token without `sub`", 403, 401),
    difference("a token with `department: 7`", 200, 403),
    difference("`GET /orders/a%2Fb`", 200, 400),
    difference("a header `x.preview`", 200, 400),
];

/// A string as Istio writes it: with a star in front, behind, alone or nowhere.
fn text(value: &str) -> Value {
    match (value, value.strip_prefix('*'), value.strip_suffix('*')) {
        ("*", ..) => json!({"safe_regex": {"regex": ".+"}}),
        (_, Some(end), _) => json!({"suffix": end}),
        (_, _, Some(begin)) => json!({"prefix": begin}),
        _ => json!({"exact": value}),
    }
}

fn header(name: &str, value: &str) -> Value {
    match value {
        "*" => json!({"header": {"name": name, "present_match": true}}),
        value => json!({"header": {"name": name, "string_match": text(value)}}),
    }
}

fn path(value: &str) -> Value {
    if !value.contains('{') {
        return json!({"url_path": {"path": text(value)}});
    }
    json!({"uri_template": {"name": "uri-template", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
        "path_template": value.replace("{**}", "**").replace("{*}", "*"),
    }}})
}

fn network(value: &str) -> Value {
    let (address, length) = value.split_once('/').unwrap_or((value, "32"));
    json!({"remote_ip": {"address_prefix": address, "prefix_len": length.parse::<u8>().unwrap()}})
}

/// Of the verified token, as `jwt_authn` leaves it.
fn of_token(path: &[&str], value: &Value) -> Value {
    let keys = ["payload"].iter().chain(path).map(|key| json!({"key": key}));
    json!({"metadata": {"filter": JWT_AUTHN, "path": keys.collect::<Value>(), "value": value}})
}

/// `ISSUER/SUBJECT`, with the last slash between them.
fn request_principal(value: &str) -> Value {
    let (issuer, subject) = if value == "*" { ("*", "*") } else { value.rsplit_once('/').expect("a slash") };
    let claim = |name, value| of_token(&[name], &json!({"string_match": text(value)}));
    json!({"and_ids": {"ids": [claim("iss", issuer), claim("sub", subject)]}})
}

/// The claim is one of the values, or a list that holds one.
fn claim(name: &str, values: &[&str]) -> Value {
    let matches: Vec<Value> = values.iter().map(|value| json!({"string_match": text(value)})).collect();
    let one = match matches.as_slice() {
        [one] => one.clone(),
        several => json!({"or_match": {"value_matchers": several}}),
    };
    of_token(&[name], &json!({"or_match": {"value_matchers": [{"list_match": {"one_of": one}}, one]}}))
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|value| value.as_str().unwrap()).collect()
}

/// Of what one condition says of a request: one of `values`, and none of `not`.
struct Names {
    all: &'static str,
    any: &'static str,
    not: &'static str,
    list: &'static str,
}

const PERMISSIONS: Names = Names { all: "and_rules", any: "or_rules", not: "not_rule", list: "rules" };
const PRINCIPALS: Names = Names { all: "and_ids", any: "or_ids", not: "not_id", list: "ids" };

impl Names {
    fn any(&self, of: impl Iterator<Item = Value>) -> Option<Value> {
        let of: Vec<Value> = of.collect();
        (!of.is_empty()).then(|| json!({self.any: {self.list: of}}))
    }

    fn either_and_not(&self, values: &Value, not: &Value, one: impl Fn(&str) -> Value) -> Vec<Value> {
        let either = self.any(strings(values).into_iter().map(&one));
        let not = self.any(strings(not).into_iter().map(&one)).map(|not| json!({self.not: not}));
        either.into_iter().chain(not).collect()
    }

    fn all(&self, mut of: Vec<Value>) -> Value {
        if of.is_empty() {
            of.push(json!({"any": true}));
        }
        json!({self.all: {self.list: of}})
    }
}

/// One of `rules`: what it is about (`to`), and who asks (`from` and `when`).
fn rule(rule: &Value) -> Value {
    let listed = |name: &str, inner: &str| -> Vec<Value> {
        let given = rule[name].as_array().cloned().unwrap_or_else(|| vec![json!({})]);
        given.iter().map(|entry| entry[inner].clone()).collect()
    };
    let permissions = listed("to", "operation").into_iter().map(|operation| {
        let of = |name: &str, not: &str, one: fn(&str) -> Value| {
            PERMISSIONS.either_and_not(&operation[name], &operation[not], one)
        };
        let methods = of("methods", "notMethods", |value| header(":method", value));
        PERMISSIONS.all([methods, of("paths", "notPaths", path)].concat())
    });
    let principals = listed("from", "source").into_iter().map(|source| {
        let of = |name: &str, not: &str, one: fn(&str) -> Value| {
            PRINCIPALS.either_and_not(&source[name], &source[not], one)
        };
        let mut all = of("requestPrincipals", "notRequestPrincipals", request_principal);
        all.extend(of("remoteIpBlocks", "notRemoteIpBlocks", network));
        for when in rule["when"].as_array().into_iter().flatten() {
            let (kind, name) = when["key"].as_str().unwrap().trim_end_matches(']').split_once('[').unwrap();
            let (values, not) = (&when["values"], &when["notValues"]);
            match kind {
                "request.headers" => {
                    all.extend(PRINCIPALS.either_and_not(values, not, |value| header(name, value)))
                }
                "request.auth.claims" => {
                    let of_claim = |values: &Value| values.is_array().then(|| claim(name, &strings(values)));
                    all.extend(of_claim(values));
                    all.extend(of_claim(not).map(|not| json!({"not_id": not})));
                }
                other => panic!("not on the page: {other}"),
            }
        }
        PRINCIPALS.all(all)
    });
    json!({"permissions": permissions.collect::<Value>(), "principals": principals.collect::<Value>()})
}

fn rbac(policy: &Value) -> Value {
    let name = policy["metadata"]["name"].as_str().unwrap();
    let rules = policy["spec"]["rules"].as_array().unwrap().iter().enumerate();
    let named = rules.map(|(n, given)| (format!("ns[shop]-policy[{name}]-rule[{n}]"), rule(given)));
    json!({"name": name, "typed_config": {
        "@type": format!("{TYPE}.filters.http.rbac.v3.RBAC"),
        "rules": {"action": policy["spec"]["action"], "policies": named.collect::<serde_json::Map<_, _>>()},
    }})
}

/// Whoever has a token has a good one; `istiod` has fetched the keys.
fn jwt_authn(authentication: &Value) -> Value {
    let [given] = authentication["spec"]["jwtRules"].as_array().unwrap().as_slice() else {
        panic!("the page has one issuer")
    };
    let headers = given["outputClaimToHeaders"].as_array().unwrap().iter();
    let provider = json!({
        "issuer": given["issuer"],
        "audiences": given["audiences"],
        "local_jwks": {"inline_string": ISSUER_KEYS.jwks().to_string()},
        "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": ["permission", "scope"]},
        "claim_to_headers": headers
            .map(|header| json!({"header_name": header["header"], "claim_name": header["claim"]}))
            .collect::<Value>(),
    });
    let optional =
        json!({"requires_any": {"requirements": [{"provider_name": "origins-0"}, {"allow_missing": {}}]}});
    json!({"name": JWT_AUTHN, "typed_config": {
        "@type": format!("{TYPE}.filters.http.jwt_authn.v3.JwtAuthentication"),
        "providers": {"origins-0": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": optional}],
        "bypass_cors_preflight": true,
    }})
}

fn viewer(subject: &str) -> Token {
    token(subject).roles(&["viewer"])
}

fn editor(subject: &str) -> Token {
    token(subject).roles(&["employee", "editor"])
}

/// Good tokens, and what else is decided alike wherever it is shown.
fn good(credential: usize) -> Token {
    match credential {
        0 => viewer("rita"),
        1 => editor("walt"),
        2 => token("ron").claim("roles", "viewer"),
        3 => token("nora"),
        4 => editor("mallory"),
        5 => editor("carl").claim("department", "contractors"),
        6 => editor("carla").claim("department", json!(["sales", "contractors"])),
        7 => editor("dora").claim("department", "sales"),
        8 => token("a/b").scope("reports:read other"),
        9 => token("sam").claim("scope", json!(["reports:read"])),
        _ => token("sue").scope("reports:readers"),
    }
}

fn bad(kind: usize) -> String {
    match kind {
        0 => editor("walt").claim("exp", now() - 600).sign(),
        1 => editor("walt").forged().sign(),
        2 => editor("walt").claim("iss", "https://other.test").sign(),
        _ => "nonsense".to_owned(),
    }
}

/// What no rule asks a token for.
fn open() -> Vec<Request> {
    vec![get("/health"), get("/internal/x"), post("/internal/a/b")]
}

fn guarded() -> Vec<Request> {
    vec![get("/orders"), get("/orders/7?x=1"), post("/orders"), get("/reports/march"), get("/reports/a/b")]
}

/// What no rule lets pass.
fn unknown() -> Vec<Request> {
    vec![
        get("/nowhere"),
        post("/health"),
        get("/orders/7/lines"),
        get("/internal"),
        request("DELETE", "/orders/7"),
    ]
}

fn from(request: Request, address: &str) -> Request {
    request.header("x-forwarded-for", address)
}

fn alike() -> impl Strategy<Value = Asked> {
    let address = || select(vec!["192.0.2.7", "10.1.2.3", "10.9.1.2", "10.1.2.3, 192.0.2.7"]);
    let any = || select([open(), guarded(), unknown()].concat());
    let with_token = (any(), 0..11_usize, address())
        .prop_map(|(request, credential, address)| from(request.bearer(&good(credential).sign()), address));
    let without = (select([open(), unknown()].concat()), address())
        .prop_map(|(request, address)| from(request, address));
    let with_bad = (select([open(), guarded()].concat()), 0..4_usize, address())
        .prop_map(|(request, kind, address)| from(request.bearer(&bad(kind)), address));
    let preview = (select(vec![get("/orders"), get("/orders/7"), get("/health")]), 0..3_usize).prop_map(
        |(request, credential)| {
            let request = request.header("X-Preview", "1");
            if credential == 0 { request } else { request.bearer(&good(credential).sign()) }
        },
    );
    prop_oneof![8 => with_token, 2 => without, 2 => with_bad, 1 => preview]
        .prop_map(|request| Asked { request, shows: None })
}

fn different() -> impl Strategy<Value = Asked> {
    let read = |token: Token| get("/orders/7").bearer(&token.sign());
    let rita = viewer("rita");
    let requests = [
        get("/orders").bearer(&bad(0)).header("x-preview", "1"),
        read(rita.clone().claim("aud", "https://other.test")),
        read(rita.clone().claim("exp", Value::Null)),
        read(rita.clone().claim("sub", Value::Null)),
        post("/orders").bearer(&editor("dora").claim("department", 7).sign()),
        get("/orders/a%2Fb").bearer(&rita.sign()),
        read(rita).header("x.preview", "1"),
    ];
    let named = requests.into_iter().zip(&DIFFERENCES[2..]);
    let named = named.map(|(request, known)| Asked { request, shows: Some(known.name) }).collect::<Vec<_>>();
    let no_token = select(guarded()).prop_map(|request| Asked { request, shows: Some(NO_TOKEN) });
    let bad_token = (select(unknown()), 0..4_usize)
        .prop_map(|(request, kind)| Asked { request: request.bearer(&bad(kind)), shows: Some(BAD_TOKEN) });
    prop_oneof![4 => select(named), 1 => no_token, 1 => bad_token]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_istios_policies_decide_is_decided_alike() {
    let objects = shown("# Istio\n");
    let [authentication, deny, allow] = objects.as_slice() else { panic!("three objects: {objects:?}") };
    let kinds = [authentication, deny, allow].map(|object| object["kind"].as_str().unwrap());
    assert_eq!(kinds, ["RequestAuthentication", "AuthorizationPolicy", "AuthorizationPolicy"]);
    assert_eq!([deny, allow].map(|policy| policy["spec"]["action"].as_str().unwrap()), ["DENY", "ALLOW"]);
    // What denies stands in front of what allows.
    let filters = vec![jwt_authn(authentication), rbac(deny), rbac(allow)];
    let routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]);
    let envoy = SideBySide::start(filters, &policy("# Instead of Istio's policies"), &routes).await;
    let asked = generated(&prop_oneof![6 => alike(), 1 => different()]);
    envoy.compare(&asked, &DIFFERENCES, &[200, 401, 403]).await;
}

#[test]
fn the_page_tells_where_it_differs_from_istio() {
    hold_to_the_page("\n## Istio, run side by side\n", &DIFFERENCES);
}
