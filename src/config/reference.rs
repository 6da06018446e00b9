//! The tables of fields in `docs/policy.md`, made from the shapes.

use super::{
    api_keys::{API_KEY, API_KEYS},
    binding::DPOP,
    claim_conditions::CLAIM_CONDITION,
    client_certificates::{CERTIFICATE_PRINCIPAL, CLIENT_CERTIFICATES},
    document::DOCUMENT,
    etcd::ETCD,
    extract_from::EXTRACT_FROM,
    hmac::{HMAC, HMAC_SOURCE, SIGNATURE},
    identity_headers::IDENTITY_HEADERS,
    introspection::{INTROSPECTION, PRIVATE_KEY_JWT},
    jwt::PROVIDER,
    keys::{DISCOVERY, JWKS},
    limit_windows::WINDOW,
    message_signatures::{MESSAGE_SIGNATURES, SIGNER, SIGNER_KEY},
    model::{Field, Form, Kind, Presence, Shape},
    passkeys::{PASSKEYS, REGISTRATION, RELYING_PARTY, STORE},
    protected_resource::{NAMED_RESOURCE, PROTECTED_RESOURCE},
    rate_limits::LIMIT,
    request_headers::REQUEST_HEADERS,
    requirement::{ALTERNATIVE, AUTHORIZE, BY_ACTOR},
    revocation::{REMOTE, REVOCATION, TOKENS},
    roles::ROLE,
    route_match::MATCH,
    rule_shadow::RULE_SHADOW,
    rules::{NEXT_RULE, RULE},
    scalar::show_duration,
    sessions::SESSIONS,
    shadow::SHADOW,
    signing_keys::SIGNING_KEYS,
    transport::TRANSPORT,
};

/// Each table: what it is called, which is where its objects stand, and their shape.
static TABLES: [(&str, &Shape); 42] = [
    ("policy", &DOCUMENT),
    ("transport", &TRANSPORT),
    ("jwt.providers", &PROVIDER),
    ("jwt.providers.jwks", &JWKS),
    ("jwt.providers.discovery", &DISCOVERY),
    ("jwt.providers.dpop", &DPOP),
    ("jwt.providers.introspection", &INTROSPECTION),
    ("jwt.providers.introspection.privateKeyJwt", &PRIVATE_KEY_JWT),
    ("extractFrom", &EXTRACT_FROM),
    ("signingKeys", &SIGNING_KEYS),
    ("sessions", &SESSIONS),
    ("passkeys", &PASSKEYS),
    ("passkeys.relyingParty", &RELYING_PARTY),
    ("passkeys.registration", &REGISTRATION),
    ("passkeys.etcd", &STORE),
    ("protectedResource", &PROTECTED_RESOURCE),
    ("protectedResources", &NAMED_RESOURCE),
    ("apiKeys", &API_KEYS),
    ("apiKeys.keys", &API_KEY),
    ("apiKeys.etcd", &ETCD),
    ("clientCertificates", &CLIENT_CERTIFICATES),
    ("clientCertificates.principals", &CERTIFICATE_PRINCIPAL),
    ("hmac", &HMAC),
    ("hmac.sources", &HMAC_SOURCE),
    ("hmac.sources.signature", &SIGNATURE),
    ("messageSignatures", &MESSAGE_SIGNATURES),
    ("messageSignatures.signers", &SIGNER),
    ("messageSignatures.signers.keys", &SIGNER_KEY),
    ("revocation", &REVOCATION),
    ("revocation.tokens", &TOKENS),
    ("revocation.remote", &REMOTE),
    ("roles", &ROLE),
    ("rateLimits", &LIMIT),
    ("rateLimits.limits", &WINDOW),
    ("rules", &RULE),
    ("rules.matches", &MATCH),
    ("rules.authorize", &AUTHORIZE),
    ("rules.authorize.claims", &CLAIM_CONDITION),
    ("rules.shadow", &RULE_SHADOW),
    ("shadow", &SHADOW),
    ("identityHeaders", &IDENTITY_HEADERS),
    ("requestHeaders", &REQUEST_HEADERS),
];

/// Every table of fields, in Markdown, by its name: what each field may hold, its default or what it means to leave it
/// out, and what it is for.
///
/// ```
/// let tables = portcullis::config::reference();
/// let (_, transport) = tables.iter().find(|(name, _)| *name == "transport").unwrap();
/// assert!(transport.contains("| `requireTls` | boolean | `true` | Plaintext requests are refused. |"));
/// ```
pub fn reference() -> Vec<(&'static str, String)> {
    let table = |shape: &Shape| {
        let mut text = "| field | type | default | meaning |\n|---|---|---|---|\n".to_owned();
        match std::ptr::eq(shape, &RULE_SHADOW) {
            // What stands in them is what stands there in a rule.
            true => shape.fields.iter().for_each(|field| add_row(&mut text, field.name, field)),
            false => add_rows(&mut text, "", shape),
        }
        text
    };
    TABLES.iter().map(|(name, shape)| (*name, table(shape))).collect()
}

/// The rows of an object, and behind each those of the objects in it that have no table of their own.
fn add_rows(text: &mut String, within: &str, shape: &Shape) {
    for field in shape.fields {
        let name = format!("{within}{}", field.name);
        add_row(text, &name, field);
        add_rows_within(text, &name, &field.kind);
    }
}

fn add_row(text: &mut String, name: &str, field: &Field) {
    let cells = [format!("`{name}`"), kind(&field.kind), default(field), field.meaning.to_owned()];
    text.extend(cells.map(|cell| format!("| {cell} ").replace("  ", " ")));
    text.push_str("|\n");
}

fn add_rows_within(text: &mut String, name: &str, kind: &Kind) {
    match kind {
        Kind::Object(shape) if !is_elsewhere(shape) => add_rows(text, &format!("{name}."), shape),
        Kind::List(_, item) | Kind::Few(_, _, item) | Kind::Pair(_, item) | Kind::Any(item) => {
            add_rows_within(text, &format!("{name}[]"), item)
        }
        Kind::Either(kinds) => kinds.iter().for_each(|kind| add_rows_within(text, name, kind)),
        _ => {}
    }
}

/// Whether the fields of an object stand in a table of their own, or are those of the object around it.
fn is_elsewhere(shape: &Shape) -> bool {
    TABLES
        .iter()
        .map(|(_, shape)| *shape)
        .chain([&ALTERNATIVE, &BY_ACTOR, &NEXT_RULE])
        .any(|other| std::ptr::eq(other, shape))
}

fn default(field: &Field) -> String {
    match (field.presence, &field.kind) {
        (Presence::Required, _) => "required".to_owned(),
        (Presence::Optional, _) => field.absent.to_owned(),
        (Presence::Default(text), Kind::List(..) | Kind::Few(..) | Kind::Any(_) | Kind::Either(_)) => {
            joined(text.split(' '), " ")
        }
        (Presence::Default(text), _) => format!("`{text}`"),
    }
}

/// Words as code.
fn joined<'a>(words: impl IntoIterator<Item = &'a str>, between: &str) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(between)
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Text(form) => text(*form).to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::True(_) => "`true`".to_owned(),
        Kind::Number(least, most) => format!("{least} to {most}"),
        Kind::Duration(least, most) => {
            format!("duration, {} to {}", show_duration(*least), show_duration(*most))
        }
        Kind::Time => "time".to_owned(),
        Kind::Choice(_, words) | Kind::Algorithm(words) => joined(words.iter().copied(), ", "),
        Kind::Url { https: true } => "absolute `https` URL".to_owned(),
        Kind::Url { https: false } => "absolute `http` or `https` URL".to_owned(),
        Kind::Digest => "`sha256:` and 64 hexadecimal digits".to_owned(),
        Kind::Secret => "base64url without padding".to_owned(),
        Kind::Claim => "claim".to_owned(),
        Kind::Value => "value".to_owned(),
        Kind::KeySet => "JWK set: `{keys: [..]}`".to_owned(),
        Kind::PrivateKey => "PEM text (PKCS #8) or JWK object".to_owned(),
        Kind::Jwk => "JWK".to_owned(),
        Kind::PublicKey => "PEM text (SubjectPublicKeyInfo)".to_owned(),
        Kind::PublicJwk => "public JWK".to_owned(),
        Kind::Object(_) => "object".to_owned(),
        Kind::List(_, item) => format!("list of {}", items(item)),
        Kind::Few(most, _, item) => format!("list of 1 to {most} {}", items(item)),
        Kind::Pair(_, item) => format!("list of 2 {}", items(item)),
        Kind::Any(item) => format!("list of {}; may be empty", items(item)),
        Kind::Names(form) => format!("names: {}", items(&Kind::Text(*form))),
        Kind::Either(kinds) => kinds.iter().map(self::kind).collect::<Vec<_>>().join(", or "),
    }
}

/// What a list holds.
fn items(item: &Kind) -> String {
    match item {
        Kind::Text(form) => match text(*form) {
            "text" => "text".to_owned(),
            one => format!("{one}s"),
        },
        Kind::Claim => "claims".to_owned(),
        Kind::Value => "values".to_owned(),
        Kind::Url { .. } => format!("{}s", kind(item)),
        Kind::Object(_) => "objects".to_owned(),
        Kind::Jwk => "JWKs".to_owned(),
        Kind::Either(kinds) => kinds.iter().map(items).collect::<Vec<_>>().join(" or "),
        _ => kind(item),
    }
}

/// What the page says under "Kinds of values".
const fn text(form: Form) -> &'static str {
    match form {
        Form::Any
        | Form::Prefix
        | Form::ClaimName
        | Form::TokenType
        | Form::UriPattern
        | Form::DnsPattern => "text",
        Form::Name | Form::KeyPrefix | Form::CheckedPrefix => "name",
        Form::LimitName => "limit name",
        Form::Tenant => "tenant",
        Form::Label => "label",
        Form::Scope => "scope",
        Form::Grant | Form::Permission => "permission",
        Form::Realm => "printable ASCII without `\"` and `\\`, 1 to 128",
        Form::Header | Form::OwnHeader => "header",
        Form::Method => "method",
        Form::Network => "network",
        Form::Host => "host name",
        Form::Authority => "`host` or `host:port`",
        Form::Path => "path",
        Form::Origin => "origin",
        Form::HostCookie => "cookie name with `__Host-`",
    }
}
