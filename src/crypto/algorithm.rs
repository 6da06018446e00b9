//! The signature algorithms of JOSE and the keys that they take.

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037, RFC 8812, RFC 9864).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the registered ones")]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es256k,
    /// `EdDSA` over Ed25519, also by its newer name `Ed25519`.
    EdDsa,
}

/// What kind of key an algorithm takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as the registered key types and curves are")]
pub enum KeyType {
    Octets,
    Rsa,
    P256,
    P384,
    Secp256k1,
    Ed25519,
}

impl Algorithm {
    /// Every algorithm: three with shared secrets, and those with public keys.
    pub const ALL: [Self; 13] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es256k,
        Self::EdDsa,
    ];

    /// Those with shared secrets.
    pub const SHARED: &[Self] = Self::ALL.split_at(3).0;

    /// Those with public keys.
    pub const PUBLIC: &[Self] = Self::ALL.split_at(3).1;

    /// The algorithm called `name`; letter case counts (RFC 7515 section 4.1.1). `None` for `none`, as for all
    /// that is unknown.
    pub fn from_name(name: &str) -> Option<Self> {
        let by_first = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        by_first.or_else(|| Self::ALL.into_iter().find(|algorithm| algorithm.other_name() == Some(name)))
    }

    /// The names of `algorithms`, all that each has; `N` is how many they are.
    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "worked out by the compiler"
    )]
    pub const fn names<const N: usize>(algorithms: &[Self]) -> [&'static str; N] {
        let mut names = [""; N];
        let (mut from, mut to) = (0, 0);
        while from < algorithms.len() {
            names[to] = algorithms[from].name();
            to += 1;
            if let Some(name) = algorithms[from].other_name() {
                names[to] = name;
                to += 1;
            }
            from += 1;
        }
        assert!(to == N, "every name has its place");
        names
    }

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es256k => "ES256K",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Another registered name of the same; `None`: it has but one.
    pub const fn other_name(self) -> Option<&'static str> {
        match self {
            // RFC 9864 section 2.2.
            Self::EdDsa => Some("Ed25519"),
            _ => None,
        }
    }

    /// The keys that it takes.
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => KeyType::Octets,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => KeyType::Rsa,
            Self::Es256 => KeyType::P256,
            Self::Es384 => KeyType::P384,
            Self::Es256k => KeyType::Secp256k1,
            Self::EdDsa => KeyType::Ed25519,
        }
    }

    /// Whether signer and verifier share one secret.
    pub const fn is_symmetric(self) -> bool {
        matches!(self.key_type(), KeyType::Octets)
    }

    /// The least length of a symmetric key in bytes: that of the hash (RFC 7518 section 3.2). `None` for an
    /// algorithm with public keys.
    pub const fn least_secret_len(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_name(&algorithm.name().to_lowercase()), None);
        }
        assert!(Algorithm::SHARED.iter().all(|algorithm| algorithm.is_symmetric()));
        assert!(!Algorithm::PUBLIC.iter().any(|algorithm| algorithm.is_symmetric()));
        assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDsa));
        assert_eq!(Algorithm::names(&[Algorithm::EdDsa, Algorithm::Es256]), ["EdDSA", "Ed25519", "ES256"]);
        for unknown in ["none", "None", "nOnE", "NONE", "", "RS256 ", "RS1", "ES512", "Ed448", "HS256\0"] {
            assert_eq!(Algorithm::from_name(unknown), None, "{unknown:?}");
        }
    }
}
