//! Whatever is imported of a document lets nobody pass whom the document would not: small documents, and what OpenAPI says
//! of requests.

use std::collections::BTreeMap;

use clap::Parser;
use proptest::{prelude::*, sample::select};
use serde_json::{Value as Json, json};

use crate::{
    command::{
        import::{arguments::OpenapiOptions, draft::There, told::Told},
        json,
        offline::{Asked, Described, Gateway, Keys, Minted, Prepared},
        source::Source,
    },
    time::Timestamp,
};

const NOW: u64 = 1_800_000_000;

/// So that paths meet in every way: text, variables, and both in one segment.
const PATHS: [&str; 12] = [
    "/a",
    "/a/",
    "/{x}",
    "/a/b",
    "/a/{x}",
    "/{x}/b",
    "/{x}/{y}",
    "/a/{x}.c",
    "/a/b{x}",
    "/a/b/c",
    "/a/{x}/c",
    "/{x}/b/{y}",
];
const METHODS: [&str; 3] = ["get", "post", "delete"];
const SECURITY: [&str; 11] = [
    "[]",
    "[{}]",
    r#"[{"a": []}]"#,
    r#"[{"a": ["r"]}]"#,
    r#"[{"a": ["r"]}, {"b": []}]"#,
    r#"[{"b": ["w"]}, {"key": []}]"#,
    r#"[{"key": []}]"#,
    r#"[{"key": [], "a": ["r"]}]"#,
    r#"[{}, {"a": ["r"]}]"#,
    r#"[{"basic": []}]"#,
    r#"[{"key": [], "b": []}, {"a": ["w"]}]"#,
];

/// By path and method what is asked; `None`: nothing is said.
type Operations = BTreeMap<(&'static str, &'static str), Option<&'static str>>;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    options: OpenapiOptions,
}

fn document(operations: &Operations) -> Json {
    let mut paths = json!({});
    for ((path, method), security) in operations {
        let operation = match security {
            Some(security) => json!({"security": serde_json::from_str::<Json>(security).unwrap()}),
            None => json!({}),
        };
        if paths.get(path).is_none() {
            paths[path] = json!({});
        }
        paths[path][method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "", "version": ""},
        "paths": paths,
        "components": {"securitySchemes": {
            "a": {"type": "oauth2"},
            "b": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "x-key"},
            "basic": {"type": "http", "scheme": "basic"},
        }},
    })
}

/// What a client shows: a token of `a` or `b` with a scope, a key, or both.
#[derive(Clone, Copy, Debug)]
struct Shown {
    token: Option<(&'static str, &'static str)>,
    has_key: bool,
}

impl Shown {
    fn fulfils(self, security: &str) -> bool {
        let requirements: Json = serde_json::from_str(security).unwrap();
        let requirements = requirements.as_array().unwrap();
        let holds = |(scheme, scopes): (&String, &Json)| {
            let scopes = scopes.as_array().unwrap();
            match scheme.as_str() {
                "key" => self.has_key,
                "basic" => false,
                scheme => self
                    .token
                    .is_some_and(|(own, scope)| own == scheme && scopes.iter().all(|wanted| wanted == scope)),
            }
        };
        requirements.is_empty() || requirements.iter().any(|one| one.as_object().unwrap().iter().all(holds))
    }
}

/// Whether a path of a document is for `path`.
fn takes(template: &str, path: &str) -> bool {
    let mut expression = String::from("^");
    for piece in template.split_inclusive('}') {
        let (text, variable) = piece.split_once('{').map_or((piece, ""), |(text, _)| (text, "[^/]+"));
        expression.push_str(&regex_lite::escape(text));
        expression.push_str(variable);
    }
    regex_lite::Regex::new(&format!("{expression}$")).unwrap().is_match(path)
}

/// Whether all that `narrow` takes is taken by `wide`, too, and more.
fn is_wider(wide: &str, narrow: &str) -> bool {
    let (wide_segments, narrow_segments): (Vec<_>, Vec<_>) =
        (wide.split('/').collect(), narrow.split('/').collect());
    let holds = |(own, other): (&&str, &&str)| {
        let is_variable = own.starts_with('{') && own.ends_with('}');
        own == other || (is_variable && !other.is_empty()) || (!other.contains('{') && takes(own, other))
    };
    wide != narrow
        && wide_segments.len() == narrow_segments.len()
        && wide_segments.iter().zip(&narrow_segments).all(holds)
}

/// Whether the document lets a request pass: by the path without variables, where there is one (OpenAPI 3.1, section
/// 4.8.8.1), else by the narrowest, and where none is, by every path that it may be of, for the document does not say which
/// one is meant.
fn lets_pass(operations: &Operations, path: &str, method: &str, shown: Shown) -> bool {
    let all: Vec<&str> = operations.keys().map(|(own, _)| *own).filter(|own| takes(own, path)).collect();
    let is_meant = |own: &str| all.contains(&own) && !all.iter().any(|other| is_wider(own, other));
    let mut meant = operations.iter().filter(|((own, of), _)| is_meant(own) && *of == method).peekable();
    meant.peek().is_some()
        && meant.all(|(_, security)| security.is_some_and(|security| shown.fulfils(security)))
}

fn gateway(document: &Json) -> (Prepared, Gateway) {
    let text = document.to_string();
    let source = Source::new("api.json", text.clone());
    let (node, _) = json::read(&text).unwrap();
    let options = Options::parse_from(["import", "api.json"]).options;
    let mut told = Told::default();
    let draft = super::draft(&node, &source, &options, &There::default(), &mut told);
    let mut draft = draft.map_err(|refusal| refusal.message).unwrap();
    let sections = draft.sections.clone();
    draft.close_what_is_refused(&sections, false, &mut told);
    let mut policy = draft.to_json();
    if draft.rules.is_empty() {
        policy["rules"] = json!([{"name": "nothing", "action": "Deny"}]);
    }
    let mut keys = BTreeMap::new();
    for name in Minted::providers_of(&policy) {
        keys.insert(name, Keys::Made);
    }
    let ids: Vec<String> =
        policy.pointer("/apiKeys/keys").into_iter().map(|_| "placeholder".to_owned()).collect();
    if let Some(key) = policy.pointer_mut("/apiKeys/keys/0").and_then(Json::as_object_mut) {
        key.remove("disabled").unwrap();
        // What the key may do is for whoever makes it; here it may do nothing.
        key.remove("scopes");
    }
    let prepared = Prepared::new(policy.clone(), &keys, &ids).unwrap();
    let gateway =
        prepared.gateway(&[], Timestamp::from_secs(NOW)).map_err(|faults| format!("{faults:?}\n{policy:#}"));
    (prepared, gateway.unwrap())
}

fn asked(path: &str, method: &str, shown: Shown, prepared: &Prepared, gateway: &Gateway) -> Option<Asked> {
    let mut asked = Asked::new(&method.to_ascii_uppercase(), path).unwrap();
    if let Some((provider, scope)) = shown.token {
        let claims = json!({"scope": scope}).as_object().unwrap().clone();
        let described = Described { provider: provider.to_owned(), claims, ..Described::default() };
        // A provider that no operation takes is in no policy.
        let token = prepared.minted().token(&described, gateway.now()).ok()?;
        asked = asked.with_header("authorization", &format!("Bearer {token}"));
    }
    if shown.has_key {
        asked = asked.with_header("x-key", prepared.minted().api_key("placeholder")?);
    }
    Some(asked)
}

fn shown() -> Vec<Shown> {
    let tokens =
        [None, Some(("a", "r")), Some(("a", "w")), Some(("a", "")), Some(("b", "w")), Some(("b", ""))];
    tokens.into_iter().flat_map(|token| [false, true].map(|has_key| Shown { token, has_key })).collect()
}

const ASKED: [&str; 12] =
    ["/a", "/a/", "/z", "/a/b", "/a/z", "/z/b", "/z/z", "/a/z.c", "/a/b.c", "/a/bz", "/a/b/c", "/z/b/c"];

proptest! {
    #[test]
    fn nobody_passes_whom_the_document_would_not_let_pass(
        operations in prop::collection::btree_map(
            (select(PATHS.to_vec()), select(METHODS.to_vec())),
            prop::option::weighted(0.9, select(SECURITY.to_vec())),
            1..10,
        ),
    ) {
        let (prepared, gateway) = gateway(&document(&operations));
        for (path, method) in ASKED.iter().flat_map(|path| METHODS.map(|method| (*path, method))) {
            for shown in shown() {
                let Some(asked) = asked(path, method, shown, &prepared, &gateway) else { continue };
                let ours = gateway.decide(&asked);
                let is_let = lets_pass(&operations, path, method, shown);
                prop_assert!(!ours.is_allowed() || is_let, "{method} {path} {shown:?} by {:?}: {:#}", ours.rule(), prepared.document);
            }
        }
    }
}

/// What is said of openness above would hold of a policy that denies everything, too.
#[test]
fn who_passes_by_the_document_passes() {
    let operations: Operations = [
        (("/a", "get"), Some("[]")),
        (("/a/b", "get"), Some(r#"[{"a": ["r"]}, {"b": []}]"#)),
        (("/a/{x}", "get"), Some(r#"[{"key": []}]"#)),
        (("/a/{x}", "delete"), Some(r#"[{"key": [], "a": ["r"]}]"#)),
        (("/a/{x}.c", "get"), Some(r#"[{}, {"a": ["r"]}]"#)),
        (("/{x}/b/{y}", "post"), Some(r#"[{"b": ["w"]}, {"key": []}]"#)),
    ]
    .into();
    let (prepared, gateway) = gateway(&document(&operations));
    let mut passed = 0;
    for (path, method) in ASKED.iter().flat_map(|path| METHODS.map(|method| (*path, method))) {
        for shown in shown() {
            let Some(asked) = asked(path, method, shown, &prepared, &gateway) else { continue };
            let ours = gateway.decide(&asked);
            // A policy refuses two credentials where one is asked for, and tokens of others where one may be missing.
            let is_odd = shown.token.is_some() && (shown.has_key || path.ends_with(".c"));
            let is_let = lets_pass(&operations, path, method, shown);
            let is_alike = ours.is_allowed() == is_let || (is_odd && is_let);
            assert!(is_alike, "{method} {path} {shown:?}: {}", ours.verdict());
            passed += usize::from(ours.is_allowed());
        }
    }
    assert!(passed > 30, "{passed}");
}
