//! The APIs of which clients are told: what they are told, and which tokens are for which.

use std::rc::Rc;

use crate::{
    config::{Document, MethodSpec, ProtectedResourceSpec, ProviderSpec, RuleSpec},
    fault::Fault,
    identity::Party,
    jwt::Issuer,
    rbac::{Audiences, Grants, RequiredNames, Vocabulary},
    request::Location,
    resource_metadata::{Derived, ResourceMetadata},
    route::{PathSpec, RouteSpec},
};

/// One of them.
#[derive(Debug)]
pub(crate) struct ProtectedResource {
    /// What rules call it; empty: it is the only one, and every rule's.
    pub(crate) name: Box<str>,
    pub(crate) metadata: ResourceMetadata,
    /// Of which its tokens have one; `None`: any that their provider takes.
    audiences: Option<Audiences>,
}

impl ProtectedResource {
    /// Whether a token is for it, whose holder has `grants`.
    pub(crate) fn is_meant(&self, grants: &Grants) -> bool {
        self.audiences.as_ref().is_none_or(|audiences| grants.are_for(audiences))
    }
}

/// Those of the document, in its order.
pub(super) fn compile(
    document: &Document,
    vocabulary: &mut Vocabulary,
) -> Result<Vec<Rc<ProtectedResource>>, Vec<Fault>> {
    let (mut faults, mut compiled) = (Vec::new(), Vec::<Rc<ProtectedResource>>::new());
    for (place, spec) in document.protected_resources.iter().enumerate() {
        let path = path(place, spec);
        let metadata = match metadata(document, place, spec) {
            Ok(metadata) => metadata,
            Err(found) => {
                faults.extend(found.into_iter().map(|fault| fault.within(&path)));
                continue;
            }
        };
        if compiled.iter().any(|other| other.metadata.is_where(&metadata)) {
            let message =
                "another one has this host and path, so that their metadata would be at the same URL";
            faults.push(Fault::new(format!("{path}.resource"), message));
        }
        let audiences = spec.audiences.as_ref().map(|names| vocabulary.audiences(names));
        let name = spec.name.as_deref().unwrap_or_default().into();
        compiled.push(Rc::new(ProtectedResource { name, metadata, audiences }));
    }
    if faults.is_empty() { Ok(compiled) } else { Err(faults) }
}

fn path(place: usize, spec: &ProtectedResourceSpec) -> String {
    if spec.name.is_some() { format!("protectedResources[{place}]") } else { "protectedResource".to_owned() }
}

/// The rules that belong to the resource at `place`.
fn rules(document: &Document, place: usize) -> impl Iterator<Item = &RuleSpec> {
    document.rules.iter().filter(move |rule| rule.resource == Some(place))
}

/// The providers whose tokens these rules take.
fn providers(document: &Document, place: usize) -> impl Iterator<Item = &ProviderSpec> {
    let takes = move |rule: &RuleSpec, provider: &ProviderSpec| {
        let mut methods = rule.action.methods();
        methods.any(|method| matches!(method, MethodSpec::Jwt(name) if *name == provider.jwt.name))
    };
    let is_taken = move |provider: &&ProviderSpec| rules(document, place).any(|rule| takes(rule, provider));
    document.providers.iter().filter(is_taken)
}

fn is_jwt(method: &MethodSpec) -> bool {
    matches!(method, MethodSpec::Jwt(_))
}

/// What its section leaves out is taken from the rest of the policy.
fn metadata(
    document: &Document,
    place: usize,
    spec: &ProtectedResourceSpec,
) -> Result<ResourceMetadata, Vec<Fault>> {
    // Where tenants go for tokens is theirs to know, and who they are is nobody else's. Sessions are of no authorization
    // server.
    let is_session = |provider: &&ProviderSpec| {
        document.sessions.as_ref().is_some_and(|spec| spec.name == provider.jwt.name)
    };
    let others = providers(document, place).filter(|provider| !is_session(provider));
    let issuers = others.filter_map(|provider| match &provider.jwt.issuer {
        Issuer::One(issuer) => Some(issuer.as_str()),
        Issuer::Tenants(_) => None,
    });
    let issuers: Vec<&str> = issuers.collect();
    let locations: Vec<&Location> =
        providers(document, place).flat_map(|provider| &provider.jwt.locations).collect();
    // What others than tokens need is nothing to ask an issuer for.
    let of_tokens = |(rule, party): (&'_ RuleSpec, Party)| rule.action.methods_of(party).iter().any(is_jwt);
    let scopes: Vec<&str> = rules(document, place)
        .flat_map(|rule| [(rule, Party::Principal), (rule, Party::Actor)])
        .filter(|of| of_tokens(*of))
        .filter_map(|(rule, party)| Some(rule.requirement()?.asked_of(party)))
        .flatten()
        .filter_map(|asked| asked.conditions.scopes.as_ref())
        .flat_map(|(RequiredNames::All(names) | RequiredNames::Any(names))| names)
        .map(String::as_str)
        .collect();
    let derived = Derived { issuers: &issuers, scopes: &scopes, token_locations: &locations };
    ResourceMetadata::compile(&spec.metadata, derived)
}

/// Rules of another host or path than their resource, which is most often a slip.
pub(super) fn elsewhere(document: &Document, compiled: &[Rc<ProtectedResource>]) -> Vec<Fault> {
    let mut warnings = Vec::new();
    for (i, rule) in document.rules.iter().enumerate() {
        // What is every rule's says nothing of any.
        let named = |resource: &&Rc<ProtectedResource>| resource.audiences.is_some();
        if let Some(resource) = rule.resource.and_then(|place| compiled.get(place)).filter(named) {
            let found = not_of(&rule.route, &resource.metadata).into_iter();
            warnings.extend(found.map(|warning| warning.within(&format!("rules[{i}]"))));
        }
    }
    warnings
}

/// What is most often a slip, too: resources of no rule, and audiences that their tokens need beside another one.
pub(super) fn warnings(document: &Document) -> Vec<Fault> {
    let mut warnings = Vec::new();
    for (place, spec) in document.protected_resources.iter().enumerate() {
        if rules(document, place).next().is_none() {
            warnings.push(Fault::new(path(place, spec), "no rule with tokens belongs to it"));
        }
        let Some(audiences) = &spec.audiences else { continue };
        for provider in providers(document, place) {
            let taken = provider.jwt.audiences.as_ref();
            if taken.is_some_and(|taken| !audiences.iter().any(|audience| taken.contains(audience))) {
                let message = format!(
                    "\"{}\" lists none of its audiences, so that its tokens need one of each",
                    provider.jwt.name
                );
                warnings.push(Fault::new(path(place, spec), message));
            }
        }
    }
    warnings
}

/// Clients take no metadata of another URL than the one that they asked (RFC 9728 section 3.3).
fn not_of(route: &RouteSpec, metadata: &ResourceMetadata) -> Vec<Fault> {
    let mut warnings = Vec::new();
    let has_host = |host: &String| {
        let above = host.strip_prefix('*');
        host == metadata.host() || above.is_some_and(|above| metadata.host().ends_with(above))
    };
    if !route.hostnames.is_empty() && !route.hostnames.iter().any(has_host) {
        let message = format!("do not have the host of the rule's protected resource, {:?}", metadata.host());
        warnings.push(Fault::new("hostnames", message));
    }
    for (k, one) in route.matches.iter().enumerate() {
        let path = match &one.path {
            Some(PathSpec::Exact(path) | PathSpec::PathPrefix(path) | PathSpec::PathTemplate(path)) => path,
            Some(PathSpec::RegularExpression(_)) | None => continue,
        };
        if !meet(path, metadata.resource_path()) {
            let message =
                format!("is no path of the rule's protected resource, {:?}", metadata.resource_path());
            warnings.push(Fault::new(format!("matches[{k}].path"), message));
        }
    }
    warnings
}

/// Whether one of them may stand below the other.
fn meet(pattern: &str, path: &str) -> bool {
    fn segments(path: &str) -> impl Iterator<Item = &str> {
        path.split('/').filter(|segment| !segment.is_empty())
    }
    segments(pattern).zip(segments(path)).all(|(one, other)| one == other || one.starts_with('{'))
}

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;

    use serde_json::{Value, json};

    use super::ProtectedResource;
    use crate::policy::Policy;

    /// One issuer of two APIs, and one of the second alone.
    fn document(change: impl FnOnce(&mut Value)) -> Value {
        let provider = |name: &str, audiences: Value| {
            json!({"name": name, "issuer": format!("https://{name}.example"), "audiences": audiences,
                   "algorithms": ["ES256"], "jwks": {"uri": "https://idp.example/jwks", "cluster": "idp"},
                   "extractFrom": {"headers": [{"name": format!("x-{name}")}]}})
        };
        let rule = |path: &str, resource: &str, providers: &[&str], scope: &str| {
            let methods: Vec<_> = providers.iter().map(|name| json!({"jwt": name})).collect();
            json!({"name": path, "matches": [{"path": {"type": "PathPrefix", "value": path}}],
                   "authenticate": {"anyOf": methods}, "protectedResource": resource,
                   "authorize": {"scopes": [scope]}})
        };
        let mut document = json!({
            "jwt": {"providers": [
                provider("corp", json!(["https://api.example/a", "b"])), provider("partner", json!(["b"])),
            ]},
            "protectedResources": [
                {"name": "a", "resource": "https://api.example/a"},
                {"name": "b", "resource": "https://api.example/b", "audiences": ["b"]},
            ],
            "rules": [
                rule("/a", "a", &["corp"], "a:read"), rule("/b/some", "b", &["corp"], "b:read"),
                rule("/b/more", "b", &["partner"], "b:write"),
            ],
        });
        change(&mut document);
        document
    }

    fn compile(document: &Value) -> Result<Policy, Vec<String>> {
        Policy::compile(document.to_string().as_bytes(), "test")
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    pub(in crate::policy) fn one() -> Rc<ProtectedResource> {
        Rc::clone(&compile(&document(|_| {})).ok().unwrap().resources[0])
    }

    #[test]
    fn each_tells_of_its_own_rules() {
        let policy = compile(&document(|_| {})).ok().unwrap();
        let told: Vec<Value> = policy
            .resources
            .iter()
            .map(|resource| serde_json::from_str(resource.metadata.body()).unwrap())
            .collect();
        assert_eq!(
            told,
            [
                json!({"resource": "https://api.example/a", "authorization_servers": ["https://corp.example"],
                       "scopes_supported": ["a:read"]}),
                json!({"resource": "https://api.example/b",
                       "authorization_servers": ["https://corp.example", "https://partner.example"],
                       "scopes_supported": ["b:read", "b:write"]}),
            ]
        );
        assert!(policy.warnings().is_empty(), "{:?}", policy.warnings());
    }

    #[test]
    fn an_actor_asks_for_what_its_token_needs() {
        for (actor, principal, servers, scopes) in [
            (json!({"jwt": "corp"}), json!({"jwt": "partner"}), &["corp", "partner"][..], &["p", "a"][..]),
            (json!("apiKey"), json!({"jwt": "partner"}), &["partner"], &["p"]),
            (json!({"jwt": "corp"}), json!("apiKey"), &["corp"], &["a"]),
        ] {
            let policy = compile(&document(|document| {
                let key =
                    json!({"id": "k", "scopes": ["p", "a"], "hash": format!("sha256:{}", "0".repeat(64))});
                document["apiKeys"] = json!({"keys": [key]});
                document["rules"][0]["authenticate"] = json!({"allOf": [actor, principal]});
                document["rules"][0]["authorize"] = json!({"scopes": ["p"], "actor": {"scopes": ["a"]}});
            }));
            let policy = policy.unwrap_or_else(|faults| panic!("{faults:?}"));
            let told: Value = serde_json::from_str(policy.resources[0].metadata.body()).unwrap();
            let servers: Vec<_> = servers.iter().map(|name| format!("https://{name}.example")).collect();
            assert_eq!(
                (&told["authorization_servers"], &told["scopes_supported"]),
                (&json!(servers), &json!(scopes))
            );
        }
    }

    #[test]
    fn two_in_one_place_and_their_neighbours() {
        let same = "protectedResources[1].resource: another one has this host and path, so that their metadata would be \
                    at the same URL";
        for (resource, expected) in [
            ("https://api.example/a", Some(same)),
            ("https://API.example:8443/a", Some(same)),
            ("https://api.example/a/", None),
            ("https://api.example/a/b", None),
            ("https://other.example/a", None),
            (
                "https://api.example/a/../b",
                Some(
                    "protectedResources[1].resource: its path is not in the one form that requests are held against",
                ),
            ),
        ] {
            let document =
                document(|document| document["protectedResources"][1]["resource"] = resource.into());
            let faults = compile(&document).err().unwrap_or_default();
            assert_eq!(faults, expected.into_iter().collect::<Vec<_>>(), "{resource}");
        }
    }

    #[test]
    fn what_is_most_often_a_slip() {
        let warnings = |change: &dyn Fn(&mut Value)| -> Vec<String> {
            let policy = compile(&document(change)).ok().unwrap();
            policy.warnings().iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            warnings(&|document| document["jwt"]["providers"][0]["audiences"] = json!(["b"])),
            [
                "protectedResources[0]: \"corp\" lists none of its audiences, so that its tokens need one of each"
            ]
        );
        assert_eq!(
            warnings(&|document| {
                let rule = document["rules"][0].as_object_mut().unwrap();
                rule.remove("protectedResource");
                rule.insert("anyAudience".to_owned(), true.into());
            }),
            ["protectedResources[0]: no rule with tokens belongs to it"]
        );
        let path = |kind: &str, path: &str| json!([{"path": {"type": kind, "value": path}}]);
        let of_path = ["rules[2].matches[0].path: is no path of the rule's protected resource, \"/b\""];
        let of_host =
            ["rules[2].hostnames: do not have the host of the rule's protected resource, \"api.example\""];
        for (field, value, expected) in [
            ("matches", path("Exact", "/b"), &[][..]),
            ("matches", path("PathPrefix", "/b/7"), &[]),
            ("matches", path("PathPrefix", "/"), &[]),
            ("matches", path("PathTemplate", "/{api}/7"), &[]),
            ("matches", path("RegularExpression", "/.*"), &[]),
            ("matches", path("Exact", "/bc"), &of_path),
            ("matches", path("PathTemplate", "/x/{id}"), &of_path),
            ("hostnames", json!(["api.example"]), &[]),
            ("hostnames", json!(["*.example"]), &[]),
            ("hostnames", json!(["inside.test", "api.example"]), &[]),
            ("hostnames", json!(["inside.test"]), &of_host),
            ("hostnames", json!(["*.api.example"]), &of_host),
        ] {
            assert_eq!(
                warnings(&|document| document["rules"][2][field] = value.clone()),
                expected,
                "{value}"
            );
        }
    }
}
