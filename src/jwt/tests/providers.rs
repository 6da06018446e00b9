//! The blocks of `docs/providers.md` against what those providers publish.

use serde_json::{Value, json};

use super::super::*;
use crate::{calls::Outcome, config, policy::Policy, store::MemoryStore, time::Timestamp};

/// Every block of JSON: a whole policy, or one provider, which becomes one.
fn policies() -> Vec<Value> {
    let page = include_str!("../../../docs/providers.md");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .map(|block| {
            let block: Value = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
            if block.get("rules").is_some() {
                return block;
            }
            let method = json!({"jwt": block["name"]});
            json!({
                "jwt": {"providers": [block]},
                "rules": [{"name": "all", "authenticate": {"anyOf": [method]}}],
            })
        })
        .collect()
}

#[test]
fn every_block_compiles() {
    let policies = policies();
    assert_eq!(policies.len(), 9);
    for policy in policies {
        let compiled = Policy::compile(policy.to_string().as_bytes(), "test");
        let faults: Vec<String> =
            compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect();
        assert_eq!(faults, [""; 0], "{policy}");
    }
}

/// `issuer` and `jwks_uri` as published, and where the block then asks for document and keys.
#[test]
fn the_documents_of_providers_are_believed() {
    let table = [
        (
            "google",
            "https://accounts.google.com",
            "https://www.googleapis.com/oauth2/v3/certs",
            "google-accounts accounts.google.com/.well-known/openid-configuration",
            "googleapis www.googleapis.com/oauth2/v3/certs",
        ),
        (
            "entra",
            "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
            "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/discovery/v2.0/keys",
            "entra login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0/.well-known/openid-configuration",
            "entra login.microsoftonline.com/11111111-2222-3333-4444-555555555555/discovery/v2.0/keys",
        ),
        (
            "entra-v1",
            "https://sts.windows.net/11111111-2222-3333-4444-555555555555/",
            "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/discovery/keys",
            "entra login.microsoftonline.com/11111111-2222-3333-4444-555555555555/.well-known/openid-configuration",
            "entra login.microsoftonline.com/11111111-2222-3333-4444-555555555555/discovery/keys",
        ),
        (
            "entra-tenants",
            "https://login.microsoftonline.com/{tenantid}/v2.0",
            "https://login.microsoftonline.com/organizations/discovery/v2.0/keys",
            "entra login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration",
            "entra login.microsoftonline.com/organizations/discovery/v2.0/keys",
        ),
        (
            "auth0",
            "https://example.eu.auth0.com/",
            "https://example.eu.auth0.com/.well-known/jwks.json",
            "auth0 example.eu.auth0.com/.well-known/openid-configuration",
            "auth0 example.eu.auth0.com/.well-known/jwks.json",
        ),
        (
            "okta",
            "https://example.okta.com/oauth2/default",
            "https://example.okta.com/oauth2/default/v1/keys",
            "okta example.okta.com/oauth2/default/.well-known/openid-configuration",
            "okta example.okta.com/oauth2/default/v1/keys",
        ),
        (
            "keycloak",
            "https://id.example.com/realms/shop",
            "https://id.example.com/realms/shop/protocol/openid-connect/certs",
            "keycloak id.example.com/realms/shop/.well-known/openid-configuration",
            "keycloak id.example.com/realms/shop/protocol/openid-connect/certs",
        ),
        (
            "cognito",
            "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE",
            "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE/.well-known/jwks.json",
            "cognito cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE/.well-known/openid-configuration",
            "cognito cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE/.well-known/jwks.json",
        ),
    ];
    let documents: Vec<_> = policies()
        .into_iter()
        .flat_map(|policy| config::decode(policy.to_string().as_bytes()).expect("good").providers)
        .collect();
    let now = Timestamp::from_secs(1_800_000_000);
    for (name, issuer, jwks_uri, document, keys) in table {
        let spec = documents.iter().find(|provider| provider.jwt.name == name).expect("a block");
        let provider = Provider::compile(&spec.jwt).unwrap();
        let store = MemoryStore::default();
        let mut remote =
            RemoteKeys::new(provider.remote().unwrap(), provider.issuer().as_str(), name, "test");
        let next = |store: &MemoryStore, remote: &mut RemoteKeys| {
            let call = remote.tick(now, store, 0).unwrap();
            format!("{} {}{}", call.cluster, call.endpoint.authority, call.endpoint.path)
        };
        assert_eq!(next(&store, &mut remote), document);
        let body = json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string();
        let outcome = Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() };
        assert_eq!(remote.on_fetched(outcome, now, &store), Ok(vec![]), "{name}");
        assert_eq!(next(&store, &mut remote), keys);
    }
}
