//! An OpenAPI document, and what its references lead to.

use std::ops::Range;

use crate::command::{
    refusal::Refusal,
    scalar::Dialect,
    tree::{Member, Node},
};

/// References are followed so far; one that leads to itself ends.
const MOST_REFERENCES: usize = 16;

/// The tools that read these documents take `<<` for what it is in YAML 1.1.
const DIALECT: Dialect = Dialect::Kubernetes;

pub(super) struct Document<'a> {
    pub(super) root: &'a Node,
}

impl<'a> Document<'a> {
    /// # Errors
    /// It is no OpenAPI document, or one of a version that is not read.
    pub(super) fn new(root: &'a Node, name: &str) -> Result<Self, Refusal> {
        let version = get(root, "openapi").and_then(Node::text);
        let of_swagger = get(root, "swagger").and_then(Node::text);
        match (version, of_swagger) {
            (Some(version), _) if version.starts_with("3.0") || version.starts_with("3.1") => {
                Ok(Self { root })
            }
            (Some(version), _) => {
                Err(Refusal::unusable(format!("{name} is of OpenAPI {version}; 3.0 and 3.1 are read")))
            }
            (None, Some(version)) => Err(Refusal::unusable(format!(
                "{name} is of Swagger {version}; convert it to OpenAPI 3 first"
            ))),
            (None, None) => {
                Err(Refusal::unusable(format!("{name} is no OpenAPI document: it has no field openapi")))
            }
        }
    }

    pub(super) fn schemes(&self) -> Vec<&'a Member> {
        let components = get(self.root, "components");
        components.and_then(|components| get(components, "securitySchemes")).map(members).unwrap_or_default()
    }

    /// What `node` stands for, or why that is not known.
    pub(super) fn resolve(&self, node: &'a Node) -> Result<&'a Node, String> {
        let mut node = node;
        for _ in 0..MOST_REFERENCES {
            let Some(reference) = get(node, "$ref").and_then(Node::text) else { return Ok(node) };
            let Some(pointer) = reference.strip_prefix('#') else {
                return Err(format!("{reference} is in another file; bundle the document first"));
            };
            node = self.at(pointer).ok_or_else(|| format!("{reference} leads nowhere"))?;
        }
        Err("its references have no end".to_owned())
    }

    /// A JSON pointer (RFC 6901) in a URI's fragment.
    fn at(&self, pointer: &str) -> Option<&'a Node> {
        let mut node = self.root;
        for step in pointer.split('/').skip(1) {
            let step = decoded(step)?.replace("~1", "/").replace("~0", "~");
            node = match node.items() {
                [] => get(node, &step)?,
                items => items.get(step.parse::<usize>().ok()?)?,
            };
        }
        Some(node)
    }
}

/// A member's value.
pub(super) fn get<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    node.get(DIALECT, name)
}

pub(super) fn members(node: &Node) -> Vec<&Member> {
    node.members(DIALECT)
}

pub(super) fn json(node: &Node) -> serde_json::Value {
    node.to_json(DIALECT)
}

/// Where a member's name stands, which is where people look for it.
pub(super) fn place(member: &Member) -> Range<usize> {
    member.name_span.clone()
}

/// Without percent-encoding; `None` where it is none.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::yaml;

    #[test]
    fn references_lead_where_they_say() {
        let text = "openapi: 3.0.3\npaths:\n  /a/{b}: {get: {x: 1}}\nc: {$ref: '#/paths/~1a~1%7Bb%7D/get'}\n\
                    d: {$ref: '#/nowhere'}\ne: {$ref: './other.yaml#/x'}\nf: {$ref: '#/f'}\nlist: [{y: 2}]\ng: {$ref: '#/list/0'}\n";
        let root = yaml::read(text).unwrap().documents.remove(0);
        let document = Document::new(&root, "-").ok().unwrap();
        for (name, expected) in [
            ("c", Ok("x")),
            ("g", Ok("y")),
            ("d", Err("#/nowhere leads nowhere")),
            ("e", Err("./other.yaml#/x is in another file; bundle the document first")),
            ("f", Err("its references have no end")),
        ] {
            let found = document.resolve(get(&root, name).unwrap());
            let found = found.map(|node| members(node).first().unwrap().name.text.clone());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{name}");
        }
    }

    #[test]
    fn other_documents_are_not_read() {
        for (text, said) in [
            ("openapi: 3.1.0", None),
            ("openapi: 3.0.3", None),
            ("openapi: 4.0.0", Some("is of OpenAPI 4.0.0")),
            ("swagger: '2.0'", Some("is of Swagger 2.0")),
            ("rules: []", Some("no OpenAPI document")),
        ] {
            let root = yaml::read(text).unwrap().documents.remove(0);
            let refused = Document::new(&root, "-").err().map(|refusal| refusal.message);
            assert_eq!(refused.is_some(), said.is_some(), "{text}");
            assert!(refused.unwrap_or_default().contains(said.unwrap_or_default()), "{text}");
        }
    }
}
