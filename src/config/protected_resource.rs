//! `protectedResource`: what clients are told of this API (RFC 9728).

use super::{
    jwt::uri,
    reader::Node,
    scalar::{label, scope, unique},
};
use crate::resource_metadata::ResourceMetadataSpec;

pub(super) fn protected_resource(node: Node<'_>, has_tokens: bool) -> Option<ResourceMetadataSpec> {
    node.object(|o| {
        if !has_tokens {
            o.fault::<()>("tells clients where to get tokens, and without jwt none are accepted");
        }
        let resource = o.required("resource", uri);
        let servers = o.optional("authorizationServers", |n| {
            unique(n, "no issuers; leave the field out to name those of all providers", uri)
        });
        let scopes = o.optional("scopesSupported", |n| {
            unique(n, "no scopes; leave the field out to name those of all rules", scope)
        });
        let name = o.optional("resourceName", label);
        let documentation = o.optional("resourceDocumentation", uri);
        Some(ResourceMetadataSpec {
            resource: resource?,
            authorization_servers: servers,
            scopes_supported: scopes,
            resource_name: name,
            resource_documentation: documentation,
        })
    })
}
