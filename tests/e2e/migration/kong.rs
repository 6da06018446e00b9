//! The policy that takes the place of the page's Kong. Kong itself is not run: what it would answer is what its
//! documentation and sources say.

use serde_json::json;

use super::{Difference, difference, hold_to_the_page, page, policy, shown};
use crate::harness::{
    gateway::{Wire, gateway},
    issuer::{Token, token},
    now,
    request::{Request, get, post},
};

const DIFFERENCES: [Difference; 4] = [
    difference("`GET /nowhere`", 404, 403),
    difference("`GET /ordersX` with a good token", 200, 403),
    difference("a key in two lines", 401, 400),
    difference("the token as `?jwt=`, where `extractFrom` does not name it", 200, 401),
];

fn signed(issuer: &str, secret: &str, change: impl Fn(Token) -> Token) -> String {
    let token = token("any").header("alg", "HS256").header("kid", json!(null)).header("typ", "JWT");
    change(token.claim("iss", issuer).claim("aud", json!(null))).sign_with_secret(secret.as_bytes())
}

fn secret(consumer: &str) -> (String, String) {
    let kong = shown("# Kong").remove(0);
    let consumers = kong["consumers"].as_array().unwrap();
    let found = consumers.iter().find(|known| known["username"] == consumer).unwrap();
    let [key, secret] =
        ["key", "secret"].map(|name| found["jwt_secrets"][0][name].as_str().unwrap().to_owned());
    (key, secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kong_would_decide_is_decided_alike() {
    let gateway = gateway(&policy("# Instead of Kong")).trusted_hops(1).start().await;
    let good = |consumer: &str, change: fn(Token) -> Token| {
        let (key, secret) = secret(consumer);
        signed(&key, &secret, change)
    };
    let alice = good("alice", |token| token);
    let (_, secret_of_bob) = secret("bob");
    let orders = |token: &str| get("/orders/7").bearer(token);
    let blocked = |request: Request| request.header("x-forwarded-for", "203.0.113.9");
    let key = |key: &str| get("/reports/march").api_key(key);
    let answers: Vec<(Request, u16)> = vec![
        (get("/orders/7"), 401),
        (orders(&good("bob", |token| token)), 403),
        (orders(&good("alice", |token| token.claim("exp", now() - 600))), 401),
        (orders(&good("alice", |token| token.claim("exp", json!(null)))), 401),
        (orders(&good("alice", |token| token.claim("iss", "nobody"))), 401),
        (orders(&signed("alice-app", &secret_of_bob, |token| token)), 401),
        (blocked(orders(&alice)), 403),
        (orders(&alice), 200),
        (post("/orders").bearer(&good("alice", |token| token.claim("sub", json!(null)))), 200),
        (orders(&good("alice", |token| token.claim("sub", "another"))), 200),
        (orders(&alice), 200),
        (orders(&alice), 200),
        // The consumer's sixth, whoever the user is.
        (orders(&alice), 429),
        (get("/reports/march"), 401),
        (key("partner-key"), 200),
        (key("intern-key"), 403),
        (key("unknown-key"), 401),
        (blocked(key("partner-key")), 403),
        (get("/nowhere"), DIFFERENCES[0].ours),
        (get("/ordersX").bearer(&alice), DIFFERENCES[1].ours),
        (key("partner-key").api_key("partner-key-2"), DIFFERENCES[2].ours),
        (get(&format!("/orders/7?jwt={alice}")), DIFFERENCES[3].ours),
    ];
    for (request, status) in answers {
        let answer = gateway.send_over(Wire::Plain, &request).await;
        assert_eq!(answer.status, status, "{request:?} {answer:?}");
    }
}

#[test]
fn the_page_tells_where_it_differs_from_kong() {
    hold_to_the_page("\n## Kong, by its documentation\n", &DIFFERENCES);
    assert!(page().contains("Kong was not run"));
}
