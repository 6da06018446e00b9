//! One token issuer, ready to judge tokens.

use std::sync::Arc;

use super::{
    KeySource, ProviderSpec, RemoteJwks,
    claim_headers::{Unsendable, header_value},
    claims::{Validity, validate},
    compile,
    error::JwtError,
};
use crate::{
    crypto::HostCrypto,
    fault::Fault,
    identity::{ClaimPath, MAX_NAME_LEN, Principal, PrincipalKind},
    introspection::IntrospectionMode,
    jose::{CompactToken, KeySet, TokenError, without_media_type_prefix},
    json::{Json, Members, Object},
    time::Timestamp,
};

/// A token issuer with its keys or where to fetch them.
#[derive(Clone, Debug)]
pub struct Provider {
    spec: ProviderSpec,
    name: Arc<str>,
    keys: Option<KeySet>,
}

/// A token of which everything was verified; only [`Provider::verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    principal: Principal,
    validity: Validity,
}

/// Headers made of claims, each with the place of its entry in `claim_to_headers`.
#[derive(Clone, Debug, Default)]
pub struct ClaimHeaders {
    /// Their values.
    pub sent: Vec<(usize, String)>,
    /// Those that are not sent although their claim says something.
    pub unsent: Vec<(usize, Unsendable)>,
}

impl Provider {
    /// Checks `spec` and parses its keys. Every fault is reported, with its path within the provider.
    pub fn compile(spec: &ProviderSpec) -> Result<Self, Vec<Fault>> {
        let keys = compile::check(spec)?;
        Ok(Self { spec: spec.clone(), name: spec.name.as_str().into(), keys })
    }

    /// The name that rules refer to.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What `iss` must be.
    pub fn issuer(&self) -> &str {
        &self.spec.issuer
    }

    /// As configured.
    pub fn spec(&self) -> &ProviderSpec {
        &self.spec
    }

    /// The keys that the policy holds; `None` when they are fetched, or there are none.
    pub fn keys(&self) -> Option<&KeySet> {
        self.keys.as_ref()
    }

    /// Where the keys are fetched from; `None` when the policy holds them.
    pub fn remote(&self) -> Option<&RemoteJwks> {
        match &self.spec.keys {
            KeySource::Remote(remote) => Some(remote),
            KeySource::Inline(_) | KeySource::None | KeySource::Symmetric(_) => None,
        }
    }

    /// Whether tokens can be verified here at all.
    pub fn has_keys(&self) -> bool {
        !matches!(self.spec.keys, KeySource::None)
    }

    /// Whether the issuer is to be asked about a token. `is_own_jwt`: it is a JWT with this issuer, which is then
    /// verified here before where there are keys.
    pub fn introspects(&self, is_own_jwt: bool) -> bool {
        let verifiable = is_own_jwt && self.has_keys();
        let introspection = self.spec.introspection.as_ref();
        introspection.is_some_and(|spec| spec.mode == IntrospectionMode::Always || !verifiable)
    }

    /// Whether `token` is short enough, of an accepted `typ` (RFC 8725 section 3.11) and of an allowed algorithm.
    pub fn check_header(&self, token: &CompactToken<'_>) -> Result<(), JwtError> {
        if token.text().len() > self.spec.max_token_size {
            return Err(TokenError::TooLong { max: self.spec.max_token_size }.into());
        }
        if !self.accepts_type(token.typ()) {
            return Err(JwtError::Type);
        }
        let algorithm = token.algorithm();
        if !self.spec.algorithms.contains(&algorithm) {
            return Err(JwtError::AlgorithmNotAllowed { algorithm });
        }
        Ok(())
    }

    /// Whether issuer, audience and times hold at `now`. Says nothing about who made the claims.
    pub fn check_claims(&self, claims: Object<'_>, now: Timestamp) -> Result<Validity, JwtError> {
        validate(claims, &self.spec, now)
    }

    /// Whether a key of `keys` made the signature of `token`, with an algorithm that the provider allows. Says
    /// nothing about its claims.
    pub fn verify_signature(
        &self,
        token: &CompactToken<'_>,
        keys: &KeySet,
        host: &dyn HostCrypto,
    ) -> Result<(), JwtError> {
        self.check_header(token)?;
        Ok(keys.verify(token, host)?)
    }

    /// All checks, the cheap ones first: a token that could not pass anyway costs no signature and asks for no
    /// key. What those first checks read is unverified, so they can only refuse.
    pub fn verify(
        &self,
        token: CompactToken<'_>,
        keys: &KeySet,
        host: &dyn HostCrypto,
        now: Timestamp,
    ) -> Result<VerifiedToken, JwtError> {
        self.check_header(&token)?;
        let validity = self.check_claims(token.claims().object(), now)?;
        self.verify_signature(&token, keys, host)?;
        let principal = self.principal(token.into_claims())?;
        Ok(VerifiedToken { principal, validity })
    }

    /// Headers for the upstream, made of verified claims.
    pub fn claim_headers(&self, claims: Object<'_>) -> ClaimHeaders {
        let mut headers = ClaimHeaders::default();
        for (place, (path, _)) in self.spec.claim_to_headers.iter().enumerate() {
            match header_value(claims, path) {
                Ok(Some(value)) => headers.sent.push((place, value)),
                Ok(None) => {}
                Err(why) => headers.unsent.push((place, why)),
            }
        }
        headers
    }

    /// Whom verified `claims` speak of.
    pub fn principal(&self, claims: Members) -> Result<Principal, JwtError> {
        self.principal_named_by(&self.spec.subject_claim, claims)
    }

    /// Whom the answer to an introspection speaks of. RFC 7662 section 2.2 makes `sub` optional: where the policy
    /// names no other claim and `sub` is missing, it is `username`, and else `client_id`.
    pub(crate) fn introspected_principal(&self, claims: Members) -> Result<Principal, JwtError> {
        let configured = &self.spec.subject_claim;
        let by_default = *configured == ClaimPath::dotted("sub");
        let others = ["username", "client_id"].map(ClaimPath::dotted);
        let members = claims.object();
        let other = others.iter().filter(|_| by_default && !members.contains("sub"));
        let named_by = other.into_iter().find(|path| path.find(members).is_some()).unwrap_or(configured);
        self.principal_named_by(named_by, claims)
    }

    fn principal_named_by(&self, subject_path: &ClaimPath, claims: Members) -> Result<Principal, JwtError> {
        let members = claims.object();
        let subject = subject_path.find(members).ok_or_else(|| JwtError::missing(&dotted(subject_path)))?;
        let subject = name(subject).ok_or_else(|| JwtError::malformed(&dotted(subject_path)))?;
        let credential_id = match members.get("jti") {
            None | Some(Json::Null) => Box::default(),
            Some(jti) => name(jti).ok_or_else(|| JwtError::malformed("jti"))?,
        };
        let tier = match self.spec.tier_claim.as_ref().and_then(|path| Some((path, present(path, members)?)))
        {
            None => None,
            Some((path, tier)) => {
                Some(name_or_number(tier).ok_or_else(|| JwtError::malformed(&dotted(path)))?)
            }
        };
        let first = self.spec.scope_claims.iter().find_map(|path| Some((path, present(path, members)?)));
        let scopes = match first {
            None => Vec::new(),
            Some((path, value)) => scopes(value).ok_or_else(|| JwtError::malformed(&dotted(path)))?,
        };
        let mut roles = Vec::new();
        for path in &self.spec.role_claims {
            if let Some(value) = present(path, members) {
                roles.extend(strings(value).ok_or_else(|| JwtError::malformed(&dotted(path)))?);
            }
        }
        Ok(Principal {
            subject,
            kind: PrincipalKind::Jwt,
            authority: Arc::clone(&self.name),
            credential_id,
            scopes,
            roles,
            permissions: Vec::new(),
            tier,
            claims,
        })
    }

    fn accepts_type(&self, typ: Option<&str>) -> bool {
        let is = |typ: &str, accepted: &str| without_media_type_prefix(typ).eq_ignore_ascii_case(accepted);
        match (typ, self.spec.types.as_slice()) {
            // RFC 9068 section 4 for `at+jwt`; most providers still say `JWT`, or nothing.
            (None, types) => types.is_empty(),
            (Some(typ), []) => is(typ, "jwt") || is(typ, "at+jwt"),
            (Some(typ), types) => types.iter().any(|accepted| is(typ, accepted)),
        }
    }
}

impl VerifiedToken {
    /// Whom it speaks of.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whom it speaks of.
    pub fn into_principal(self) -> Principal {
        self.principal
    }

    /// When it is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether its times still hold; nothing else of it changes with time.
    pub fn still_valid(&self, now: Timestamp) -> Result<(), JwtError> {
        self.validity.check(now)
    }
}

/// The claim's value. Some providers write null for what a user has none of: the same as absent.
fn present<'a>(path: &ClaimPath, claims: Object<'a>) -> Option<Json<'a>> {
    path.find(claims).filter(|value| !matches!(value, Json::Null))
}

/// A string that can name somebody in a log, a key or a header: neither empty nor long, no control characters.
fn name(value: Json<'_>) -> Option<Box<str>> {
    let text = value.as_str()?;
    let fine = !text.is_empty() && text.len() <= MAX_NAME_LEN && !text.chars().any(char::is_control);
    fine.then(|| text.into())
}

/// A name, or a whole number in decimal: plans are often numbered. Numbers beyond 64 bits are none: they were rounded.
fn name_or_number(value: Json<'_>) -> Option<Box<str>> {
    match value {
        Json::Number(number) => (number.is_u64() || number.is_i64()).then(|| number.to_string().into()),
        value => name(value),
    }
}

/// Scopes as a space-separated string (RFC 6749 section 3.3, RFC 8693 section 4.2) or as a list, each of them one
/// scope: joined again for the upstream, one with a space in it would be two.
fn scopes(value: Json<'_>) -> Option<Vec<Box<str>>> {
    let scopes: Vec<Box<str>> = match value {
        Json::String(text) => text.split(' ').filter(|scope| !scope.is_empty()).map(Into::into).collect(),
        list => strings(list)?,
    };
    scopes.iter().all(|scope| scope.bytes().all(|byte| matches!(byte, b'!'..=b'~'))).then_some(scopes)
}

/// One string or a list of strings, none of them empty or with control characters.
fn strings(value: Json<'_>) -> Option<Vec<Box<str>>> {
    match value {
        Json::List(list) => list.iter().map(name).collect(),
        one => Some(vec![name(one)?]),
    }
}

fn dotted(path: &ClaimPath) -> String {
    path.0.join(".")
}
