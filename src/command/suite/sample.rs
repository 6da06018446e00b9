//! Requests that a rule may take: what its first match, its ways to authenticate and its conditions name.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::model::{Request, Token};
use crate::request::client_certificate::PeerCertificate;

/// What subjects and owners are called.
const SUBJECT: &str = "somebody";

/// A request, and the tokens that it carries.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Which alternative of `authorize` it is for, and which way to authenticate it takes.
    pub(super) part: (usize, usize),
    pub(super) request: Request,
    pub(super) tokens: Vec<Token>,
}

impl Sample {
    /// All that tells it from others.
    pub(super) fn line(&self) -> String {
        format!("{:?} {:?}", self.request, self.tokens)
    }

    /// The nearest other requests: without a credential, with one claim less, a forged one, another method.
    pub(super) fn neighbours(&self) -> Vec<(String, Self)> {
        let mut all = Vec::new();
        let has_credential =
            !self.tokens.is_empty() || self.request.api_key.is_some() || self.request.certificate.is_some();
        if has_credential {
            let request = Request { api_key: None, certificate: None, ..self.request.clone() };
            all.push(("nobody is refused".to_owned(), Self { part: self.part, request, tokens: Vec::new() }));
        }
        for (place, token) in self.tokens.iter().enumerate() {
            let with = |changed: Token| {
                let mut near = self.clone();
                if let Some(own) = near.tokens.get_mut(place) {
                    *own = changed;
                }
                near
            };
            for name in token.claims.keys() {
                let mut less = token.clone();
                less.claims.shift_remove(name);
                all.push((format!("a token without {name} is refused"), with(less)));
            }
            if token.claims.get("sub").is_some_and(|subject| subject == SUBJECT) {
                let mut other = token.clone();
                other.claims.insert("sub".to_owned(), "somebody-else".into());
                all.push(("somebody else is refused".to_owned(), with(other)));
            }
            all.push(("a forged token is refused".to_owned(), with(Token { forged: true, ..token.clone() })));
        }
        for method in ["DELETE", "POST", "GET"] {
            if method != self.request.method {
                let request = Request { method: method.to_owned(), ..self.request.clone() };
                all.push((
                    format!("{method} is refused"),
                    Self { part: self.part, request, tokens: self.tokens.clone() },
                ));
                break;
            }
        }
        all
    }
}

/// Requests that may pass, the likeliest first.
pub(super) fn sample(document: &Value, rule: &Value) -> Vec<Sample> {
    let Some(request) = request(rule) else { return Vec::new() };
    let authorize = rule.get("authorize");
    let alternatives: Vec<_> = match authorize.and_then(|asked| asked.get("anyOf")).and_then(Value::as_array)
    {
        Some(listed) => listed.iter().map(Some).collect(),
        None => vec![authorize],
    };
    let mut samples = Vec::new();
    let ways = |kind: &str| rule.pointer(&format!("/authenticate/{kind}")).and_then(Value::as_array);
    for (place, asked) in alternatives.into_iter().enumerate() {
        let bare = from(&request, asked);
        if let Some(both) = ways("allOf") {
            let actor = asked.and_then(|asked| asked.get("actor"));
            let mut all = vec![Sample { part: (place, 0), request: bare.clone(), tokens: Vec::new() }];
            for (way, asked) in both.iter().zip([actor, asked]) {
                let each = all.iter().flat_map(|sample| with(document, sample, way, asked));
                all = each.collect();
            }
            samples.extend(all);
        } else if let Some(any) = ways("anyOf") {
            samples.extend(any.iter().enumerate().flat_map(|(n, way)| {
                let sample = Sample { part: (place, n), request: bare.clone(), tokens: Vec::new() };
                with(document, &sample, way, asked)
            }));
        } else {
            samples.push(Sample { part: (place, 0), request: bare, tokens: Vec::new() });
        }
    }
    samples
}

/// The request without credentials; `None`: it matches by something of which no sample is made.
fn request(rule: &Value) -> Option<Request> {
    let list =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let host = text(list(rule, "hostnames").first()).unwrap_or_else(|| "localhost".to_owned());
    let host = host.strip_prefix("*.").map(|rest| format!("a.{rest}")).unwrap_or(host);
    let every = json!({});
    let matches = list(rule, "matches");
    let first = matches.first().unwrap_or(&every);
    let path = match first.get("path") {
        None => "/".to_owned(),
        Some(path) => {
            let value = text(path.get("value"))?;
            match path.get("type").and_then(Value::as_str)? {
                "Exact" | "PathPrefix" => value,
                "PathTemplate" => filled(&value, rule),
                _ => return None,
            }
        }
    };
    let mut headers = Vec::new();
    for header in list(first, "headers") {
        headers.push((text(header.get("name"))?, value_of(&header)?));
    }
    let mut query = Vec::new();
    for parameter in list(first, "queryParams") {
        query.push(format!("{}={}", text(parameter.get("name"))?, value_of(&parameter)?));
    }
    let mark = if query.is_empty() { "" } else { "?" };
    Some(Request {
        method: text(list(first, "methods").first()).unwrap_or_else(|| "GET".to_owned()),
        url: format!("https://{host}{path}{mark}{}", query.join("&")),
        headers,
        ..Request::default()
    })
}

/// What a header or parameter may be; `None` where an expression says so.
fn value_of(condition: &Value) -> Option<String> {
    match condition.get("type").and_then(Value::as_str) {
        Some("RegularExpression") => None,
        Some("Present") => Some("1".to_owned()),
        _ => condition.get("value").and_then(Value::as_str).map(str::to_owned),
    }
}

/// A template with its variables replaced: the owner's by whom tokens are for.
fn filled(template: &str, rule: &Value) -> String {
    let mut owners = Vec::new();
    variables_of_owners(rule, &mut owners);
    let segment = |segment: &str| {
        let Some(variable) = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) else {
            return segment.to_owned();
        };
        let is_owner = owners.iter().any(|owner| owner == variable);
        if is_owner { SUBJECT.to_owned() } else { "1".to_owned() }
    };
    template.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn variables_of_owners(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let owner = members.get("owner").and_then(|owner| owner.get("pathVariable"));
            found.extend(owner.and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| variables_of_owners(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| variables_of_owners(value, found)),
        _ => {}
    }
}

/// From a network that the conditions name.
fn from(request: &Request, asked: Option<&Value>) -> Request {
    let network = asked.and_then(|asked| asked.get("remoteAddress")?.as_array()?.first()?.as_str());
    let address: Option<IpAddr> = network.and_then(|network| network.split('/').next()?.parse().ok());
    Request { from: address, ..request.clone() }
}

/// `sample` with each credential of this kind that may do.
fn with(document: &Value, sample: &Sample, way: &Value, asked: Option<&Value>) -> Vec<Sample> {
    let kind = way.as_str().or_else(|| way.as_object()?.keys().next().map(String::as_str));
    match kind {
        Some("jwt") => {
            let Some(provider) = way.get("jwt").and_then(Value::as_str) else { return Vec::new() };
            let claims = claims(document, provider, asked);
            let token = Token { provider: provider.to_owned(), claims, ..Token::default() };
            let mut with = sample.clone();
            with.tokens.push(token);
            vec![with]
        }
        Some("apiKey") => {
            let keys = document.pointer("/apiKeys/keys").and_then(Value::as_array);
            let ids = keys.into_iter().flatten().filter_map(|key| key.get("id")?.as_str());
            let each = ids.map(|id| {
                let mut with = sample.clone();
                with.request.api_key = Some(id.to_owned());
                with
            });
            each.collect()
        }
        Some("clientCertificate") => {
            let principals = document.pointer("/clientCertificates/principals").and_then(Value::as_array);
            let none = [json!({"uri": "spiffe://td/somebody"})];
            let principals = principals.map_or(&none[..], Vec::as_slice);
            let each = principals.iter().map(|principal| {
                let text = |name: &str| principal.get(name)?.as_str().map(|text| text.replace('*', "a"));
                let bare = PeerCertificate::default();
                let (uri, dns, subject) = (text("uri"), text("dns"), text("subject"));
                let mut with = sample.clone();
                with.request.certificate = Some(PeerCertificate { uri, dns, subject, ..bare });
                with
            });
            each.collect()
        }
        _ => Vec::new(),
    }
}

/// What a token of `provider` says that meets `asked`.
fn claims(document: &Value, provider: &str, asked: Option<&Value>) -> Map<String, Value> {
    let providers = document.pointer("/jwt/providers").and_then(Value::as_array);
    let spec = providers
        .into_iter()
        .flatten()
        .find(|spec| spec.get("name").and_then(Value::as_str) == Some(provider));
    let mut claims = Map::new();
    let Some(asked) = asked else { return claims };
    let named = |name: &str| asked.get(name).map(names).unwrap_or_default();
    let scopes = named("scopes");
    if !scopes.is_empty() {
        put(&mut claims, &claim_for(spec, "scopes", "scope"), scopes.join(" ").into());
    }
    let mut roles = named("roles");
    for permission in named("permissions") {
        roles.extend(role_with(document, &permission));
    }
    roles.dedup();
    if !roles.is_empty() {
        put(&mut claims, &claim_for(spec, "roles", "roles"), json!(roles));
    }
    for condition in asked.get("claims").and_then(Value::as_array).into_iter().flatten() {
        let Some(path) = condition.get("claim").map(path_of) else { continue };
        let first = |name: &str| condition.get(name)?.as_array()?.first().cloned();
        let value = condition.get("equals").or_else(|| condition.get("contains")).cloned();
        let value = value.or_else(|| first("in")).or_else(|| first("containsAny"));
        let value = value.or_else(|| condition.get("present").map(|_| "1".into()));
        if let Some(value) = value {
            put(&mut claims, &path, value);
        }
    }
    if let Some(owner) = asked.get("owner") {
        let path = owner.get("claim").map_or_else(|| vec!["sub".to_owned()], path_of);
        put(&mut claims, &path, SUBJECT.into());
    }
    if let Some(step_up) = asked.get("stepUp") {
        if let Some(acr) = step_up.pointer("/acrValues/0") {
            claims.insert("acr".to_owned(), acr.clone());
        }
        if step_up.get("maxAge").or_else(|| step_up.pointer("/passkey/maxAge")).is_some() {
            claims.insert("auth_time".to_owned(), "-1s".into());
        }
    }
    claims
}

/// Names, all of which or any one of which is needed: those that suffice.
fn names(value: &Value) -> Vec<String> {
    let list = value.as_array().or_else(|| value.get("allOf")?.as_array());
    let texts = |list: &Vec<Value>| list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    match (list, value.get("anyOf").and_then(Value::as_array)) {
        (Some(all), _) => texts(all),
        (None, Some(any)) => any.first().and_then(Value::as_str).map(str::to_owned).into_iter().collect(),
        (None, None) => Vec::new(),
    }
}

/// The first role that grants it, by itself or by what it inherits.
fn role_with(document: &Value, permission: &str) -> Option<String> {
    let roles = document.get("roles")?.as_array()?;
    let grants = |role: &Value| {
        let own = role.get("permissions").and_then(Value::as_array).into_iter().flatten();
        own.filter_map(Value::as_str).any(|own| match own.strip_suffix('*') {
            Some(prefix) => permission.starts_with(prefix),
            None => own == permission,
        })
    };
    let name = |role: &Value| role.get("name").and_then(Value::as_str).map(str::to_owned);
    roles.iter().find(|role| grants(role)).and_then(name)
}

/// Where a provider has scopes or roles, by `claims` of its own; the first of several.
fn claim_for(spec: Option<&Value>, what: &str, otherwise: &str) -> Vec<String> {
    let own = spec.and_then(|spec| spec.pointer(&format!("/claims/{what}")));
    let own = own.map(|own| own.as_array().and_then(|list| list.first()).unwrap_or(own));
    let own = own.map(|own| own.get("claim").unwrap_or(own));
    own.map_or_else(|| vec![otherwise.to_owned()], path_of)
}

/// The names of a claim, from the outermost on.
fn path_of(claim: &Value) -> Vec<String> {
    match (claim.as_str(), claim.get("path").and_then(Value::as_array)) {
        (Some(text), _) => text.split('.').map(str::to_owned).collect(),
        (None, Some(path)) => path.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        (None, None) => Vec::new(),
    }
}

/// Sets a claim within others.
fn put(claims: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => _ = claims.insert(name.clone(), value),
        [name, rest @ ..] => {
            let inner = claims.entry(name.clone()).or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                put(inner, rest, value);
            }
        }
    }
}
