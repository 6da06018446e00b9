//! Whole ceremonies: what passes, each beside the nearest that must not.

mod authentication;
pub(super) mod authenticator;
mod browser;
mod properties;
mod registration;
mod second_client;
mod vectors;
