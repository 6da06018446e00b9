//! What a limit counts apart: the parts of its key as bytes that no two keys share.

use std::{
    cell::OnceCell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    KeyPart,
    admission::LimitId,
    place::{KeyHasher, Place},
};
use crate::{
    identity::{ClaimPath, Principal, PrincipalKind},
    json::Json,
    request::{
        RequestHead,
        alike::{AlikeNames, is_alike},
        cookie,
        credential::without_blanks,
        query,
    },
};

/// A request as limits see it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The client's address; `None` when it could not be read, which makes limits by address unavailable.
    pub remote_address: Option<IpAddr>,
    /// Who is calling; `None` before authentication and for anonymous requests, which share one key.
    pub principal: Option<&'a Principal>,
    /// Who acts for the principal; `None`: nobody else does.
    pub actor: Option<&'a Principal>,
    /// Where this principal is counted, once that was worked out; `None`: nothing is to be remembered.
    pub known_place: Option<&'a KnownPlace>,
    /// The name of the matched rule; empty before matching.
    pub rule: &'a str,
    /// The method, compared exactly (RFC 9110 section 9.1).
    pub method: &'a str,
    /// The host that is asked for, lower case and without port.
    pub host: &'a str,
    /// The headers.
    pub head: &'a RequestHead<'a>,
    /// The query of the path, as sent.
    pub query: Option<&'a str>,
    /// The variables of the path; `None` before a rule is chosen.
    pub variables: Option<&'a dyn PathVariables>,
}

/// The variables of a path.
pub trait PathVariables {
    /// The value of the variable; `None` where the path has no such variable.
    fn value(&self, name: &str) -> Option<&str>;
}

/// Where a principal is counted, by the first limit that counted it of those whose key is the principal alone. Belongs
/// to one principal, one limiter and one secret; by default nothing is known.
#[derive(Debug, Default)]
pub struct KnownPlace(OnceCell<(LimitId, Place)>);

impl KnownPlace {
    pub(super) fn of(&self, limit: LimitId) -> Option<Place> {
        self.0.get().filter(|(known, _)| *known == limit).map(|(_, place)| *place)
    }

    pub(super) fn keep(&self, limit: LimitId, place: Place) {
        self.0.get_or_init(|| (limit, place));
    }
}

/// The key could not be formed: the address is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAddress;

/// How many leading bits of an address count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefixes {
    /// 1 to 32.
    pub(super) ipv4: u8,
    /// 1 to 128.
    pub(super) ipv6: u8,
}

/// What a limit counts apart, ready to be looked for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) parts: Vec<KeyPart>,
    pub(super) prefixes: Prefixes,
    /// The names of those that are cookies.
    cookies: AlikeNames,
    /// The names of those that are query parameters.
    params: AlikeNames,
}

impl Key {
    pub(super) fn new(parts: &[KeyPart], prefixes: Prefixes) -> Self {
        let (mut cookies, mut params) = (AlikeNames::default(), AlikeNames::default());
        for part in parts {
            match part {
                KeyPart::Cookie(name) => cookies.add(name),
                KeyPart::Query(name) => params.add(name),
                _ => continue,
            };
        }
        Self { parts: parts.to_vec(), prefixes, cookies, params }
    }

    /// Whoever of the principal and the actor the count is told apart by, some more than once. Of all others it may be
    /// anybody's, too.
    pub(super) fn told_apart<'s>(
        &'s self,
        subject: &'s Subject<'_>,
    ) -> impl Iterator<Item = &'s Principal> + use<'s> {
        let both = || [subject.principal, subject.actor].into_iter().flatten();
        self.parts.iter().filter_map(move |part| match part {
            KeyPart::Principal => subject.principal,
            KeyPart::Actor => subject.actor,
            KeyPart::ApiKey => both().find(|who| who.kind == PrincipalKind::ApiKey),
            KeyPart::Claim(claim) => subject.principal.filter(|who| has(who, claim)),
            KeyPart::ClaimHeader { claims, .. } => {
                let (claim, who) = both().find_map(|who| Some((set_from(claims, who)?, who)))?;
                has(who, claim).then_some(who)
            }
            _ => None,
        })
    }
}

fn has(who: &Principal, claim: &ClaimPath) -> bool {
    !matches!(who.claim(claim), None | Some(Json::Null))
}

/// Feeds the parts to the hash, each so that its end can be told. Addresses say how they were cut: filters of one name
/// may differ in that.
pub(super) fn hash_parts(hasher: &mut KeyHasher, key: &Key, subject: &Subject<'_>) -> Result<(), NoAddress> {
    for part in &key.parts {
        match part {
            KeyPart::RemoteAddress => match cut(subject.remote_address.ok_or(NoAddress)?, key.prefixes) {
                IpAddr::V4(address) => {
                    hasher.fixed([4, key.prefixes.ipv4]);
                    hasher.fixed(address.octets());
                }
                IpAddr::V6(address) => {
                    hasher.fixed([6, key.prefixes.ipv6]);
                    hasher.fixed(address.octets());
                }
            },
            KeyPart::Principal => hash_who(hasher, subject.principal),
            KeyPart::Actor => hash_who(hasher, subject.actor),
            KeyPart::ApiKey => {
                let mut both = [subject.principal, subject.actor].into_iter().flatten();
                match both.find(|one| one.kind == PrincipalKind::ApiKey) {
                    Some(holder) => {
                        hasher.fixed([1]);
                        hasher.sized(holder.credential_id.as_bytes());
                    }
                    None => hasher.fixed([0]),
                }
            }
            KeyPart::Route => hasher.sized(subject.rule.as_bytes()),
            KeyPart::Header(name) => {
                each_header_value(subject.head, name, &mut |value| hash_value(hasher, Some(value)));
                hasher.fixed([0]);
            }
            KeyPart::Cookie(name) => {
                let visit = &mut |value: &[u8]| hash_value(hasher, Some(value));
                let read = cookie::each_value(subject.head, &key.cookies, name, visit);
                hasher.fixed([end_of(read)]);
            }
            KeyPart::Query(name) => {
                let visit = &mut |value: Option<&str>| hash_value(hasher, value.map(str::as_bytes));
                let query = subject.query.unwrap_or_default();
                let read = query::each_value(query, &key.params, name, visit);
                hasher.fixed([end_of(read)]);
            }
            KeyPart::Claim(path) => hash_claim(hasher, Some(path), subject.principal),
            KeyPart::ClaimHeader { claims, .. } => {
                let mut both = [subject.principal, subject.actor].into_iter().flatten();
                let who = both.find_map(|who| Some((set_from(claims, who)?, who)));
                hash_claim(hasher, who.map(|(path, _)| path), who.map(|(_, who)| who));
            }
            KeyPart::PathVariable(name) => {
                match subject.variables.and_then(|variables| variables.value(name)) {
                    None => hasher.fixed([0]),
                    Some(value) => {
                        hasher.fixed([1]);
                        hasher.sized(value.as_bytes());
                    }
                }
            }
            KeyPart::Host => hasher.sized(subject.host.as_bytes()),
        }
    }
    Ok(())
}

/// Calls `visit` with every value of the header `name` (lower case), in order. Where there is none, calls it with the
/// values of those names that some server reads as the same.
///
/// So no client gets another count by spelling the name differently. Where the name itself is there, other spellings do
/// not count: a client may have added them to what a proxy in front has set.
fn each_header_value(head: &RequestHead<'_>, name: &str, visit: &mut dyn FnMut(&[u8])) {
    let visit = &mut |value: &[u8]| visit(without_blanks(value));
    let mut values = head.values(name).peekable();
    if values.peek().is_some() {
        values.for_each(visit);
    } else {
        let is_alike = |(own, _): &&(&[u8], _)| is_alike(own, name.as_bytes());
        head.headers.iter().filter(is_alike).for_each(|(_, value)| visit(value));
    }
}

/// All that cannot be decoded is one value.
fn hash_value(hasher: &mut KeyHasher, value: Option<&[u8]>) {
    hasher.fixed([if value.is_some() { 1 } else { 2 }]);
    hasher.sized(value.unwrap_or_default());
}

/// All requests in which there is too much to look through share one count.
const fn end_of(read: Option<()>) -> u8 {
    if read.is_some() { 0 } else { 3 }
}

/// The claim from which the principal's provider sets a header.
fn set_from<'k>(claims: &'k [(String, ClaimPath)], principal: &Principal) -> Option<&'k ClaimPath> {
    let provider = principal.provider()?;
    claims.iter().find(|(name, _)| name == provider).map(|(_, claim)| claim)
}

fn hash_who(hasher: &mut KeyHasher, who: Option<&Principal>) {
    match who {
        None => hasher.fixed([0]),
        Some(principal) => {
            hasher.fixed([1]);
            hasher.sized(principal.kind.as_str().as_bytes());
            hasher.sized(principal.authority.as_bytes());
            hasher.sized(principal.subject.as_bytes());
        }
    }
}

/// What one provider writes there means nothing to another.
fn hash_claim(hasher: &mut KeyHasher, path: Option<&ClaimPath>, principal: Option<&Principal>) {
    let claim = principal.zip(path).and_then(|(principal, path)| Some((principal, principal.claim(path)?)));
    match claim {
        None | Some((_, Json::Null)) => hasher.fixed([0]),
        Some((principal, value)) => {
            hasher.fixed([1]);
            hasher.sized(principal.kind.as_str().as_bytes());
            hasher.sized(principal.authority.as_bytes());
            match value {
                Json::String(text) => {
                    hasher.fixed([1]);
                    hasher.sized(text.as_bytes());
                }
                other => {
                    hasher.fixed([2]);
                    hasher.sized(other.to_value().to_string().as_bytes());
                }
            }
        }
    }
}

/// The address with all bits after the prefix cleared. An IPv4 address in IPv6 form (RFC 4291 section
/// 2.5.5.2), as a dual-stack listener reports it, is that IPv4 address.
fn cut(address: IpAddr, prefixes: Prefixes) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let host_bits = 32_u32.saturating_sub(prefixes.ipv4.into());
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let host_bits = 128_u32.saturating_sub(prefixes.ipv6.into());
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_to_the_prefix() {
        for (address, ipv4, ipv6, expected) in [
            ("192.0.2.77", 32, 64, "192.0.2.77"),
            ("192.0.2.77", 24, 64, "192.0.2.0"),
            ("192.0.2.77", 1, 64, "128.0.0.0"),
            ("::ffff:192.0.2.77", 32, 64, "192.0.2.77"),
            ("::ffff:192.0.2.77", 24, 64, "192.0.2.0"),
            ("2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::"),
            ("2001:db8:1:2:3:4:5:6", 32, 56, "2001:db8:1::"),
            ("2001:db8:1:2:3:4:5:6", 32, 128, "2001:db8:1:2:3:4:5:6"),
            ("2001:db8:1:2:3:4:5:6", 32, 1, "::"),
            ("::1", 32, 128, "::1"),
        ] {
            let prefixes = Prefixes { ipv4, ipv6 };
            assert_eq!(
                cut(address.parse().unwrap(), prefixes).to_string(),
                expected,
                "{address}/{ipv4}/{ipv6}"
            );
        }
    }
}
