//! New keys, and whether a key of somebody else's making is good enough.

use super::Refusal;
use crate::{
    api_key::format::{self, DIGITS, SECRET_DIGITS},
    crypto::sha256,
    text::hex,
};

/// Of an id that nobody chose: 60 bits, so that two are never the same. It begins with a letter, so that YAML takes it for
/// text.
const ID_DIGITS: usize = 12;

/// A key takes as many guesses as this power of ten at least. zxcvbn counts no further than 10^19; at a million guesses a
/// second 10^18 take 30,000 years.
const FEWEST_GUESSES_LOG10: f64 = 18.0;

/// A key that was just made. It is shown once.
pub(super) struct NewKey {
    pub(super) id: String,
    pub(super) key: String,
}

impl NewKey {
    /// # Errors
    /// A prefix or an id that cannot stand in a key, or a system without randomness.
    pub(super) fn make(prefix: &str, id: Option<&str>) -> Result<Self, Refusal> {
        if !format::is_prefix(prefix) {
            let message = format!(
                "{prefix:?} cannot begin a key: a prefix is 1 to {} lower-case letters and digits, a letter first",
                format::MAX_PREFIX
            );
            return Err(Refusal::usage(message));
        }
        if let Some(id) = id.filter(|id| !format::is_id(id)) {
            let message = format!(
                "{id:?} cannot stand in a key: an id is 1 to {} letters, digits and -",
                format::MAX_ID
            );
            return Err(Refusal::usage(message));
        }
        let id = match id {
            Some(id) => id.to_owned(),
            None => format!("k{}", digits(ID_DIGITS, 32)?.to_ascii_lowercase()),
        };
        let key = format::assemble(prefix, &id, &digits(SECRET_DIGITS, DIGITS.len())?);
        Ok(Self { id, key })
    }
}

/// As a policy has it.
pub(super) fn hash(key: &str) -> String {
    format!("sha256:{}", hex::encode(&sha256(key.as_bytes())))
}

/// So many of the first `of` digits at random, each as likely as any other.
pub(in crate::command) fn digits(count: usize, of: usize) -> Result<String, Refusal> {
    let mut digits = String::with_capacity(count);
    while digits.len() < count {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes)
            .map_err(|error| Refusal::unusable(format!("the system gives no randomness: {error}")))?;
        // Bytes beyond the last whole multiple would make the first digits likelier.
        let whole = 256_usize.checked_div(of).unwrap_or_default().saturating_mul(of);
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < whole);
        let fair = fair.filter_map(|byte| DIGITS.get(byte.checked_rem(of)?).copied());
        digits.extend(fair.take(count.saturating_sub(digits.len())).map(char::from));
    }
    Ok(digits)
}

/// Whether nobody guesses the key. What is wrong with it is said without showing it.
///
/// # Errors
/// Why somebody could.
pub(super) fn judge_foreign(key: &str) -> Result<(), Refusal> {
    if key.is_empty() || key.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Refusal::refused(
            "it is empty or has blanks in it, and no request could carry it".to_owned(),
        ));
    }
    let estimate = zxcvbn::zxcvbn(key, &["portcullis", "apikey", "api-key"]);
    if estimate.guesses_log10() >= FEWEST_GUESSES_LOG10 {
        return Ok(());
    }
    let why = estimate.feedback().and_then(|feedback| feedback.warning());
    let why = why.map_or_else(String::new, |warning| format!(" ({warning})"));
    Err(Refusal::refused(format!(
        "it could be guessed: about 10^{:.0} tries find it{why}, and a key has to take 10^{FEWEST_GUESSES_LOG10:.0}; let \
         `portcullis key new` make one",
        estimate.guesses_log10().floor()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_key::format::{Form, form_of};

    #[test]
    fn new_keys_are_whole_and_differ() {
        let keys: Vec<_> = (0..10_000).map(|_| NewKey::make("acme", None).map_err(drop).unwrap()).collect();
        for new in &keys {
            assert_eq!(form_of(new.key.as_bytes(), "acme"), Form::Whole(&new.id));
        }
        let secrets: std::collections::HashSet<_> = keys.iter().map(|new| &new.key).collect();
        let ids: std::collections::HashSet<_> = keys.iter().map(|new| &new.id).collect();
        assert_eq!((secrets.len(), ids.len()), (10_000, 10_000));
        // Each digit comes about as often as any other: 320,000 in all, 5161 of each, give or take six deviations.
        for digit in DIGITS {
            let count: usize = keys
                .iter()
                .map(|new| new.key.bytes().skip("acme_k123456789012_".len()).take(SECRET_DIGITS))
                .map(|secret| secret.filter(|own| own == digit).count())
                .sum();
            assert!((4730..5600).contains(&count), "{}: {count}", char::from(*digit));
        }
        assert_eq!(NewKey::make("acme", Some("billing-1")).map_err(drop).unwrap().id, "billing-1");
    }

    #[test]
    fn what_cannot_stand_in_a_key_is_refused() {
        for (prefix, id) in
            [("", None), ("Acme", None), ("a_b", None), ("acme", Some("")), ("acme", Some("a_b"))]
        {
            assert!(NewKey::make(prefix, id).is_err(), "{prefix:?} {id:?}");
        }
    }

    #[test]
    fn keys_that_a_person_could_guess() {
        for (key, is_good) in [
            ("password", false),
            ("Tr0ub4dour&3", false),
            ("portcullis-2026", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("qwertyuiopasdfghjklzxcvbnm1234567890", false),
            ("correcthorsebatterystaple", false),
            ("12345678901234567890123456789012", false),
            ("", false),
            ("a b", false),
            ("9f86d081884c7d659a2feaa0c55ad015", true),
            ("0d8f5a3c-7e41-4b8e-9a57-2f6d1c3b9e40", true),
            ("AKfycbx7Qm2Lr9TzVw4NpDs1XuGh", true),
        ] {
            assert_eq!(judge_foreign(key).is_ok(), is_good, "{key}");
        }
        let said = judge_foreign("hunter2hunter2").map_err(|refusal| refusal.message).unwrap_err();
        assert!(!said.contains("hunter"), "{said}");
    }
}
