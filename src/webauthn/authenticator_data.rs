//! Authenticator data (WebAuthn section 6.1): what the authenticator says of the ceremony, and of a new credential. It is
//! what is signed, together with the hash of the client data.

use std::fmt;

use super::cbor::{Cbor, CborFault, Key};

/// The longest credential id, in bytes (section 7.1 step 25).
pub const MAX_CREDENTIAL_ID_LEN: usize = 1023;

/// Authenticator data, taken apart to their last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatorData<'a> {
    /// `rpIdHash`.
    pub rp_id_hash: &'a [u8; 32],
    /// `flags`.
    pub flags: Flags,
    /// `signCount`; zero throughout: the authenticator does not count.
    pub sign_count: u32,
    /// `attestedCredentialData`; `None`: without the flag AT.
    pub attested_credential: Option<AttestedCredential<'a>>,
}

/// A credential that was just made (section 6.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttestedCredential<'a> {
    /// The model of the authenticator, as far as it says so; all zeros: it does not.
    pub aaguid: [u8; 16],
    /// 1 to 1023 bytes.
    pub id: &'a [u8],
    /// The COSE key: exactly one CBOR item, without the extensions that may follow it.
    pub public_key: &'a [u8],
}

/// The flags that mean something here. Those that are reserved for future use are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

/// Why bytes are no authenticator data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticatorDataFault {
    /// A credential id that is empty or longer than 1023 bytes.
    CredentialIdLength,
    /// Extensions that are no CBOR map with texts as keys.
    Extensions,
    /// CBOR of the extensions.
    ExtensionsCbor(CborFault),
    /// CBOR of the public key.
    PublicKeyCbor(CborFault),
    /// More bytes than the flags announce.
    TrailingBytes,
    /// Fewer bytes than the flags announce.
    Truncated,
}

impl Flags {
    /// UP: somebody was there.
    pub fn user_present(self) -> bool {
        self.has(0)
    }

    /// UV: the user was verified, by a finger, a face or a PIN.
    pub fn user_verified(self) -> bool {
        self.has(2)
    }

    /// BE: the credential may be copied to other devices. Never changes.
    pub fn backup_eligible(self) -> bool {
        self.has(3)
    }

    /// BS: there are copies.
    pub fn backed_up(self) -> bool {
        self.has(4)
    }

    fn attested_credential(self) -> bool {
        self.has(6)
    }

    fn extensions(self) -> bool {
        self.has(7)
    }

    fn has(self, bit: u8) -> bool {
        self.0 & (1 << bit) != 0
    }
}

impl<'a> AuthenticatorData<'a> {
    /// Takes authenticator data apart. The flags say what is there, and there must be no more and no less.
    pub fn read(bytes: &'a [u8]) -> Result<Self, AuthenticatorDataFault> {
        const TRUNCATED: AuthenticatorDataFault = AuthenticatorDataFault::Truncated;
        let (rp_id_hash, rest) = bytes.split_first_chunk().ok_or(TRUNCATED)?;
        let ([flags], rest) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        let (sign_count, mut rest) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        let flags = Flags(*flags);
        let mut attested_credential = None;
        if flags.attested_credential() {
            let (credential, after) = AttestedCredential::read_first(rest)?;
            (attested_credential, rest) = (Some(credential), after);
        }
        // What extensions say is not asked for, and may be ignored (section 7.1 step 28, section 7.2 step 23). They are
        // read to know where they end.
        if flags.extensions() {
            let (extensions, after) =
                Cbor::read_first(rest).map_err(AuthenticatorDataFault::ExtensionsCbor)?;
            let names = extensions.into_map().ok_or(AuthenticatorDataFault::Extensions)?;
            if !names.keys().all(|key| matches!(key, Key::Text(_))) {
                return Err(AuthenticatorDataFault::Extensions);
            }
            rest = after;
        }
        match rest {
            [] => {
                let sign_count = u32::from_be_bytes(*sign_count);
                Ok(Self { rp_id_hash, flags, sign_count, attested_credential })
            }
            _ => Err(AuthenticatorDataFault::TrailingBytes),
        }
    }
}

impl<'a> AttestedCredential<'a> {
    fn read_first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), AuthenticatorDataFault> {
        const TRUNCATED: AuthenticatorDataFault = AuthenticatorDataFault::Truncated;
        let (aaguid, rest) = bytes.split_first_chunk().ok_or(TRUNCATED)?;
        let (len, rest) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        let len = usize::from(u16::from_be_bytes(*len));
        // Section 7.1 step 25; and an empty one would find nothing.
        if !(1..=MAX_CREDENTIAL_ID_LEN).contains(&len) {
            return Err(AuthenticatorDataFault::CredentialIdLength);
        }
        let (id, key_and_rest) = rest.split_at_checked(len).ok_or(TRUNCATED)?;
        let (_, rest) = Cbor::read_first(key_and_rest).map_err(AuthenticatorDataFault::PublicKeyCbor)?;
        let public_key = key_and_rest.strip_suffix(rest).unwrap_or_default();
        Ok((Self { aaguid: *aaguid, id, public_key }, rest))
    }
}

impl fmt::Display for AuthenticatorDataFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CredentialIdLength => {
                write!(f, "a credential id that is not 1 to {MAX_CREDENTIAL_ID_LEN} bytes long")
            }
            Self::Extensions => f.write_str("extensions that are no map by name"),
            Self::ExtensionsCbor(fault) => write!(f, "extensions: {fault}"),
            Self::PublicKeyCbor(fault) => write!(f, "public key: {fault}"),
            Self::TrailingBytes => f.write_str("more bytes than its flags announce"),
            Self::Truncated => f.write_str("fewer bytes than its flags announce"),
        }
    }
}
