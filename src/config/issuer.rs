//! `issuer` of a token provider, and the tenants whose issuers it stands for.

use super::{names::Definitions, reader::Object};
use crate::{
    identity::ClaimPath,
    jose::IssuerTemplate,
    jwt::{Issuer, Tenants},
};

/// The issuer called `text` of the `index`th provider. Where it is a template, `claim` is the one that names the tenant, too.
pub(super) fn issuer(
    o: &mut Object<'_>,
    text: Option<String>,
    claim: Option<ClaimPath>,
    index: usize,
    defs: &mut Definitions,
) -> Option<Issuer> {
    let tenants = o.texts("tenants");
    let any = o.only_true("anyTenant");
    let text = text?;
    if !IssuerTemplate::is_meant_by(&text) {
        // The provider of a token is chosen by its issuer.
        defs.issuers.define(&text, index, (), &o.at("issuer"), o.faults);
        for field in ["tenants", "anyTenant"].into_iter().filter(|field| o.has(field)) {
            o.fault_at::<()>(field, "has no effect: issuer has no variable in braces, so it is one tenant's");
        }
        return Some(Issuer::One(text));
    }
    let Some(template) = IssuerTemplate::parse(&text) else {
        return o.fault_at(
            "issuer",
            "has braces, but not as a template: a URL without query in whose path one segment is a variable, as in \
             https://login.example/{tenantid}/v2.0",
        );
    };
    let listed = match (o.has("tenants"), o.has("anyTenant")) {
        (true, true) => o.fault_at("anyTenant", "contradicts tenants; give one of them"),
        (true, false) => tenants.map(Some),
        (false, true) => any.map(|()| None),
        (false, false) => o.fault_at(
            "tenants",
            "required with a variable in issuer; where anybody may become a tenant, their tokens are anybody's \
             (anyTenant: true accepts them)",
        ),
    };
    Some(Issuer::Tenants(Box::new(Tenants::new(template, listed?, claim?))))
}
