//! `hostnames` and `matches` of a rule: the shape of Gateway API's `HTTPRouteMatch`.

use hashbrown::HashSet;

use super::{
    faults::quoted,
    model::{Bound, Field, Form, Kind, Shape, default, optional, required, words},
    names::Definitions,
    rate_limits::METHODS,
    reader::Object,
};
use crate::route::{MatchSpec, PathSpec, ValueSpec};

/// What a rule's `hostnames` may be.
pub(super) const HOSTNAMES: Kind =
    Kind::List("no host names; leave the field out to mean every host", &Kind::Text(Form::Host));

const CONDITIONS: [&str; 5] = ["path", "method", "methods", "headers", "queryParams"];

const ASKS_NOTHING: &str = "asks for nothing; leave the field out";

pub(super) static MATCH: Shape = Shape::bound(
    &[
        optional("path", Kind::Object(&PATH), "absent: every path", "How the path is compared, see below."),
        optional(
            "method",
            Kind::Text(Form::Method),
            "absent: every method",
            "Short for a list of one method.",
        ),
        optional(
            "methods",
            METHODS,
            "absent: every method",
            "`method: GET` is short for `methods: [GET]`; only one of the two is given.",
        ),
        optional(
            "headers",
            Kind::List(ASKS_NOTHING, &Kind::Object(&HEADER)),
            "absent: not asked",
            "All must match.",
        ),
        optional(
            "queryParams",
            Kind::List(ASKS_NOTHING, &Kind::Object(&PARAMETER)),
            "absent: not asked",
            "All must match.",
        ),
    ],
    &[Bound::Some(&CONDITIONS), Bound::Apart(&["method", "methods"])],
);

type MakePath = fn(String) -> PathSpec;
const PATH_TYPES: [(&str, MakePath); 4] = [
    ("Exact", PathSpec::Exact),
    ("PathPrefix", PathSpec::PathPrefix),
    ("PathTemplate", PathSpec::PathTemplate),
    ("RegularExpression", PathSpec::RegularExpression),
];

static PATH: Shape = Shape::bound(
    &[
        required("type", Kind::Choice("a path type", &words(&PATH_TYPES)), "How it is compared."),
        required("value", Kind::Text(Form::Any), "What it is compared with."),
        default(
            "caseSensitive",
            Kind::Boolean,
            "true",
            "`false`: the letters A to Z in `value` stand for either case. Variables take what was sent. A \
             `RegularExpression` says it itself: `(?i)`.",
        ),
    ],
    &[Bound::Where(
        "type",
        "RegularExpression",
        &[Bound::Forbidden("caseSensitive")],
        &[Bound::Begins("value", "/")],
    )],
);

#[derive(Clone, Copy)]
enum Compare {
    Exact,
    RegularExpression,
    Present,
}

const COMPARISONS: [(&str, Compare); 3] = [
    ("Exact", Compare::Exact),
    ("RegularExpression", Compare::RegularExpression),
    ("Present", Compare::Present),
];

// As in Gateway API.
const TYPE: Field =
    default("type", Kind::Choice("a match type", &words(&COMPARISONS)), "Exact", "How it is compared.");
const VALUE: Field =
    optional("value", Kind::Text(Form::Any), "required but for `Present`", "What it is compared with.");
const VALUE_BOUND: Bound =
    Bound::Where("type", "Present", &[Bound::Forbidden("value")], &[Bound::Required("value")]);

static HEADER: Shape =
    Shape::bound(&[required("name", Kind::Text(Form::Header), "The header."), TYPE, VALUE], &[VALUE_BOUND]);

static PARAMETER: Shape = Shape::bound(
    &[required("name", Kind::Text(Form::Any), "The query parameter."), TYPE, VALUE],
    &[VALUE_BOUND],
);

pub(super) fn one_match(mut o: Object<'_>, defs: &Definitions) -> Option<MatchSpec> {
    let path = o.object_like("path", "a path such as {type: Exact, value: /orders}").and_then(path);
    if o.has("method") && o.has("methods") {
        o.fault_at::<()>("method", "contradicts methods; give one of them");
    }
    let methods = o.texts("methods");
    let method = o.text("method");
    let headers = values(&mut o, "headers", Some(defs));
    let query = values(&mut o, "queryParams", None);
    if !o.has_one(&CONDITIONS) {
        return o.fault("matches every request; leave matches out to mean that");
    }
    let (path, ignores_case) =
        path.map(|(path, ignores_case)| (Some(path), ignores_case)).unwrap_or_default();
    let methods = methods.or(method.map(|method| vec![method])).unwrap_or_default();
    Some(MatchSpec { path, ignores_case, methods, headers, query })
}

/// The path, and whether its case does not count.
fn path(mut o: Object<'_>) -> Option<(PathSpec, bool)> {
    let kind = o.choice("type", &PATH_TYPES);
    let value = o.text("value");
    let is_given = o.has("caseSensitive");
    let ignores_case = !o.boolean("caseSensitive");
    let spec = kind?(value?);
    match &spec {
        PathSpec::RegularExpression(_) if is_given => o.fault_at(
            "caseSensitive",
            "contradicts type: RegularExpression; begin the expression with (?i) instead",
        ),
        PathSpec::RegularExpression(_) => Some((spec, false)),
        PathSpec::Exact(path) | PathSpec::PathPrefix(path) | PathSpec::PathTemplate(path) => {
            if path.starts_with('/') {
                Some((spec, ignores_case))
            } else {
                o.fault_at("value", format!("{} does not begin with /", quoted(path)))
            }
        }
    }
}

/// Conditions on headers or query parameters, each name once; of headers, none that the filter sets.
fn values(
    o: &mut Object<'_>,
    field: &'static str,
    headers: Option<&Definitions>,
) -> Vec<(String, ValueSpec)> {
    let mut seen = HashSet::new();
    let values = o.objects(field, |mut o| {
        let mut name = o.text("name");
        if let Some(text) = &name {
            if let Some(defs) = headers {
                defs.headers.refuse(text, &o.at("name"), o.faults);
            }
            if !seen.insert(text.clone()) {
                name = o.fault_at("name", format!("{} is listed twice", quoted(text)));
            }
        }
        let kind = o.choice("type", &COMPARISONS);
        if o.has("value") && matches!(kind, Some(Compare::Present)) {
            o.fault_at::<()>("value", "contradicts type: Present, which any value satisfies");
        }
        let value = o.text("value");
        if !o.has("value") && matches!(kind, Some(Compare::Exact | Compare::RegularExpression)) {
            o.fault_at::<()>("value", "required");
        }
        let value = match kind? {
            Compare::Exact => ValueSpec::Exact(value?),
            Compare::RegularExpression => ValueSpec::RegularExpression(value?),
            Compare::Present => ValueSpec::Present,
        };
        Some((name?, value))
    });
    values.unwrap_or_default()
}
