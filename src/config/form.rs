//! Strings by the form that is declared for them.

use hashbrown::HashSet;

use super::{
    faults::{Faults, Path, quoted},
    http_names::{authority, header_name, host_cookie, hostname, method, origin, owned_header_name, path},
    model::Form,
    reader::Node,
    scalar::{
        checked_prefix, label, limit_name, name, permission, realm, scope, tenant, text as any,
        text_or_nothing,
    },
};

/// What else is asked of a text: `None` after it noted a fault.
pub(super) type Judge<'j> = &'j mut dyn FnMut(&str, &Path<'_>, &Faults) -> Option<()>;

/// The text that stands there, in the spelling in which it is compared.
#[inline(never)]
pub(super) fn text(node: Node<'_>, form: Form) -> Option<String> {
    match form {
        // What patterns mean is read where they stand.
        Form::Any | Form::ClaimName | Form::UriPattern | Form::DnsPattern | Form::Network => any(node),
        Form::Prefix => text_or_nothing(node),
        Form::TokenType => any(node).map(|text| token_type(&text)),
        Form::Name | Form::KeyPrefix => name(node),
        Form::CheckedPrefix => checked_prefix(node),
        Form::LimitName => limit_name(node),
        Form::Tenant => tenant(node),
        Form::Label => label(node),
        Form::Scope => scope(node),
        Form::Grant => permission(node, true),
        Form::Permission => permission(node, false),
        Form::Realm => realm(node),
        Form::Header => header_name(node),
        Form::OwnHeader => owned_header_name(node),
        Form::Method => method(node),
        Form::Host => hostname(node),
        Form::Authority => authority(node),
        Form::Path => path(node),
        Form::Origin => origin(node),
        Form::HostCookie => host_cookie(node),
    }
}

/// A list of different texts, never empty; `empty` says what is wrong with that.
#[inline(never)]
pub(super) fn texts(node: Node<'_>, empty: &str, form: Form, judge: Judge<'_>) -> Option<Vec<String>> {
    let mut seen = HashSet::new();
    node.filled(empty)?.all(|item| {
        let (path, faults) = (item.path, item.faults);
        let text = text(item, form)?;
        judge(&text, &path, faults)?;
        if !seen.insert(text.clone()) {
            faults.add(&path, format!("{} is listed twice", quoted(&text)));
            return None;
        }
        Some(text)
    })
}

/// RFC 7515 section 4.1.9: `application/` may be left out, and media types have no case.
fn token_type(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower)
}
