//! How the document's model is written down: each field once, with its name, its kind, its range, its default and what it
//! is for. Beside each section stands the [`Shape`] of its objects.
//!
//! From the shapes come reading ([`super::reader`]), the JSON Schema and the tables of fields in `docs/policy.md`. What
//! only those two need is not in the module.

/// What an object may hold.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) fields: &'static [Field],
    /// What holds between the fields. Readers say it in their own words.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) bounds: &'static [Bound],
}

/// One field of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
    /// What the table says of a field that is left out, where it has neither a default nor is required.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) absent: &'static str,
    /// What it is for, in full sentences.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) meaning: &'static str,
}

/// Whether a field must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    /// Or required in some cases only, which the shape's bounds say.
    Optional,
    /// As if this text stood there; of a list, its entries with blanks between them.
    Default(&'static str),
}

/// What may stand in a field.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "the module makes no schema"))]
pub(super) enum Kind {
    /// A string of some form.
    Text(Form),
    Boolean,
    /// Nothing but `true`; else it says this.
    True(&'static str),
    /// A whole number, from one to the other.
    Number(u32, u32),
    /// A duration, from one to the other, in milliseconds.
    Duration(u64, u64),
    Time,
    /// One of these words; what they are together is said first.
    Choice(&'static str, &'static [&'static str]),
    /// One of these names of algorithms.
    Algorithm(&'static [&'static str]),
    /// An absolute `http` or `https` URL; or `https` alone.
    Url {
        https: bool,
    },
    /// The hash of an API key.
    Digest,
    /// base64url without padding; never empty.
    Secret,
    /// The name of a claim, or the path to it.
    Claim,
    /// What a claim may be: text, a whole number or a boolean.
    Value,
    /// A JWK set.
    KeySet,
    /// PKCS #8 in PEM, or a JWK.
    PrivateKey,
    /// A JWK for ES256 or EdDSA, private or public.
    Jwk,
    /// SubjectPublicKeyInfo in PEM.
    PublicKey,
    /// A public JWK of any kind.
    PublicJwk,
    Object(&'static Shape),
    /// A list, each entry once, but for claims; what is said of one that is empty.
    List(&'static str, &'static Kind),
    /// As a list, with no more entries than this.
    Few(usize, &'static str, &'static Kind),
    /// A list of two; what is said of any other number.
    Pair(&'static str, &'static Kind),
    /// A list, each entry once, that may be empty.
    Any(&'static Kind),
    /// Strings, all of which are meant: as a list, or `{allOf: [..]}`; or any one of them: `{anyOf: [..]}`.
    Names(Form),
    /// One of several kinds.
    Either(&'static [Kind]),
}

/// The forms of strings that are no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Text that is not empty and has no control characters.
    Any,
    /// What stands before a credential in a header; nothing, too.
    Prefix,
    /// One of the names on the way to a claim.
    ClaimName,
    /// `typ` of a token, in any case, with or without `application/`.
    TokenType,
    /// What the document defines by name.
    Name,
    /// A rate limit's name, which clients read.
    LimitName,
    /// What tells API keys from tokens.
    KeyPrefix,
    /// What keys begin with whose form is checked.
    CheckedPrefix,
    /// A tenant's name in its issuer.
    Tenant,
    /// What identity providers call something.
    Label,
    /// RFC 6749 section 3.3.
    Scope,
    /// A permission that is granted, maybe by a wildcard.
    Grant,
    /// A permission that is asked for.
    Permission,
    /// Of challenges.
    Realm,
    /// A header's name.
    Header,
    /// The name of a header that the filter sets.
    OwnHeader,
    Method,
    /// A host's name, or all below one.
    Host,
    /// `host` or `host:port`.
    Authority,
    /// An absolute path in its one form, without query.
    Path,
    /// The origin of a web page.
    Origin,
    /// The name of a cookie that belongs to one host.
    HostCookie,
    /// A URI, or all below one.
    UriPattern,
    /// A DNS name, or all below one.
    DnsPattern,
    /// A network, or one address.
    Network,
}

/// What holds between the fields of one object.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "the module makes no schema"))]
pub(super) enum Bound {
    /// One of these is given, and no more.
    One(&'static [&'static str]),
    /// One of these is given, or more.
    Some(&'static [&'static str]),
    /// At most one of these is given.
    Apart(&'static [&'static str]),
    Required(&'static str),
    Forbidden(&'static str),
    /// The text of this field begins so.
    Begins(&'static str, &'static str),
    /// What holds where the field has this value, and what else.
    Where(&'static str, &'static str, &'static [Bound], &'static [Bound]),
    /// What holds where one of these is given, and what else.
    Given(&'static [&'static str], &'static [Bound], &'static [Bound]),
}

impl Shape {
    /// An object with `fields`, each of which stands by itself.
    pub(super) const fn new(fields: &'static [Field]) -> Self {
        Self::bound(fields, &[])
    }

    /// An object with `fields`, and what holds between them.
    #[cfg_attr(target_arch = "wasm32", expect(unused_variables, reason = "the module makes no schema"))]
    pub(super) const fn bound(fields: &'static [Field], bounds: &'static [Bound]) -> Self {
        Self {
            fields,
            #[cfg(not(target_arch = "wasm32"))]
            bounds,
        }
    }

    /// The field called `name`.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A field that must be given.
pub(super) const fn required(name: &'static str, kind: Kind, meaning: &'static str) -> Field {
    field(name, kind, Presence::Required, "required", meaning)
}

/// A field that may be left out; `absent` says in a few words what that means, or when it may not.
pub(super) const fn optional(
    name: &'static str,
    kind: Kind,
    absent: &'static str,
    meaning: &'static str,
) -> Field {
    field(name, kind, Presence::Optional, absent, meaning)
}

/// A field that is read as `default` where it is left out.
pub(super) const fn default(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Field {
    field(name, kind, Presence::Default(default), "", meaning)
}

#[cfg_attr(target_arch = "wasm32", expect(unused_variables, reason = "the module explains no fields"))]
const fn field(
    name: &'static str,
    kind: Kind,
    presence: Presence,
    absent: &'static str,
    meaning: &'static str,
) -> Field {
    Field {
        name,
        kind,
        presence,
        #[cfg(not(target_arch = "wasm32"))]
        absent,
        #[cfg(not(target_arch = "wasm32"))]
        meaning,
    }
}

/// The words of a choice, of which each stands beside what it means.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "worked out by the compiler")]
pub(super) const fn words<T, const N: usize>(choices: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = choices[at].0;
        at += 1;
    }
    words
}

/// In milliseconds.
pub(super) const SECOND: u64 = 1000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;
