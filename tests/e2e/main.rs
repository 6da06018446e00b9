//! The filter as it is used: the built module in a real Envoy, asked over real connections.
//!
//! Run by `make test`, which builds the module, gets Envoy and says where both are.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a step of the harness that fails is a test that fails"
)]

mod harness;

mod access_log;
mod api_keys;
mod archive;
mod authorization;
mod bad_policies;
mod bodies;
mod both_credentials;
mod browser_login;
mod cases;
mod chains;
mod client_certificates;
mod compose;
mod conditions;
mod credential_places;
mod decision_records;
mod defaults;
mod demo;
mod diff_witnesses;
mod discovery;
mod documentation;
mod dpop;
mod end_streams;
mod failures;
mod forwarding;
mod http3;
mod introspection;
mod kept_paths;
mod key_life;
mod key_rotation;
mod key_server_faults;
mod key_usage;
mod limit_clients;
mod limit_updates;
mod load;
mod loading;
mod manifests;
mod many_keys;
mod message_signatures;
mod migration;
mod minimal_certificates;
mod minimal_config;
mod observability;
mod observed;
mod oci;
mod offline;
mod optional_credentials;
mod passkeys;
mod passkeys_browser;
mod paths;
mod policy_schema;
mod policy_updates;
mod policy_updates_under_load;
mod preflights;
mod provider_documents;
mod rate_limits;
mod raw_tokens;
mod real_tokens;
mod recipes;
mod remote_keys;
mod request_metrics;
mod resource_metadata;
mod revocation;
mod secrets;
mod sessions;
mod shadow;
mod shared_places;
mod shared_state;
mod shipped_configs;
mod signed_identity;
mod site;
mod spellings;
mod step_up;
mod stored_keys;
mod stored_keys_access;
mod stored_keys_faults;
mod stored_keys_load;
mod stored_keys_members;
mod stored_revocations;
mod tables;
mod tls_scan;
mod tokens;
mod trailers;
mod transport;
mod upgrades;
mod web_sockets;
