//! What the upstream gets: no credential, no identity that a client made up, and the path that was decided on.

use portcullis::{answer::Reason, policy::Policy};
use serde_json::{Value, json};

use crate::world::{Ask, World, changed, claims};

const READER: &str = "reader-secret";

#[test]
fn credentials_stay_here() {
    let w = World::new();
    let token = w.token(|_| {});
    let bearer = format!("Bearer {token}");
    let get = Ask::get;
    let cookie = format!("a=1; session={token}; b=2");
    let query = format!("/tokens?a=1&access_token={token}&b=%7e");
    // The request; what it sent; what is left of it: authorization, x-api-key, cookie, :path.
    let rows = [
        (get("/tokens").header("authorization", &bearer), ["", "", "", "/tokens"]),
        (
            get("/tokens")
                .header("authorization", &bearer.to_lowercase().replace(&token.to_lowercase(), &token)),
            ["", "", "", "/tokens"],
        ),
        (get("/tokens").header("cookie", &cookie), ["", "", "a=1; b=2", "/tokens"]),
        (
            get("/tokens").header("cookie", "a=1").header("cookie", &format!("session={token}")),
            ["", "", "a=1", "/tokens"],
        ),
        (get("/tokens").header("cookie", &format!("session={token}")), ["", "", "", "/tokens"]),
        (get(&query), ["", "", "", "/tokens?a=1&b=%7e"]),
        (get(&query.replace("access_token", "%61ccess_token")), ["", "", "", "/tokens?a=1&b=%7e"]),
        (get(&format!("/tokens?access_token={token}")), ["", "", "", "/tokens"]),
        (get("/keys").key(READER), ["", "", "", "/keys"]),
        (get("/keys?api_key=reader-secret&a"), ["", "", "", "/keys?a"]),
        (get("/keys").header("cookie", "key=\"reader-secret\""), ["", "", "", "/keys"]),
        (
            get("/health").header("cookie", "key=reader-secret; a=1; \u{a0}key=x; key\u{b}=y"),
            ["", "", "a=1", "/health"],
        ),
        // Other kinds of authorization are not ours to take.
        (get("/keys").key(READER).header("authorization", "Basic eA=="), ["Basic eA==", "", "", "/keys"]),
        // Credentials that the rule does not take, good or bad.
        (get("/keys").key(READER).header("authorization", &bearer), ["", "", "", "/keys"]),
        (get("/keys").key(READER).header("authorization", "Bearer rubbish"), ["", "", "", "/keys"]),
        (
            get("/tokens?api_key=x&api_key=y").header("authorization", &bearer).key("x"),
            ["", "", "", "/tokens"],
        ),
        // Anonymous rules look at none and forward none.
        (
            get("/health?access_token=x&a=1")
                .header("authorization", &bearer)
                .key(READER)
                .header("cookie", "key=x; session=y; c=3"),
            ["", "", "c=3", "/health?a=1"],
        ),
        (get("/health").key("a").key("b"), ["", "", "", "/health"]),
        // What only a sloppier server would take for a credential.
        (get("/health").header("x_api_key", READER).header("X-Api-Key", READER), ["", "", "", "/health"]),
        (get("/health").header("x.api.key", READER).header("x~api!key", READER), ["", "", "", "/health"]),
        (get("/health").header("authorization", "Bearer\tx"), ["", "", "", "/health"]),
        (get("/health").header("authorization", "Basic eA==,Bearer x"), ["", "", "", "/health"]),
        (get("/health").header("authorization", "\u{a0}Bearer\u{b}x"), ["", "", "", "/health"]),
        (get("/health").header("authorization", "Basic eA== Bearer x"), ["", "", "", "/health"]),
        (get("/health").header("authorization", "Bearerx"), ["Bearerx", "", "", "/health"]),
    ];
    for (n, (ask, expected)) in rows.into_iter().enumerate() {
        let answer = w.ask(&ask.clone().from(&format!("10.0.0.{n}")));
        assert_eq!(answer.reason, None, "{ask:?}");
        let left = ["authorization", "x-api-key", "cookie", ":path"].map(|name| answer.upstream(name));
        assert_eq!(left, expected, "{ask:?}");
        for name in ["x_api_key", "X-Api-Key", "x.api.key", "x~api!key"] {
            assert_eq!(answer.upstream(name), "", "{name}: {ask:?}");
        }
    }
}

#[test]
fn a_token_is_forwarded_only_where_its_provider_says_so_and_only_when_it_was_verified() {
    let w = World::new();
    let token =
        w.partner.sign(&changed(claims("https://partner.example"), |c| c["roles"] = json!(["viewer"])));
    let partner = |ask: Ask| ask.header("x-partner-token", &token);
    let forwarded = |ask: Ask| w.ask(&ask).upstream("x-partner-token");
    assert_eq!(forwarded(partner(Ask::get("/orders"))), token);
    // With the key of somebody else, or of nobody, nobody has looked at it.
    assert_eq!(forwarded(partner(Ask::get("/keys")).key(READER)), "");
    assert_eq!(forwarded(partner(Ask::get("/health"))), "");
    assert_eq!(forwarded(Ask::get("/health").header("x-partner-token", "x")), "");
    // A twin that a server might read instead of it.
    let twin = partner(Ask::get("/orders")).header("x_partner_token", "forged");
    assert_eq!(w.reason(&twin), Some(Reason::CredentialsAmbiguous));
    let answer = w.ask(&partner(Ask::get("/orders")).header("x_partner_tokens", "forged"));
    assert_eq!(
        (answer.upstream("x-partner-token"), answer.upstream("x-portcullis-subject")),
        (token.clone(), "alice".to_owned())
    );
    // In another provider's place it is nobody's token.
    let misplaced = Ask::get("/orders").header("authorization", &format!("Bearer {token}"));
    assert_eq!(w.reason(&misplaced), Some(Reason::TokenIssuer));
    let corp = Ask::get("/orders").header("x-partner-token", &w.token(|_| {}));
    assert_eq!(w.reason(&corp), Some(Reason::TokenIssuer));
}

#[test]
fn nobody_makes_up_an_identity() {
    let w = World::new();
    let names = [
        "x-portcullis-subject",
        "x_portcullis_subject",
        "x-portcullis_subject",
        "X-Portcullis-Subject",
        "X_PORTCULLIS_ROLES",
        "x-portcullis-kind",
        "x-portcullis-roles",
        "x-portcullis-scopes",
        "x-portcullis-rule",
        "x-auth-email",
        "x_auth-email",
        "X-Auth-Groups",
        "x.portcullis.roles",
        "X~Portcullis!Subject",
        "x.auth-email",
        "x|auth^groups",
    ];
    let smuggle = |mut ask: Ask| {
        for name in names {
            ask = ask.header(name, "evil").header(name, "evil");
        }
        ask.header("x-portcullis-subjec", "mine")
            .header("x-portcullis-subject2", "mine")
            .header("xportcullis", "mine")
    };
    let rows = [
        (smuggle(Ask::get("/health")), ["", "", "", "", "health", ""]),
        (smuggle(Ask::get("/keys").key(READER)), ["reader", "api-key", "reports:read", "", "keys", ""]),
        (
            smuggle(w.bearer(Ask::get("/tokens"), |claims| {
                claims["roles"] = json!(["viewer", "x,y"]);
                claims["scope"] = "a b".into();
                claims["email"] = "a@b".into();
            })),
            ["alice", "jwt", "a b", "viewer,x%2Cy", "tokens", "a@b"],
        ),
        (smuggle(w.bearer(Ask::get("/tokens"), |_| {})), ["alice", "jwt", "", "", "tokens", ""]),
    ];
    for (ask, expected) in rows {
        let answer = w.ask(&ask);
        let told = ["subject", "kind", "scopes", "roles", "rule"]
            .map(|name| answer.upstream(&format!("x-portcullis-{name}")));
        assert_eq!(told, expected[..5], "{ask:?}");
        assert_eq!(answer.upstream("x-auth-email"), expected[5]);
        let headers = answer.upstream.unwrap();
        assert!(headers.iter().all(|(_, value)| value != "evil"), "{headers:?}");
        assert_eq!(headers.iter().filter(|(_, value)| value == "mine").count(), 3);
    }
}

#[test]
fn nothing_overrides_what_was_decided_on() {
    let all = [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
        "x-original-uri",
        "path-info",
        "script-name",
        "proxy",
    ];
    let spellings = |name: &str| {
        ["-", "_", ".", "~"].map(|byte| name.replace('-', byte)).into_iter().chain([name.to_uppercase()])
    };
    let w = World::new();
    for (n, name) in all.into_iter().enumerate() {
        let ask = Ask::get("/health").from(&format!("10.0.0.{n}"));
        let ask = spellings(name).fold(ask, |ask, spelling| ask.header(&spelling, "evil"));
        let answer = w.ask(&ask.header(&format!("{name}s"), "mine").header("x-forwarded-prefix", "/mine"));
        assert_eq!(answer.upstream(&format!("{name}s")), "mine");
        assert_eq!(answer.upstream("x-forwarded-prefix"), "/mine");
        let headers = answer.upstream.unwrap();
        assert!(headers.iter().all(|(_, value)| value != "evil"), "{headers:?}");
    }
}

#[test]
fn the_policy_says_what_else_stays_here_and_what_goes_on() {
    let w = World::with(|policy| {
        policy["requestHeaders"] = json!({"remove": ["X-Debug", "forwarded"], "keep": ["SCRIPT_NAME"]});
    });
    let sent = [
        ("x-debug", ""),
        ("x_debug", ""),
        ("forwarded", ""),
        ("x-debugs", "1"),
        ("script_name", "1"),
        // Whoever may set the name that is kept need not know the others.
        ("script-name", ""),
        ("script.name", ""),
        ("path-info", ""),
    ];
    let answer = w.ask(&sent.iter().fold(Ask::get("/health"), |ask, (name, _)| ask.header(name, "1")));
    for (name, expected) in sent {
        assert_eq!(answer.upstream(name), expected, "{name}");
    }
}

#[test]
fn what_a_proxy_vouches_for_has_one_name() {
    let w = World::new();
    let names = [
        "content-length",
        "transfer-encoding",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-client-cert",
    ];
    for (n, name) in names.into_iter().enumerate() {
        let ask = Ask::get("/health").from(&format!("10.0.0.{n}")).header(name, "1");
        let others = [name.replace('-', "_"), name.replace('-', ".")];
        let answer = w.ask(&others.iter().fold(ask, |ask, other| ask.header(other, "2")));
        assert_eq!(answer.upstream(name), "1");
        assert_eq!(others.map(|other| answer.upstream(&other)), [""; 2]);
    }
}

#[test]
fn options_of_the_connection_name_no_header() {
    let w = World::new();
    for (n, (lines, expected)) in [
        (&["Upgrade"][..], "Upgrade"),
        (&["upgrade, x-portcullis-subject"], "upgrade"),
        (&["keep-alive, x_portcullis.subject", "x-other"], "keep-alive"),
        (&["x-portcullis-subject"], ""),
    ]
    .into_iter()
    .enumerate()
    {
        let ask = Ask::get("/keys").key(READER).from(&format!("10.0.0.{n}"));
        let answer = w.ask(&lines.iter().fold(ask, |ask, line| ask.header("connection", line)));
        assert_eq!(answer.upstream("connection"), expected, "{lines:?}");
        assert_eq!(answer.upstream("x-portcullis-subject"), "reader");
    }
}

#[test]
fn trailers_lose_what_headers_lose() {
    let w =
        World::with(|policy| policy["requestHeaders"] = json!({"remove": ["x-debug"], "keep": ["proxy"]}));
    for (name, stays_here) in [
        ("x-portcullis-roles", true),
        ("X_Portcullis.Roles", true),
        ("x-auth-email", true),
        ("authorization", true),
        ("x~api~key", true),
        // Its provider forwards what it has verified.
        ("x-partner-token", true),
        ("dpop", true),
        ("cookie", true),
        ("x-debug", true),
        ("x-http-method-override", true),
        ("script_name", true),
        // Kept and vouched for in headers alone.
        ("proxy", true),
        ("x-forwarded-for", true),
        ("content-length", true),
        ("connection", true),
        ("grpc-status", false),
        ("x-checksum", false),
        ("x-portcullis-role", false),
        ("", false),
    ] {
        assert_eq!(w.worker.guards_trailer(name.as_bytes()), stays_here, "{name}");
    }
}

#[test]
fn claims_cannot_break_out_of_a_header() {
    let w = World::new();
    let why = |why: &str| json!([format!("x-auth-email: the claim {why}")]);
    let rows = [
        (json!("a@b"), "a@b", Value::Null),
        (json!("a b"), "a b", Value::Null),
        (json!("a\r\nx-admin: 1"), "", why("holds control characters")),
        (json!("a\u{0}"), "", why("holds control characters")),
        (json!("caf\u{e9} 5%"), "caf%C3%A9 5%25", Value::Null),
        (json!(" a"), "%20a", Value::Null),
        (json!(["a", "b"]), "a,b", Value::Null),
        (json!(["a", "b,c"]), "a,b%2Cc", Value::Null),
        (json!(["a", null]), "", why("is a list of more than texts, numbers and booleans")),
        (json!({"a": 1}), "", why("is an object")),
        (json!(null), "", Value::Null),
        (json!(""), "", Value::Null),
        (json!("a".repeat(4096)), &"a".repeat(4096), Value::Null),
        (json!("a".repeat(4097)), "", why("is longer than 4096 bytes")),
    ];
    for (n, (value, expected, unsent)) in rows.into_iter().enumerate() {
        let ask = w.bearer(Ask::get("/tokens"), |claims| claims["email"] = value.clone());
        let answer = w.ask(&ask.from(&format!("10.0.0.{n}")).header("x-auth-email", "evil"));
        assert_eq!(answer.upstream("x-auth-email"), expected, "{value}");
        assert_eq!(answer.recorded("unsent"), unsent, "{value}");
        assert!(answer.record.is_some_and(|record| !record.contains("x-admin")), "a reason, never the value");
    }
    // Names: what cannot be meant is refused, the rest is escaped.
    let named = |sub: &str, role: &str| {
        w.ask(&w.bearer(Ask::get("/tokens").from("10.0.1.1"), |claims| {
            (claims["sub"], claims["roles"]) = (sub.into(), json!([role]));
        }))
    };
    assert_eq!(named("a\r\nx-admin: 1", "r").reason, Some(Reason::TokenClaims));
    let answer = named("caf\u{e9} 5%", "\u{e9},admin");
    assert_eq!(answer.upstream("x-portcullis-subject"), "caf%C3%A9 5%25");
    assert_eq!(answer.upstream("x-portcullis-roles"), "%C3%A9%2Cadmin");
    let answer = named("a", "a\r\nx-admin: 1");
    assert!(answer.upstream.map_or(true, |headers| headers.iter().all(|(_, value)| !value.contains('\n'))));
}

#[test]
fn the_upstream_sees_the_path_that_was_decided_on() {
    let w = World::new();
    for (n, (sent, seen)) in [
        ("/orders/7?a=b", "/orders/7?a=b"),
        ("/orders/%37", "/orders/7"),
        ("/health/../orders/7?a=%37", "/orders/7?a=%37"),
        ("//orders//7", "/orders/7"),
        ("/./orders/a%20b", "/orders/a%20b"),
        ("/orders/%c3%a9", "/orders/%C3%A9"),
        ("/orders/?", "/orders/?"),
        ("/orders/.?", "/orders/"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = w.ask(&Ask::get(sent).key(READER).from(&format!("10.0.0.{n}")));
        assert_eq!(answer.upstream(":path"), seen, "{sent}");
    }
}

/// Two filters of a chain that share a mark share one interlock, and the second is not missed.
#[test]
fn the_mark_has_the_name_of_the_filter_or_of_the_policy() {
    for (interlock, filter, expected) in [
        (json!(true), &b"portcullis"[..], Some(&b"portcullis"[..])),
        (json!(true), b"edge", Some(b"edge")),
        (json!(true), b"", Some(b"portcullis")),
        // Whatever Envoy takes for a name: no two names have one mark.
        (json!(true), b"team-a.edge", Some(b"team-a.edge")),
        (json!(true), b"edge\0", Some(b"edge\0")),
        (json!(true), &[b'n'; 5000], Some(&[b'n'; 5000])),
        (json!({"mark": "tenants"}), b"edge", Some(b"tenants")),
        (json!({"mark": "tenants"}), b"", Some(b"tenants")),
        (json!(false), b"edge", None),
        (json!(false), b"", None),
    ] {
        let policy = json!({
            "interlock": interlock,
            "rules": [{"name": "open", "authenticate": {"anonymous": true}}],
        });
        let policy = Policy::compile(policy.to_string().as_bytes(), "n").unwrap();
        assert_eq!(policy.mark(filter).as_deref(), expected, "{interlock} {filter:?}");
    }
    let policy = br#"{"rules": [{"name": "open", "authenticate": {"anonymous": true}}]}"#;
    assert_eq!(Policy::compile(policy, "n").unwrap().mark(b"edge").as_deref(), Some(&b"edge"[..]));
}
