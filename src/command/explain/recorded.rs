//! A request, from the decision record that was written of it. Records hold no credentials, so one is made that says what
//! the record tells of it.

use serde_json::{Map, Value};

use super::{Credential, ExplainOptions};
use crate::{
    command::{
        offline::{Asked, Described},
        refusal::Refusal,
    },
    engine::with_own_names,
};

/// The request, and the credentials that its principal and actor had, as far as the record tells.
pub(super) fn request(text: &str, options: &ExplainOptions) -> Result<(Asked, Vec<Credential>), Refusal> {
    // Whatever the log has written in front of it.
    let record = text.find('{').and_then(|at| text.get(at..));
    let record: Option<Map<String, Value>> =
        record.and_then(|record| serde_json::Deserializer::from_str(record).into_iter().next()?.ok());
    let unlike =
        || Refusal::unusable("this is no decision record: an object with method and path".to_owned());
    let record = with_own_names(record.ok_or_else(unlike)?);
    let member = |name: &str| record.get(name).and_then(Value::as_str);
    let (method, path) = (member("method").ok_or_else(unlike)?, member("path").ok_or_else(unlike)?);
    let mut asked = Asked::new(method, path).map_err(Refusal::unusable)?;
    let address = options.from.or_else(|| member("address")?.parse().ok());
    asked.address = address.or(asked.address);
    let mut credentials = Vec::new();
    for [subject, kind, authority, credential] in [
        ["actor", "actorKind", "actorAuthority", "actorCredential"],
        ["principal", "kind", "authority", "credential"],
    ] {
        match (member(kind), member(subject)) {
            (Some("jwt"), Some(subject)) => {
                let mut claims = Map::new();
                claims.insert("sub".to_owned(), subject.into());
                if let Some(id) = member(credential) {
                    claims.insert("jti".to_owned(), id.into());
                }
                // Of one for many tenants the tenant follows.
                let provider = member(authority).and_then(|name| name.split('#').next()).unwrap_or_default();
                let provider = provider.to_owned();
                credentials.push(Credential::Token(Described { provider, claims, ..Described::default() }));
            }
            (Some("api-key"), _) => {
                credentials.extend(member(credential).map(|id| Credential::ApiKey(id.to_owned())));
            }
            (Some("client-certificate"), Some(name)) => {
                let kind = if name.contains("://") {
                    "uri"
                } else if name.contains('=') {
                    "subject"
                } else {
                    "dns"
                };
                asked.certificate = Some(super::certificate(&format!("{kind}={name}"))?);
            }
            _ => {}
        }
    }
    Ok((asked, credentials))
}
