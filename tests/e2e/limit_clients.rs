//! What counts as one client of a limit, over both workers: each request comes over a connection of its own. Hours, so
//! that nothing is earned back while a test runs.

use serde_json::{Value, json};

use crate::{
    documentation::block,
    harness::{
        api_key_hash,
        gateway::{Gateway, Wire, gateway},
        issuer::token,
        policy::{anyone, api_key, api_key_entry, merge, provider, rule},
        repository,
        request::{Request, get},
    },
    policy_schema::python,
};

fn limited(name: &str, mut members: Value) -> Value {
    merge(&mut members, json!({"rateLimits": [name]}));
    rule(name, "Exact", &format!("/{name}"), members)
}

pub(crate) fn policy() -> Value {
    let either = || json!({"authenticate": {"anyOf": [{"jwt": "test"}, {"jwt": "plain"}, "apiKey"]}});
    let hourly = |requests: usize| json!([{"requests": requests, "unit": "Hour"}]);
    let mut with_header = provider();
    merge(
        &mut with_header,
        json!({
            "claimToHeaders": [{"claim": "org", "header": "x-org"}], "claims": {"tier": "plan"},
        }),
    );
    let own = |requests: usize, max: usize| json!([{"requests": requests, "unit": "Hour", "ownRequests": {"claim": "quota", "max": max}}]);
    let number = |requests: usize| json!({"ownRequests": [{"limit": "own", "requests": requests}]});
    let mut plain = provider();
    merge(&mut plain, json!({"name": "plain", "issuer": "https://plain.test"}));
    json!({
        "jwt": {"providers": [with_header, plain]},
        "apiKeys": {"keys": [
            api_key_entry("old", json!({})), api_key_entry("new", json!({})),
            api_key_entry("big", number(8)), api_key_entry("small", number(2)),
        ]},
        "rateLimits": [
            {"name": "cookie", "key": [{"cookie": "sid"}], "limits": hourly(3)},
            {"name": "query", "key": [{"query": "app"}], "limits": hourly(3)},
            {"name": "header", "key": [{"header": "x-org"}], "limits": hourly(3)},
            {"name": "own", "key": ["principal"], "limits": own(3, 10), "tiers": [{"name": "gold", "limits": own(3, 20)}]},
            {"name": "large", "key": ["principal"], "limits": own(3, 1000)},
            {"name": "early", "key": [{"cookie": "early"}, {"query": "early"}], "before": "Authentication",
             "limits": hourly(5000)},
        ],
        "rules": [
            limited("cookie", anyone()),
            limited("query", anyone()),
            limited("header", either()),
            limited("own", either()),
            limited("large", either()),
        ],
        "defaultAction": "Deny",
    })
}

async fn start() -> Gateway {
    gateway(&policy()).workers(2).start().await
}

/// How many of these pass; the others are over a limit.
async fn admitted(gateway: &Gateway, requests: impl IntoIterator<Item = Request>) -> usize {
    let requests: Vec<_> = requests.into_iter().collect();
    let answers = gateway.send_all(Wire::Http1, &requests).await;
    for (request, answer) in requests.iter().zip(&answers) {
        assert!([200, 429].contains(&answer.status), "{request:?}: {answer:?}");
    }
    answers.iter().filter(|answer| answer.status == 200).count()
}

/// The same request so many times.
fn times(request: Request, count: usize) -> Vec<Request> {
    vec![request; count]
}

/// Both workers had a part in it.
async fn has_met_both(gateway: &Gateway) {
    let stats = gateway.admin().stats().await;
    for worker in ["worker_0", "worker_1"] {
        let served = stats.iter().any(|(name, count)| {
            name.starts_with("listener.")
                && name.ends_with(&format!("{worker}.downstream_cx_total"))
                && *count > 0
        });
        assert!(served, "{worker} served nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_value_of_a_cookie_has_a_count_of_its_own_however_it_is_spelt() {
    let gateway = start().await;
    let sent = |cookie: &str| get("/cookie").header("cookie", cookie);
    // The same cookie, and nobody else's.
    let spelt = ["sid=1", "a=0; sid=1", "sid=\"1\"", "Sid=1", "%73id=1", "sid[]=1", "x=0 sid=1"].map(sent);
    assert_eq!(admitted(&gateway, spelt).await, 3);
    assert_eq!(admitted(&gateway, times(sent("sid=2"), 4)).await, 3);
    // Two together are a value of their own.
    assert_eq!(admitted(&gateway, times(sent("sid=1; sid=2"), 4)).await, 3);
    // Whoever has none shares one count.
    let none = [get("/cookie"), sent("sid="), sent("sids=1"), sent("a=0"), get("/cookie")];
    assert_eq!(admitted(&gateway, none).await, 3);
    has_met_both(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_value_of_a_parameter_has_a_count_of_its_own_however_it_is_spelt() {
    let gateway = start().await;
    let sent = |query: &str| get(&format!("/query?{query}"));
    let spelt = ["app=1", "a=0&app=1", "app=%31", "App=1", "%61pp=1", "app[]=1", "x=0;app=1"].map(sent);
    assert_eq!(admitted(&gateway, spelt).await, 3);
    assert_eq!(admitted(&gateway, times(sent("app=2"), 4)).await, 3);
    assert_eq!(admitted(&gateway, times(sent("app=1&app=2"), 4)).await, 3);
    let none = [get("/query"), sent("app="), sent("apps=1"), sent("app"), sent("a=0")];
    assert_eq!(admitted(&gateway, none).await, 3);
    has_met_both(&gateway).await;
}

/// What the client sends under that name counts for nothing, and does not reach the upstream.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_set_from_a_claim_counts_as_the_claim() {
    let gateway = start().await;
    let of = |sub: &str, org: &str, sent: &str| {
        get("/header").bearer(&token(sub).claim("org", org).sign()).header("x-org", sent)
    };
    let of_one = ["1", "2", "3", "4", "5"].map(|n| of(&format!("user-{n}"), "acme", n));
    assert_eq!(admitted(&gateway, of_one).await, 3);
    assert_eq!(admitted(&gateway, times(of("user-1", "other", "acme"), 4)).await, 3);
    // Whoever has no such claim, or is known by something else, shares one count.
    let key = |name: &str| get("/header").api_key(&api_key(name)).header("x-org", name);
    let plain = token("user-1").claim("org", "third").claim("iss", "https://plain.test");
    let none = [
        get("/header").bearer(&token("user-2").sign()).header("x-org", "a"),
        key("old"),
        get("/header").bearer(&plain.sign()).header("x-org", "third"),
        key("new"),
        get("/header").bearer(&token("user-3").sign()),
    ];
    assert_eq!(admitted(&gateway, none).await, 3);
    assert_eq!(admitted(&gateway, [of("user-9", "third", "b")]).await, 1);
    has_met_both(&gateway).await;
}

/// The number that a token says is the caller's own, within the bound; what one token used another one finds used.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_says_a_number_has_as_many_requests() {
    let gateway = start().await;
    let of = |sub: &str, number: Value| get("/own").bearer(&token(sub).claim("quota", number).sign());
    assert_eq!(admitted(&gateway, times(of("five", json!(5)), 7)).await, 5);
    assert_eq!(admitted(&gateway, times(of("six", json!(6)), 8)).await, 6);
    // The bound, no number, and what is none.
    assert_eq!(admitted(&gateway, times(of("many", json!(1_000_000)), 12)).await, 10);
    assert_eq!(admitted(&gateway, times(get("/own").bearer(&token("none").sign()), 5)).await, 3);
    assert_eq!(admitted(&gateway, times(of("zero", json!(0)), 3)).await, 1);
    assert_eq!(admitted(&gateway, times(of("text", json!("9")), 3)).await, 1);
    assert_eq!(admitted(&gateway, times(of("fraction", json!(9.0)), 3)).await, 1);
    // Two tokens of one client: half of the window for two requests of four, and the other half for five of ten.
    assert_eq!(admitted(&gateway, times(of("both", json!(4)), 2)).await, 2);
    assert_eq!(admitted(&gateway, times(of("both", json!(10)), 7)).await, 5);
    assert_eq!(admitted(&gateway, times(of("both", json!(4)), 2)).await, 0);
    // A tier has a bound of its own.
    let gold = token("gold").claim("quota", 12).claim("plan", "gold").sign();
    assert_eq!(admitted(&gateway, times(get("/own").bearer(&gold), 14)).await, 12);
    // The client is told its own number.
    let refused = gateway.send(&of("five", json!(5))).await;
    assert_eq!(refused.header("ratelimit-policy"), Some("\"own\";q=5;w=3600"));
    assert!(
        refused.header("ratelimit").is_some_and(|told| told.starts_with("\"own\";r=0;t=")),
        "{refused:?}"
    );
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((600..=720).contains(&wait), "a fifth of an hour, not {wait} s");
    has_met_both(&gateway).await;
}

const READ: &str = "import json, sys; from ruamel.yaml import YAML; print(json.dumps(YAML(typ='safe').load(open(sys.argv[1]))))";

/// As the reference shows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_reference_does_what_is_said_of_it() {
    let page = std::fs::read_to_string(repository().join("docs/policy.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("example.yaml");
    let shown = block(&page, "apiKeys:\n  keys:\n  - id: reporting", 0);
    std::fs::write(&file, shown.replace("sha256:..", &api_key_hash(&api_key("old")))).unwrap();
    let mut policy = policy();
    merge(&mut policy, python(READ, &[&file]));
    policy["apiKeys"]["keys"].as_array_mut().unwrap().push(api_key_entry("new", json!({})));
    policy["rules"] =
        json!([limited("per-client", json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}}))]);
    let gateway = gateway(&policy).workers(2).start().await;
    let quota = token("alice").claim("quota", json!({"per_minute": 5})).sign();
    assert_eq!(admitted(&gateway, times(get("/per-client").bearer(&quota), 7)).await, 5);
    assert_eq!(admitted(&gateway, times(get("/per-client").api_key(&api_key("old")), 7)).await, 5);
    assert_eq!(admitted(&gateway, times(get("/per-client").bearer(&token("bob").sign()), 5)).await, 3);
    assert_eq!(admitted(&gateway, times(get("/per-client").api_key(&api_key("new")), 5)).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_with_a_number_has_as_many_requests() {
    let gateway = start().await;
    let key = |name: &str| get("/own").api_key(&api_key(name));
    assert_eq!(admitted(&gateway, times(key("big"), 10)).await, 8);
    assert_eq!(admitted(&gateway, times(key("small"), 4)).await, 2);
    assert_eq!(admitted(&gateway, times(key("old"), 5)).await, 3);
    let told = |name: &'static str| {
        let gateway = &gateway;
        async move { gateway.send(&key(name)).await.header("ratelimit-policy").map(str::to_owned) }
    };
    assert_eq!(told("big").await.as_deref(), Some("\"own\";q=8;w=3600"));
    assert_eq!(told("small").await.as_deref(), Some("\"own\";q=2;w=3600"));
    assert_eq!(told("old").await.as_deref(), Some("\"own\";q=3;w=3600"));
    has_met_both(&gateway).await;
}

/// Workers charge ahead by the caller's own number.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_charged_ahead_is_kept_over_both_workers() {
    let gateway = start().await;
    let of = |sub: &str, number: u32| get("/large").bearer(&token(sub).claim("quota", number).sign());
    for number in [256_usize, 300] {
        let request = of(&format!("{number}"), u32::try_from(number).unwrap());
        let admitted = admitted(&gateway, times(request, number + 20)).await;
        // What the other worker holds, and the gap before it.
        assert!((number - number / 64 - 2..=number).contains(&admitted), "{admitted} of {number}");
    }
    has_met_both(&gateway).await;
}
