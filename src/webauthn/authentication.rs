//! An assertion, verified (WebAuthn section 7.2).
//!
//! Whether the challenge was ours, is fresh and new, and what the assertion may be used for, is for the caller to know.

use std::fmt;

use super::{
    authenticator_data::{AuthenticatorData, AuthenticatorDataFault},
    client_data::Ceremony,
    context::{ContextFault, UserVerification, check_client_data, check_flags, check_rp_id},
    cose_key::{CoseKey, CoseKeyFault},
    relying_party::{CounterPolicy, RelyingParty},
    response::AuthenticationResponse,
};
use crate::crypto::HostCrypto;

/// What was asked for when the ceremony began.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedAuthentication<'a> {
    /// The challenge.
    pub challenge: &'a [u8],
    /// Whether the user must be verified.
    pub user_verification: UserVerification,
    /// The handle of the user who was known before; `None`: the credential is to say who it is.
    pub user_handle: Option<&'a [u8]>,
    /// The ids of the credentials that the client could choose from; empty: any.
    pub allowed: &'a [&'a [u8]],
}

/// A credential as it is stored (section 4, credential record).
#[derive(Clone, Copy, Debug)]
pub struct StoredCredential<'a> {
    /// Its id.
    pub id: &'a [u8],
    /// Its public key, as [`super::NewCredential`] has it.
    pub public_key: &'a [u8],
    /// The handle of the user whose it is.
    pub user_handle: &'a [u8],
    /// The signature counter.
    pub counter: u32,
    /// `uvInitialized`: the user was verified when it was made, or another factor has confirmed it since.
    pub user_verified: bool,
    /// Whether it may be copied to other devices; `None`: not known, as of credentials that come from elsewhere, so what
    /// the next assertion says is believed.
    pub backup_eligible: Option<bool>,
}

/// What an assertion proves, and what is to be stored of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// The user was verified, and that counts as a factor. False for a credential that was made without: the first
    /// verification by it is nobody's that is known (section 4, `uvInitialized`).
    pub user_verified: bool,
    /// The counter to be stored: the highest that was seen.
    pub counter: u32,
    /// The counter did not go up: to be reported. False throughout where the authenticator does not count.
    pub counter_went_back: bool,
    /// Whether the credential may be copied to other devices.
    pub backup_eligible: bool,
    /// Whether there are copies, now.
    pub backed_up: bool,
}

/// Why an assertion was refused. None of it is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationFault {
    /// The authenticator data.
    AuthenticatorData(AuthenticatorDataFault),
    /// The authenticator data hold a new credential, which those of an assertion never do (section 6.1).
    AttestedCredential,
    /// Whether the credential may be copied is not what it was.
    BackupEligibility,
    /// Made elsewhere, or otherwise, than asked.
    Context(ContextFault),
    /// The signature counter did not go up.
    Counter {
        /// That of the assertion.
        sent: u32,
        /// That of the credential.
        stored: u32,
    },
    /// A credential that was not asked for.
    Credential,
    /// The stored public key.
    Key(CoseKeyFault),
    /// The signature does not verify.
    Signature,
    /// Another user's.
    User,
    /// It does not say whose it is, and nobody knows.
    UserUnknown,
    /// The user had to be verified and was, but for the first time by this credential, so it proves nothing.
    UserVerificationNew,
}

/// Verifies an assertion by `credential`, in the order of section 7.2.
pub fn verify(
    response: &AuthenticationResponse,
    credential: &StoredCredential<'_>,
    relying_party: &RelyingParty,
    expected: &ExpectedAuthentication<'_>,
    host: &dyn HostCrypto,
) -> Result<Assertion, AuthenticationFault> {
    // Step 5; and the stored credential is the one that is named.
    let id = response.credential_id.as_slice();
    if id != credential.id || !(expected.allowed.is_empty() || expected.allowed.contains(&id)) {
        return Err(AuthenticationFault::Credential);
    }
    // Step 6.
    let said = response.user_handle.as_deref();
    if expected.user_handle.or(said).ok_or(AuthenticationFault::UserUnknown)? != credential.user_handle
        || said.is_some_and(|said| said != credential.user_handle)
    {
        return Err(AuthenticationFault::User);
    }
    let client_data = &response.client_data;
    // Steps 10 to 14. Steps 8 and 9 were done when the response was read, and so was 20.
    check_client_data(client_data, relying_party, Ceremony::Authentication, expected.challenge)?;
    let data = AuthenticatorData::read(&response.authenticator_data)
        .map_err(AuthenticationFault::AuthenticatorData)?;
    // Step 15.
    check_rp_id(data.rp_id_hash, relying_party)?;
    // Steps 16 to 18.
    check_flags(data.flags, false, expected.user_verification)?;
    if data.attested_credential.is_some() {
        return Err(AuthenticationFault::AttestedCredential);
    }
    // Section 4, `uvInitialized`: where it is false, UV "MUST NOT be relied upon as an authentication factor".
    if expected.user_verification == UserVerification::Required && !credential.user_verified {
        return Err(AuthenticationFault::UserVerificationNew);
    }
    // Step 19.
    let backup_eligible = data.flags.backup_eligible();
    if credential.backup_eligible.is_some_and(|stored| stored != backup_eligible) {
        return Err(AuthenticationFault::BackupEligibility);
    }
    // Step 21.
    let key = CoseKey::read(credential.public_key).map_err(AuthenticationFault::Key)?;
    let signed = [response.authenticator_data.as_slice(), &client_data.hash].concat();
    if !key.verify(&signed, &response.signature, host) {
        return Err(AuthenticationFault::Signature);
    }
    // Step 22.
    let (sent, stored) = (data.sign_count, credential.counter);
    let counter_went_back = sent <= stored && (sent, stored) != (0, 0);
    if counter_went_back && relying_party.spec().counter == CounterPolicy::Refuse {
        return Err(AuthenticationFault::Counter { sent, stored });
    }
    // Step 24. Two assertions may arrive in another order than they were made in, so the counter never goes down.
    Ok(Assertion {
        user_verified: data.flags.user_verified() && credential.user_verified,
        counter: sent.max(stored),
        counter_went_back,
        backup_eligible,
        backed_up: data.flags.backed_up(),
    })
}

impl From<ContextFault> for AuthenticationFault {
    fn from(fault: ContextFault) -> Self {
        Self::Context(fault)
    }
}

impl fmt::Display for AuthenticationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthenticatorData(fault) => write!(f, "authenticator data: {fault}"),
            Self::AttestedCredential => f.write_str("authenticator data with a new credential"),
            Self::BackupEligibility => {
                f.write_str("whether the credential may be copied is not what it was when it was registered")
            }
            Self::Context(fault) => fault.fmt(f),
            Self::Counter { sent, stored } => {
                write!(f, "the signature counter is {sent} after {stored}, so there may be a copy")
            }
            Self::Credential => f.write_str("a credential that was not asked for"),
            Self::Key(fault) => write!(f, "stored public key: {fault}"),
            Self::Signature => f.write_str("the signature does not verify"),
            Self::User => f.write_str("another user's credential"),
            Self::UserUnknown => f.write_str("no user handle, and the user was not known before"),
            Self::UserVerificationNew => f.write_str(
                "the user is verified for the first time by this credential, which proves nothing",
            ),
        }
    }
}
