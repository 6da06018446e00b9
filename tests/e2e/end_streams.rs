//! Streams that end with their credential, whatever carries them.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    harness::{
        client::http1_bytes,
        endless::Endless,
        etcd::Etcd,
        gateway::{Builder, Gateway, gateway},
        idp::until,
        issuer::token,
        now,
        policy::{api_key, api_key_entry, provider, rule},
        repository,
        request::{Request, get, post},
        revocations::RevocationServer,
    },
    stored_keys::put,
};

const HOST: &str = "endless.test";
/// How late a stream may end: a tick of 250 ms, and a second that Envoy lingers before it closes a connection, on a machine
/// that is busy.
const LATE: Duration = Duration::from_millis(2500);

/// The rule that docs/policy.md shows.
fn events() -> Value {
    let page = fs::read_to_string(repository().join("docs/policy.md")).unwrap();
    let shown = page.split("### Streams that end").nth(1).unwrap().split("```json\n").nth(1).unwrap();
    serde_json::from_str(shown.split("```").next().unwrap()).unwrap()
}

fn policy() -> Value {
    let mut provider = provider();
    provider["name"] = "corp".into();
    let with_token = json!({"authenticate": {"anyOf": [{"jwt": "corp"}, "apiKey"]}});
    json!({
        "transport": {"requireTls": false},
        "jwt": {"providers": [provider]},
        "apiKeys": {"keys": [api_key_entry("good", json!({})), api_key_entry("other", json!({}))]},
        "rules": [
            events(),
            rule("unanswered", "PathPrefix", "/unanswered", ending(with_token.clone())),
            rule("keys", "PathPrefix", "/keys", ending(with_token.clone())),
            rule("lasting", "PathPrefix", "/lasting", with_token),
        ],
    })
}

fn ending(mut members: Value) -> Value {
    members["endStreams"] = true.into();
    members
}

/// How a stream travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Http1,
    Http2,
    WebSocket,
    Grpc,
}

/// What came until a stream ended, and when that was.
#[derive(Debug)]
struct Ended {
    what: String,
    at: Duration,
}

/// Seconds since the epoch.
fn clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Asks for a stream and takes what comes until it ends.
fn open(gateway: &Arc<Gateway>, over: Over, asked: Request) -> JoinHandle<Ended> {
    let gateway = gateway.clone();
    let asked = asked.authority(HOST);
    tokio::spawn(async move {
        let what = match over {
            Over::Http1 => text(&gateway.send_raw_plain(&http1_bytes(&asked, true)).await),
            Over::WebSocket => {
                let asked = asked
                    .header("connection", "Upgrade")
                    .header("upgrade", "websocket")
                    .header("sec-websocket-version", "13")
                    .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
                text(&gateway.send_raw_plain(&http1_bytes(&asked, false)).await)
            }
            Over::Http2 | Over::Grpc => {
                let (status, mut body) = gateway.http2().await.begin(&asked).await.unwrap();
                let mut what = status.to_string();
                loop {
                    match body.frame().await {
                        Some(Ok(frame)) => what += &text(frame.data_ref().map_or(&[], |data| data)),
                        Some(Err(error)) => break what + &format!(" {error:?}"),
                        None => break what + " end",
                    }
                }
            }
        };
        Ended { what, at: clock() }
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn start(builder: Builder, endless: &Endless) -> Arc<Gateway> {
    let log = "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%";
    Arc::new(builder.upgrades().access_log(log).host(HOST, endless.address).start().await)
}

/// All of them end with the token, none before; and no other does.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_their_token() {
    let endless = Endless::start(false).await;
    let gateway = start(gateway(&policy()), &endless).await;
    let exp = now() + 3;
    let short = token("alice").claim("exp", exp).sign();
    let fresh = token("alice").sign();
    let lasting = [
        open(&gateway, Over::Http1, get("/lasting").bearer(&short)),
        open(&gateway, Over::Http2, get("/lasting").bearer(&short)),
        open(&gateway, Over::WebSocket, get("/lasting").bearer(&short)),
        open(&gateway, Over::Http1, get("/events").bearer(&fresh)),
        open(&gateway, Over::Http2, get("/events").bearer(&fresh)),
        open(&gateway, Over::WebSocket, get("/events").bearer(&fresh)),
        open(&gateway, Over::Http1, post("/unanswered").bearer(&fresh)),
    ];
    let events = || get("/events").bearer(&short);
    let unanswered = || post("/unanswered").bearer(&short);
    let begun = "data: event";
    // What comes first, what comes of the events, and what comes last.
    let rows = [
        (Over::Http1, events(), "HTTP/1.1 200 ", begun, "\r\n"),
        (Over::Http2, events(), "200", begun, "INTERNAL_ERROR, Remote) })"),
        (Over::WebSocket, events(), "HTTP/1.1 101 ", "\u{5}event", "event"),
        (
            Over::Http1,
            unanswered(),
            "HTTP/1.1 401 ",
            "error=\"invalid_token\"",
            "\"reason\":\"token_expired\"}",
        ),
        (Over::Http2, unanswered(), "401", "urn:portcullis:reason:token_expired", "} end"),
        (Over::Grpc, unanswered().header("content-type", "application/grpc"), "200", "", " end"),
    ];
    let count = rows.len();
    let rows =
        rows.map(|(over, asked, first, part, last)| (over, open(&gateway, over, asked), first, part, last));
    for (over, stream, first, part, last) in rows {
        let Ended { what, at } = stream.await.unwrap();
        let exp = Duration::from_secs(exp.try_into().unwrap());
        assert!(exp <= at && at <= exp + LATE, "{over:?}: {at:?} {exp:?}");
        assert!(what.starts_with(first) && what.contains(part) && what.ends_with(last), "{over:?}: {what}");
        // No end of the body.
        assert!(over != Over::Http1 || !what.ends_with("0\r\n\r\n"), "{what}");
    }
    assert!(gateway.access_log(count).await.iter().all(|line| line.ends_with(" token_expired")));
    let ended = "wasmcustom.portcullis_streams_ended._reason=token_expired_";
    until(LATE, async || gateway.admin().stat(ended).await == 6).await;
    let record = r#"{"decision":"end","reason":"token_expired","rule":"events","principal":"alice""#;
    assert!(gateway.log().contains(record), "{}", gateway.log());
    tokio::time::sleep(LATE).await;
    assert!(lasting.iter().all(|stream| !stream.is_finished()));
    assert_eq!(endless.open(), lasting.len());
    lasting.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_stream_ends_with_its_token() {
    let endless = Endless::start(true).await;
    let gateway = start(gateway(&policy()).http2_upstream(), &endless).await;
    let exp = now() + 3;
    let asked = |token: &str| post("/events").bearer(token).header("content-type", "application/grpc");
    let lasting = open(&gateway, Over::Grpc, asked(&token("alice").sign()));
    let Ended { what, at } =
        open(&gateway, Over::Grpc, asked(&token("alice").claim("exp", exp).sign())).await.unwrap();
    let exp = Duration::from_secs(exp.try_into().unwrap());
    assert!(exp <= at && at <= exp + LATE, "{at:?} {exp:?}");
    assert!(what.starts_with("200\0\0\0\0\u{1}m") && what.contains("INTERNAL_ERROR, Remote"), "{what:?}");
    until(LATE, async || endless.open() == 1).await;
    assert!(!lasting.is_finished());
    lasting.abort();
}

/// The list is polled every second.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_their_credential_is_revoked() {
    let (endless, server) = (Endless::start(false).await, RevocationServer::start().await);
    let mut policy = policy();
    policy["revocation"] = server.section("30s");
    let gateway = start(gateway(&policy).revocations(server.address).watched(), &endless).await;
    let with = |jti: &str| get("/events").bearer(&token("alice").claim("jti", jti).sign());
    let by_key = |name: &str| get("/keys").api_key(&api_key(name));
    // Until the list is there nobody passes.
    let is_loaded = async || gateway.send(&by_key("other")).await.status == 200;
    until(LATE, is_loaded).await;
    let revoked = [
        open(&gateway, Over::Http2, with("t-1")),
        open(&gateway, Over::WebSocket, with("t-1")),
        open(&gateway, Over::Http1, by_key("good")),
    ];
    let others = [
        open(&gateway, Over::Http2, with("t-2")),
        open(&gateway, Over::WebSocket, with("t-2")),
        open(&gateway, Over::Http1, by_key("other")),
    ];
    until(LATE, async || endless.open() == 6).await;
    server.publish(&json!({"jti": ["t-1"], "apiKeys": ["good"]}));
    let began = clock();
    for stream in revoked {
        let ended = stream.await.unwrap();
        assert!(ended.at <= began + Duration::from_secs(1) + LATE, "{ended:?}");
    }
    until(LATE, async || endless.open() == 3).await;
    assert!(others.iter().all(|stream| !stream.is_finished()));

    // Another policy takes over, which says nothing of streams: those of the old one are looked after as before.
    let exp = now() + 4;
    let until_exp =
        open(&gateway, Over::Http2, get("/events").bearer(&token("alice").claim("exp", exp).sign()));
    until(LATE, async || endless.open() == 4).await;
    policy["rules"] =
        json!([rule("lasting", "PathPrefix", "/", json!({"authenticate": {"anyOf": ["apiKey"]}}))]);
    assert!(gateway.change_policy(&policy.to_string()).await);
    until(LATE, is_loaded).await;
    let after = open(&gateway, Over::Http1, by_key("other"));
    let at = until_exp.await.unwrap().at;
    let exp = Duration::from_secs(exp.try_into().unwrap());
    assert!(exp <= at && at <= exp + LATE, "{at:?} {exp:?}");
    assert!(others.iter().all(|stream| !stream.is_finished()));
    server.publish(&json!({"jti": ["t-2"], "apiKeys": ["other"]}));
    let began = clock();
    for stream in others {
        let ended = stream.await.unwrap();
        assert!(ended.at <= began + Duration::from_secs(1) + LATE, "{ended:?}");
    }
    assert!(!after.is_finished(), "its rule lets streams go on");
    after.abort();
}

/// etcd is asked every second.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_their_key_in_etcd() {
    let (endless, etcd) = (Endless::start(false).await, Etcd::start());
    let names = ["revoked", "disabled", "deleted", "changed", "lasting"];
    names.iter().for_each(|name| put(&etcd, name, json!({})));
    let mut policy = policy();
    policy["apiKeys"]["etcd"] = json!({"uri": etcd.url(), "cluster": "etcd"});
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let gateway = start(gateway(&policy).cluster("etcd", address).workers(2), &endless).await;
    let by_key = |name: &str| get("/keys").api_key(&api_key(name));
    until(LATE * 2, async || gateway.send(&by_key("lasting")).await.status == 200).await;
    let of = |name: &str| {
        [Over::Http1, Over::Http2, Over::WebSocket].map(|over| open(&gateway, over, by_key(name)))
    };
    let ending = ["revoked", "disabled", "deleted"].map(&of);
    let going_on = ["lasting", "changed", "good"].map(&of);
    until(LATE * 2, async || endless.open() == 18).await;
    put(&etcd, "revoked", json!({"revokedAt": "2026-01-01T00:00:00Z"}));
    put(&etcd, "disabled", json!({"disabled": true}));
    etcd.ctl(&["del", "/portcullis/v1/keys/deleted"]);
    put(&etcd, "changed", json!({"scopes": ["more"], "hostnames": ["other.test"]}));
    let began = clock();
    for stream in ending.into_iter().flatten() {
        let ended = stream.await.unwrap();
        assert!(ended.at <= began + Duration::from_secs(2) + LATE, "{ended:?}");
    }
    until(LATE, async || endless.open() == 9).await;
    tokio::time::sleep(LATE).await;
    for stream in going_on.iter().flatten() {
        assert!(!stream.is_finished());
        stream.abort();
    }
    for reason in ["api_key_revoked", "api_key_disabled", "api_key_unknown"] {
        let stat = format!("wasmcustom.portcullis_streams_ended._reason={reason}_");
        until(LATE, async || gateway.admin().stat(&stat).await == 3).await;
    }
}

/// Each is ended from within the one before, so a tick ends no more than some of them.
#[tokio::test(flavor = "multi_thread")]
async fn many_streams_end_one_tick_after_the_other() {
    const STREAMS: usize = 600;
    let endless = Endless::start(false).await;
    let gateway = start(gateway(&policy()), &endless).await;
    let exp = now() + 8;
    let (short, fresh) = (token("alice").claim("exp", exp).sign(), token("alice").sign());
    let mut connections = Vec::new();
    let mut streams = Vec::new();
    for n in 0..STREAMS {
        if n % 75 == 0 {
            connections.push(gateway.http2().await);
        }
        let bearer = if n == 100 { &fresh } else { &short };
        let asked = get("/events").authority(HOST).bearer(bearer);
        let (status, mut body) = connections.last_mut().unwrap().begin(&asked).await.unwrap();
        assert_eq!(status, 200);
        streams.push(tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} }));
    }
    assert!(clock() < Duration::from_secs(exp.try_into().unwrap()), "the machine is too slow for this test");
    assert_eq!(endless.open(), STREAMS);
    until(Duration::from_secs(8) + LATE * 3, async || endless.open() == 1).await;
    tokio::time::sleep(LATE).await;
    let lasting: Vec<_> = (0..STREAMS).filter(|n| !streams[*n].is_finished()).collect();
    assert_eq!((lasting, endless.open()), (vec![100], 1));
    let stat = gateway.admin().stat("wasmcustom.portcullis_streams_ended._reason=token_expired_").await;
    assert_eq!(stat, 599);
    assert_eq!(gateway.send(&get("/events")).await.status, 401, "it decides on");
    let log = gateway.log();
    assert!(!log.contains("failed") && !log.contains("panicked"), "{log}");
}
