//! The certificate of the client that sent a request: what Envoy says of its own connection, and what proxies in front
//! pass on (`x-forwarded-client-cert`, XFCC).
//!
//! Envoy has checked the certificate, or a trusted proxy in front has; nothing here knows a certification authority.
//! A listener that lets unverified certificates in (`trust_chain_verification: ACCEPT_UNTRUSTED`) makes every name in
//! them worthless, and no attribute of Envoy tells.

use std::{borrow::Cow, fmt};

use super::RequestHead;
use crate::text::hex;

/// The header in which proxies pass certificates on (XFCC).
pub const FORWARDED_HEADER: &str = "x-forwarded-client-cert";

/// The most elements of that header that are read; one per proxy.
pub const MAX_ELEMENTS: usize = 32;

/// What is known of a client's certificate. Empty text counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of its DER form; `None` when the proxy did not pass it on.
    pub digest: Option<[u8; 32]>,
    /// The first URI of its subject alternative names, such as a SPIFFE id.
    pub uri: Option<String>,
    /// The first DNS name of them.
    pub dns: Option<String>,
    /// Its subject, as RFC 2253 text.
    pub subject: Option<String>,
}

/// `x-forwarded-client-cert` has a form that cannot be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedError;

impl fmt::Display for ForwardedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x-forwarded-client-cert is malformed")
    }
}

impl std::error::Error for ForwardedError {}

/// The certificate of the client of the outermost of `hops` trusted proxies; `None`: it has shown none.
///
/// Each proxy appends what it knows of its own client, so behind `n` trusted proxies the element that counts is
/// the `n`th from the right: the one that the outermost of them added. What stands further left came from
/// outside. Fewer elements than that: none.
pub fn forwarded(head: &RequestHead<'_>, hops: usize) -> Result<Option<PeerCertificate>, ForwardedError> {
    let mut elements = Vec::new();
    for value in head.values(FORWARDED_HEADER) {
        parse_elements(str::from_utf8(value).map_err(|_| ForwardedError)?, &mut elements)?;
    }
    let place = elements.len().checked_sub(hops);
    Ok(place.filter(|place| *place < elements.len()).map(|place| elements.swap_remove(place)))
}

/// Reads the elements of one XFCC value: pairs joined by `;`, elements by `,`, both of which may stand in quotes.
///
/// Strict, because who stands behind an element decides: after a quoted value there is a separator or the end, so a
/// quote that a client leaves open in its own element cannot swallow what a proxy appends. Envoy does not quote URIs
/// and DNS names; an authority that signs names with `,` or `;` in them cannot be used with this header.
fn parse_elements(mut rest: &str, elements: &mut Vec<PeerCertificate>) -> Result<(), ForwardedError> {
    let mut element = PeerCertificate::default();
    // The keys that an element may have only once, as far as it has them.
    let mut seen: Vec<&'static str> = Vec::new();
    loop {
        let (key, after) = rest.split_once('=').ok_or(ForwardedError)?;
        let key = key.trim_start_matches([' ', '\t']);
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(ForwardedError);
        }
        let (value, after) = parse_value(after)?;
        if let Some(single) =
            ["hash", "subject", "cert", "chain"].into_iter().find(|name| name.eq_ignore_ascii_case(key))
        {
            if seen.contains(&single) {
                return Err(ForwardedError);
            }
            seen.push(single);
        }
        element.set(key, value)?;
        let after = after.trim_start_matches([' ', '\t']);
        if after.is_empty() {
            return push(elements, element);
        }
        rest = if let Some(after) = after.strip_prefix(';') {
            after
        } else {
            let after = after.strip_prefix(',').ok_or(ForwardedError)?;
            push(elements, std::mem::take(&mut element))?;
            seen.clear();
            after
        };
    }
}

fn push(elements: &mut Vec<PeerCertificate>, element: PeerCertificate) -> Result<(), ForwardedError> {
    if elements.len() >= MAX_ELEMENTS {
        return Err(ForwardedError);
    }
    elements.push(element);
    Ok(())
}

/// A value and what follows it. In quotes `\"` stands for `"`; without them a quote has no place.
fn parse_value(text: &str) -> Result<(Cow<'_, str>, &str), ForwardedError> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find([',', ';']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).ok_or(ForwardedError)?;
        if value.contains('"') {
            return Err(ForwardedError);
        }
        return Ok((Cow::Borrowed(value.trim_matches([' ', '\t'])), rest));
    };
    let mut escaped = false;
    let end = inner.bytes().position(|byte| match (escaped, byte) {
        (false, b'"') => true,
        (_, byte) => {
            escaped = !escaped && byte == b'\\';
            false
        }
    });
    let (value, rest) = end.and_then(|end| inner.split_at_checked(end)).ok_or(ForwardedError)?;
    let value =
        if value.contains("\\\"") { Cow::Owned(value.replace("\\\"", "\"")) } else { Cow::Borrowed(value) };
    Ok((value, rest.strip_prefix('"').ok_or(ForwardedError)?))
}

impl PeerCertificate {
    /// Takes one pair; the first URI and the first DNS name count. Keys have no case, and others say nothing here.
    fn set(&mut self, key: &str, value: Cow<'_, str>) -> Result<(), ForwardedError> {
        if value.is_empty() {
            return Ok(());
        }
        match key.to_ascii_lowercase().as_str() {
            "hash" => self.digest = Some(hex::decode_digest(&value).ok_or(ForwardedError)?),
            "uri" => _ = self.uri.get_or_insert_with(|| value.into_owned()),
            "dns" => _ = self.dns.get_or_insert_with(|| value.into_owned()),
            "subject" => self.subject = Some(value.into_owned()),
            _ => {}
        }
        Ok(())
    }
}
