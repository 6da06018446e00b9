//! The document as a whole.

use serde_json::{Map, Value};

use super::{
    Document, api_keys, identity_headers, input, jwt,
    names::Definitions,
    protected_resource, rate_limits,
    reader::{Faults, Node, Object, Path, quoted},
    roles, rules,
    scalar::{boolean, choice, text},
    transport,
};
use crate::fault::Fault;

/// Reads a policy: JSON text or a serialized `google.protobuf.Struct`, at most [`super::MAX_POLICY_BYTES`].
///
/// # Errors
///
/// Every fault of form and every name that is unknown, repeated or out of place; never empty. Paths are those
/// of the document as written.
pub fn decode(bytes: &[u8]) -> Result<Document, Vec<Fault>> {
    let faults = Faults::default();
    let document = input::parse(bytes, &faults).and_then(|value| {
        let mut defs = Definitions::default();
        Node { value, path: Path::Root, faults: &faults }.object(|o| document(o, &mut defs))
    });
    faults.judge(document)
}

/// Sections are read in such an order that whatever is referred to has been read before.
fn document(o: &mut Object<'_>, defs: &mut Definitions) -> Option<Document> {
    let realm = o.optional("realm", realm);
    let transport = o.optional("transport", transport::transport);
    let identity_headers = identity_headers(o, defs);
    let roles = o.optional("roles", |n| roles::roles(n, defs));
    let has_tokens = o.has("jwt");
    let providers = o.optional("jwt", |n| jwt::providers(n, defs));
    let resource = o.optional("protectedResource", |n| protected_resource::protected_resource(n, has_tokens));
    defs.api_keys = o.has("apiKeys");
    let api_keys = o.optional("apiKeys", |n| api_keys::api_keys(n, defs));
    defs.headers.check_read(o.faults);
    let rate_limits = o.optional("rateLimits", |n| rate_limits::rate_limits(n, defs));
    let rules = o.required("rules", |n| rules::rules(n, defs));
    o.optional("defaultAction", default_action);
    let log_allowed = o.optional("decisionLog", |n| n.object(|o| o.required("allowed", boolean)));
    let always = [("Denied", false), ("Always", true)];
    let rate_limit_headers = o.optional("rateLimitHeaders", choice("a choice", &always));
    Some(Document {
        realm: realm.unwrap_or_else(|| "portcullis".into()),
        transport: transport.unwrap_or(transport::DEFAULT),
        providers: providers.unwrap_or_default(),
        protected_resource: resource,
        api_keys,
        roles: roles.unwrap_or_default(),
        rate_limits: rate_limits.unwrap_or_default(),
        rules: rules?,
        identity_headers: identity_headers?,
        log_allowed: log_allowed.unwrap_or(false),
        rate_limit_headers_always: rate_limit_headers.unwrap_or(false),
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
