//! What a scalar means to whom.
//!
//! YAML leaves the type of `no`, `0x10` or `1e3` to its reader, and readers differ. Envoy reads with yaml-cpp and takes
//! what that calls a boolean, then whole numbers, then text: it has no fractions, and a number beyond 32 bits is text
//! (`MessageUtil`'s `parseYamlNode`; the table below was made by asking Envoy 1.40). Kubernetes' tools read as
//! `sigs.k8s.io/yaml` does: YAML 1.1 as go-yaml v2 has it.

use serde_json::{Number, Value as Json};

/// Who reads a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Envoy,
    Kubernetes,
}

/// A value that is neither list nor object, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    /// Without quotes, escapes and indentation.
    pub(super) text: String,
    pub(super) form: Form,
    /// As it is written in full: `!`, `!ignore`, `tag:yaml.org,2002:str`.
    pub(super) tag: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// YAML without quotes.
    Plain,
    /// In quotes, of YAML or of JSON.
    Quoted,
    /// YAML's block that keeps lines (`|`).
    Literal,
    /// YAML's block that joins lines (`>`).
    Folded,
    /// `null`, `true`, `false` or a number in JSON.
    Json,
}

impl Dialect {
    /// Whether members of this name are left out.
    pub(super) fn ignores(self, name: &Scalar) -> bool {
        self == Self::Envoy && name.tag.as_deref() == Some("!ignore")
    }

    /// Whether `name` brings in the members of another object. Envoy has no merge keys.
    pub(super) fn merges(self, name: &Scalar) -> bool {
        self == Self::Kubernetes && name.form == Form::Plain && name.text == "<<"
    }
}

impl Scalar {
    /// What `dialect` takes it for.
    pub(super) fn read(&self, dialect: Dialect) -> Json {
        match (self.form, dialect) {
            (Form::Json, _) => serde_json::from_str(&self.text).unwrap_or(Json::Null),
            (_, Dialect::Envoy) => self.read_by_envoy(),
            (_, Dialect::Kubernetes) => self.read_by_kubernetes(),
        }
    }

    fn is_null(&self) -> bool {
        matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// yaml-cpp marks what is in quotes by the tag `!`, unless it has one; other tags say nothing to Envoy.
    fn read_by_envoy(&self) -> Json {
        let text = || Json::String(self.text.clone());
        match (self.form, self.tag.as_deref()) {
            (Form::Plain, Some("!")) | (Form::Quoted | Form::Literal | Form::Folded, None | Some("!")) => {
                return text();
            }
            // With a tag it is a scalar, however it reads.
            (Form::Plain, None) if self.is_null() => return Json::Null,
            _ => {}
        }
        if let Some(boolean) = boolean(&self.text) {
            return Json::Bool(boolean);
        }
        match whole_number(&self.text) {
            Some(number) => {
                i32::try_from(number).map_or_else(|_| Json::String(number.to_string()), Json::from)
            }
            None => text(),
        }
    }

    /// `resolve` of go-yaml v2. A tag decides where there is one.
    fn read_by_kubernetes(&self) -> Json {
        let text = || Json::String(self.text.clone());
        let plain = match self.tag.as_deref() {
            None => self.form == Form::Plain,
            Some("tag:yaml.org,2002:str" | "!") => false,
            Some(tag) => tag.starts_with("tag:yaml.org,2002:"),
        };
        if !plain {
            return text();
        }
        if self.is_null() {
            return Json::Null;
        }
        if let Some(boolean) = boolean(&self.text) {
            return Json::Bool(boolean);
        }
        go_number(&self.text).map_or_else(text, Json::Number)
    }
}

/// Both readers take the words of YAML 1.1, in lower case, in upper case, or with one capital.
fn boolean(text: &str) -> Option<bool> {
    let is_lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase());
    let is_upper = |text: &str| text.bytes().all(|b| b.is_ascii_uppercase());
    let one_capital = || text.get(..1).is_some_and(is_upper) && text.get(1..).is_some_and(is_lower);
    if !(is_lower(text) || is_upper(text) || one_capital()) {
        return None;
    }
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "n" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// As a C++ stream reads an `int64_t` without a base: a leading `0x` or `0` says which one it is.
fn whole_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (base, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    signed(negative, digits, base)
}

fn signed(negative: bool, digits: &str, base: u32) -> Option<i64> {
    // `from_str_radix` takes a sign of its own.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let number = i128::from_str_radix(digits, base).ok()?;
    i64::try_from(if negative { number.checked_neg()? } else { number }).ok()
}

/// `strconv.ParseInt` with base 0, then what looks like a fraction.
fn go_number(text: &str) -> Option<Number> {
    let digits = text.replace('_', "");
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    // Words (`_`, `cafe`) are none, whatever their letters.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || text.starts_with('_') {
        return None;
    }
    let prefixes = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)];
    let prefixed = prefixes.iter().find_map(|(prefix, base)| Some((unsigned.strip_prefix(prefix)?, *base)));
    let (digits, base) = match prefixed {
        Some(found) => found,
        None if unsigned.len() > 1 && unsigned.starts_with('0') => (unsigned, 8),
        None => (unsigned, 10),
    };
    if let Some(number) = signed(negative, digits, base) {
        return Some(number.into());
    }
    if prefixed.is_some() || !unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) {
        return None;
    }
    let number: f64 = unsigned.parse().ok()?;
    Number::from_f64(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.to_owned(), form: Form::Plain, tag: None }
    }

    /// Text, what Envoy 1.40 makes of it (as its log shows it), what Kubernetes' tools make of it.
    #[test]
    fn scalars_without_quotes_are_what_their_reader_takes_them_for() {
        for (text, envoy, kubernetes) in [
            ("no", json!(false), json!(false)),
            ("y", json!(true), json!(true)),
            ("Y", json!(true), json!(true)),
            ("No", json!(false), json!(false)),
            ("nO", json!("nO"), json!("nO")),
            ("on", json!(true), json!(true)),
            ("off", json!(false), json!(false)),
            ("TRUE", json!(true), json!(true)),
            ("tRUE", json!("tRUE"), json!("tRUE")),
            ("yess", json!("yess"), json!("yess")),
            ("0x10", json!(16), json!(16)),
            ("-0x10", json!(-16), json!(-16)),
            ("010", json!(8), json!(8)),
            ("08", json!("08"), json!(8.0)),
            ("00", json!(0), json!(0)),
            ("-0", json!(0), json!(0)),
            ("+5", json!(5), json!(5)),
            ("+-5", json!("+-5"), json!("+-5")),
            ("0o10", json!("0o10"), json!(8)),
            ("0b1", json!("0b1"), json!(1)),
            ("1e3", json!("1e3"), json!(1000.0)),
            ("1.5", json!("1.5"), json!(1.5)),
            (".5", json!(".5"), json!(0.5)),
            ("1_000", json!("1_000"), json!(1000)),
            ("_1", json!("_1"), json!("_1")),
            ("2147483647", json!(2_147_483_647), json!(2_147_483_647)),
            ("2147483648", json!("2147483648"), json!(2_147_483_648_u32)),
            ("-2147483649", json!("-2147483649"), json!(-2_147_483_649_i64)),
            ("9223372036854775808", json!("9223372036854775808"), json!(9_223_372_036_854_775_808.0)),
            ("~", json!(null), json!(null)),
            ("Null", json!(null), json!(null)),
            ("nULL", json!("nULL"), json!("nULL")),
            ("", json!(null), json!(null)),
            (".inf", json!(".inf"), json!(".inf")),
            ("2025-01-01", json!("2025-01-01"), json!("2025-01-01")),
            ("2025-01-01T00:00:00Z", json!("2025-01-01T00:00:00Z"), json!("2025-01-01T00:00:00Z")),
            ("1:30", json!("1:30"), json!("1:30")),
            ("a b", json!("a b"), json!("a b")),
            ("cafe", json!("cafe"), json!("cafe")),
            ("-", json!("-"), json!("-")),
            ("0x", json!("0x"), json!("0x")),
        ] {
            assert_eq!(plain(text).read(Dialect::Envoy), envoy, "{text} by Envoy");
            assert_eq!(plain(text).read(Dialect::Kubernetes), kubernetes, "{text} by Kubernetes");
        }
    }

    #[test]
    fn quotes_and_tags_count_as_their_reader_has_it() {
        const STR: &str = "tag:yaml.org,2002:str";
        for (text, form, tag, envoy, kubernetes) in [
            ("5", Form::Quoted, None, json!("5"), json!("5")),
            ("5\n", Form::Literal, None, json!("5\n"), json!("5\n")),
            ("no", Form::Folded, None, json!("no"), json!("no")),
            ("", Form::Quoted, None, json!(""), json!("")),
            ("5", Form::Plain, Some("!"), json!("5"), json!("5")),
            ("5", Form::Plain, Some(STR), json!(5), json!("5")),
            ("no", Form::Plain, Some(STR), json!(false), json!("no")),
            ("~", Form::Plain, Some(STR), json!("~"), json!("~")),
            ("5", Form::Quoted, Some("tag:yaml.org,2002:int"), json!(5), json!(5)),
            ("5", Form::Plain, Some("!own"), json!(5), json!("5")),
            ("5", Form::Json, None, json!(5), json!(5)),
            ("1e3", Form::Json, None, json!(1000.0), json!(1000.0)),
            ("true", Form::Json, None, json!(true), json!(true)),
        ] {
            let scalar = Scalar { text: text.to_owned(), form, tag: tag.map(str::to_owned) };
            assert_eq!(scalar.read(Dialect::Envoy), envoy, "{scalar:?} by Envoy");
            assert_eq!(scalar.read(Dialect::Kubernetes), kubernetes, "{scalar:?} by Kubernetes");
        }
    }
}
