//! Passkeys: public key credentials as WebAuthn Level 3 has them, registered and used.
//!
//! A client is asked by options ([`CreationOptions`], [`RequestOptions`]), answers with a response, and a response is
//! verified against what was asked: [`registration::verify`] gives a credential to store, [`authentication::verify`] says
//! what an assertion by a stored one proves. Nothing is stored or looked up here, and whether a challenge is fresh, and
//! ours, is for the caller to know.

pub mod attestation;
pub mod authentication;
pub mod authenticator_data;
pub mod cbor;
pub mod client_data;
mod context;
pub mod cose_key;
mod options;
pub mod registration;
mod relying_party;
mod response;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests;

pub use self::{
    attestation::{AttestationType, OtherAttestation},
    authentication::{Assertion, AuthenticationFault, ExpectedAuthentication, StoredCredential},
    context::{ContextFault, UserVerification},
    cose_key::ALGORITHMS,
    options::{CreationOptions, Descriptor, MAX_DESCRIPTORS, RequestOptions, ResidentKey},
    registration::{ExpectedRegistration, NewCredential, RegistrationFault},
    relying_party::{CounterPolicy, Origin, RelyingParty, RelyingPartySpec},
    response::{AuthenticationResponse, MAX_RESPONSE_LEN, RegistrationResponse, ResponseFault},
};
