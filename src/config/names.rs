//! The names that a document defines, and the references to them: a name is defined once, and a reference must lead to a
//! definition.
//!
//! Definitions are read before what refers to them, so each reference can be checked when it is read.

use hashbrown::{HashMap, HashSet};

use super::faults::{Faults, Path, quoted};
use crate::{
    identity::ClaimPath,
    jwt::ProviderSpec,
    request::alike::{folded_name, is_alike},
};

/// The names of one kind. `T` is what must be known of each so that references to it can be checked.
#[derive(Debug)]
pub(super) struct Names<T = ()> {
    /// What one of them is called in messages, such as `role`.
    what: &'static str,
    /// The path of the list that defines them, such as `roles`.
    list: &'static str,
    /// Each with its place in the list.
    known: HashMap<String, (usize, T)>,
    /// How many items the list has.
    expected: usize,
    /// How many of them have a name that could be read.
    read: usize,
}

impl<T> Names<T> {
    /// No names yet.
    pub(super) fn new(what: &'static str, list: &'static str) -> Self {
        Self { what, list, known: HashMap::new(), expected: 0, read: 0 }
    }

    /// Sets how many definitions there are. As long as fewer names than that were read, no reference is told as unknown,
    /// since the name it gives may be one that could not be read.
    pub(super) fn expect(&mut self, items: usize) {
        self.expected = items;
        self.known.reserve(items);
    }

    /// Counts one more definition, which stands elsewhere.
    pub(super) fn expect_another(&mut self) {
        self.expected = self.expected.saturating_add(1);
    }

    /// Adds the definition at `index` of the list. It is a fault at `path` if the name is defined already.
    pub(super) fn define(&mut self, name: &str, index: usize, about: T, path: &Path<'_>, faults: &Faults) {
        self.read = self.read.saturating_add(1);
        if let Some((first, _)) = self.known.get(name) {
            let (what, list) = (self.what, self.list);
            let shown = quoted(name);
            faults.add(path, format!("duplicate {what} {shown}; {list}[{first}] is the first"));
            return;
        }
        self.known.insert(name.to_owned(), (index, about));
    }

    /// The place of a name in the list that defines it.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.known.get(name).map(|(place, _)| *place)
    }

    /// What is known of a name that is referred to. It is a fault at `path` if there is no such name.
    pub(super) fn resolve(&self, name: &str, path: &Path<'_>, faults: &Faults) -> Option<&T> {
        if let Some((_, about)) = self.known.get(name) {
            return Some(about);
        }
        if self.read >= self.expected {
            let what = self.what;
            if self.known.is_empty() {
                faults.add(path, format!("unknown {what} {}; {} defines none", quoted(name), self.list));
            } else {
                let hint = faults.hint(name, self.known.keys().map(String::as_str));
                faults.add(path, format!("unknown {what} {}{hint}", quoted(name)));
            }
        }
        None
    }
}

/// What is known of a rate limit where rules refer to it.
#[derive(Debug)]
pub(super) struct LimitFacts {
    pub(super) before_authentication: bool,
    /// The part of its key that only an authenticated request has, such as `principal`; `None`: it has no such part.
    pub(super) per_caller: Option<&'static str>,
    /// `actor` is a part of its key.
    pub(super) by_actor: bool,
    /// Each address has a count of its own.
    pub(super) by_address: bool,
    /// `None`: it is not known.
    pub(super) own_requests: Option<OwnRequestsFacts>,
}

/// Who may have a number of requests of its own in a limit.
#[derive(Debug)]
pub(super) struct OwnRequestsFacts {
    /// API keys do not share one count.
    pub(super) by_key: bool,
    /// The highest number of those who are of none of the limit's tiers; `None`: they have none.
    pub(super) max: Option<u32>,
    /// Likewise, of each tier.
    pub(super) tiers: Vec<(String, Option<u32>)>,
}

/// All names that the document defines and that other parts of it refer to.
#[derive(Debug)]
pub(super) struct Definitions {
    pub(super) roles: Names,
    pub(super) providers: Names,
    pub(super) resources: Names,
    pub(super) resources_given: Resources,
    pub(super) issuers: Names,
    pub(super) keys: Names,
    pub(super) hmac_sources: Names,
    pub(super) signers: Names,
    pub(super) signer_keys: Names,
    pub(super) limits: Names<LimitFacts>,
    pub(super) rules: Names,
    pub(super) headers: OwnHeaders,
    pub(super) cookies: ReadNames,
    pub(super) params: ReadNames,
    pub(super) grants: Grants,
    /// Whether the document has an `apiKeys` section.
    pub(super) api_keys: bool,
    /// There are API keys that the document does not name.
    pub(super) keys_elsewhere: bool,
    /// Whether the document has a `clientCertificates` section.
    pub(super) client_certificates: bool,
    /// Whether the document has a `signingKeys` section.
    pub(super) signing_keys: bool,
    /// Whether the document has a `sessions` section.
    pub(super) sessions: bool,
    /// What is known of passkeys where the document has such a section.
    pub(super) passkeys: Option<PasskeyFacts>,
}

/// What rules say of passkeys.
#[derive(Debug)]
pub(super) struct PasskeyFacts {
    /// What sessions are called.
    pub(super) sessions: String,
    /// What the paths of the endpoints begin with.
    pub(super) path: String,
}

impl Default for Definitions {
    fn default() -> Self {
        Self {
            roles: Names::new("role", "roles"),
            providers: Names::new("provider", "jwt.providers"),
            resources: Names::new("protected resource", "protectedResources"),
            resources_given: Resources::None,
            issuers: Names::new("issuer", "jwt.providers"),
            keys: Names::new("key id", "apiKeys.keys"),
            hmac_sources: Names::new("source", "hmac.sources"),
            signers: Names::new("signer", "messageSignatures.signers"),
            signer_keys: Names::new("keyId", "messageSignatures.signers"),
            limits: Names::new("limit", "rateLimits"),
            rules: Names::new("rule", "rules"),
            headers: OwnHeaders::default(),
            cookies: ReadNames::default(),
            params: ReadNames::default(),
            grants: Grants::default(),
            api_keys: false,
            keys_elsewhere: false,
            client_certificates: false,
            signing_keys: false,
            sessions: false,
            passkeys: None,
        }
    }
}

/// Which APIs clients are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resources {
    None,
    /// One, to which all rules belong.
    One,
    /// Each by its name.
    Named,
}

/// The headers that the filter sets. It removes them from every request, so no client can send them.
#[derive(Debug, Default)]
pub(super) struct OwnHeaders {
    /// Each name as the loosest server reads it ([`folded_name`]), with the path of the field that took it first.
    taken: HashMap<String, String>,
    /// Those that are set from claims, each with the place of the provider.
    claimed: HashSet<(usize, String)>,
    /// From which claims they are set: the name as in `taken`, the provider's name, the claim.
    claims: Vec<(String, String, ClaimPath)>,
    /// The headers in which credentials are looked for, each with the path of the field that says so.
    read: Vec<(String, String)>,
}

impl OwnHeaders {
    /// Takes `name` for an identity header. It is a fault at `path` if another field took it.
    pub(super) fn take(&mut self, name: &str, path: &Path<'_>, faults: &Faults) {
        if let Some(by) = self.taken.get(&folded_name(name)) {
            faults.add(path, format!("header {} is set by {by} already", quoted(name)));
        } else {
            self.taken.insert(folded_name(name), path.to_string());
        }
    }

    /// Takes `name` for a claim of the provider at that place. Two providers may take the same header, since a request
    /// has one token; one provider may take it once.
    pub(super) fn take_for_claim(&mut self, name: &str, provider: usize, path: &Path<'_>, faults: &Faults) {
        let read_as = folded_name(name);
        let repeated = !self.claimed.insert((provider, read_as.clone()));
        match self.taken.get(&read_as) {
            Some(by) if repeated || !by.starts_with("jwt.") => {
                faults.add(path, format!("header {} is set by {by} already", quoted(name)));
            }
            Some(_) => {}
            None => {
                self.taken.insert(read_as, path.to_string());
            }
        }
    }

    /// Keeps from which claims a provider sets headers.
    pub(super) fn keep_claims(&mut self, provider: &ProviderSpec) {
        for set in &provider.claim_to_headers {
            self.claims.push((folded_name(&set.header), provider.name.clone(), set.claim.clone()));
        }
    }

    /// Which field sets a header, and from which claims of which providers it is set, if it is set from claims.
    pub(super) fn setter(&self, name: &str) -> Option<(&str, Vec<(String, ClaimPath)>)> {
        let read_as = folded_name(name);
        let by = self.taken.get(&read_as)?;
        let claims = self.claims.iter().filter(|(header, ..)| *header == read_as);
        Some((by, claims.map(|(_, provider, claim)| (provider.clone(), claim.clone())).collect()))
    }

    /// Notes a fault at `path`, where a request's header is asked for, if the filter sets the header itself: it is then
    /// removed from the request before it is looked at.
    pub(super) fn refuse(&self, name: &str, path: &Path<'_>, faults: &Faults) {
        if let Some(by) = self.taken.get(&folded_name(name)) {
            faults.add(path, removed(name, by));
        }
    }

    /// Keeps a header in which credentials are looked for, to be checked by [`Self::check_read`].
    pub(super) fn note_read(&mut self, name: &str, path: &Path<'_>) {
        self.read.push((name.to_owned(), path.to_string()));
    }

    /// Checks the headers in which credentials are looked for. To be called when all providers were read, since a later
    /// one may set from a claim what an earlier one reads.
    pub(super) fn check_read(&self, faults: &Faults) {
        for (name, path) in &self.read {
            if let Some(by) = self.taken.get(&folded_name(name)) {
                faults.add_at(path.clone(), removed(name, by));
            }
        }
    }
}

/// The names of one kind of place: those in which credentials are looked for, and those that limits count by.
#[derive(Debug, Default)]
pub(super) struct ReadNames {
    /// With the path of the field.
    credentials: Vec<(String, String)>,
    /// With the path of the field.
    counted: Vec<(String, String)>,
}

impl ReadNames {
    pub(super) fn note_credential(&mut self, name: &str, path: &Path<'_>) {
        self.credentials.push((name.to_owned(), path.to_string()));
    }

    pub(super) fn note_counted(&mut self, name: &str, path: &Path<'_>) {
        self.counted.push((name.to_owned(), path.to_string()));
    }

    /// Whoever changes a credential would get another count, and nobody has verified it. To be called when all were noted;
    /// `what` they are called.
    pub(super) fn check(&self, what: &str, faults: &Faults) {
        for (name, path) in &self.counted {
            let holds = |(other, _): &&(String, String)| is_alike(other.as_bytes(), name.as_bytes());
            if let Some((_, by)) = self.credentials.iter().find(holds) {
                let message = format!(
                    "{what} {} holds credentials, as {by} says; write principal or apiKey",
                    quoted(name)
                );
                faults.add_at(path.clone(), message);
            }
        }
    }
}

pub(super) fn removed(name: &str, by: &str) -> String {
    format!("header {} is set by {by}, so it is removed from every request before it is read", quoted(name))
}

/// The permissions that roles and levels of the document grant.
#[derive(Debug, Default)]
pub(super) struct Grants {
    patterns: HashSet<String>,
    /// Whether a grant could not be read. Then no permission is told as granted by nothing.
    pub(super) incomplete: bool,
}

impl Grants {
    /// Adds the permissions of a role or level, wildcards included.
    pub(super) fn add(&mut self, patterns: &[String]) {
        self.patterns.extend(patterns.iter().cloned());
    }

    /// Notes a fault at `path` if no role and no level grants the permission.
    pub(super) fn check(&self, permission: &str, path: &Path<'_>, faults: &Faults) {
        let by_wildcard = || {
            permission.match_indices(':').any(|(colon, _)| {
                permission.get(..=colon).is_some_and(|stem| self.patterns.contains(&format!("{stem}*")))
            })
        };
        let granted = self.patterns.contains("*") || self.patterns.contains(permission) || by_wildcard();
        if !granted && !self.incomplete {
            let hint = faults.hint(permission, self.patterns.iter().map(String::as_str));
            faults.add(path, format!("no role or level grants {}{hint}", quoted(permission)));
        }
    }
}
