//! Whom verified claims speak of.

use super::{Provider, RoleClaim, RoleForm, error::JwtError};
use crate::{
    identity::{ClaimPath, MAX_NAME_LEN, Principal, PrincipalKind},
    json::{Json, Members, Object},
};

impl Provider {
    /// Whom verified `claims` speak of, by the first claim of `subject_paths` that is there. The principal's own `claims` are empty, for
    /// the caller to move there: so where there is an error, they are still with the token, for its record.
    pub(super) fn principal_named_by(
        &self,
        subject_paths: &[ClaimPath],
        claims: Object<'_>,
    ) -> Result<Principal, JwtError> {
        let spec = self.spec();
        let (path, subject) = first_present(subject_paths, claims)
            .ok_or_else(|| JwtError::missing(&subject_paths.first().map(dotted).unwrap_or_default()))?;
        let read = if spec.numeric_subject { name_or_number } else { name };
        let subject = read(subject).ok_or_else(|| JwtError::malformed(&dotted(path)))?;
        let credential_id = match claims.get("jti") {
            None | Some(Json::Null) => Box::default(),
            Some(jti) => name(jti).ok_or_else(|| JwtError::malformed("jti"))?,
        };
        let tier = match spec.tier_claim.as_ref().and_then(|path| Some((path, present(path, claims)?))) {
            None => None,
            Some((path, tier)) => {
                Some(name_or_number(tier).ok_or_else(|| JwtError::malformed(&dotted(path)))?)
            }
        };
        let scopes = match first_present(&spec.scope_claims, claims) {
            None => Vec::new(),
            Some((path, value)) => scopes(value).ok_or_else(|| JwtError::malformed(&dotted(path)))?,
        };
        let (mut roles, mut roles_unclear) = (Vec::new(), false);
        for RoleClaim { claim, form } in &spec.role_claims {
            let Some(value) = present(claim, claims) else { continue };
            match form.roles(value) {
                Some(found) => roles.extend(found),
                None if spec.ignore_malformed_roles => roles_unclear = true,
                None => return Err(JwtError::malformed(&dotted(claim))),
            }
        }
        Ok(Principal {
            subject,
            kind: PrincipalKind::Jwt,
            authority: self.authority(claims),
            credential_id,
            scopes,
            roles,
            roles_unclear,
            permissions: Vec::new(),
            tier,
            own_requests: vec![],
            claims: Members::default(),
        })
    }
}

impl RoleForm {
    /// The roles that `value` names; `None`: it is of another form.
    fn roles(&self, value: Json<'_>) -> Option<Vec<Box<str>>> {
        match (self, value) {
            (Self::Names, Json::List(list)) => list.iter().map(name_or_number).collect(),
            (Self::Names, one) => Some(vec![name_or_number(one)?]),
            (Self::Separated(separator), Json::List(list)) => {
                let mut roles = Vec::new();
                for part in list.iter() {
                    roles.extend(separated(part, separator)?);
                }
                Some(roles)
            }
            (Self::Separated(separator), one) => separated(one, separator),
            (Self::Keys, Json::Object(members)) => {
                members.iter().map(|(role, _)| name(Json::String(role))).collect()
            }
            (Self::Keys, _) => None,
        }
    }
}

/// What stands between the separators, without blanks around it; nothing is no role.
fn separated(value: Json<'_>, separator: &str) -> Option<Vec<Box<str>>> {
    match value {
        Json::String(text) => {
            let parts = text.split(separator).map(|part| part.trim_matches(' '));
            parts.filter(|part| !part.is_empty()).map(|part| name(Json::String(part))).collect()
        }
        other => Some(vec![name_or_number(other)?]),
    }
}

/// The first of the claims that is there, and where.
fn first_present<'a, 'p>(paths: &'p [ClaimPath], claims: Object<'a>) -> Option<(&'p ClaimPath, Json<'a>)> {
    paths.iter().find_map(|path| Some((path, present(path, claims)?)))
}

/// The claim's value. Some providers write null for what a user has none of: the same as absent.
fn present<'a>(path: &ClaimPath, claims: Object<'a>) -> Option<Json<'a>> {
    path.find(claims).filter(|value| !matches!(value, Json::Null))
}

/// A string that can name somebody in a log, a key or a header: neither empty nor long, no control characters.
fn name(value: Json<'_>) -> Option<Box<str>> {
    let text = value.as_str()?;
    let fine = !text.is_empty() && text.len() <= MAX_NAME_LEN && !text.chars().any(char::is_control);
    fine.then(|| text.into())
}

/// A name, or a whole number in decimal: plans are often numbered. Numbers beyond 64 bits are none: they were rounded.
fn name_or_number(value: Json<'_>) -> Option<Box<str>> {
    match value {
        Json::Number(number) => (number.is_u64() || number.is_i64()).then(|| number.to_string().into()),
        value => name(value),
    }
}

/// Scopes as a space-separated string (RFC 6749 section 3.3, RFC 8693 section 4.2) or as a list with one scope in each
/// entry. An entry with a space is malformed: the upstream, which gets them joined by spaces, would read two scopes.
fn scopes(value: Json<'_>) -> Option<Vec<Box<str>>> {
    let scopes: Vec<Box<str>> = match value {
        Json::String(text) => text.split(' ').filter(|scope| !scope.is_empty()).map(Into::into).collect(),
        list => strings(list)?,
    };
    scopes.iter().all(|scope| scope.bytes().all(|byte| matches!(byte, b'!'..=b'~'))).then_some(scopes)
}

/// One string or a list of strings, none of them empty or with control characters.
fn strings(value: Json<'_>) -> Option<Vec<Box<str>>> {
    match value {
        Json::List(list) => list.iter().map(name).collect(),
        one => Some(vec![name(one)?]),
    }
}

fn dotted(path: &ClaimPath) -> String {
    path.0.join(".")
}
