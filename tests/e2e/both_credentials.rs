//! Rules that take two credentials: that of an application, or of whoever else acts, and that of its user.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    envoy_config::ClientCertificates,
    gateway::{Wire, gateway},
    idp::until,
    issuer::{Token, token},
    policy::{api_key, api_key_entry, merge, provider, rule},
    request::{Request, get},
    table::{Pair, hold, pair},
    tls::{self, CLIENTS, IDENTITY, client_with},
};

const SUBJECT: &str = "x-portcullis-subject";
const ACTOR: &str = "x-portcullis-actor";

/// Applications by their keys, services by tokens in a header of their own, users by tokens where those commonly are.
pub(crate) fn policy() -> Value {
    let mut services = provider();
    merge(
        &mut services,
        json!({
            "name": "services", "issuer": SERVICES,
            "extractFrom": {"headers": [{"name": "x-service-token"}]},
            "claimToHeaders": [{"claim": "region", "header": "x-region"}],
            "forward": true,
        }),
    );
    let mut users = provider();
    merge(&mut users, json!({"claimToHeaders": [{"claim": "email", "header": "x-email"}]}));
    let app = |authorize: Value| {
        let mut members = json!({"authenticate": {"allOf": ["apiKey", {"jwt": "test"}]}});
        if !authorize.is_null() {
            merge(&mut members, json!({"authorize": authorize}));
        }
        members
    };
    let counted = |limit: &str| {
        let mut members = app(json!(null));
        merge(&mut members, json!({"rateLimits": [limit]}));
        members
    };
    let by = |part: Value| json!([part]);
    let limit = |name: &str, key: Value| json!({"name": name, "key": key, "limits": [{"requests": 2, "unit": "Hour"}]});
    json!({
        "jwt": {"providers": [users, services]},
        "apiKeys": {"keys": [
            api_key_entry("shop", json!({"roles": ["partner"], "scopes": ["orders:read"]})),
            api_key_entry("kiosk", json!({})),
            api_key_entry("old", json!({"expiresAt": "2020-01-01T00:00:00Z"})),
            api_key_entry("gone", json!({})),
        ]},
        "revocation": {"tokens": {"jti": ["revoked"], "apiKeys": ["gone"]}},
        "roles": [{"name": "partner"}, {"name": "editor"}],
        "rateLimits": [
            limit("per-application", by(json!("actor"))),
            limit("per-key", by(json!("apiKey"))),
            limit("per-user", by(json!("principal"))),
        ],
        "rules": [
            rule("both", "Exact", "/both", app(json!(null))),
            rule("editors", "Exact", "/editors", app(json!({"roles": ["editor"]}))),
            rule("partners", "Exact", "/partners", app(json!({"actor": {"roles": ["partner"]}}))),
            rule("not-partners", "Exact", "/others", app(json!({"actor": {"noneOf": [{"roles": ["partner"]}]}}))),
            rule("own", "PathTemplate", "/apps/{app}/users/{user}", app(json!({
                "owner": {"pathVariable": "user"}, "actor": {"owner": {"pathVariable": "app"}},
            }))),
            rule("services", "Exact", "/services", json!({
                "authenticate": {"allOf": [{"jwt": "services"}, {"jwt": "test"}]},
                "authorize": {"actor": {"claims": [{"claim": "region", "equals": "eu"}]}},
            })),
            rule("per-application", "Exact", "/per-application", counted("per-application")),
            rule("per-key", "Exact", "/per-key", counted("per-key")),
            rule("per-user", "Exact", "/per-user", counted("per-user")),
        ],
        "decisionLog": {"denied": "All", "allowed": true},
        "defaultAction": "Deny",
    })
}

const SERVICES: &str = "https://services.test";

fn by_app(path: &str, app: &str, user: &Token) -> Request {
    get(path).api_key(&api_key(app)).bearer(&user.sign())
}

fn table() -> Vec<Pair> {
    let alice = || token("alice");
    let service = |region: &str| token("billing").claim("iss", SERVICES).claim("region", region).sign();
    let of_service =
        |service: &str| get("/services").header("x-service-token", service).bearer(&alice().sign());
    let europe = service("eu");
    let expired = alice().claim("exp", 1_000_000);
    let revoked = alice().claim("jti", "revoked");
    let lacking = |path: &str| by_app(path, "kiosk", &alice().roles(&["partner"]));
    vec![
        pair(
            "both are good, or one is missing",
            by_app("/both", "shop", &alice()).header(ACTOR, "root"),
            get("/both").bearer(&alice().sign()),
            (401, "credentials_missing"),
        )
        .sees(SUBJECT, "alice")
        .sees(ACTOR, "shop")
        .sees("x-portcullis-kind", "jwt")
        .lacks("x-api-key")
        .lacks("authorization"),
        pair(
            "the other one is missing",
            by_app("/both", "kiosk", &alice()),
            get("/both").api_key(&api_key("shop")),
            (401, "credentials_missing"),
        )
        .sees(ACTOR, "kiosk"),
        pair(
            "the key is expired",
            by_app("/both", "shop", &alice()),
            by_app("/both", "old", &alice()),
            (401, "api_key_expired"),
        ),
        pair(
            "the key is revoked",
            by_app("/both", "shop", &alice()),
            by_app("/both", "gone", &alice()),
            (401, "api_key_invalid"),
        ),
        pair(
            "the token is expired",
            by_app("/both", "shop", &alice().claim("email", "a@example.com")),
            by_app("/both", "shop", &expired),
            (401, "token_expired"),
        )
        .sees("x-email", "a@example.com"),
        pair(
            "the token is revoked",
            by_app("/both", "shop", &alice().claim("jti", "good")),
            by_app("/both", "shop", &revoked),
            (401, "token_revoked"),
        ),
        pair(
            "roles are the principal's",
            by_app("/editors", "shop", &alice().roles(&["editor"])),
            by_app("/editors", "shop", &alice()),
            (403, "insufficient_role"),
        )
        .sees("x-portcullis-roles", "editor"),
        pair(
            "roles of the actor are not the principal's, nor the other way round",
            by_app("/partners", "shop", &alice()),
            lacking("/partners"),
            (403, "insufficient_role"),
        )
        .lacks("x-portcullis-roles"),
        pair(
            "whom the actor must not be",
            lacking("/others"),
            by_app("/others", "shop", &alice()),
            (403, "principal_excluded"),
        ),
        pair(
            "both own what they ask for",
            by_app("/apps/shop/users/alice", "shop", &alice()),
            by_app("/apps/kiosk/users/alice", "shop", &alice()),
            (403, "not_owner"),
        ),
        pair(
            "the user owns it, too",
            by_app("/apps/kiosk/users/alice", "kiosk", &alice()),
            by_app("/apps/kiosk/users/bob", "kiosk", &alice()),
            (403, "not_owner"),
        ),
        pair("two tokens", of_service(&europe), of_service(&service("us")), (403, "insufficient_claims"))
            .sees(SUBJECT, "alice")
            .sees(ACTOR, "billing")
            .sees("x-region", "eu")
            // What goes on is the service's alone.
            .sees("x-service-token", &europe)
            .lacks("authorization"),
        pair(
            "two tokens, one of which is in the place of the other",
            of_service(&europe),
            get("/services").header("x-service-token", alice().sign()).bearer(&europe),
            (401, "token_issuer"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn both_credentials_are_needed_and_each_counts_for_itself() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_count_by_either() {
    let gateway = gateway(&policy()).start().await;
    let users = ["alice", "bob", "carol"];
    for (path, apps, expected) in [
        ("/per-application", ["shop", "shop", "shop"], [200, 200, 429]),
        ("/per-application", ["kiosk", "kiosk", "shop"], [200, 200, 429]),
        ("/per-key", ["shop", "shop", "shop"], [200, 200, 429]),
        ("/per-key", ["kiosk", "shop", "kiosk"], [200, 429, 200]),
        ("/per-user", ["shop", "shop", "shop"], [200, 200, 200]),
        ("/per-user", ["kiosk", "kiosk", "kiosk"], [200, 200, 200]),
        ("/per-user", ["kiosk", "shop", "shop"], [429, 429, 429]),
    ] {
        let mut statuses = Vec::new();
        for (app, user) in apps.into_iter().zip(users) {
            statuses.push(gateway.send(&by_app(path, app, &token(user))).await.status);
        }
        assert_eq!(statuses, expected, "{path} {apps:?}");
    }
}

/// A client is told what it lacks, and operators who acted and which of the two was refused.
#[tokio::test(flavor = "multi_thread")]
async fn challenges_and_records_say_which_one() {
    const TOKEN: &str = "Bearer realm=\"portcullis\"";
    const KEY: &str = "ApiKey realm=\"portcullis\"";
    let gateway = gateway(&policy()).start().await;
    let alice = token("alice").roles(&["partner"]);
    let both =
        "\"actor\":\"kiosk\",\"actorKind\":\"api-key\",\"actorCredential\":\"kiosk\",\"principal\":\"alice\"";
    let of_actor = "\"reason\":\"insufficient_role\",\"missing\":[\"partner\"],\"party\":\"actor\"";
    let expired = alice.clone().claim("exp", 1_000_000);
    for (request, challenges, recorded) in [
        (get("/partners"), vec![TOKEN, KEY], "\"reason\":\"credentials_missing\",\"party\":\"actor\""),
        (
            get("/partners").bearer(&alice.sign()),
            vec![TOKEN, KEY],
            "\"credentials_missing\",\"party\":\"actor\"",
        ),
        (get("/partners").api_key(&api_key("shop")), vec![TOKEN, KEY], "\"credentials_missing\",\"rule\""),
        (by_app("/partners", "old", &alice), vec![KEY], "\"api_key_expired\",\"party\":\"actor\""),
        (by_app("/partners", "shop", &expired), vec![TOKEN], "\"actor\":\"shop\""),
        (by_app("/partners", "kiosk", &alice), vec![], of_actor),
        (by_app("/partners", "kiosk", &alice), vec![], both),
        (by_app("/both", "kiosk", &alice), vec![], both),
    ] {
        let before = gateway.log().len();
        let answer = gateway.send(&request).await;
        let told = answer.headers.iter().filter(|(name, _)| name == "www-authenticate");
        let told: Vec<&str> = told.map(|(_, value)| value.split(", ").next().unwrap()).collect();
        assert_eq!(told, challenges, "{answer:?}");
        until(Duration::from_secs(5), async || gateway.log()[before..].contains(recorded)).await;
    }
}

/// A service by its certificate, and its user by a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_may_act() {
    let policy = json!({
        "jwt": {"providers": [provider()]},
        "clientCertificates": {"principals": [{"uri": "spiffe://td/ns/*", "roles": ["mesh"]}]},
        "roles": [{"name": "mesh"}],
        "rules": [rule("both", "Exact", "/both", json!({
            "authenticate": {"allOf": ["clientCertificate", {"jwt": "test"}]},
            "authorize": {"actor": {"roles": ["mesh"]}},
        }))],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy).client_certificates(ClientCertificates::Optional).start().await;
    let with_token = || get("/both").bearer(&token("alice").sign());
    let named = |name: &str| client_with(&CLIENTS.identity(name));
    for (client, request, expected) in [
        (named("spiffe://td/ns/web"), with_token(), (200, None)),
        (named("spiffe://td/ns/web"), get("/both"), (401, Some("credentials_missing"))),
        (named("spiffe://other/ns/web"), with_token(), (403, Some("client_certificate_unknown"))),
        (
            tls::client(&IDENTITY.certificate, "http/1.1"),
            with_token(),
            (403, Some("client_certificate_missing")),
        ),
    ] {
        let answer = gateway.send_as(client, &request).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_deref()), expected, "{answer:?}");
        if expected.0 == 200 {
            assert_eq!(answer.seen().header(ACTOR), ["spiffe://td/ns/web"]);
            assert_eq!(answer.seen().header(SUBJECT), ["alice"]);
        }
    }
}
