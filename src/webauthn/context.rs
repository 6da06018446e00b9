//! The contextual bindings of a response (WebAuthn section 6): for which ceremony it was made, at which page, for whom, and
//! whether the user was there. Both ceremonies ask for the same.

use std::fmt;

use super::{
    authenticator_data::Flags,
    client_data::{Ceremony, ClientData},
    relying_party::RelyingParty,
};
use crate::crypto::constant_time_eq;

/// Whether the authenticator must have verified the user (section 5.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserVerification {
    /// It must.
    Required,
    /// The client is asked to have it done where it can be done; what came of it is said.
    Preferred,
}

/// What a response is not bound to, and must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextFault {
    /// BS without BE: an authenticator that contradicts itself.
    BackupState,
    /// Another ceremony.
    Ceremony,
    /// Another challenge.
    Challenge,
    /// A frame of another origin's page, and there may be none.
    CrossOrigin,
    /// An origin that is not listed.
    Origin,
    /// Another relying party.
    RpId,
    /// A frame of a page whose origin is not listed.
    TopOrigin,
    /// Nobody was there.
    UserPresence,
    /// The user was not verified.
    UserVerification,
}

impl UserVerification {
    /// As options say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Preferred => "preferred",
        }
    }
}

/// Section 7.1 steps 7 to 11, section 7.2 steps 10 to 14.
pub fn check_client_data(
    client_data: &ClientData,
    relying_party: &RelyingParty,
    ceremony: Ceremony,
    challenge: &[u8],
) -> Result<(), ContextFault> {
    // 7.1 step 7, 7.2 step 10.
    if client_data.ceremony != Some(ceremony) {
        return Err(ContextFault::Ceremony);
    }
    // 7.1 step 8, 7.2 step 11. Its text has one form, so that bytes can be compared.
    if !constant_time_eq(&client_data.challenge, challenge) {
        return Err(ContextFault::Challenge);
    }
    // 7.1 step 9, 7.2 step 12.
    if !relying_party.takes_origin(&client_data.origin) {
        return Err(ContextFault::Origin);
    }
    // 7.1 step 10, 7.2 step 13, and the first half of the next one. Clients from before Level 3 do not say whose page it
    // is that has the frame.
    if (client_data.cross_origin || client_data.top_origin.is_some()) && !relying_party.takes_frames() {
        return Err(ContextFault::CrossOrigin);
    }
    // 7.1 step 11, 7.2 step 14.
    match &client_data.top_origin {
        Some(origin) if !relying_party.takes_top_origin(origin) => Err(ContextFault::TopOrigin),
        _ => Ok(()),
    }
}

/// Section 7.1 step 14, section 7.2 step 15.
pub fn check_rp_id(rp_id_hash: &[u8; 32], relying_party: &RelyingParty) -> Result<(), ContextFault> {
    if rp_id_hash == relying_party.id_hash() { Ok(()) } else { Err(ContextFault::RpId) }
}

/// Section 7.1 steps 15 to 17, section 7.2 steps 16 to 18. `may_be_absent`: nobody need have been there.
pub fn check_flags(
    flags: Flags,
    may_be_absent: bool,
    user_verification: UserVerification,
) -> Result<(), ContextFault> {
    // 7.1 step 15, 7.2 step 16.
    if !flags.user_present() && !may_be_absent {
        return Err(ContextFault::UserPresence);
    }
    // 7.1 step 16, 7.2 step 17.
    if !flags.user_verified() && user_verification == UserVerification::Required {
        return Err(ContextFault::UserVerification);
    }
    // 7.1 step 17, 7.2 step 18.
    if flags.backed_up() && !flags.backup_eligible() {
        return Err(ContextFault::BackupState);
    }
    Ok(())
}

impl fmt::Display for ContextFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BackupState => "said to be backed up, and not to be eligible for that",
            Self::Ceremony => "made for another ceremony",
            Self::Challenge => "made for another challenge",
            Self::CrossOrigin => "made in a frame of another origin's page",
            Self::Origin => "made at an origin that is not listed",
            Self::RpId => "made for another relying party",
            Self::TopOrigin => "made in a frame of a page whose origin is not listed",
            Self::UserPresence => "made without the user being there",
            Self::UserVerification => "made without the user being verified",
        })
    }
}
