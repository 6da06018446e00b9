//! `protectedResource`: what clients are told of this API (RFC 9728).

use super::{
    model::{Form, Kind, Shape, optional, required},
    reader::Object,
};
use crate::resource_metadata::ResourceMetadataSpec;

pub(super) static PROTECTED_RESOURCE: Shape = Shape::new(&[
    required(
        "resource",
        Kind::Url { https: true },
        "The resource identifier: what clients ask tokens for, without query. List it under `audiences`.",
    ),
    optional(
        "authorizationServers",
        Kind::List(
            "no issuers; leave the field out to name those of all providers",
            &Kind::Url { https: false },
        ),
        "the issuers of all providers that are URLs, without those that have a variable",
        "`authorization_servers` of the document.",
    ),
    optional(
        "scopesSupported",
        Kind::List("no scopes; leave the field out to name those of all rules", &Kind::Text(Form::Scope)),
        "all that rules with `jwt` name",
        "`scopes_supported` of the document.",
    ),
    optional("resourceName", Kind::Text(Form::Label), "absent: not told", "`resource_name` of the document."),
    optional(
        "resourceDocumentation",
        Kind::Url { https: false },
        "absent: not told",
        "`resource_documentation` of the document.",
    ),
]);

pub(super) fn protected_resource(mut o: Object<'_>, has_tokens: bool) -> Option<ResourceMetadataSpec> {
    if !has_tokens {
        o.fault::<()>("tells clients where to get tokens, and without jwt none are accepted");
    }
    let resource = o.url("resource");
    Some(ResourceMetadataSpec {
        authorization_servers: o.urls("authorizationServers"),
        scopes_supported: o.texts("scopesSupported"),
        resource_name: o.text("resourceName"),
        resource_documentation: o.url("resourceDocumentation"),
        resource: resource?,
    })
}
