//! The policies in a document, each as Envoy would hand it to the module.
//!
//! A document is a policy, or a file of Envoy, or an object of Kubernetes that Istio or Envoy Gateway makes into one.
//! Of the wasm plugins in it ours are those that are called after us (any name, file or address in the plugin holds
//! `portcullis`), and those whose configuration has a field that policies have. Others are passed over.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::Value as Json;

use super::{
    findings::Broken,
    json,
    scalar::{Dialect, Form},
    source::Source,
    tree::{Node, Value},
};

/// The fields of a policy by which one is known. `rules` alone must be there, but it may be what was forgotten.
const FIELDS: [&str; 14] = [
    "rules",
    "jwt",
    "apiKeys",
    "rateLimits",
    "roles",
    "transport",
    "clientCertificates",
    "identityHeaders",
    "requestHeaders",
    "protectedResource",
    "protectedResources",
    "accessLog",
    "decisionLog",
    "defaultAction",
];

/// A part of what a plugin of ours is called.
const OUR_NAME: &str = "portcullis";

/// A policy that was found.
pub(super) struct Found {
    /// What the plugin is called; `None`: the document is the policy.
    pub(super) name: Option<String>,
    /// As it was written, with places of the file.
    pub(super) node: Node,
    /// Of the member whose value it is.
    pub(super) name_span: Option<Range<usize>>,
    pub(super) dialect: Dialect,
    /// As the module gets it.
    pub(super) bytes: Vec<u8>,
}

impl Found {
    /// A document of JSON that is a policy.
    pub(super) fn alone(node: Node, source: &Source) -> Self {
        let bytes = source.text.clone().into_bytes();
        Self { name: None, node, name_span: None, dialect: Dialect::Envoy, bytes }
    }
}

/// What was found in a document.
#[derive(Default)]
pub(super) struct Search {
    pub(super) found: Vec<Found>,
    /// Plugins of ours whose policy cannot be read, by name.
    pub(super) broken: Vec<(Option<String>, Broken)>,
    /// Wasm plugins that are not ours.
    pub(super) others: usize,
}

/// A plugin as Envoy, Istio or Envoy Gateway has it.
struct Plugin<'a> {
    name: Option<String>,
    /// All that is said of it, its configuration too.
    node: &'a Node,
    /// What says which module it is; its configuration stands elsewhere.
    is_named: bool,
    dialect: Dialect,
}

impl Search {
    /// Looks through a document of YAML, or of JSON that is not a policy.
    pub(super) fn through(document: &Node, source: &Source) -> Self {
        let mut search = Self::default();
        search.document(document, source);
        search
    }

    /// Whether there was nothing of ours nor like it.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.broken.is_empty()
    }

    fn document(&mut self, document: &Node, source: &Source) {
        let text = |name| document.get(Dialect::Kubernetes, name).and_then(Node::text);
        if let (Some(_), Some(kind)) = (text("apiVersion"), text("kind")) {
            return self.kubernetes(kind, document, source);
        }
        self.envoy(document, Dialect::Envoy, source, 0);
        if self.is_empty() && self.others == 0 && is_like_a_policy(document) {
            let bytes = as_struct(document, Dialect::Envoy);
            let (node, dialect) = (document.clone(), Dialect::Envoy);
            self.found.push(Found { name: None, node, name_span: None, dialect, bytes });
        }
    }

    fn kubernetes(&mut self, kind: &str, object: &Node, source: &Source) {
        const DIALECT: Dialect = Dialect::Kubernetes;
        let spec = object.get(DIALECT, "spec");
        let name = object_name(object);
        match kind {
            "WasmPlugin" => {
                let Some(spec) = spec else { return };
                let own_name = object.get(DIALECT, "metadata").is_some_and(|node| is_called_ours(node, ""));
                let is_named = own_name || is_called_ours(spec, "pluginConfig");
                let plugin = Plugin { name, node: spec, is_named, dialect: DIALECT };
                self.json_plugin(&plugin, "pluginConfig");
            }
            "EnvoyExtensionPolicy" => {
                let plugins = spec.and_then(|spec| spec.get(DIALECT, "wasm")).map(Node::items);
                for item in plugins.unwrap_or_default() {
                    let own = item.get(DIALECT, "name").and_then(Node::text);
                    let name = match (&name, own) {
                        (Some(name), Some(own)) => Some(format!("{name}, {own}")),
                        (name, own) => name.clone().or_else(|| own.map(str::to_owned)),
                    };
                    let is_named = is_called_ours(item, "config");
                    self.json_plugin(&Plugin { name, node: item, is_named, dialect: DIALECT }, "config");
                }
            }
            "EnvoyFilter" | "EnvoyPatchPolicy" => self.envoy(object, DIALECT, source, 0),
            "List" => {
                for item in object.get(DIALECT, "items").map(Node::items).unwrap_or_default() {
                    self.document(item, source);
                }
            }
            _ => {}
        }
    }

    /// A plugin whose configuration is handed over as JSON.
    fn json_plugin(&mut self, plugin: &Plugin<'_>, field: &str) {
        let configuration = plugin.node.member(plugin.dialect, field);
        let value = configuration.map(|member| &member.value);
        if !plugin.is_named && !value.is_some_and(is_like_a_policy) {
            self.others = self.others.saturating_add(1);
            return;
        }
        let Some(member) = configuration else { return self.without_policy(plugin, field) };
        if !member.value.is_object() && member.value.text().is_some_and(mentions_a_policy) {
            let message =
                format!("{field} is an object, not text: the policy stands below it without | or quotes");
            self.broken.push((plugin.name.clone(), Broken::new(member.name_span.clone(), message)));
            return;
        }
        // An object without members is handed over as no configuration at all.
        let bytes = match member.value.to_json(plugin.dialect) {
            Json::Object(members) if members.is_empty() => Vec::new(),
            value => value.to_string().into_bytes(),
        };
        self.found.push(Found {
            name: plugin.name.clone(),
            node: member.value.clone(),
            name_span: Some(member.name_span.clone()),
            dialect: plugin.dialect,
            bytes,
        });
    }

    fn without_policy(&mut self, plugin: &Plugin<'_>, field: &str) {
        let message = format!(
            "the plugin has no policy: {field} is missing, and the filter would refuse every request"
        );
        self.broken.push((plugin.name.clone(), Broken::new(plugin.node.span.clone(), message)));
    }

    /// Looks for Envoy's wasm filters, wherever they stand. The depth is bounded by whoever read the file.
    fn envoy(&mut self, node: &Node, dialect: Dialect, source: &Source, depth: usize) {
        if let Some(plugin) = plugin_of(node, dialect) {
            return self.envoy_plugin(plugin, dialect, source);
        }
        let depth = depth.saturating_add(1);
        match &node.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter().for_each(|item| self.envoy(item, dialect, source, depth)),
            Value::Object(_) => {
                for member in node.members(dialect) {
                    self.envoy(&member.value, dialect, source, depth);
                }
            }
        }
    }

    fn envoy_plugin(&mut self, node: &Node, dialect: Dialect, source: &Source) {
        let name = node.get(dialect, "name").and_then(Node::text).map(str::to_owned);
        let plugin = Plugin { name, node, is_named: is_called_ours(node, "configuration"), dialect };
        let any = node.get(dialect, "configuration");
        let kind = any.and_then(|any| any.get(dialect, "@type")).and_then(Node::text).map(last_part);
        let value = any.and_then(|any| any.member(dialect, "value"));
        let (Some(kind), Some(member)) = (kind, value) else {
            return match plugin.is_named {
                true if any.is_some() => {
                    let span = any.map(|any| any.span.clone()).unwrap_or_default();
                    let message = "a configuration has an @type, google.protobuf.Struct for a policy in YAML, and below value the policy";
                    self.broken.push((plugin.name, Broken::new(span, message)));
                }
                true => self.without_policy(&plugin, "configuration"),
                false => self.others = self.others.saturating_add(1),
            };
        };
        let (value, is_named) = (&member.value, plugin.is_named);
        let is_ours = match kind {
            "google.protobuf.Struct" => is_named || is_like_a_policy(value),
            "google.protobuf.StringValue" => is_named || value.text().is_some_and(mentions_a_policy),
            _ => is_named,
        };
        if !is_ours {
            self.others = self.others.saturating_add(1);
            return;
        }
        let broken = |message: String| (plugin.name.clone(), Broken::new(member.value.span.clone(), message));
        let policy = match (kind, value.scalar().map(|scalar| scalar.read(dialect))) {
            ("google.protobuf.Struct", None) if value.is_object() => {
                Ok((value.clone(), as_struct(value, dialect)))
            }
            ("google.protobuf.StringValue", Some(Json::String(text))) => json_within(value, text, source),
            ("google.protobuf.BytesValue", Some(Json::String(text))) => match STANDARD.decode(&text) {
                Ok(bytes) => json_within(value, String::from_utf8_lossy(&bytes).into_owned(), source),
                Err(_) => Err(Broken::new(value.span.clone(), "not in base64, in which bytes are written")),
            },
            ("google.protobuf.Struct", _) => {
                Err(broken("a Struct is an object: the policy's fields stand below value".into()).1)
            }
            ("google.protobuf.StringValue", _) => {
                Err(broken("a StringValue is text: the policy as JSON, in quotes or behind |".into()).1)
            }
            (other, _) => {
                let message = format!(
                    "a policy is a google.protobuf.Struct or a google.protobuf.StringValue, not a {other}"
                );
                Err(broken(message).1)
            }
        };
        match policy {
            Ok((node, bytes)) => {
                let name_span = Some(member.name_span.clone());
                self.found.push(Found { name: plugin.name, node, name_span, dialect, bytes });
            }
            Err(broken) => self.broken.push((plugin.name, broken)),
        }
    }
}

/// The plugin's configuration, if `node` is a wasm filter's.
fn plugin_of(node: &Node, dialect: Dialect) -> Option<&Node> {
    let mut node = node;
    let mut kind = last_part(node.get(dialect, "@type")?.text()?);
    if matches!(kind, "udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct") {
        let url = node.get(dialect, "type_url").or_else(|| node.get(dialect, "typeUrl"))?;
        kind = last_part(url.text()?);
        node = node.get(dialect, "value")?;
    }
    match kind {
        "envoy.extensions.filters.http.wasm.v3.Wasm" => node.get(dialect, "config"),
        "envoy.extensions.wasm.v3.PluginConfig" => Some(node),
        _ => None,
    }
}

fn last_part(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// `namespace/name` of an object of Kubernetes.
fn object_name(object: &Node) -> Option<String> {
    let metadata = object.get(Dialect::Kubernetes, "metadata")?;
    let text = |name| metadata.get(Dialect::Kubernetes, name).and_then(Node::text);
    let name = text("name")?;
    Some(text("namespace").map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}")))
}

/// Whether anything but the member `except` holds our name.
fn is_called_ours(node: &Node, except: &str) -> bool {
    match &node.value {
        Value::Scalar(scalar) => scalar.text.to_ascii_lowercase().contains(OUR_NAME),
        Value::List(items) => items.iter().any(|item| is_called_ours(item, "")),
        Value::Object(members) => {
            let mut others = members.iter().filter(|member| member.name.text != except);
            others.any(|member| is_called_ours(&member.value, ""))
        }
    }
}

/// Whether it is an object with a field that policies have.
fn is_like_a_policy(node: &Node) -> bool {
    let Value::Object(members) = &node.value else { return false };
    members.iter().any(|member| FIELDS.contains(&member.name.text.as_str()))
}

/// Whether a document of JSON is a policy and nothing around it.
pub(super) fn is_policy_alone(node: &Node) -> bool {
    let is_of_another = ["apiVersion", "@type", "static_resources", "resources"];
    is_like_a_policy(node) && is_of_another.iter().all(|name| node.get(Dialect::Envoy, name).is_none())
}

/// As [`is_like_a_policy`], of text that may not even be JSON.
fn mentions_a_policy(text: &str) -> bool {
    match json::read(text) {
        Ok((node, _)) => is_like_a_policy(&node),
        Err(_) => FIELDS.iter().any(|field| text.contains(&format!("\"{field}\""))),
    }
}

/// A policy that is the text of a scalar.
fn json_within(scalar: &Node, text: String, source: &Source) -> Result<(Node, Vec<u8>), Broken> {
    let place = place_within(scalar, &text, source);
    match json::read(&text) {
        Ok((mut node, _)) => {
            node.relocate(&place);
            Ok((node, text.into_bytes()))
        }
        Err(broken) => {
            // Whoever writes YAML here is not helped by what is wrong with it as JSON.
            let is_yaml = !text.trim_start().starts_with('{');
            let hint = if is_yaml {
                "; this text is JSON, and YAML is given as a google.protobuf.Struct"
            } else {
                ""
            };
            Err(Broken::new(place(broken.span), format!("{}{hint}", broken.message)))
        }
    }
}

/// Where a part of the text of `scalar` stands in the file: exactly if the file has the text letter by letter or in a block
/// that keeps lines, else all of the scalar.
fn place_within(scalar: &Node, text: &str, source: &Source) -> Box<dyn Fn(Range<usize>) -> Range<usize>> {
    let span = scalar.span.clone();
    let written = source.text.get(span.clone()).unwrap_or_default();
    if let Some(before) = written.find(text) {
        let start = span.start.saturating_add(before);
        return Box::new(move |part| start.saturating_add(part.start)..start.saturating_add(part.end));
    }
    match scalar
        .scalar()
        .filter(|scalar| scalar.form == Form::Literal)
        .and_then(|_| lines_of(&span, text, source))
    {
        Some(lines) => Box::new(move |part| at(&lines, part.start)..at(&lines, part.end)),
        None => Box::new(move |_| span.clone()),
    }
}

/// Where each line of `text` begins: in it, and in the file, whose lines have the same indentation.
fn lines_of(span: &Range<usize>, text: &str, source: &Source) -> Option<Vec<(usize, usize)>> {
    let first = source.position(span.start);
    let indentation = first.column.saturating_sub(1);
    let (mut lines, mut inner) = (Vec::new(), 0_usize);
    for (index, line) in text.split('\n').enumerate() {
        let number = first.line.saturating_add(index);
        let (written, begins) = (source.line(number), source.start_of(number));
        if !line.is_empty() && written.get(indentation..)? != line {
            return None;
        }
        lines.push((inner, begins.saturating_add(indentation.min(written.len()))));
        inner = inner.saturating_add(line.len()).saturating_add(1);
    }
    Some(lines)
}

fn at(lines: &[(usize, usize)], inner: usize) -> usize {
    let index = lines.partition_point(|(start, _)| *start <= inner).saturating_sub(1);
    let (start, begins) = lines.get(index).copied().unwrap_or_default();
    begins.saturating_add(inner.saturating_sub(start))
}

/// A serialized `google.protobuf.Struct`.
fn as_struct(node: &Node, dialect: Dialect) -> Vec<u8> {
    match proto(node, dialect).kind {
        Some(Kind::StructValue(message)) => message.encode_to_vec(),
        _ => Vec::new(),
    }
}

/// Of a repeated name the last value counts, as in Envoy.
fn proto(node: &Node, dialect: Dialect) -> ProtoValue {
    let kind = match &node.value {
        Value::Scalar(scalar) => match scalar.read(dialect) {
            Json::Bool(value) => Kind::BoolValue(value),
            // A Struct has doubles only.
            Json::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
            Json::String(value) => Kind::StringValue(value),
            Json::Null | Json::Array(_) | Json::Object(_) => Kind::NullValue(0),
        },
        Value::List(items) => {
            Kind::ListValue(ListValue { values: items.iter().map(|item| proto(item, dialect)).collect() })
        }
        Value::Object(_) => {
            let members = node.members(dialect).into_iter();
            let fields = members.map(|member| (member.name.text.clone(), proto(&member.value, dialect)));
            Kind::StructValue(Struct { fields: fields.collect() })
        }
    };
    ProtoValue { kind: Some(kind) }
}
