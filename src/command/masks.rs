//! What of a line is not shown to people: logs of checks are read by more of them than policies are.

/// Members of a policy whose values are secrets, and those of private and symmetric JWKs (RFC 7518 sections 6.2.2, 6.3.2 and
/// 6.4.1, RFC 8037 section 2).
const SECRET: [&str; 14] = [
    "clientSecret",
    "password",
    "secret",
    "secrets",
    "key",
    "d",
    "p",
    "q",
    "dp",
    "dq",
    "qi",
    "oth",
    "k",
    "privateKey",
];

/// `line` with an asterisk for each byte of a secret that stands behind its name, in YAML or JSON, also within a string of
/// either. What stands in lines of its own, as PEM does, is no part of the line that is shown.
pub(super) fn masked(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, secret, after)) = next_secret(rest, line.contains(['{', '['])) {
        shown.push_str(before);
        shown.extend(std::iter::repeat_n('*', secret.len()));
        rest = after;
    }
    shown + rest
}

/// What stands before the next secret, the secret, and what stands behind it. `in_flow`: there may be more on the line.
fn next_secret(text: &str, in_flow: bool) -> Option<(&str, &str, &str)> {
    text.match_indices(':').find_map(|(colon, _)| {
        let (name, behind) = text.split_at_checked(colon)?;
        let name = name.trim_end().trim_end_matches(QUOTES);
        let begins = name.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| at.saturating_add(1));
        if !SECRET.contains(&name.get(begins..)?) {
            return None;
        }
        let value = behind.get(1..)?.trim_start();
        let secret = value.trim_start_matches(QUOTES);
        let length = match value.strip_suffix(secret)? {
            "" if in_flow => secret.find([',', '}', ']']),
            "" => secret.find(" #"),
            quote => end_of_quoted(secret, quote),
        };
        let length = length.unwrap_or(secret.len());
        // A list or an object is no secret itself, and a block follows in lines of its own.
        if length == 0 || secret.starts_with(['[', '{', '|', '>']) {
            return None;
        }
        let (before, secret) = text.split_at_checked(text.len().checked_sub(secret.len())?)?;
        let (secret, after) = secret.split_at_checked(length)?;
        Some((before, secret, after))
    })
}

const QUOTES: [char; 3] = ['"', '\'', '\\'];

/// Where the next `quote` stands that no backslash of its own stands before.
fn end_of_quoted(text: &str, quote: &str) -> Option<usize> {
    let escaped = |at: usize| text.get(..at).is_some_and(|before| before.ends_with('\\'));
    text.match_indices(quote).map(|(at, _)| at).find(|at| !escaped(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_nothing_moves() {
        for (line, expected) in [
            ("  - {kty: EC, x: AbC, d: SeCrEt, y: dEf}", "  - {kty: EC, x: AbC, d: ******, y: dEf}"),
            ("  d: SeCrEt", "  d: ******"),
            ("  d: SeCrEt # note", "  d: ****** # note"),
            ("- d: 'SeCrEt'", "- d: '******'"),
            (r#"{"d":"SeCrEt","kid":"k"}"#, r#"{"d":"******","kid":"k"}"#),
            (r#"{"d" : "SeCrEt", "k": "x"}"#, r#"{"d" : "******", "k": "*"}"#),
            (
                r#"value: "{\"d\": \"SeCrEt\", \"x\": \"d\"}""#,
                r#"value: "{\"d\": \"******\", \"x\": \"d\"}""#,
            ),
            ("symmetricKeys: [{kid: a, secret: SeCrEt}]", "symmetricKeys: [{kid: a, secret: ******}]"),
            ("clientSecret: p\u{e4}ss", "clientSecret: *****"),
            ("password: a,b c # note", "password: ***** # note"),
            ("{password: a b, c: d}", "{password: ***, c: d}"),
            (r#"{"password": "a\"b", "c": "d"}"#, r#"{"password": "****", "c": "d"}"#),
            (r#"key: "-----BEGIN\nSeCrEt\n""#, r#"key: "********************""#),
            ("key: [principal, apiKey]", "key: [principal, apiKey]"),
            ("key: |", "key: |"),
            ("key:", "key:"),
            ("id: SeCrEt", "id: SeCrEt"),
            ("secretary: a", "secretary: a"),
            ("a:d: x", "a:d: *"),
            ("", ""),
        ] {
            assert_eq!(masked(line), expected, "{line}");
            assert_eq!(masked(line).len(), line.len());
        }
    }
}
