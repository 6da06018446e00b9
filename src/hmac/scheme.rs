//! How a source signs: where its signature stands, and what is signed.

use crate::{
    request::{Lookup, RequestHead},
    text::{base64, hex},
};

use super::Claimed;

/// Most items of a header with several signatures. Who replaces a secret sends two.
const MAX_ITEMS: usize = 16;

/// The longest text that stands for a message's id, in bytes.
const MAX_ID: usize = 256;

/// How a source signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The header in which the signature stands, lower case.
    pub header: String,
    /// How it stands there.
    pub layout: Layout,
    /// Where the time of signing stands, as whole seconds since 1970.
    pub timestamp: TimestampAt,
    /// The header in which the message's id stands, lower case; `None`: it has none.
    pub id_header: Option<String>,
    /// What is signed: these, one behind the other.
    pub signed: Vec<Piece>,
}

/// How a signature stands in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One, by itself.
    Alone {
        /// What stands before it; empty for nothing.
        prefix: String,
        /// How it is written.
        encoding: Encoding,
    },
    /// `t=1492774577,v1=<hexadecimal>`, with several of `v1`, and others that do not count: as Stripe does.
    Fields,
    /// `v1,<base64>`, several of which stand behind blanks, and others that do not count: as Standard Webhooks says.
    Versions,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
}

/// Where the time of signing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampAt {
    /// None is signed.
    Nowhere,
    /// In this header, lower case.
    Header(String),
    /// Beside the signature.
    Beside,
}

/// A part of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// When it was signed, as it was sent.
    Timestamp,
    /// The message's id, as it was sent.
    Id,
    /// The request's body.
    Body,
}

/// What stands where a scheme looks. Nothing of it is verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Signed<'a> {
    /// Never empty.
    pub(super) signatures: Vec<[u8; 32]>,
    /// Digits.
    pub(super) timestamp: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

impl Scheme {
    /// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
    pub fn github() -> Self {
        Self {
            header: "x-hub-signature-256".to_owned(),
            layout: Layout::Alone { prefix: "sha256=".to_owned(), encoding: Encoding::Hex },
            timestamp: TimestampAt::Nowhere,
            id_header: None,
            signed: vec![Piece::Body],
        }
    }

    /// <https://docs.stripe.com/webhooks#verify-manually>
    pub fn stripe() -> Self {
        Self {
            header: "stripe-signature".to_owned(),
            layout: Layout::Fields,
            timestamp: TimestampAt::Beside,
            id_header: None,
            signed: vec![Piece::Timestamp, Piece::Text(".".to_owned()), Piece::Body],
        }
    }

    /// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
    pub fn slack() -> Self {
        Self {
            header: "x-slack-signature".to_owned(),
            layout: Layout::Alone { prefix: "v0=".to_owned(), encoding: Encoding::Hex },
            timestamp: TimestampAt::Header("x-slack-request-timestamp".to_owned()),
            id_header: None,
            signed: vec![
                Piece::Text("v0:".to_owned()),
                Piece::Timestamp,
                Piece::Text(":".to_owned()),
                Piece::Body,
            ],
        }
    }

    /// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
    pub fn standard() -> Self {
        let dot = || Piece::Text(".".to_owned());
        Self {
            header: "webhook-signature".to_owned(),
            layout: Layout::Versions,
            timestamp: TimestampAt::Header("webhook-timestamp".to_owned()),
            id_header: Some("webhook-id".to_owned()),
            signed: vec![Piece::Id, dot(), Piece::Timestamp, dot(), Piece::Body],
        }
    }

    /// Whether a time is signed.
    pub fn has_timestamp(&self) -> bool {
        self.timestamp != TimestampAt::Nowhere
    }

    /// What a request says in whose header of the signature this `value` stands, or why it says nothing.
    pub(super) fn read<'a>(
        &self,
        head: &RequestHead<'a>,
        value: &'a [u8],
    ) -> Result<Signed<'a>, &'static str> {
        let text = str::from_utf8(value).map_err(|_| "the signature is no text")?;
        let mut signed = match &self.layout {
            Layout::Alone { prefix, encoding } => alone(text, prefix, *encoding)?,
            Layout::Fields => fields(text)?,
            Layout::Versions => versions(text)?,
        };
        if let TimestampAt::Header(name) = &self.timestamp {
            signed.timestamp =
                Some(single(head, name).ok_or("the time of signing is missing, or given twice")?);
        }
        if let Some(name) = &self.id_header {
            signed.id = Some(single(head, name).ok_or("the message's id is missing, or given twice")?);
        }
        // Nothing that another reading of what is signed could begin or end with.
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if self.has_timestamp() && !signed.timestamp.is_some_and(is_digits) {
            return Err("the time of signing is no number of seconds");
        }
        let is_id = |id: &str| {
            (1..=MAX_ID).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:/=+".contains(&byte))
        };
        if !signed.id.is_none_or(is_id) {
            return Err("the message's id has characters that stand in none");
        }
        Ok(signed)
    }
}

impl Piece {
    pub(super) fn of<'p>(&'p self, claimed: &'p Claimed<'_>, body: &'p [u8]) -> &'p [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Timestamp => claimed.timestamp.unwrap_or_default().as_bytes(),
            Self::Id => claimed.id.unwrap_or_default().as_bytes(),
            Self::Body => body,
        }
    }
}

/// The header `name` where it is given once and is text.
fn single<'a>(head: &RequestHead<'a>, name: &str) -> Option<&'a str> {
    match head.single(name) {
        Lookup::One(value) => str::from_utf8(value).ok(),
        _ => None,
    }
}

/// One signature behind `prefix`, whose letter case counts.
fn alone<'a>(text: &str, prefix: &str, encoding: Encoding) -> Result<Signed<'a>, &'static str> {
    let digest = |text| match encoding {
        Encoding::Hex => hex::decode_digest(text),
        Encoding::Base64 => base64_digest(text),
    };
    let signature = text.strip_prefix(prefix).and_then(digest);
    let signature = signature.ok_or("no signature of HMAC-SHA-256 stands there")?;
    Ok(Signed { signatures: vec![signature], ..Signed::default() })
}

fn fields(text: &str) -> Result<Signed<'_>, &'static str> {
    let mut signed = Signed::default();
    for (n, field) in text.split(',').enumerate() {
        let (name, value) = field.split_once('=').ok_or("the signature has an item without =")?;
        match name {
            _ if n >= MAX_ITEMS => return Err("the signature has too many items"),
            "t" if signed.timestamp.is_some() => return Err("the time of signing is given twice"),
            "t" => signed.timestamp = Some(value),
            "v1" => {
                signed.signatures.push(hex::decode_digest(value).ok_or("v1 is no signature of HMAC-SHA-256")?)
            }
            _ => {}
        }
    }
    some(signed)
}

fn versions(text: &str) -> Result<Signed<'_>, &'static str> {
    let mut signed = Signed::default();
    for (n, item) in text.split(' ').enumerate() {
        let (version, value) = item.split_once(',').ok_or("the signature has an item without a version")?;
        match version {
            _ if n >= MAX_ITEMS => return Err("the signature has too many items"),
            "v1" => signed.signatures.push(base64_digest(value).ok_or("v1 is no signature of HMAC-SHA-256")?),
            _ => {}
        }
    }
    some(signed)
}

fn some(signed: Signed<'_>) -> Result<Signed<'_>, &'static str> {
    if signed.signatures.is_empty() { Err("no signature v1 stands there") } else { Ok(signed) }
}

/// 32 bytes in base64 with padding.
fn base64_digest(text: &str) -> Option<[u8; 32]> {
    base64::decode(text)?.try_into().ok()
}
