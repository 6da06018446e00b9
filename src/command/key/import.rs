//! Keys that somebody else made.

use serde_json::Value;

use super::{
    Refusal, changes,
    record::{Members, Record},
    secret,
};
use crate::text::hex;

/// Reads lines, each a key or an object of JSON with the fields of a policy's key. `fields` count where an object does
/// not say otherwise.
///
/// # Errors
/// A line that is neither, or a key that could be guessed; no message shows a key.
pub(super) fn read(input: &str, id: Option<&str>, fields: &Members) -> Result<Vec<Record>, Refusal> {
    let lines: Vec<_> = input.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return Err(Refusal::usage("standard input holds no key".to_owned()));
    }
    let has_one = lines.len() == 1;
    let records = lines.into_iter().map(|(place, line)| {
        let record = if line.trim_start().starts_with('{') {
            object(line, fields)
        } else {
            alone(line, id, fields, has_one)
        };
        let number = place.saturating_add(1);
        record.map_err(|refusal| refusal.at(&format!("line {number}")))
    });
    let records = records.collect::<Result<Vec<_>, _>>()?;
    for (place, record) in records.iter().enumerate() {
        if records.iter().take(place).any(|other| other.id() == record.id()) {
            return Err(Refusal::usage(format!("the id {:?} is given twice", record.id())));
        }
    }
    Ok(records)
}

fn alone(line: &str, id: Option<&str>, fields: &Members, has_one: bool) -> Result<Record, Refusal> {
    let Some(id) = id.filter(|_| has_one) else {
        let message = "a key by itself has no id: give --id for one, and for several lines such as {\"id\": .., \"key\": ..}";
        return Err(Refusal::usage(message.to_owned()));
    };
    let key = line.trim_end_matches('\r');
    secret::judge_foreign(key)?;
    Ok(changes::added(id, &secret::hash(key), fields.clone()))
}

fn is_hash(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| hex::decode_digest(digits).is_some())
}

fn object(line: &str, fields: &Members) -> Result<Record, Refusal> {
    // What serde_json says of a fault may show the text around it.
    let Ok(Value::Object(mut own)) = serde_json::from_str(line) else {
        return Err(Refusal::usage("not an object of JSON".to_owned()));
    };
    let id = match own.shift_remove("id") {
        Some(Value::String(id)) => id,
        _ => return Err(Refusal::usage("has no id".to_owned())),
    };
    let hash = match (own.shift_remove("key"), own.shift_remove("hash")) {
        (Some(Value::String(key)), None) => {
            secret::judge_foreign(&key)?;
            secret::hash(&key)
        }
        // Nobody can tell how good a key is by its hash.
        (None, Some(Value::String(hash))) if is_hash(&hash) => hash,
        // What stands there instead may be the key itself.
        (None, Some(_)) => {
            return Err(Refusal::usage("hash is not sha256: and 64 hexadecimal digits".to_owned()));
        }
        _ => return Err(Refusal::usage("has not one of key and hash".to_owned())),
    };
    let mut fields = fields.clone();
    fields.extend(own);
    Ok(changes::added(&id, &hash, fields))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const KEY: &str = "9f86d081884c7d659a2feaa0c55ad015";

    #[test]
    fn lines_are_keys_or_objects() {
        let fields: Members = json!({"client": "acme", "tier": "gold"}).as_object().cloned().unwrap();
        let read = |input: &str, id| read(input, id, &fields).map_err(|refusal| refusal.message);
        let records = read(&format!("{KEY}\n"), Some("a")).unwrap();
        let hash = secret::hash(KEY);
        let expected = json!({"id": "a", "hash": hash, "client": "acme", "tier": "gold"});
        assert_eq!(Value::Object(records.into_iter().next().unwrap().0), expected);
        let lines = format!(
            "{{\"id\": \"a\", \"key\": {KEY:?}, \"tier\": \"free\"}}\n\n{{\"id\": \"b\", \"hash\": {HASH:?}}}"
        );
        let records = read(&lines, None).unwrap();
        let tiers: Vec<_> = records.iter().map(|record| (record.id(), record.text("tier"))).collect();
        assert_eq!(tiers, [("a", Some("free")), ("b", Some("gold"))]);
        for (input, id, expected) in [
            ("", Some("a"), "no key"),
            (KEY, None, "line 1: a key by itself has no id"),
            (&format!("{KEY}\n{KEY}x"), Some("a"), "line 1: a key by itself has no id"),
            ("hunter2hunter2", Some("a"), "line 1: it could be guessed"),
            ("{\"id\": \"a\", \"key\": \"hunter2\"}", None, "line 1: it could be guessed"),
            ("{\"id\": \"a\"}", None, "line 1: has not one of key and hash"),
            (
                &format!("{{\"id\": \"a\", \"key\": {KEY:?}, \"hash\": {HASH:?}}}"),
                None,
                "line 1: has not one of",
            ),
            ("{\"id\": \"a\", \"hash\": \"hunter2\"}", None, "line 1: hash is not"),
            ("{\"key\": \"x\"}", None, "line 1: has no id"),
            ("{\"key\": \"hunter2", None, "line 1: not an object of JSON"),
            (
                &format!("{{\"id\": \"a\", \"hash\": {HASH:?}}}\n{{\"id\": \"a\", \"key\": {KEY:?}}}"),
                None,
                "\"a\" is given twice",
            ),
        ] {
            let said = read(input, id).unwrap_err();
            assert!(
                said.contains(expected) && !said.contains("hunter2") && !said.contains(KEY),
                "{input}: {said}"
            );
        }
    }
}
