//! Whether claims hold at a moment: issuer, audience and times (RFC 7519 section 4.1).

use super::{ProviderSpec, error::JwtError};
use crate::{
    identity::numeric_date,
    json::{Json, Object},
    time::Timestamp,
};

/// When a token is valid, clock skew included: from `not_before` on, and before `not_after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The later of `nbf` and `iat`, less the skew; the epoch when it has neither.
    pub not_before: Timestamp,
    /// `exp` plus the skew.
    pub not_after: Timestamp,
}

impl Validity {
    /// Whether `now` lies within. RFC 7519 section 4.1.4: on `exp` it is over.
    pub fn check(self, now: Timestamp) -> Result<(), JwtError> {
        if now >= self.not_after {
            return Err(JwtError::Expired { not_after: self.not_after });
        }
        if now < self.not_before {
            return Err(JwtError::NotYetValid { not_before: self.not_before });
        }
        Ok(())
    }
}

/// Checks `iss`, `aud`, `exp`, `nbf` and `iat` as the provider asks for, at `now`.
pub(super) fn validate(
    claims: Object<'_>,
    provider: &ProviderSpec,
    now: Timestamp,
) -> Result<Validity, JwtError> {
    match claims.get("iss") {
        Some(Json::String(issuer)) => provider.issuer.check(issuer, claims)?,
        Some(_) => return Err(JwtError::malformed("iss")),
        None if provider.require_issuer => return Err(JwtError::missing("iss")),
        None => {}
    }
    if let Some(audiences) = &provider.audiences {
        check_audience(claims.get("aud"), audiences)?;
    }
    let expires = date(claims, "exp")?.ok_or_else(|| JwtError::missing("exp"))?;
    let not_before = date(claims, "nbf")?;
    let issued = date(claims, "iat")?;
    if let Some(longest) = provider.max_lifetime {
        let issued = issued.ok_or_else(|| JwtError::missing("iat"))?;
        if expires.since(issued) > longest {
            return Err(JwtError::Lifetime);
        }
    }
    let skew = provider.clock_skew;
    let validity = Validity {
        not_before: not_before.max(issued).map_or(Timestamp::default(), |start| start.saturating_sub(skew)),
        not_after: expires.saturating_add(skew),
    };
    validity.check(now)?;
    Ok(validity)
}

/// RFC 7519 section 4.1.3: a string or a list of strings.
pub(crate) fn check_audience(aud: Option<Json<'_>>, accepted: &[String]) -> Result<(), JwtError> {
    let is_accepted = |audience: &str| accepted.iter().any(|one| one == audience);
    let found = match aud {
        None => return Err(JwtError::missing("aud")),
        Some(Json::String(audience)) => is_accepted(audience),
        Some(Json::List(list)) => {
            let mut found = false;
            for audience in list.iter() {
                found |= is_accepted(audience.as_str().ok_or_else(|| JwtError::malformed("aud"))?);
            }
            found
        }
        Some(_) => return Err(JwtError::malformed("aud")),
    };
    if found { Ok(()) } else { Err(JwtError::Audience) }
}

/// RFC 7519 section 2.
pub(crate) fn date(claims: Object<'_>, name: &str) -> Result<Option<Timestamp>, JwtError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    numeric_date(value).map(Some).ok_or_else(|| JwtError::malformed(name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        identity::LAST_SECOND,
        json::members,
        jwt::tests::tokens::{NOW, provider},
    };
    use serde_json::{Value, json};

    fn outcome(spec: &ProviderSpec, changes: Value) -> Result<(), JwtError> {
        let mut claims = json!({"iss": "https://idp.example", "aud": "api", "exp": NOW + 600})
            .as_object()
            .unwrap()
            .clone();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.remove(name),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
        validate(members(&claims.into()).object(), spec, Timestamp::from_secs(NOW)).map(|_| ())
    }

    fn expired(not_after: u64) -> Result<(), JwtError> {
        Err(JwtError::Expired { not_after: Timestamp::from_secs(not_after) })
    }

    fn not_yet(not_before: u64) -> Result<(), JwtError> {
        Err(JwtError::NotYetValid { not_before: Timestamp::from_secs(not_before) })
    }

    #[test]
    fn issuer_and_audience() {
        let mut spec = provider();
        spec.audiences = Some(vec!["api".into(), "https://api.example/v1".into()]);
        for (changes, expected) in [
            (json!({}), Ok(())),
            (json!({"iss": "https://idp.example/"}), Err(JwtError::Issuer)),
            (json!({"iss": "HTTPS://idp.example"}), Err(JwtError::Issuer)),
            (json!({"iss": " https://idp.example"}), Err(JwtError::Issuer)),
            (json!({"iss": ""}), Err(JwtError::Issuer)),
            (json!({"iss": ["https://idp.example"]}), Err(JwtError::malformed("iss"))),
            (json!({"iss": null}), Err(JwtError::missing("iss"))),
            (json!({"aud": "https://api.example/v1"}), Ok(())),
            (json!({"aud": "https://api.example/v1/"}), Err(JwtError::Audience)),
            (json!({"aud": "ap"}), Err(JwtError::Audience)),
            (json!({"aud": "api2"}), Err(JwtError::Audience)),
            (json!({"aud": "API"}), Err(JwtError::Audience)),
            (json!({"aud": "api other"}), Err(JwtError::Audience)),
            (json!({"aud": ["other", "api"]}), Ok(())),
            (json!({"aud": ["other"]}), Err(JwtError::Audience)),
            (json!({"aud": []}), Err(JwtError::Audience)),
            (json!({"aud": ["api", 1]}), Err(JwtError::malformed("aud"))),
            (json!({"aud": {"api": true}}), Err(JwtError::malformed("aud"))),
            (json!({"aud": null}), Err(JwtError::missing("aud"))),
        ] {
            assert_eq!(outcome(&spec, changes.clone()), expected, "{changes}");
        }
        spec.require_issuer = false;
        for (changes, expected) in [
            (json!({}), Ok(())),
            (json!({"iss": null}), Ok(())),
            (json!({"iss": ""}), Err(JwtError::Issuer)),
            (json!({"iss": "https://other.example"}), Err(JwtError::Issuer)),
            (json!({"iss": false}), Err(JwtError::malformed("iss"))),
            (json!({"iss": []}), Err(JwtError::malformed("iss"))),
        ] {
            assert_eq!(outcome(&spec, changes.clone()), expected, "{changes}");
        }
        spec.audiences = None;
        for changes in [json!({"aud": null}), json!({"aud": "other"}), json!({"aud": 1})] {
            assert_eq!(outcome(&spec, changes.clone()), Ok(()), "{changes}");
        }
    }

    #[test]
    fn times_at_their_boundaries() {
        let spec = provider();
        assert_eq!(spec.clock_skew.as_secs(), 60);
        for (changes, expected) in [
            (json!({"exp": null}), Err(JwtError::missing("exp"))),
            (json!({"exp": NOW}), Ok(())),
            (json!({"exp": NOW - 59}), Ok(())),
            (json!({"exp": NOW - 60}), expired(NOW)),
            (json!({"exp": NOW - 61}), expired(NOW - 1)),
            (json!({"exp": 0}), expired(60)),
            (json!({"nbf": NOW}), Ok(())),
            (json!({"nbf": NOW + 60}), Ok(())),
            (json!({"nbf": NOW + 61}), not_yet(NOW + 1)),
            (json!({"nbf": 0}), Ok(())),
            (json!({"iat": NOW + 60}), Ok(())),
            (json!({"iat": NOW + 61}), not_yet(NOW + 1)),
            (json!({"iat": NOW - 1_000_000}), Ok(())),
            // The later of the two counts, whichever it is.
            (json!({"nbf": NOW, "iat": NOW + 61}), not_yet(NOW + 1)),
            (json!({"nbf": NOW + 61, "iat": NOW}), not_yet(NOW + 1)),
        ] {
            assert_eq!(outcome(&spec, changes.clone()), expected, "{changes}");
        }
        let mut strict = provider();
        strict.clock_skew = Duration::ZERO;
        for (changes, expected) in [
            (json!({"exp": NOW + 1}), Ok(())),
            (json!({"exp": NOW}), expired(NOW)),
            (json!({"nbf": NOW}), Ok(())),
            (json!({"nbf": NOW + 1}), not_yet(NOW + 1)),
        ] {
            assert_eq!(outcome(&strict, changes.clone()), expected, "{changes}");
        }
    }

    #[test]
    fn numeric_dates() {
        let spec = provider();
        let bad = |name| Err(JwtError::malformed(name));
        for (changes, expected) in [
            (json!({"exp": NOW.to_string()}), bad("exp")),
            (json!({"exp": true}), bad("exp")),
            (json!({"exp": [NOW]}), bad("exp")),
            (json!({"exp": -1}), bad("exp")),
            (json!({"exp": -1.5}), bad("exp")),
            (json!({"exp": 2_000_000_000.5}), Ok(())),
            (json!({"exp": 1e300}), bad("exp")),
            (json!({"exp": u64::MAX}), bad("exp")),
            (json!({"exp": LAST_SECOND}), Ok(())),
            (json!({"exp": LAST_SECOND + 1}), bad("exp")),
            (json!({"exp": 253_402_300_799.5}), Ok(())),
            (json!({"exp": 253_402_300_800.5}), bad("exp")),
            // Milliseconds.
            (json!({"exp": (NOW + 600) * 1000}), bad("exp")),
            (json!({"nbf": "0"}), bad("nbf")),
            (json!({"nbf": -1}), bad("nbf")),
            (json!({"iat": "0"}), bad("iat")),
            (json!({"iat": {}}), bad("iat")),
            (json!({"iat": 0.5}), Ok(())),
        ] {
            assert_eq!(outcome(&spec, changes.clone()), expected, "{changes}");
        }
        // A fraction counts.
        let mut strict = provider();
        strict.clock_skew = Duration::ZERO;
        let claims = members(&json!({"iss": "https://idp.example", "aud": "api", "exp": 100.5}));
        let at = |nanos| validate(claims.object(), &strict, Timestamp::from_nanos(nanos)).is_ok();
        assert!(at(100_499_999_999));
        assert!(!at(100_500_000_000));
    }

    #[test]
    fn lifetime() {
        let mut spec = provider();
        spec.max_lifetime = Some(Duration::from_secs(3600));
        for (changes, expected) in [
            (json!({}), Err(JwtError::missing("iat"))),
            (json!({"iat": NOW, "exp": NOW + 3600}), Ok(())),
            (json!({"iat": NOW, "exp": NOW + 3601}), Err(JwtError::Lifetime)),
            (json!({"iat": NOW, "exp": LAST_SECOND}), Err(JwtError::Lifetime)),
            (json!({"iat": NOW + 61, "exp": NOW + 600}), not_yet(NOW + 1)),
            // Ended before it began, yet within the skew: harmless, it is about to expire.
            (json!({"iat": NOW, "exp": NOW - 30}), Ok(())),
        ] {
            assert_eq!(outcome(&spec, changes.clone()), expected, "{changes}");
        }
    }

    #[test]
    fn the_end_of_time_saturates() {
        let spec = provider();
        let claims =
            json!({"iss": "https://idp.example", "aud": "api", "exp": LAST_SECOND, "nbf": 10, "iat": 5});
        let validity = validate(members(&claims).object(), &spec, Timestamp::from_secs(NOW)).unwrap();
        assert_eq!(validity.not_before, Timestamp::default());
        assert!(validity.check(Timestamp::from_nanos(u64::MAX - 1)).is_ok());
    }
}
