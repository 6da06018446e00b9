//! `rules`: in order, first match wins.

use super::{
    ActionSpec, MethodSpec, RuleSpec,
    names::Definitions,
    reader::{Node, Object, Path, quoted},
    requirement::authorize,
    route_match::{hostnames, matches},
    scalar::{boolean, choice, name},
};
use crate::{rbac::RequirementSpec, route::RouteSpec};

pub(super) fn rules(node: Node<'_>, defs: &mut Definitions) -> Vec<Option<RuleSpec>> {
    defs.rules.expect(node.items());
    node.each("no rules; every request would be refused", |index, n| rule(n, index, defs))
}

#[derive(Clone, Copy, PartialEq)]
enum Action {
    Allow,
    Deny,
}

fn rule(node: Node<'_>, index: usize, defs: &mut Definitions) -> Option<RuleSpec> {
    node.object(|o| {
        let name = o.required("name", |n| {
            let (path, faults) = (n.path, n.faults);
            let name = name(n)?;
            defs.rules.define(&name, index, (), &path, faults);
            Some(name)
        });
        let hosts = o.optional("hostnames", hostnames);
        let matches = o.optional("matches", |n| matches(n, defs));
        let action = match o.has("action") {
            true => {
                o.optional("action", choice("an action", &[("Allow", Action::Allow), ("Deny", Action::Deny)]))
            }
            false => {
                o.optional("action", |_| Some(()));
                Some(Action::Allow)
            }
        };
        let (action, anonymous) = match action {
            Some(Action::Deny) => (deny(o), false),
            // Of an action that could not be read it is not known whether it needs this.
            action => allow(o, action.is_some(), defs),
        };
        let rate_limits = o.optional("rateLimits", |n| rate_limits(n, anonymous, defs));
        let preflight = o.optional("corsPreflight", choice("a choice", &[("Allow", true)]));
        Some(RuleSpec {
            name: name?,
            route: RouteSpec { hostnames: hosts.unwrap_or_default(), matches: matches.unwrap_or_default() },
            action: action?,
            cors_preflight: preflight.unwrap_or(false),
            rate_limits: rate_limits.unwrap_or_default(),
        })
    })
}

/// Nothing else is said of requests that are refused anyway.
fn deny(o: &mut Object<'_>) -> Option<ActionSpec> {
    for field in ["authenticate", "authorize", "rateLimits", "corsPreflight"] {
        if o.optional(field, |_| Some(())).is_some() {
            o.fault_at::<()>(field, "contradicts action: Deny, which refuses every request that matches");
        }
    }
    Some(ActionSpec::Deny)
}

/// The action, and whether anyone may pass.
fn allow(o: &mut Object<'_>, required: bool, defs: &Definitions) -> (Option<ActionSpec>, bool) {
    if required && !o.has("authenticate") {
        let missing = "required; name who may pass, as in {anyOf: [apiKey]}, \
                       or write {anonymous: true} to let anyone pass";
        o.fault_at::<()>("authenticate", missing);
    }
    let who = o.optional("authenticate", |n| authenticate(n, defs));
    let authorized = o.has("authorize");
    let anonymous = matches!(who, Some(Who::Anyone));
    if anonymous && authorized {
        o.fault_at::<()>("authorize", "asks for a principal, which an anonymous rule does not have");
    }
    let authorize: Option<RequirementSpec> = o.optional("authorize", |n| authorize(n, defs));
    let logs_in = |method: &MethodSpec| matches!(method, MethodSpec::Jwt(_));
    if let (Some(Who::AnyOf(methods)), Some(asked)) = (&who, &authorize)
        && asked.any_of.iter().any(|alternative| alternative.step_up.is_some())
        && !methods.iter().any(logs_in)
    {
        o.fault_at::<()>(
            "authorize",
            "stepUp asks how a user logged in, which only a token of {jwt: ..} can say",
        );
    }
    let action = match who {
        None => None,
        Some(Who::Anyone) => Some(ActionSpec::AllowAnyone),
        // Faulty and noted.
        Some(Who::AnyOf(_)) if authorized && authorize.is_none() => None,
        Some(Who::AnyOf(authenticate)) => Some(ActionSpec::Allow { authenticate, authorize }),
    };
    (action, anonymous)
}

enum Who {
    Anyone,
    AnyOf(Vec<MethodSpec>),
}

fn authenticate(node: Node<'_>, defs: &Definitions) -> Option<Who> {
    if !node.value.is_object() {
        return node.mismatch("{anyOf: [..]} or {anonymous: true}");
    }
    node.object(|o| {
        let (listed, open) = (o.has("anyOf"), o.has("anonymous"));
        let mut seen = hashbrown::HashSet::new();
        let any_of = o.optional("anyOf", |n| {
            n.filled("no way to authenticate; write anonymous: true to let anyone pass", |n| {
                let (path, faults) = (n.path, n.faults);
                let method = method(n, defs)?;
                if !seen.insert(method.clone()) {
                    faults.add(&path, "is listed twice");
                    return None;
                }
                Some(method)
            })
        });
        let anonymous = o.optional("anonymous", |n| {
            let (path, faults) = (n.path, n.faults);
            match boolean(n)? {
                true => Some(()),
                false => {
                    faults.add(&path, "only true is allowed; list ways to authenticate in anyOf instead");
                    None
                }
            }
        });
        match (listed, open) {
            (true, true) => o.fault_at("anonymous", "contradicts anyOf; give one of them"),
            (true, false) => any_of.map(Who::AnyOf),
            (false, true) => anonymous.map(|()| Who::Anyone),
            (false, false) => o.fault("names no way to authenticate; give anyOf, or anonymous: true"),
        }
    })
}

/// `apiKey`, `{apiKey: {}}`, `clientCertificate`, `{clientCertificate: {}}` or `{jwt: provider}`.
fn method(mut node: Node<'_>, defs: &Definitions) -> Option<MethodSpec> {
    let (path, faults) = (node.path, node.faults);
    let api_key = |path: &Path<'_>| {
        if !defs.api_keys {
            faults.add(path, "the policy has no apiKeys section");
            return None;
        }
        Some(MethodSpec::ApiKey)
    };
    let certificate = |path: &Path<'_>| {
        if !defs.client_certificates {
            faults.add(path, "the policy has no clientCertificates section");
            return None;
        }
        Some(MethodSpec::ClientCertificate)
    };
    if node.value.is_object() {
        return node.object(|o| {
            let ways = ["apiKey", "clientCertificate", "jwt"].iter().filter(|way| o.has(way)).count();
            let key = o.optional("apiKey", |n| {
                let path = n.path;
                n.object(|_| Some(()))?;
                api_key(&path)
            });
            let token = o.optional("jwt", |n| {
                let (path, faults) = (n.path, n.faults);
                let provider = name(n)?;
                defs.providers.resolve(&provider, &path, faults)?;
                Some(MethodSpec::Jwt(provider))
            });
            let shown = o.optional("clientCertificate", |n| {
                let path = n.path;
                n.object(|_| Some(()))?;
                certificate(&path)
            });
            match ways {
                0 => o.fault(
                    "names no way to authenticate; write apiKey, clientCertificate or {jwt: provider}",
                ),
                1 => key.or(token).or(shown),
                _ => o.fault("names more than one way; list them as items of their own"),
            }
        });
    }
    let text = node.text("apiKey, clientCertificate or {jwt: provider}")?;
    match text.as_str() {
        "apiKey" => api_key(&path),
        "clientCertificate" => certificate(&path),
        "jwt" => node.fault("name the provider, as in {jwt: corp}"),
        _ => node.fault(format!(
            "{} is not a way to authenticate; write apiKey, clientCertificate or {{jwt: provider}}",
            quoted(&text)
        )),
    }
}

fn rate_limits(node: Node<'_>, anonymous: bool, defs: &Definitions) -> Option<Vec<String>> {
    let mut seen = hashbrown::HashSet::new();
    node.filled("no limits; leave the field out", |n| {
        let (path, faults) = (n.path, n.faults);
        let name = name(n)?;
        let facts = defs.limits.resolve(&name, &path, faults)?;
        let fault = |message: String| {
            faults.add(&path, message);
            None
        };
        let shown = quoted(&name);
        if !seen.insert(name.clone()) {
            return fault(format!("{shown} is listed twice"));
        }
        if facts.before_authentication {
            return fault(format!(
                "limit {shown} applies before authentication, to every request; rules do not name it"
            ));
        }
        if let Some(part) = facts.per_caller.filter(|_| anonymous) {
            return fault(format!(
                "limit {shown} counts per {part}, which the requests of an anonymous rule do not have"
            ));
        }
        Some(name)
    })
}
