//! How to ask an issuer about a token (RFC 7662), as configured.

use std::{fmt, time::Duration};

use crate::{crypto::SigningKey, url::Url};

/// An issuer's introspection endpoint and how we use it.
#[derive(Clone, Debug)]
pub struct IntrospectionSpec {
    /// An `https` URL.
    pub endpoint: Url,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// Our name there.
    pub client_id: String,
    /// How we prove it.
    pub proof: ClientProof,
    /// Which tokens it is asked about. Default [`IntrospectionMode::Opaque`].
    pub mode: IntrospectionMode,
    /// How long an active token counts as such, at most until its `exp`. Default 60 s; zero: asked each time.
    pub cache_duration: Duration,
    /// How long a refused token stays refused. Default 10 s; zero: asked each time.
    pub inactive_cache_duration: Duration,
    /// Per call. Default 3 s.
    pub timeout: Duration,
    /// `token_type_hint`. Default `access_token`.
    pub token_type_hint: String,
}

/// Which tokens the issuer is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntrospectionMode {
    /// Every token, also JWTs that verify here: what the issuer revokes is refused as soon as
    /// [`IntrospectionSpec::cache_duration`] ends.
    Always,
    /// Those that are not JWTs of an issuer whose keys are known.
    Opaque,
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub enum ClientProof {
    /// A JWT of its own (`private_key_jwt`, RFC 7523 section 2.2).
    PrivateKeyJwt {
        /// Its key.
        key: SigningKey,
        /// `kid` of the JWT; `None`: it has none.
        kid: Option<String>,
        /// `aud` of the JWT; `None`: the provider's issuer.
        audience: Option<String>,
    },
    /// A password by HTTP Basic (`client_secret_basic`, RFC 6749 section 2.3.1).
    Secret(ClientSecret),
}

/// A client's password. Its `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(pub String);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecret").finish_non_exhaustive()
    }
}
