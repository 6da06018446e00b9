//! `authenticate` of a rule: whose requests it takes.

use hashbrown::HashSet;

use super::{
    InvalidCredentials, MethodSpec,
    faults::{Faults, Path, quoted},
    model::{Bound, Form, Kind, Shape, default, optional, words},
    names::Definitions,
    reader::{Node, Object},
    scalar::name,
};

pub(super) static AUTHENTICATE: Shape = Shape::bound(
    &[
        optional(
            "anyOf",
            Kind::List("no way to authenticate; write anonymous: true to let anyone pass", &WAY),
            "",
            "Ways to authenticate, one of which is enough. `apiKey` is short for `{apiKey: {}}`, and \
             `clientCertificate` likewise.",
        ),
        optional(
            "allOf",
            Kind::Pair("takes two ways to authenticate: the actor's, and behind it the principal's", &WAY),
            "",
            "Two ways to authenticate, both of which are needed, each in a place of its own, see [allOf](#allof). The last \
             one says who the principal is, the first one who acts for it.",
        ),
        optional(
            "anonymous",
            Kind::True("only true is allowed; list ways to authenticate in anyOf instead"),
            "",
            "Anyone may pass, without a credential.",
        ),
        optional(
            "passThrough",
            Kind::True("only true is allowed; write anonymous: true to let anyone pass without credentials"),
            "",
            "Anyone may pass, and credentials reach the upstream as they were sent, for it to judge. Identity headers are \
             removed as ever.",
        ),
        optional(
            "optional",
            Kind::True("only true is allowed; leave the field out where credentials are required"),
            "absent: one of `anyOf` is required",
            "Requests without a credential pass, too, as anonymous ones.",
        ),
        default(
            "invalidCredentials",
            Kind::Choice("a choice", &words(&INVALID)),
            "Refuse",
            "With `optional`: what becomes of a credential that proves nothing. `Anonymous`: it is removed, and the request \
             passes as one without.",
        ),
    ],
    &[
        Bound::One(&WHOSE),
        Bound::Given(&["optional"], &[Bound::Required("anyOf")], &[Bound::Forbidden("invalidCredentials")]),
    ],
);

/// Of which one says whose requests are taken.
const WHOSE: [&str; 4] = ["anyOf", "allOf", "anonymous", "passThrough"];

const WAY: Kind = Kind::Either(&[Kind::Choice("", &["apiKey", "clientCertificate"]), Kind::Object(&METHOD)]);

const INVALID: [(&str, InvalidCredentials); 2] =
    [("Refuse", InvalidCredentials::Refuse), ("Anonymous", InvalidCredentials::Anonymous)];

const WAYS: [&str; 5] = ["apiKey", "clientCertificate", "hmac", "jwt", "messageSignature"];

static METHOD: Shape = Shape::bound(
    &[
        optional("apiKey", Kind::Object(&NOTHING), "", "An API key."),
        optional("jwt", Kind::Text(Form::Name), "", "A token of this provider."),
        optional("clientCertificate", Kind::Object(&NOTHING), "", "The certificate of the TLS client."),
        optional("hmac", Kind::Text(Form::Name), "", "A webhook of this source."),
        optional("messageSignature", Kind::Text(Form::Name), "", "A request that this signer has signed."),
    ],
    &[Bound::One(&WAYS)],
);

static NOTHING: Shape = Shape::new(&[]);

/// Whose requests a rule takes.
pub(super) enum Who {
    /// Anyone's, with a credential or without.
    Anyone { pass_through: bool },
    /// Those of whoever comes by one of these ways, together with whoever comes by that of the actor, if there is one; with
    /// `optional`, those without a credential, too.
    Known { methods: Vec<MethodSpec>, actor: Option<MethodSpec>, optional: Option<InvalidCredentials> },
}

pub(super) fn authenticate(mut o: Object<'_>, defs: &Definitions) -> Option<Who> {
    let any_of = methods(&mut o, "anyOf", defs);
    let all_of = methods(&mut o, "allOf", defs);
    let anonymous = o.only_true("anonymous");
    let pass_through = o.only_true("passThrough");
    let optional = o.only_true("optional");
    let invalid = o.choice("invalidCredentials", &INVALID);
    let mut given = WHOSE.into_iter().filter(|field| o.has(field));
    let first = given.next();
    for field in given {
        o.fault_at::<()>(field, format!("contradicts {}; give one of them", first.unwrap_or_default()));
    }
    match first {
        Some("anyOf") => {}
        Some("allOf") if o.has("optional") => {
            o.fault_at::<()>("optional", "contradicts allOf, both of which are needed");
        }
        _ if o.has("optional") => {
            o.fault_at::<()>("optional", "has no effect without anyOf: anyone may pass");
        }
        _ => {}
    }
    if o.has("invalidCredentials") && !o.has("optional") {
        o.fault_at::<()>("invalidCredentials", "has no effect without optional: true");
    }
    match first {
        // Others are faults, noted above.
        Some("anyOf") if o.has("optional") != optional.is_some() => None,
        Some("anyOf") => {
            let optional = optional.and(invalid);
            any_of.map(|methods| Who::Known { methods, actor: None, optional })
        }
        Some("allOf") => {
            let mut ways = all_of?.into_iter();
            let (actor, methods) = (ways.next(), ways.collect());
            Some(Who::Known { methods, actor, optional: None })
        }
        Some("anonymous") => anonymous.map(|()| Who::Anyone { pass_through: false }),
        Some(_) => pass_through.map(|()| Who::Anyone { pass_through: true }),
        None => o.fault("names no way to authenticate; give anyOf, or anonymous: true"),
    }
}

fn methods(o: &mut Object<'_>, field: &'static str, defs: &Definitions) -> Option<Vec<MethodSpec>> {
    let mut seen = HashSet::new();
    o.list(field)?.all(|n| {
        let (path, faults) = (n.path, n.faults);
        let method = method(n, defs)?;
        if !seen.insert(method.clone()) {
            faults.add(&path, "is listed twice");
            return None;
        }
        Some(method)
    })
}

/// How it is written, for a fault.
const FORMS: &str =
    "apiKey, clientCertificate, {jwt: provider}, {hmac: source} or {messageSignature: signer}";

/// One of [`FORMS`], `{apiKey: {}}` or `{clientCertificate: {}}`.
fn method(mut node: Node<'_>, defs: &Definitions) -> Option<MethodSpec> {
    if node.value.is_object() {
        return named_method(node.object(&METHOD)?, defs);
    }
    let text = node.text(FORMS)?;
    match text.as_str() {
        "apiKey" => api_key(defs, &node.path, node.faults),
        "clientCertificate" => certificate(defs, &node.path, node.faults),
        "jwt" => node.fault("name the provider, as in {jwt: corp}"),
        "hmac" => node.fault("name the source, as in {hmac: shop}"),
        "messageSignature" => node.fault("name the signer, as in {messageSignature: bank}"),
        _ => node.fault(format!("{} is not a way to authenticate; write {FORMS}", quoted(&text))),
    }
}

fn named_method(mut o: Object<'_>, defs: &Definitions) -> Option<MethodSpec> {
    let key = o.object("apiKey").and_then(|o| api_key(defs, &o.path, o.faults));
    let token = o.take("jwt").and_then(|n| {
        let (path, faults) = (n.path, n.faults);
        let provider = name(n)?;
        defs.providers.resolve(&provider, &path, faults)?;
        Some(MethodSpec::Jwt(provider))
    });
    let webhook = o.take("hmac").and_then(|n| {
        let (path, faults) = (n.path, n.faults);
        let source = name(n)?;
        defs.hmac_sources.resolve(&source, &path, faults)?;
        Some(MethodSpec::Hmac(source))
    });
    let signed = o.take("messageSignature").and_then(|n| {
        let (path, faults) = (n.path, n.faults);
        let signer = name(n)?;
        defs.signers.resolve(&signer, &path, faults)?;
        Some(MethodSpec::MessageSignature(signer))
    });
    let shown = o.object("clientCertificate").and_then(|o| certificate(defs, &o.path, o.faults));
    match WAYS.iter().filter(|way| o.has(way)).count() {
        0 => o.fault(format!("names no way to authenticate; write {FORMS}")),
        1 => key.or(token).or(webhook).or(signed).or(shown),
        _ => o.fault("names more than one way; list them as items of their own"),
    }
}

fn api_key(defs: &Definitions, path: &Path<'_>, faults: &Faults) -> Option<MethodSpec> {
    if !defs.api_keys {
        faults.add(path, "the policy has no apiKeys section");
        return None;
    }
    Some(MethodSpec::ApiKey)
}

fn certificate(defs: &Definitions, path: &Path<'_>, faults: &Faults) -> Option<MethodSpec> {
    if !defs.client_certificates {
        faults.add(path, "the policy has no clientCertificates section");
        return None;
    }
    Some(MethodSpec::ClientCertificate)
}
