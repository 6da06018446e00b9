//! The JSON Schema (draft 2020-12) of the document, made from its shapes.
//!
//! It says all that can be said of a field and its neighbours. Whether names are defined, patterns can be read and rules
//! reached is for the reader alone.

use serde_json::{Map, Value, json};

use super::{
    document::DOCUMENT,
    http_names::{TAKEN, TAKEN_PREFIXES},
    model::{Bound, Field, Form, Kind, Presence, Shape},
    requirement::NAMES,
    rule_shadow::RULE_SHADOW,
    rules::NEXT_RULE,
    scalar::CLAIM,
};
use crate::request::overriding;

/// Every control character; what no text holds.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";

/// What may stand in a policy document: a JSON Schema (draft 2020-12), for editors and for checks before deployment.
///
/// What is good for it may still be refused: the schema does not know which names are defined and what patterns mean.
///
/// ```
/// let schema = portcullis::config::schema();
/// assert_eq!(schema["properties"]["realm"]["default"], "portcullis");
/// assert_eq!(schema["required"], serde_json::json!(["rules"]));
/// ```
pub fn schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Portcullis policy",
    });
    merge(&mut schema, object(&DOCUMENT));
    schema
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// Where the schema of a rule stands.
const RULE: &str = "#/properties/rules/items";

fn object(shape: &Shape) -> Value {
    if std::ptr::eq(shape, &NEXT_RULE) {
        return json!({"allOf": [{"$ref": RULE}, {"not": {"required": ["shadow"]}}]});
    }
    let of_rule = |field: &Field| {
        // What stands in the objects of a rule's shadow is what stands there in a rule.
        let is_same = std::ptr::eq(shape, &RULE_SHADOW) && matches!(field.kind, Kind::Object(_));
        is_same.then(|| json!({"description": plain(field.meaning), "$ref": format!("{RULE}/properties/{}", field.name)}))
    };
    let properties = shape.fields.iter();
    let properties: Map<String, Value> = properties
        .map(|field| (field.name.to_owned(), of_rule(field).unwrap_or_else(|| property(field))))
        .collect();
    let required: Vec<&str> =
        shape.fields.iter().filter(|f| f.presence == Presence::Required).map(|f| f.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        merge(&mut schema, json!({"required": required}));
    }
    if !shape.bounds.is_empty() {
        merge(&mut schema, json!({"allOf": shape.bounds.iter().map(bound).collect::<Vec<_>>()}));
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut description = plain(field.meaning);
    // Where it says more than that the field must be there.
    if let Some(absent) = field.absent.strip_prefix("absent: ") {
        description.extend([" Absent: ", absent, "."]);
    }
    let mut schema = json!({"description": description});
    merge(&mut schema, kind(&field.kind));
    if let Presence::Default(text) = field.presence {
        merge(&mut schema, json!({"default": default(&field.kind, text)}));
    }
    schema
}

fn default(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::Boolean | Kind::Either([Kind::Boolean, ..]) => json!(text == "true"),
        Kind::List(..) | Kind::Any(_) | Kind::Either(_) => text.split(' ').collect(),
        Kind::Number(..) => text.parse::<u32>().map_or(Value::Null, Value::from),
        _ => json!(text),
    }
}

/// Without where the reference's links lead: `[roles](#roles)` is `roles`.
fn plain(meaning: &str) -> String {
    let mut text = String::new();
    let mut rest = meaning;
    while let Some((before, after)) = rest.split_once("](")
        && let Some((before, name)) = before.rsplit_once('[')
        && let Some((_, after)) = after.split_once(')')
    {
        text.extend([before, name]);
        rest = after;
    }
    text + rest
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text(form) => text(*form),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::True(_) => json!({"const": true}),
        Kind::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Duration(..) => pattern("^([0-9]{1,5}(h|m|s|ms)){1,4}$"),
        Kind::Time => pattern(
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
        ),
        Kind::Choice(_, words) | Kind::Algorithm(words) => json!({"enum": words}),
        Kind::Url { https } => {
            let scheme = if *https { "https" } else { "https?" };
            let rest = r"://[!$-.0-9;=A-\[\]-~][!$-.0-9:;=A-\[\]-~]*([/?][!$-;=?-\[\]-~]*)?$";
            texts(&format!("^{scheme}{rest}"), 4096)
        }
        Kind::Digest => pattern("^sha256:[0-9A-Fa-f]{64}$"),
        Kind::Secret => pattern("^[A-Za-z0-9_-]+$"),
        Kind::Claim => json!({"anyOf": [texts("^[^.CONTROL]+(\\.[^.CONTROL]+)*$", 4096), object(&CLAIM)]}),
        Kind::Value => json!({"anyOf": [text(Form::Any), {"type": ["integer", "boolean"]}]}),
        Kind::KeySet => json!({
            "type": "object",
            "required": ["keys"],
            "properties": {"keys": {"type": "array", "minItems": 1}},
        }),
        Kind::PrivateKey => json!({"type": ["string", "object"]}),
        Kind::Jwk => json!({
            "type": "object",
            "required": ["kty", "crv", "x"],
            "properties": {"kty": {"enum": ["EC", "OKP"]}, "crv": {"enum": ["P-256", "Ed25519"]}},
        }),
        Kind::PublicKey => json!({"type": "string"}),
        Kind::PublicJwk => json!({"type": "object", "required": ["kty"]}),
        Kind::Object(shape) => object(shape),
        Kind::List(_, item) => list(item, 1),
        Kind::Few(most, _, item) => {
            let mut schema = list(item, 1);
            merge(&mut schema, json!({"maxItems": most}));
            schema
        }
        Kind::Pair(_, item) => {
            let mut schema = list(item, 2);
            merge(&mut schema, json!({"maxItems": 2}));
            schema
        }
        Kind::Any(item) => list(item, 0),
        Kind::Names(form) => {
            let names = list(&Kind::Text(*form), 1);
            let mut either = object(&NAMES);
            for field in ["anyOf", "allOf"] {
                if let Some(property) = either.pointer_mut(&format!("/properties/{field}")) {
                    merge(property, names.clone());
                }
            }
            json!({"anyOf": [names, either]})
        }
        Kind::Either(kinds) => json!({"anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>()}),
    }
}

fn list(item: &Kind, least: usize) -> Value {
    let mut schema = json!({"type": "array", "items": kind(item)});
    // The way to a claim may lead through one name twice, and one claim counts once however often it is listed.
    if !matches!(item, Kind::Claim | Kind::Text(Form::ClaimName) | Kind::Either([Kind::Claim, ..])) {
        merge(&mut schema, json!({"uniqueItems": true}));
    }
    if least > 0 {
        merge(&mut schema, json!({"minItems": least}));
    }
    schema
}

fn pattern(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

/// Text by a pattern in which `CONTROL` stands for control characters.
fn texts(form: &str, most: usize) -> Value {
    json!({"type": "string", "maxLength": most, "pattern": form.replace("CONTROL", CONTROL)})
}

fn text(form: Form) -> Value {
    const HOST: &str =
        r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*";
    const ADDRESS: &str = r"\[[0-9A-Fa-f:.]+\]";
    const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
    match form {
        Form::Any | Form::TokenType | Form::ClaimName => texts("^[^CONTROL]+$", 4096),
        Form::Prefix => texts("^[^CONTROL]*$", 4096),
        Form::Name => texts("^[A-Za-z0-9._:/@-]+$", 128),
        Form::LimitName => texts("^[A-Za-z0-9._-]+$", 64),
        Form::CheckedPrefix => texts("^[a-z][a-z0-9]*$", 16),
        Form::KeyPrefix => texts("^(?!e$|ey|ew)[A-Za-z0-9._:/@-]+$", 128),
        Form::Tenant => texts("^[._-]*[A-Za-z0-9][A-Za-z0-9._-]*$", 128),
        Form::Label => texts(r"^[^\sCONTROL]([^CONTROL]*[^\sCONTROL])?$", 128),
        Form::Scope => texts(r"^[!#-\[\]-~]+$", 128),
        Form::Grant => texts(r"^(\*|[A-Za-z0-9._/-]+(:[A-Za-z0-9._/-]+)*(:\*)?)$", 128),
        Form::Permission => texts("^[A-Za-z0-9._/-]+(:[A-Za-z0-9._/-]+)*$", 128),
        Form::Realm => texts(r"^[ !#-\[\]-~]+$", 128),
        Form::Header => but(texts(TOKEN, 128), &["^[Hh][Oo][Ss][Tt]$".to_owned()]),
        Form::OwnHeader => {
            let taken = TAKEN.iter().chain(&overriding::NAMES).map(|name| format!("^{}$", alike(name)));
            let begun = TAKEN_PREFIXES.iter().map(|prefix| format!("^{}", alike(prefix)));
            but(
                texts(TOKEN, 128),
                &taken.chain(begun).chain(["^[Hh][Oo][Ss][Tt]$".to_owned()]).collect::<Vec<_>>(),
            )
        }
        Form::Method => texts("^[!#$%&'*+.^_`|~0-9A-Z-]+$", 4096),
        Form::Host => texts(&format!(r"^((\*\.)?{HOST}|{ADDRESS})$"), 255),
        Form::Authority => texts(&format!("^({HOST}|{ADDRESS})(:[0-9]+)?$"), 4096),
        Form::Origin => texts(r"^https?://[A-Za-z0-9_.:\[\]-]+/?$", 4096),
        Form::HostCookie => texts("^__Host-[!#$%&'*+.^_`|~0-9A-Za-z-]+$", 128),
        Form::Path => texts(r#"^/[!"$-:<->@-\[\]-~]*$"#, 4096),
        Form::UriPattern => texts(r"^[^*/CONTROL]*://[^*/CONTROL]+(/(\*|[^*/CONTROL]*))*$", 4096),
        Form::Network => texts("^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$", 4096),
        Form::DnsPattern => texts(r"^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", 4096),
    }
}

/// Text that fits none of `patterns`.
fn but(mut schema: Value, patterns: &[String]) -> Value {
    merge(&mut schema, json!({"not": {"pattern": patterns.join("|")}}));
    schema
}

/// A pattern for every spelling of a header's name.
fn alike(name: &str) -> String {
    let spellings = name.chars().map(|c| match c {
        'a'..='z' => format!("[{}{c}]", c.to_ascii_uppercase()),
        '0'..='9' => c.to_string(),
        _ => "[^A-Za-z0-9]".to_owned(),
    });
    spellings.collect()
}

fn bound(bound: &Bound) -> Value {
    let given = |name: &&str| json!({"required": [name]});
    match bound {
        Bound::One(names) => json!({"oneOf": names.iter().map(given).collect::<Vec<_>>()}),
        Bound::Some(names) => json!({"anyOf": names.iter().map(given).collect::<Vec<_>>()}),
        Bound::Apart(names) => {
            let mut one: Vec<Value> = names.iter().map(given).collect();
            one.push(json!({"not": {"anyOf": one}}));
            json!({"oneOf": one})
        }
        Bound::Required(name) => given(name),
        Bound::Forbidden(name) => json!({"not": given(name)}),
        Bound::Begins(name, start) => json!({"properties": {*name: {"pattern": format!("^{start}")}}}),
        Bound::Where(name, value, then, otherwise) => {
            conditional(json!({"properties": {*name: {"const": value}}, "required": [name]}), then, otherwise)
        }
        Bound::Given(names, then, otherwise) => {
            conditional(json!({"anyOf": names.iter().map(given).collect::<Vec<_>>()}), then, otherwise)
        }
    }
}

fn conditional(condition: Value, then: &[Bound], otherwise: &[Bound]) -> Value {
    let mut schema = json!({"if": condition});
    for (word, bounds) in [("then", then), ("else", otherwise)] {
        if !bounds.is_empty() {
            merge(&mut schema, json!({word: {"allOf": bounds.iter().map(bound).collect::<Vec<_>>()}}));
        }
    }
    schema
}
