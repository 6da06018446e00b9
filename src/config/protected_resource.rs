//! `protectedResource` and `protectedResources`: what clients are told of the APIs (RFC 9728), and which rules belong to
//! which.

use super::{
    ActionSpec, MethodSpec, ProtectedResourceSpec,
    model::{Field, Form, Kind, Shape, optional, required},
    names::{Definitions, Resources},
    reader::Object,
    scalar::name,
};
use crate::resource_metadata::ResourceMetadataSpec;

/// Each is looked at where a request asks for metadata.
pub(super) const MOST_RESOURCES: usize = 256;

pub(super) const NO_RESOURCES: &str = "no resources; leave the field out if clients are told of none";

const RESOURCE: Field = required(
    "resource",
    Kind::Url { https: true },
    "The resource identifier: what clients ask tokens for, without query. List it under `audiences` of the providers.",
);

const AUTHORIZATION_SERVERS: Field = optional(
    "authorizationServers",
    Kind::List("no issuers; leave the field out to name those of all providers", &Kind::Url { https: false }),
    "the issuers of all providers whose tokens its rules take, where they are URLs without a variable",
    "`authorization_servers` of the document.",
);

const SCOPES_SUPPORTED: Field = optional(
    "scopesSupported",
    Kind::List("no scopes; leave the field out to name those of all rules", &Kind::Text(Form::Scope)),
    "all that its rules with `jwt` name",
    "`scopes_supported` of the document.",
);

const RESOURCE_NAME: Field =
    optional("resourceName", Kind::Text(Form::Label), "absent: not told", "`resource_name` of the document.");

const RESOURCE_DOCUMENTATION: Field = optional(
    "resourceDocumentation",
    Kind::Url { https: false },
    "absent: not told",
    "`resource_documentation` of the document.",
);

pub(super) static PROTECTED_RESOURCE: Shape =
    Shape::new(&[RESOURCE, AUTHORIZATION_SERVERS, SCOPES_SUPPORTED, RESOURCE_NAME, RESOURCE_DOCUMENTATION]);

pub(super) static NAMED_RESOURCE: Shape = Shape::new(&[
    required("name", Kind::Text(Form::Name), "What rules call it."),
    RESOURCE,
    optional(
        "audiences",
        Kind::List(
            "no audiences; leave the field out to take tokens for the resource",
            &Kind::Text(Form::Any),
        ),
        "`resource`, as it stands there",
        "One of them must be in `aud` of tokens for its rules, beside one of `audiences` of their provider, which may be \
         the same. Compared exactly.",
    ),
    AUTHORIZATION_SERVERS,
    SCOPES_SUPPORTED,
    RESOURCE_NAME,
    RESOURCE_DOCUMENTATION,
]);

/// The one or the several.
pub(super) fn protected_resources(
    document: &mut Object<'_>,
    defs: &mut Definitions,
) -> Option<Vec<ProtectedResourceSpec>> {
    for field in ["protectedResource", "protectedResources"] {
        if document.has(field) && !document.has("jwt") {
            document.fault_at::<()>(
                field,
                "tells clients where to get tokens, and without jwt none are accepted",
            );
        }
    }
    if document.has("protectedResource") && document.has("protectedResources") {
        document.fault_at::<()>("protectedResource", "contradicts protectedResources; give one of them");
    }
    let only = document.object("protectedResource").map(metadata);
    if only.is_some() {
        defs.resources_given = Resources::One;
    }
    if let Some(node) = document.take("protectedResources") {
        defs.resources_given = Resources::Named;
        defs.resources.expect(node.count());
        let items = node.few(MOST_RESOURCES, NO_RESOURCES)?;
        let named = items.each(|index, n| named(n.object(&NAMED_RESOURCE)?, index, defs));
        return named.into_iter().collect();
    }
    let only =
        only.map(|metadata| Some(ProtectedResourceSpec { name: None, audiences: None, metadata: metadata? }));
    only.into_iter().collect()
}

fn named(mut o: Object<'_>, index: usize, defs: &mut Definitions) -> Option<ProtectedResourceSpec> {
    let name = o.text("name");
    if let Some(name) = &name {
        defs.resources.define(name, index, (), &o.at("name"), o.faults);
    }
    let audiences = o.texts("audiences");
    let metadata = metadata(o)?;
    let audiences = audiences.unwrap_or_else(|| vec![metadata.resource.as_str().to_owned()]);
    Some(ProtectedResourceSpec { name: Some(name?), audiences: Some(audiences), metadata })
}

fn metadata(mut o: Object<'_>) -> Option<ResourceMetadataSpec> {
    let resource = o.url("resource");
    Some(ResourceMetadataSpec {
        authorization_servers: o.urls("authorizationServers"),
        scopes_supported: o.texts("scopesSupported"),
        resource_name: o.text("resourceName"),
        resource_documentation: o.url("resourceDocumentation"),
        resource: resource?,
    })
}

/// The place of the protected resource that a rule belongs to. Where there are several, a rule that takes tokens names
/// one or says that it belongs to none: if it could be forgotten, tokens for one API would open another.
pub(super) fn resource_of_rule(
    rule: &mut Object<'_>,
    action: Option<&ActionSpec>,
    defs: &Definitions,
) -> Option<usize> {
    let place = rule.take("protectedResource").and_then(|n| {
        let (path, faults) = (n.path, n.faults);
        let resource = name(n)?;
        defs.resources.resolve(&resource, &path, faults)?;
        defs.resources.place(&resource)
    });
    rule.only_true("anyAudience");
    // Of an action that could not be read it is not known whether it takes tokens.
    let takes_tokens = action?.methods().any(|method| matches!(method, MethodSpec::Jwt(_)));
    let (names_one, names_none) = (rule.has("protectedResource"), rule.has("anyAudience"));
    if !takes_tokens {
        for field in ["protectedResource", "anyAudience"].into_iter().filter(|field| rule.has(field)) {
            rule.fault_at::<()>(field, "has no effect: the rule takes no tokens");
        }
        return None;
    }
    match defs.resources_given {
        Resources::One if !names_one && !names_none => Some(0),
        Resources::Named if names_one && names_none => {
            rule.fault_at("anyAudience", "contradicts protectedResource; give one of them")
        }
        Resources::Named if !names_one && !names_none => rule.fault_at(
            "protectedResource",
            "required; name the one of protectedResources whose tokens may pass, or write anyAudience: true",
        ),
        Resources::None | Resources::One if names_none => {
            rule.fault_at("anyAudience", "has no effect without protectedResources")
        }
        _ => place,
    }
}
