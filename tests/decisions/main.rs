//! The whole core by scenario: a policy, requests, and what becomes of each; on virtual time and a store in memory.
//!
//! Tokens are made by `jsonwebtoken` over `ring`, never by the library that checks them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "test code may panic"
)]

mod answers;
mod audiences;
mod bindings;
mod both;
mod bound_sessions;
mod document;
mod end_streams;
mod evaluator;
mod forwarding;
mod key_usage;
mod limits;
mod opaque;
mod passkeys;
mod properties;
mod raw_tokens;
mod readings;
mod readings_evaluator;
mod reasons;
mod records;
mod remote_keys;
mod revocation;
mod secrets;
mod sessions;
mod shadow;
mod shadow_confirmations;
mod shadow_rules;
mod shared_places;
mod signatures;
mod spellings;
mod statements;
mod stored_revocations;
mod tenants;
mod token_cache;
mod token_limits;
mod unseen_shadows;
mod waiting;
mod web_sockets;
mod webhooks;
mod world;
