//! Which headers of requests do not reach the upstream as the client sent them.

use crate::{
    config::Document,
    message_signature::DERIVED,
    passkeys::CONFIRMATION_HEADER,
    request::{
        Location, connection,
        guarded::{Guard, GuardedHeaders},
        overriding, protocol,
    },
};

/// `credentials` are all places of credentials; guards name those of headers by their index.
pub(super) fn guarded_headers(document: &Document, credentials: &[Location]) -> GuardedHeaders {
    let every = |name| (name, Guard::Every);
    let claims = document.providers.iter().flat_map(|provider| &provider.jwt.claim_to_headers);
    let claims = claims.map(|spec| spec.header.as_str());
    let confirmation = document.passkeys.is_some().then_some(CONFIRMATION_HEADER);
    let owned = document.identity_headers.names().into_iter().chain(claims).chain(confirmation).map(every);
    let credentials = credentials.iter().enumerate().filter_map(|(place, location)| match location {
        Location::Header { name, .. } => Some((name.as_str(), Guard::Credential(place))),
        // Servers that take other spellings of the name for it find the same list there.
        Location::WebSocketProtocol(_) => Some((protocol::HEADER, Guard::OtherSpellings)),
        Location::Cookie(_) | Location::Query(_) => None,
    });
    // Another spelling of a header that must be signed would be signed by nobody, and read as the same by some.
    let signed = document.signers.iter().flat_map(|signer| &signer.components);
    let signed = signed.filter(|name| !DERIVED.contains(&name.as_str())).map(String::as_str);
    let spec = &document.request_headers;
    let removed = spec.remove.iter().map(String::as_str);
    let overriding = overriding::NAMES.into_iter().filter(|name| !spec.keeps(name));
    let vouched_for = spec.keep.iter().map(String::as_str).chain(overriding::VOUCHED_FOR).chain(signed);
    let vouched_for = vouched_for.map(|name| (name, Guard::OtherSpellings));
    let removed = removed.chain(overriding).map(every);
    let options = [(connection::HEADER, Guard::Options)];
    GuardedHeaders::new(owned.chain(credentials).chain(removed).chain(vouched_for).chain(options))
}
