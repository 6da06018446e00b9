//! `extractFrom`: where in a request a credential stands. The same for tokens and API keys.

use super::{
    model::{Bound, Form, Kind, Shape, optional, required},
    names::Definitions,
    reader::Object,
};
use crate::{
    cross_site::Origins,
    origin::WebOrigin,
    request::{
        Location,
        protocol::{self, ProtocolForm},
    },
};

pub(super) static EXTRACT_FROM: Shape = Shape::bound(
    &[
        optional(
            "headers",
            Kind::List("no headers; leave the field out", &Kind::Object(&HEADER)),
            "none",
            "Headers, and what stands before the credential in them.",
        ),
        optional(
            "cookies",
            Kind::List("no cookies; leave the field out", &Kind::Text(Form::Any)),
            "none",
            "Names of cookies.",
        ),
        optional(
            "params",
            Kind::List("no parameters; leave the field out", &Kind::Text(Form::Any)),
            "none",
            "Names of query parameters.",
        ),
        optional(
            "cookieOrigins",
            Kind::List(
                "no origins; leave the field out to take cookies whatever page had them sent",
                &Kind::Text(Form::Origin),
            ),
            "absent: whatever page had a browser send it",
            "The origins whose pages may send a credential in a cookie with requests that change something, as with \
             [sessions](#sessions). Refused without `cookies`.",
        ),
    ],
    &[
        Bound::Some(&["headers", "cookies", "params"]),
        Bound::Given(&["cookies"], &[], &[Bound::Forbidden("cookieOrigins")]),
    ],
);

static HEADER: Shape = Shape::new(&[
    required("name", Kind::Text(Form::Header), "A header other than `cookie`."),
    optional(
        "valuePrefix",
        Kind::Text(Form::Prefix),
        "absent: the whole value; required for `authorization`, as in `\"Bearer \"`",
        "What the value must begin with, in any case; it is cut off. `\"\"`: the whole value, in `authorization` one without \
         a scheme, see below.",
    ),
]);

/// Where a credential stands, and whose pages may have it sent.
pub(super) struct Places {
    /// Headers first, then cookies, then query parameters; never empty.
    pub(super) locations: Vec<Location>,
    /// Of cookies. `None`: everybody's.
    pub(super) cookie_origins: Option<Origins>,
}

pub(super) fn extract_from(mut o: Object<'_>, defs: &mut Definitions) -> Option<Places> {
    let mut locations = Vec::new();
    if let Some(headers) = o.objects("headers", |o| header(o, defs)) {
        locations.extend(headers.into_iter().flatten());
    }
    for name in o.texts("cookies").into_iter().flatten() {
        defs.cookies.note_credential(&name, &o.at("cookies"));
        locations.push(Location::Cookie(name));
    }
    for name in o.texts("params").into_iter().flatten() {
        defs.params.note_credential(&name, &o.at("params"));
        locations.push(Location::Query(name));
    }
    if !o.has_one(&["headers", "cookies", "params"]) {
        return o.fault("names no place to look in; give headers, cookies or params");
    }
    if o.has("cookieOrigins") && !o.has("cookies") {
        return o.fault_at("cookieOrigins", "has no effect without cookies, which browsers send unasked");
    }
    let cookie_origins = origins(&mut o, "cookieOrigins");
    // What is faulty must never become what is not asked.
    let is_whole = o.has("cookieOrigins") == cookie_origins.is_some() && !locations.is_empty();
    is_whole.then_some(Places { locations, cookie_origins })
}

/// The origins that `field` lists; `None`: it is left out, or there is a fault.
pub(super) fn origins(o: &mut Object<'_>, field: &'static str) -> Option<Origins> {
    // They were judged where they were read.
    let read = o.texts(field)?;
    Some(Origins(read.iter().filter_map(|text| WebOrigin::parse(text).ok()).collect()))
}

fn header(mut o: Object<'_>, defs: &mut Definitions) -> Option<Vec<Location>> {
    let name = o.text("name");
    let name = match name.as_deref() {
        Some("cookie") => o.fault_at("name", "cookies are read by name; list them under cookies"),
        Some(read) => {
            defs.headers.note_read(read, &o.at("name"));
            name
        }
        None => None,
    };
    if name.as_deref() == Some(protocol::HEADER) {
        return protocols(o);
    }
    if o.has("valuePrefix") {
        let prefix = o.text("valuePrefix")?;
        return Some(vec![Location::Header { name: name?, prefix }]);
    }
    if name.as_deref() == Some("authorization") {
        return o.fault_at(
            "valuePrefix",
            "required for authorization, as in \"Bearer \" (RFC 9110 section 11.6.2); \"\" means credentials without a scheme",
        );
    }
    Some(vec![Location::Header { name: name?, prefix: String::new() }])
}

/// Of the list of protocols only whole ones can be told, so a prefix is one of two forms.
fn protocols(mut o: Object<'_>) -> Option<Vec<Location>> {
    if !o.has("valuePrefix") {
        return Some([ProtocolForm::Next, ProtocolForm::Encoded].map(Location::WebSocketProtocol).into());
    }
    let prefix = o.text("valuePrefix")?;
    let form = if prefix.replace(' ', "").eq_ignore_ascii_case("bearer,") {
        ProtocolForm::Next
    } else if prefix.eq_ignore_ascii_case(protocol::ENCODED) {
        ProtocolForm::Encoded
    } else {
        return o.fault_at(
            "valuePrefix",
            format!("must be \"bearer, \" or \"{}\" there; leave it out for both", protocol::ENCODED),
        );
    };
    Some(vec![Location::WebSocketProtocol(form)])
}
