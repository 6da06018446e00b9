//! The document as a whole.

use serde_json::{Map, Value};

use super::{
    Document, Interlock, Rejected, RuleSpec, api_keys, client_certificates, identity_headers, input, jwt,
    names::Definitions,
    protected_resource, rate_limits,
    reader::{Faults, Node, Object, Path, quoted},
    request_headers, revocation, roles, rules,
    scalar::{boolean, choice, label, text},
    transport,
};
use crate::{jwt::ProviderSpec, rate_limit::LimitSpec};

/// Reads a policy: JSON text or a serialized `google.protobuf.Struct`, at most [`super::MAX_POLICY_BYTES`].
///
/// # Errors
///
/// Every fault of form and every name that is unknown, repeated or out of place; never empty. Paths are those
/// of the document as written.
pub fn decode(bytes: &[u8]) -> Result<Document, Rejected> {
    let faults = Faults::default();
    let mut lists = Lists::default();
    let document = input::parse(bytes, &faults).and_then(|value| {
        let mut defs = Definitions::default();
        Node { value, path: Path::Root, faults: &faults }.object(|o| document(o, &mut defs, &mut lists))
    });
    match faults.judge(document) {
        Ok(document) => Ok(Document {
            providers: whole(lists.providers),
            rate_limits: whole(lists.rate_limits),
            rules: whole(lists.rules),
            ..document
        }),
        Err(faults) => Err(Rejected {
            faults,
            providers: sound(lists.providers),
            rate_limits: sound(lists.rate_limits),
            rules: sound(lists.rules),
        }),
    }
}

/// The lists whose items the features judge; see [`Node::each`].
#[derive(Default)]
struct Lists {
    providers: Vec<Option<ProviderSpec>>,
    rate_limits: Vec<Option<LimitSpec>>,
    rules: Vec<Option<RuleSpec>>,
}

/// Every item of a list without faults, so that none is missing.
fn whole<T>(items: Vec<Option<T>>) -> Vec<T> {
    items.into_iter().flatten().collect()
}

/// The items without faults, each with its place.
fn sound<T>(items: Vec<Option<T>>) -> Vec<(usize, T)> {
    items.into_iter().enumerate().filter_map(|(place, item)| Some((place, item?))).collect()
}

/// Sections are read in such an order that whatever is referred to has been read before.
fn document(o: &mut Object<'_>, defs: &mut Definitions, lists: &mut Lists) -> Option<Document> {
    let realm = o.optional("realm", realm);
    let transport = o.optional("transport", transport::transport);
    let identity_headers = identity_headers(o, defs);
    let roles = o.optional("roles", |n| roles::roles(n, defs));
    defs.client_certificates = o.has("clientCertificates");
    let client_certificates =
        o.optional("clientCertificates", |n| client_certificates::client_certificates(n, defs));
    let has_tokens = o.has("jwt");
    lists.providers = o.optional("jwt", |n| Some(jwt::providers(n, defs))).unwrap_or_default();
    let resource = o.optional("protectedResource", |n| protected_resource::protected_resource(n, has_tokens));
    defs.api_keys = o.has("apiKeys");
    let api_keys = o.optional("apiKeys", |n| api_keys::api_keys(n, defs));
    let revocation = o.optional("revocation", |n| revocation::revocation(n, defs));
    defs.headers.check_read(o.faults);
    let request_headers = o.optional("requestHeaders", |n| request_headers::request_headers(n, defs));
    let rate_limits = o.optional("rateLimits", |n| Some(rate_limits::rate_limits(n, defs)));
    lists.rate_limits = rate_limits.unwrap_or_default();
    lists.rules = o.required("rules", |n| Some(rules::rules(n, defs))).unwrap_or_default();
    o.optional("defaultAction", default_action);
    let (log_allowed, log_all_denied) = o.optional("decisionLog", decision_log).unwrap_or_default();
    let interlock = o.optional("interlock", interlock);
    let always = [("Denied", false), ("Always", true)];
    let rate_limit_headers = o.optional("rateLimitHeaders", choice("a choice", &always));
    Some(Document {
        realm: realm.unwrap_or_else(|| "portcullis".into()),
        transport: transport.unwrap_or(transport::DEFAULT),
        providers: Vec::new(),
        protected_resource: resource,
        api_keys,
        client_certificates,
        revocation,
        roles: roles.unwrap_or_default(),
        rate_limits: Vec::new(),
        rules: Vec::new(),
        identity_headers: identity_headers?,
        request_headers: request_headers.unwrap_or_default(),
        interlock: interlock.unwrap_or_default(),
        log_allowed,
        log_all_denied,
        rate_limit_headers_always: rate_limit_headers.unwrap_or(false),
    })
}

/// Whether allowed requests get a record, and whether every denied one does.
fn decision_log(node: Node<'_>) -> Option<(bool, bool)> {
    node.object(|o| {
        let given = o.has("allowed") || o.has("denied");
        let allowed = o.optional("allowed", boolean);
        let denied = o.optional("denied", choice("a choice", &[("Sampled", false), ("All", true)]));
        if !given {
            return o.fault("says nothing; leave the field out");
        }
        Some((allowed.unwrap_or(false), denied.unwrap_or(false)))
    })
}

/// The headers are owned, and their names taken, whether or not the document names them.
fn identity_headers(o: &mut Object<'_>, defs: &mut Definitions) -> Option<super::IdentityHeadersSpec> {
    if o.has("identityHeaders") {
        return o.optional("identityHeaders", |n| identity_headers::identity_headers(n, defs));
    }
    o.optional("identityHeaders", |_| Some(()));
    let path = Path::Field(&o.path, "identityHeaders");
    let node = Node { value: Value::Object(Map::new()), path, faults: o.faults };
    identity_headers::identity_headers(node, defs)
}

/// Stands in a quoted string of `WWW-Authenticate` (RFC 9110 section 5.6.4).
fn realm(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let realm = text(node)?;
    if realm.len() <= 128 && realm.chars().all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\') {
        return Some(realm);
    }
    faults.add(&path, "must be at most 128 characters of printable ASCII without \" and \\");
    None
}

/// Whether there is a mark, or what its name is.
fn interlock(node: Node<'_>) -> Option<Interlock> {
    match node.value {
        Value::Bool(false) => Some(Interlock::Off),
        Value::Bool(true) => Some(Interlock::Named),
        Value::Object(_) => node.object(|o| o.required("mark", label).map(Interlock::Marked)),
        _ => node.mismatch("true, false or an object"),
    }
}

/// Written for the reader's sake: there is no other choice.
fn default_action(mut node: Node<'_>) -> Option<()> {
    let text = node.text("Deny")?;
    match text.as_str() {
        "Deny" => Some(()),
        _ => node.fault(format!(
            "must be Deny, found {}; to allow what no other rule matches, write a last rule without matches",
            quoted(&text)
        )),
    }
}
