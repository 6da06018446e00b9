//! `hmac`: who sends webhooks, and how each signs them.

use hashbrown::HashSet;

use super::{
    model::{Bound, Form, HOUR, Kind, SECOND, Shape, default, optional, required, words},
    names::Definitions,
    reader::{Node, Object},
    roles::{self, HOLDER_ROLES, HOLDER_SCOPES, HOLDER_TIER},
    scalar::text,
};
use crate::{
    crypto::HmacSha256Key,
    hmac::{Encoding, HmacSourceSpec, Layout, Piece, Scheme, TimestampAt},
    request::Location,
    text::base64,
};

/// Most secrets of one source: a body is gone through once for each.
const MOST_SECRETS: usize = 4;

/// The least length of a secret, in bytes; no sender makes a shorter one.
const LEAST_SECRET: usize = 16;

/// Those of Standard Webhooks have 24 to 64 bytes, and stand in base64 behind this.
const STANDARD_SECRET: std::ops::RangeInclusive<usize> = 24..=64;
const STANDARD_PREFIX: &str = "whsec_";

pub(super) static HMAC: Shape = Shape::new(&[required(
    "sources",
    Kind::List(NO_SOURCES, &Kind::Object(&HMAC_SOURCE)),
    "Senders, each of which signs what it sends.",
)]);

const NO_SOURCES: &str = "no sources; leave hmac out if no webhooks are accepted";

pub(super) static HMAC_SOURCE: Shape = Shape::bound(
    &[
        required("name", Kind::Text(Form::Name), "What rules call it; the principal's subject."),
        optional(
            "preset",
            Kind::Choice("a preset", &words(&PRESETS)),
            "one of these two is required",
            "It signs as this sender does, see below.",
        ),
        optional(
            "signature",
            Kind::Object(&SIGNATURE),
            "",
            "How it signs, where no preset says so, see below.",
        ),
        required(
            "secrets",
            Kind::Few(MOST_SECRETS, "no secrets; nothing could be verified", &Kind::Text(Form::Any)),
            "Any one of them may have signed, so that a secret can be replaced. As the sender shows them: those of \
             `StandardWebhooks` in base64, with or without `whsec_` before it, all others as they are, at least 16 bytes \
             long.",
        ),
        default(
            "tolerance",
            Kind::Duration(SECOND, HOUR),
            "5m",
            "How far the time of signing may lie from now, in either direction. Refused where none is signed.",
        ),
        default(
            "once",
            Kind::Boolean,
            "false",
            "Whether what was signed is good once, over all workers. Refused where no time is signed.",
        ),
        default(
            "maxBodyBytes",
            Kind::Number(1, 1_048_576),
            "262144",
            "A longer body is refused with 413. Envoy's `per_connection_buffer_limit_bytes` must be as large, see \
             [bodies](envoy.md#bodies).",
        ),
        default(
            "forward",
            Kind::Boolean,
            "true",
            "Whether the signature that was verified goes upstream: it opens nothing but this body, and receivers often \
             look at it again. No other does.",
        ),
        HOLDER_SCOPES,
        HOLDER_ROLES,
        HOLDER_TIER,
    ],
    &[Bound::One(&["preset", "signature"])],
);

type Preset = fn() -> Scheme;

const PRESETS: [(&str, Preset); 4] = [
    ("GitHub", Scheme::github),
    ("Slack", Scheme::slack),
    ("StandardWebhooks", Scheme::standard),
    ("Stripe", Scheme::stripe),
];

pub(super) static SIGNATURE: Shape = Shape::bound(
    &[
        required("header", Kind::Text(Form::OwnHeader), "The header in which the signature stands."),
        optional(
            "prefix",
            Kind::Text(Form::Any),
            "absent: none",
            "What stands before it there, as in `sha256=`.",
        ),
        default("encoding", Kind::Choice("an encoding", &words(&ENCODINGS)), "Hex", "How it is written."),
        optional(
            "timestampHeader",
            Kind::Text(Form::OwnHeader),
            "absent: no time is signed",
            "The header in which the time of signing stands, in whole seconds since 1970.",
        ),
        default(
            "signed",
            Kind::Text(Form::Any),
            BODY,
            "What is signed: `{body}` at its end, and with `timestampHeader` `{timestamp}` once before it, with other text \
             around them, as in `v0:{timestamp}:{body}`.",
        ),
    ],
    &[],
);

const ENCODINGS: [(&str, Encoding); 2] = [("Hex", Encoding::Hex), ("Base64", Encoding::Base64)];

const BODY: &str = "{body}";
const TIMESTAMP: &str = "{timestamp}";

/// Roles have been read.
pub(super) fn sources(mut o: Object<'_>, defs: &mut Definitions) -> Option<Vec<HmacSourceSpec>> {
    let node = o.take("sources")?;
    defs.hmac_sources.expect(node.count());
    let mut index = 0_usize;
    node.filled(NO_SOURCES)?.all(|n| {
        let place = index;
        index = index.saturating_add(1);
        source(n.object(&HMAC_SOURCE)?, place, defs)
    })
}

fn source(mut o: Object<'_>, index: usize, defs: &mut Definitions) -> Option<HmacSourceSpec> {
    let name = o.text("name");
    if let Some(name) = &name {
        defs.hmac_sources.define(name, index, (), &o.at("name"), o.faults);
    }
    let preset = o.choice("preset", &PRESETS);
    let own = o.object("signature").and_then(|o| signature(o, defs));
    let scheme = match (o.has("preset"), o.has("signature")) {
        (true, true) => o.fault_at("signature", "contradicts preset; give one of them"),
        (true, false) => preset.map(|scheme| scheme()),
        (false, true) => own,
        (false, false) => o.fault("says not how it signs; give preset or signature"),
    };
    let is_standard = scheme.as_ref().is_some_and(|scheme| scheme.layout == Layout::Versions);
    let mut seen = HashSet::new();
    let secrets = o.list("secrets").and_then(|items| items.all(|n| secret(n, is_standard, &mut seen)));
    let tolerance = o.duration("tolerance");
    if o.has("tolerance") && scheme.as_ref().is_some_and(|scheme| !scheme.has_timestamp()) {
        o.fault_at::<()>("tolerance", "has no effect: no time is signed");
    }
    let once = o.boolean("once");
    if once && scheme.as_ref().is_some_and(|scheme| !scheme.has_timestamp()) {
        o.fault_at::<()>(
            "once",
            "cannot be: no time is signed, and what was used would have to be known for ever",
        );
    }
    let max_body_bytes = o.number("maxBodyBytes");
    let forward = o.boolean("forward");
    let scopes = o.texts("scopes");
    let roles = roles::held(&mut o, defs);
    let tier = o.text("tier");
    let scheme = scheme?;
    if o.has("preset") {
        defs.headers.note_read(&scheme.header, &o.at("preset"));
    }
    Some(HmacSourceSpec {
        name: name?,
        secrets: secrets?,
        tolerance: tolerance?,
        once,
        max_body_bytes: max_body_bytes?.try_into().ok()?,
        forward,
        scopes: scopes.unwrap_or_default(),
        roles: roles.unwrap_or_default(),
        tier,
        location: Location::Header { name: scheme.header.clone(), prefix: String::new() },
        scheme,
    })
}

/// Nothing of it is ever shown.
fn secret(node: Node<'_>, is_standard: bool, seen: &mut HashSet<Vec<u8>>) -> Option<HmacSha256Key> {
    let (path, faults) = (node.path, node.faults);
    let fault = |message: &str| {
        faults.add(&path, message);
        None
    };
    let text = text(node)?;
    let bytes = match is_standard {
        true => match base64::decode_secret(text.strip_prefix(STANDARD_PREFIX).unwrap_or(&text)) {
            Some(bytes) if STANDARD_SECRET.contains(&bytes.len()) => bytes,
            Some(_) => return fault("is not 24 to 64 bytes long"),
            None => return fault("is not base64, with or without whsec_ before it"),
        },
        false if text.len() < LEAST_SECRET => return fault("is shorter than 16 bytes, and could be guessed"),
        false => text.into_bytes(),
    };
    let key = HmacSha256Key::new(&bytes);
    if !seen.insert(bytes) {
        return fault("is listed twice");
    }
    key
}

fn signature(mut o: Object<'_>, defs: &mut Definitions) -> Option<Scheme> {
    let header = o.text("header");
    let prefix = o.text("prefix");
    let encoding = o.choice("encoding", &ENCODINGS);
    let timestamp = o.text("timestampHeader");
    for (field, name) in [("header", &header), ("timestampHeader", &timestamp)] {
        if let Some(name) = name {
            defs.headers.note_read(name, &o.at(field));
        }
    }
    let signed = o.text("signed");
    let is_timed = o.has("timestampHeader");
    let signed = signed.and_then(|signed| match pieces(&signed, is_timed) {
        Ok(pieces) => Some(pieces),
        Err(message) => o.fault_at("signed", message),
    });
    if (o.has("prefix") && prefix.is_none()) || (is_timed && timestamp.is_none()) {
        return None;
    }
    Some(Scheme {
        header: header?,
        layout: Layout::Alone { prefix: prefix.unwrap_or_default(), encoding: encoding? },
        timestamp: timestamp.map_or(TimestampAt::Nowhere, TimestampAt::Header),
        id_header: None,
        signed: signed?,
    })
}

/// What is signed. No two readings of one text may give the same bytes: digits end where something else begins, and the body
/// comes last.
fn pieces(signed: &str, is_timed: bool) -> Result<Vec<Piece>, &'static str> {
    let before = signed.strip_suffix(BODY).ok_or("must end with {body}")?;
    let text = |text: &str| (!text.is_empty()).then(|| Piece::Text(text.to_owned()));
    let mut pieces = Vec::new();
    let last = match (before.split_once(TIMESTAMP), is_timed) {
        (Some((first, between)), true) => {
            if between.is_empty() || between.starts_with(|c: char| c.is_ascii_digit()) {
                return Err("between {timestamp} and what follows something must stand that is no digit");
            }
            pieces.extend(text(first));
            pieces.push(Piece::Timestamp);
            between
        }
        (None, false) => before,
        (None, true) => return Err("lacks {timestamp}: nobody would have signed what timestampHeader says"),
        (Some(_), false) => return Err("has {timestamp}, and timestampHeader does not say where it stands"),
    };
    if last.contains(['{', '}'])
        || pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains(['{', '}'])))
    {
        return Err("holds a brace; {timestamp} stands there once at most, {body} once");
    }
    pieces.extend(text(last));
    pieces.push(Piece::Body);
    Ok(pieces)
}
