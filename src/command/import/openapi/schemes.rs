//! Security schemes as providers, places of API keys and certificates, and security requirements as demands.

use std::ops::Range;

use serde_json::{Map, json};

use super::document::{Document, get, members, place};
use crate::command::{
    import::{
        arguments::{OpenapiOptions, Pair},
        demand::{Alternative, Demand, Kind, Way},
        draft::named,
        told::Told,
    },
    refusal::Refusal,
    tree::Node,
};

/// What a scheme is to a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Provider(String),
    ApiKey(KeyPlace),
    Certificate,
    /// The upstream asks for it.
    Upstream,
    /// Why it is nothing.
    Nothing(String),
}

/// Where an API key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyPlace {
    /// And what stands before it there; `None`: nothing, and the header is not `authorization`.
    Header(String, Option<String>),
    Query(String),
    Cookie(String),
}

#[derive(Clone, Debug)]
pub(super) struct Scheme {
    pub(super) name: String,
    pub(super) at: Range<usize>,
    pub(super) meaning: Meaning,
    pub(super) is_used: bool,
}

/// A token issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) cluster: String,
    pub(super) roles_claim: Option<String>,
    /// What of it is made up, in words.
    pub(super) made_up: Vec<&'static str>,
    /// Schemes whose tokens are its tokens.
    pub(super) schemes: Vec<String>,
}

pub(super) struct Schemes {
    pub(super) schemes: Vec<Scheme>,
    pub(super) providers: Vec<Provider>,
    /// A key of one scheme is none of another: then each has a role.
    pub(super) has_several_keys: bool,
    undeclared: Undeclared,
}

/// What becomes of operations that say nothing.
enum Undeclared {
    Deny,
    Anonymous,
    Scheme(String),
}

impl Schemes {
    /// # Errors
    /// The options name a scheme that there is not.
    pub(super) fn read(
        document: &Document<'_>,
        options: &OpenapiOptions,
        issuers: &[(String, String)],
        told: &mut Told,
    ) -> Result<Self, Refusal> {
        let mut read = Self {
            schemes: Vec::new(),
            providers: Vec::new(),
            has_several_keys: false,
            undeclared: match options.undeclared.as_str() {
                "deny" => Undeclared::Deny,
                "anonymous" => Undeclared::Anonymous,
                scheme => Undeclared::Scheme(scheme.to_owned()),
            },
        };
        for member in document.schemes() {
            let name = member.name.text.clone();
            let meaning = match document.resolve(&member.value) {
                Ok(scheme) => read.meaning(&name, scheme, options, issuers),
                Err(why) => Meaning::Nothing(why),
            };
            read.schemes.push(Scheme { name, at: place(member), meaning, is_used: false });
        }
        // A scheme of which the document does not speak, for operations that say nothing.
        if let Undeclared::Scheme(name) = &read.undeclared
            && !read.schemes.iter().any(|scheme| scheme.name == *name)
            && Pair::of(&options.provider, name).next().is_some()
        {
            let name = name.clone();
            let meaning = read.provider(&name, None, options, issuers);
            read.schemes.push(Scheme { name, at: 0..0, meaning, is_used: false });
        }
        read.refuse_unknown(options)?;
        let keys = read.schemes.iter().filter(|scheme| matches!(scheme.meaning, Meaning::ApiKey(_)));
        read.has_several_keys = keys.count() > 1;
        for scheme in &read.schemes {
            if scheme.meaning == Meaning::Upstream {
                told.note(&scheme.at, &scheme.name, "is left to the upstream: nothing here asks for it");
            }
        }
        Ok(read)
    }

    fn meaning(
        &mut self,
        name: &str,
        scheme: &Node,
        options: &OpenapiOptions,
        issuers: &[(String, String)],
    ) -> Meaning {
        let field = |field| get(scheme, field).and_then(Node::text);
        let prefix = || Pair::of(&options.key_prefix, name).next().map(str::to_owned);
        if options.leave_to_upstream.iter().any(|left| left == name) {
            return Meaning::Upstream;
        }
        let http = || field("scheme").unwrap_or_default().to_ascii_lowercase();
        match field("type") {
            Some("http") if http() == "bearer" && options.as_api_key.iter().any(|key| key == name) => {
                let prefix = prefix().unwrap_or_else(|| "Bearer ".to_owned());
                Meaning::ApiKey(KeyPlace::Header("authorization".to_owned(), Some(prefix)))
            }
            Some("http") if http() == "bearer" => self.provider(name, None, options, issuers),
            Some("http") => Meaning::Nothing(format!("http {} is not verified here", http())),
            Some("oauth2") => self.provider(name, None, options, issuers),
            Some("openIdConnect") => {
                let url = field("openIdConnectUrl").unwrap_or_default();
                let issuer =
                    url.strip_suffix("/.well-known/openid-configuration").filter(|url| url.contains("://"));
                self.provider(name, issuer, options, issuers)
            }
            Some("mutualTLS") => Meaning::Certificate,
            Some("apiKey") => {
                let own = field("name").unwrap_or_default();
                match field("in") {
                    _ if own.is_empty() => Meaning::Nothing("it has no name".to_owned()),
                    Some("query") => Meaning::ApiKey(KeyPlace::Query(own.to_owned())),
                    Some("cookie") => Meaning::ApiKey(KeyPlace::Cookie(own.to_owned())),
                    Some("header") => {
                        let own = own.to_ascii_lowercase();
                        let whole = (own == "authorization").then(String::new);
                        Meaning::ApiKey(KeyPlace::Header(own, prefix().or(whole)))
                    }
                    other => {
                        Meaning::Nothing(format!("{:?} is no place of a key", other.unwrap_or_default()))
                    }
                }
            }
            other => Meaning::Nothing(format!("{:?} is no type of a scheme", other.unwrap_or_default())),
        }
    }

    /// The provider of a scheme's tokens. Two schemes of one issuer are one provider: a token does not say by which of
    /// them it was given.
    fn provider(
        &mut self,
        scheme: &str,
        discovered: Option<&str>,
        options: &OpenapiOptions,
        issuers: &[(String, String)],
    ) -> Meaning {
        let name = named(scheme);
        let mut made_up = Vec::new();
        let given = Pair::of(&options.provider, scheme).next().map(str::to_owned);
        let existing = issuers.iter().find(|(own, _)| *own == name).map(|(_, issuer)| issuer.clone());
        let issuer = given.or(existing).or_else(|| discovered.map(str::to_owned)).unwrap_or_else(|| {
            made_up.push("issuer");
            // No name server knows it (RFC 2606, section 2), so no token of it is good.
            format!(
                "https://{}.invalid",
                name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
            )
        });
        if let Some(other) = self.providers.iter_mut().find(|other| other.issuer == issuer) {
            other.schemes.push(scheme.to_owned());
            return Meaning::Provider(other.name.clone());
        }
        let mut audiences: Vec<String> = Pair::of(&options.audience, scheme).map(str::to_owned).collect();
        if audiences.is_empty() {
            made_up.push("audiences");
            audiences.push("urn:invalid:audience".to_owned());
        }
        let cluster = Pair::of(&options.cluster, scheme).next().map(str::to_owned).unwrap_or_else(|| {
            made_up.push("discovery.cluster");
            name.clone()
        });
        let roles_claim = Pair::of(&options.roles_claim, scheme).next().map(str::to_owned);
        let schemes = vec![scheme.to_owned()];
        self.providers.push(Provider {
            name: name.clone(),
            issuer,
            audiences,
            cluster,
            roles_claim,
            made_up,
            schemes,
        });
        Meaning::Provider(name)
    }

    fn refuse_unknown(&self, options: &OpenapiOptions) -> Result<(), Refusal> {
        let pairs = [
            &options.provider,
            &options.audience,
            &options.cluster,
            &options.roles_claim,
            &options.key_prefix,
        ];
        let named = pairs.into_iter().flatten().map(|pair| &pair.scheme);
        let further = match &self.undeclared {
            Undeclared::Scheme(name) => Some(name),
            _ => None,
        };
        for name in named.chain(&options.as_api_key).chain(&options.leave_to_upstream).chain(further) {
            if !self.schemes.iter().any(|scheme| scheme.name == *name) {
                let known: Vec<_> = self.schemes.iter().map(|scheme| scheme.name.as_str()).collect();
                return Err(Refusal::usage(format!(
                    "the document has no security scheme {name:?}; it has {}",
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                )));
            }
        }
        Ok(())
    }

    /// Who may pass by a list of security requirements; `None`: the document says nothing.
    pub(super) fn demand(
        &mut self,
        requirements: Option<&Node>,
        at: &Range<usize>,
        about: &str,
        told: &mut Told,
    ) -> Demand {
        let Some(requirements) = requirements else { return self.of_undeclared(at, about, told) };
        let (mut optional, mut alternatives) = (requirements.items().is_empty(), Vec::new());
        if !matches!(requirements.value, crate::command::tree::Value::List(_)) {
            told.left(&requirements.span, about, "security is no list; it is closed");
            return Demand::Closed;
        }
        for requirement in requirements.items() {
            if !requirement.is_object() {
                told.left(&requirement.span, about, "a security requirement is no object; it is not taken");
                continue;
            }
            let schemes = members(requirement);
            if schemes.is_empty() {
                optional = true;
                continue;
            }
            let mut alternative = Some(Alternative::new());
            let names: Vec<&str> = schemes.iter().map(|member| member.name.text.as_str()).collect();
            for member in schemes {
                let scopes: Vec<&str> = member.value.items().iter().filter_map(Node::text).collect();
                match self.way(&member.name.text, &scopes) {
                    Ok(Some(way)) => {
                        if let Some(ways) = &mut alternative {
                            ways.push(way);
                        }
                    }
                    Ok(None) => {}
                    Err(why) => {
                        let message = format!("{}: {why}; by it nobody passes", member.name.text);
                        told.left(&member.name_span, about, message);
                        alternative = None;
                    }
                }
            }
            let Some(mut alternative) = alternative else { continue };
            if alternative.is_empty() {
                let message = "of what is needed all is left to the upstream; by it nobody passes";
                told.left(&requirement.span, about, message);
                continue;
            }
            // The last one says who the principal is.
            alternative.sort_by_key(|way| match way.kind {
                Kind::Certificate => 0,
                Kind::ApiKey => 1,
                Kind::Jwt(_) => 2,
            });
            if alternative.iter().filter(|way| way.kind == Kind::ApiKey).count() > 1 {
                let message = "two API keys together cannot be asked for (see --leave-to-upstream); by them nobody passes";
                told.left(&requirement.span, about, message);
                continue;
            }
            alternatives.push((alternative, names, &requirement.span));
        }
        let alternatives = self.apart(alternatives, about, told);
        match (optional, alternatives.is_empty()) {
            (true, true) => Demand::Anonymous,
            (false, true) => Demand::Closed,
            _ => Demand::Ways { optional, alternatives }.reduced(),
        }
    }

    fn of_undeclared(&mut self, at: &Range<usize>, about: &str, told: &mut Told) -> Demand {
        let scheme = match &self.undeclared {
            Undeclared::Deny => {
                let message = "who may call it is not said (see --undeclared); it is closed";
                told.left(at, about, message);
                return Demand::Closed;
            }
            Undeclared::Anonymous => return Demand::Anonymous,
            Undeclared::Scheme(name) => name.clone(),
        };
        match self.way(&scheme, &[]) {
            Ok(Some(way)) => {
                self.mark(&scheme);
                Demand::Ways { optional: false, alternatives: vec![vec![way]] }
            }
            Ok(None) | Err(_) => {
                told.left(at, about, format!("{scheme} cannot be asked for; it is closed"));
                Demand::Closed
            }
        }
    }

    /// The alternatives that one rule can tell apart: a key that stands in `authorization` as it is, and a token that
    /// stands there behind its scheme, are always two.
    fn apart(
        &mut self,
        alternatives: Vec<(Alternative, Vec<&str>, &Range<usize>)>,
        about: &str,
        told: &mut Told,
    ) -> Vec<Alternative> {
        let has_tokens =
            alternatives.iter().flat_map(|(ways, ..)| ways).any(|way| matches!(way.kind, Kind::Jwt(_)));
        let mut kept = Vec::new();
        for (alternative, names, at) in alternatives {
            let bare = names.iter().find(|name| self.is_bare(name));
            if let (true, Some(name)) = (has_tokens, bare) {
                let message = format!(
                    "keys of {name} stand in authorization as they are, where tokens stand behind Bearer (see --key-prefix); by them nobody passes"
                );
                told.left(at, about, message);
                continue;
            }
            names.iter().for_each(|name| self.mark(name));
            kept.push(alternative);
        }
        kept
    }

    fn is_bare(&self, name: &str) -> bool {
        let place = KeyPlace::Header("authorization".to_owned(), Some(String::new()));
        self.schemes
            .iter()
            .any(|scheme| scheme.name == name && scheme.meaning == Meaning::ApiKey(place.clone()))
    }

    fn mark(&mut self, name: &str) {
        for scheme in self.schemes.iter_mut().filter(|scheme| scheme.name == name) {
            scheme.is_used = true;
        }
    }

    /// The credential of a scheme; `None`: the upstream asks for it.
    fn way(&self, name: &str, scopes: &[&str]) -> Result<Option<Way>, String> {
        let has_several_keys = self.has_several_keys;
        let scheme = self.schemes.iter().find(|scheme| scheme.name == name);
        let scheme = scheme.ok_or("the document has no such security scheme")?;
        // RFC 6749, section 3.3.
        let is_scope = |scope: &&str| {
            (1..=128).contains(&scope.len())
                && scope.chars().all(|c| c.is_ascii_graphic() && !"\"\\".contains(c))
        };
        if let Some(odd) = scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(format!("{odd:?} is no scope"));
        }
        let kind = match &scheme.meaning {
            Meaning::Upstream => return Ok(None),
            Meaning::Nothing(why) => return Err(why.clone()),
            Meaning::Provider(provider) => Kind::Jwt(provider.clone()),
            Meaning::ApiKey(_) => Kind::ApiKey,
            Meaning::Certificate => Kind::Certificate,
        };
        let mut needs = Map::new();
        if !scopes.is_empty() {
            needs.insert("scopes".to_owned(), json!(scopes));
        }
        if kind == Kind::ApiKey && has_several_keys {
            needs.insert("roles".to_owned(), json!([name]));
        }
        Ok(Some(Way { kind, needs }))
    }
}
