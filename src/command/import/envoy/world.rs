//! All filters of one connection manager, and what they decide together.

use serde_json::{Map, Value as Json, json};

use super::{
    Said,
    expr::{Alternative, Who},
    fields::{beginning, get, is_true, items, kind, place, text},
    jwt::{JwtAuthn, Needed, jwt_authn},
    keys::{ApiKeyAuth, allowed_clients, api_key_auth},
    limits::{Actions, Limit, local_ratelimit},
    rbac::{Rbac, rbac},
    region::Region,
    routes::{Route, ToFilter, routes},
    who::{Asked, KeyNeeded, admitted, asked},
};
use crate::command::{
    import::{draft::named, told::Told},
    tree::Node,
};

/// A filter as it is, and as each route has it.
struct Layered<T> {
    /// `None`: it does nothing, where no route says otherwise.
    base: Option<T>,
    /// Of each route, in their order; `None`: as it is.
    routes: Vec<Option<Option<T>>>,
}

impl<T> Layered<T> {
    fn at(&self, route: Option<usize>) -> Option<&T> {
        let own = route.and_then(|place| self.routes.get(place)).and_then(Option::as_ref);
        own.map_or(self.base.as_ref(), Option::as_ref)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.base.iter_mut().chain(self.routes.iter_mut().flatten().flatten())
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        self.base.iter().chain(self.routes.iter().flatten().flatten())
    }
}

pub(super) struct World<'a> {
    routes: Vec<Route<'a>>,
    jwt: JwtAuthn,
    /// What routes need in place of what the rules say, and whether the rules count at all.
    needed: Layered<Option<Needed>>,
    rbacs: Vec<Layered<Rbac>>,
    keys: Option<ApiKeyAuth>,
    key_needed: Layered<KeyNeeded>,
    limits: Vec<Layered<Vec<Limit>>>,
    /// Where nothing can be said, so that nobody passes.
    pub(super) closed: Vec<Region>,
    is_empty: bool,
}

impl<'a> World<'a> {
    pub(super) fn read(manager: &'a Node, told: &mut Told) -> Self {
        let routes = routes(manager, told);
        let actions: Vec<Actions> = routes.iter().map(|route| route.actions.clone()).collect();
        let mut world = Self {
            routes,
            jwt: JwtAuthn::default(),
            needed: Layered { base: None, routes: Vec::new() },
            rbacs: Vec::new(),
            keys: None,
            key_needed: Layered { base: None, routes: Vec::new() },
            limits: Vec::new(),
            closed: Vec::new(),
            is_empty: true,
        };
        let mut has_tokens = false;
        for filter in items(manager, "http_filters") {
            let name = text(filter, "name").unwrap_or_default();
            let Some(config) = get(filter, "typed_config") else { continue };
            let is_off = is_true(filter, "disabled");
            match kind(config) {
                "JwtAuthentication" if !has_tokens => {
                    has_tokens = true;
                    world.add_jwt(name, config, is_off, told);
                }
                "RBAC" => world.add_rbac(name, config, is_off, has_tokens, told),
                "ApiKeyAuth" if world.keys.is_none() => world.add_keys(name, config, is_off, told),
                "LocalRateLimit" => world.add_limits(name, config, is_off, &actions, told),
                "JwtAuthentication" | "ApiKeyAuth" => {
                    told.left(
                        &place(config),
                        name,
                        "a second filter of this kind is not translated; nothing passes",
                    );
                    world.closed.push(Region::all());
                }
                "Router" | "Cors" | "HealthCheck" | "GrpcStats" | "Compressor" => continue,
                _ => {
                    told.note(&beginning(filter), name, "is not translated: leave it where it is");
                    continue;
                }
            }
            world.is_empty = false;
        }
        world
    }

    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    fn layered<T>(
        &self,
        filter: &str,
        base: Option<T>,
        mut read: impl FnMut(&'a Node) -> Option<T>,
    ) -> Layered<T> {
        let own = self.routes.iter().map(|route| match route.says_to(filter) {
            ToFilter::Nothing => None,
            ToFilter::Off => Some(None),
            ToFilter::Says(node) => Some(read(node)),
        });
        let routes = own.collect();
        Layered { base, routes }
    }

    fn add_jwt(&mut self, name: &str, config: &'a Node, is_off: bool, told: &mut Told) {
        self.jwt = jwt_authn(config, name, told);
        let jwt = &self.jwt;
        let of_route = |node: &'a Node| {
            if is_true(node, "disabled") {
                return None;
            }
            let Some(name) = text(node, "requirement_name") else { return Some(None) };
            Some(Some(jwt.named(name).unwrap_or_else(|| {
                told.left(&place(node), name, "there is no such requirement; it is closed");
                Needed::Closed
            })))
        };
        self.needed = self.layered(name, (!is_off).then_some(None), of_route);
    }

    fn add_rbac(&mut self, name: &str, config: &'a Node, is_off: bool, has_tokens: bool, told: &mut Told) {
        let base = if is_off { None } else { rbac(config, name, told) };
        let of_route = |node: &'a Node| get(node, "rbac").and_then(|own| rbac(own, name, told));
        let mut layered = self.layered(name, base, of_route);
        if !has_tokens {
            // Nothing was verified yet, so no claim is there.
            layered.all_mut().for_each(without_claims);
        }
        self.rbacs.push(layered);
    }

    fn add_keys(&mut self, name: &str, config: &'a Node, is_off: bool, told: &mut Told) {
        let keys = api_key_auth(config, name, told);
        if keys.section.is_none() {
            told.left(
                &beginning(config),
                name,
                "it has no keys, or no place for them; what needs one is closed",
            );
        }
        let has_keys = keys.section.is_some();
        let needed = |of| if has_keys { KeyNeeded::Of(of) } else { KeyNeeded::Closed };
        let base = (!is_off).then(|| needed(None));
        let of_route = |node: &'a Node| match allowed_clients(node, name, told) {
            Ok(clients) => Some(needed(clients)),
            Err(()) => Some(KeyNeeded::Closed),
        };
        self.key_needed = self.layered(name, base, of_route);
        self.keys = Some(keys);
    }

    fn add_limits(
        &mut self,
        name: &str,
        config: &'a Node,
        is_off: bool,
        actions: &[Actions],
        told: &mut Told,
    ) {
        let base = (!is_off).then(|| local_ratelimit(config, actions, told));
        let of_route = |node: &'a Node| Some(local_ratelimit(node, actions, told));
        let mut layered = self.layered(name, base, of_route);
        // One name for each limit, whatever filter and route it is of.
        let mut names: Vec<String> =
            self.limits.iter().flat_map(Layered::all).flatten().map(Limit::name).collect();
        for limit in layered.all_mut().flatten() {
            let (own, mut number) = (limit.name(), 1_usize);
            let mut unique = own.clone();
            while names.contains(&unique) {
                number = number.saturating_add(1);
                unique = format!("{own}-{number}");
            }
            limit.rename(&unique);
            names.push(unique);
        }
        self.limits.push(layered);
    }

    /// Everything that somebody speaks of.
    pub(super) fn regions(&self) -> Vec<Region> {
        let rules = self.jwt.rules.iter().flat_map(|rule| &rule.alternatives);
        let routes = self.routes.iter().flat_map(|route| &route.alternatives);
        let policies = self.rbacs.iter().flat_map(Layered::all).flat_map(|rbac| &rbac.policies);
        let policies = policies.flat_map(|policy| &policy.alternatives);
        let mut regions: Vec<Region> = Vec::new();
        for alternative in rules.chain(routes).chain(policies) {
            for region in std::iter::once(&alternative.region).chain(&alternative.except) {
                if *region != Region::all() && !regions.contains(region) {
                    regions.push(region.clone());
                }
            }
        }
        regions
    }

    /// Without regions that cannot be told from others: what lets in there lets nobody in, and where something is asked or
    /// kept out, nobody passes.
    pub(super) fn without(mut self, lost: &[Region], told: &mut Told) -> Self {
        let is_lost = |alternative: &Alternative| {
            lost.contains(&alternative.region)
                || alternative.except.iter().any(|region| lost.contains(region))
        };
        let mut closed: Vec<Region> = Vec::new();
        let close = |alternatives: &mut Vec<Alternative>, closed: &mut Vec<Region>| {
            closed.extend(alternatives.iter().filter(|own| is_lost(own)).map(|own| own.region.clone()));
            alternatives.retain(|own| !is_lost(own));
        };
        for rule in &mut self.jwt.rules {
            close(&mut rule.alternatives, &mut closed);
        }
        for route in &mut self.routes {
            close(&mut route.alternatives, &mut closed);
        }
        for rbac in self.rbacs.iter_mut().flat_map(Layered::all_mut) {
            for policy in &mut rbac.policies {
                if policy.alternatives.iter().any(is_lost) {
                    let so = if rbac.lets_in { "by it nobody passes" } else { "nothing passes there" };
                    let message = format!("what of its paths others are for, too, cannot be said; {so}");
                    told.left(&policy.at, &policy.name, message);
                }
                match rbac.lets_in {
                    true => policy.alternatives.retain(|own| !is_lost(own)),
                    false => close(&mut policy.alternatives, &mut closed),
                }
            }
        }
        for region in closed {
            if !self.closed.contains(&region) {
                let message = "what of its paths others are for, too, cannot be said; nothing passes there";
                told.left(&(0..0), &super::shown(&region), message);
                self.closed.push(region);
            }
        }
        self
    }

    /// Sections of the policy.
    pub(super) fn sections(&self) -> Map<String, Json> {
        let mut sections = Map::new();
        if !self.jwt.providers.is_empty() {
            sections.insert("jwt".to_owned(), json!({"providers": self.jwt.providers}));
        }
        if let Some(keys) = &self.keys {
            if let Some(section) = &keys.section {
                sections.insert("apiKeys".to_owned(), section.clone());
            }
            if let Some(header) = &keys.forwarding {
                sections.insert("identityHeaders".to_owned(), json!({"subject": header}));
            }
        }
        let policies = self.rbacs.iter().flat_map(Layered::all).flat_map(|rbac| &rbac.policies);
        let mut who =
            policies.flat_map(|policy| &policy.alternatives).flat_map(|own| own.who.iter().chain(&own.not));
        if who.any(|who| matches!(who, Who::Certificate(_))) {
            sections.insert("clientCertificates".to_owned(), json!({}));
        }
        let limits: Vec<Json> =
            self.limits.iter().flat_map(Layered::all).flatten().map(|limit| limit.value.clone()).collect();
        if !limits.is_empty() {
            sections.insert("rateLimits".to_owned(), json!(limits));
        }
        sections
    }

    /// What all of them decide of a region.
    pub(super) fn said(&self, region: Region) -> Said {
        let route = self.routes.iter().position(|route| is_about(&route.alternatives, &region));
        let (mut names, mut at) = (Vec::new(), None);
        let mut filters = Vec::new();
        for rbac in self.rbacs.iter().filter_map(|layered| layered.at(route)) {
            let mut all = Vec::new();
            for policy in &rbac.policies {
                let own: Vec<Alternative> = about(&policy.alternatives, &region).cloned().collect();
                let name = named(&policy.name);
                if rbac.lets_in && !own.is_empty() && !names.contains(&name) {
                    names.push(name);
                    at.get_or_insert_with(|| policy.at.clone());
                }
                all.extend(own);
            }
            filters.push((rbac.lets_in, all));
        }
        let mut rules = self.jwt.rules.iter();
        let rule = rules.find(|rule| is_about(&rule.alternatives, &region));
        let needed = match self.needed.at(route) {
            None => Needed::Nothing,
            Some(Some(needed)) => needed.clone(),
            Some(None) => rule.map_or(Needed::Nothing, |rule| rule.needed.clone()),
        };
        let at = at.or_else(|| rule.map(|rule| rule.at.clone())).unwrap_or(0..0);
        let key = self.key_needed.at(route).cloned().unwrap_or(KeyNeeded::No);
        let is_unclear = route.and_then(|place| self.routes.get(place)).is_some_and(|route| route.is_unclear);
        let asked = match admitted(&filters) {
            _ if is_unclear => Asked::Deny(Some("which route it takes cannot be said".to_owned())),
            None => Asked::Deny(Some("who may pass is more than a rule can say".to_owned())),
            Some(admitted) => asked(&self.jwt, &needed, &key, &admitted),
        };
        let of_route = |limit: &&Limit| {
            limit.actions.as_ref().is_none_or(|actions| route.is_some_and(|place| actions.contains(&place)))
        };
        let limits = self.limits.iter().filter_map(|layered| layered.at(route)).flatten();
        let limits = limits.filter(of_route).filter(|limit| limit.counts(region.methods.as_ref()));
        let limits = limits.map(Limit::name).collect();
        Said { region, asked, limits, names, at }
    }

    fn limit(&self, name: &str) -> Option<&Limit> {
        self.limits.iter().flat_map(Layered::all).flatten().find(|limit| limit.name() == name)
    }

    /// Whether a limit has one count for everybody.
    pub(super) fn counts_together(&self, name: &str) -> bool {
        self.limit(name).is_some_and(Limit::counts_together)
    }

    /// Whether a limit counts by a header that is set from a claim.
    pub(super) fn counts_by_claim(&self, name: &str) -> bool {
        let headers: Vec<&Json> = self
            .jwt
            .providers
            .iter()
            .filter_map(|provider| provider.get("claimToHeaders").and_then(Json::as_array))
            .flatten()
            .filter_map(|own| own.get("header"))
            .collect();
        let parts = self.limit(name).and_then(|limit| limit.value.get("key")).and_then(Json::as_array);
        parts
            .into_iter()
            .flatten()
            .filter_map(|part| part.get("header"))
            .any(|header| headers.contains(&header))
    }
}

/// Those that all of `region` is in.
fn about<'a>(alternatives: &'a [Alternative], region: &'a Region) -> impl Iterator<Item = &'a Alternative> {
    alternatives
        .iter()
        .filter(|own| region.is_in(&own.region) && !own.except.iter().any(|except| region.is_in(except)))
}

fn is_about(alternatives: &[Alternative], region: &Region) -> bool {
    about(alternatives, region).next().is_some()
}

fn without_claims(rbac: &mut Rbac) {
    let is_claim = |who: &Who| matches!(who, Who::Claim { .. });
    for policy in &mut rbac.policies {
        policy.alternatives.retain(|own| !own.who.iter().any(is_claim));
        policy.alternatives.iter_mut().for_each(|own| own.not.retain(|who| !is_claim(who)));
    }
}
