//! The JSON Schema (draft 2020-12) of the decision record, made from its members, for whoever reads records.

use serde_json::{Map, Value, json};

use super::{
    record::{LONGEST_TEXT, MOST_ITEMS},
    record_members::{ECS_VERSION, Member, ecs_outcome},
    shadow_outcome::ShadowOutcome,
};
use crate::{answer::Reason, config::RecordNames, identity::PrincipalKind, versions::DECISION_RECORD};

/// What a decision record may say, as this build writes it under these names: a JSON Schema (draft 2020-12).
///
/// Others of the same version may have more members and more reasons.
///
/// ```
/// use portcullis::config::RecordNames;
///
/// let schema = portcullis::engine::record_schema(RecordNames::Portcullis);
/// assert_eq!(schema["$id"], "urn:portcullis:decision-record:1");
/// assert_eq!(schema["properties"]["decision"]["enum"], serde_json::json!(["allow", "deny", "end"]));
/// ```
pub fn record_schema(names: RecordNames) -> Value {
    let name = |member: Member| member.name(names);
    let mut properties: Map<String, Value> =
        Member::ALL.into_iter().map(|member| (name(member).to_owned(), property(member))).collect();
    let of = |decision: &str| json!({"properties": {name(Member::Decision): {"const": decision}}});
    let refused = json!([name(Member::Reason)]);
    let [missing, method, path] =
        [Member::Missing, Member::Method, Member::Path].map(|member| json!({"required": [name(member)]}));
    let mut required = vec![name(Member::Decision)];
    let (mut id, mut title) =
        (format!("urn:portcullis:decision-record:{DECISION_RECORD}"), "Portcullis decision record");
    if names == RecordNames::Ecs {
        id.push_str(":ecs");
        title = "Portcullis decision record, by the Elastic Common Schema";
        let [outcomes, types] = [0, 1].map(|place| {
            let each = ["allow", "deny", "end"].map(|decision| ecs_outcome(decision).get(place).copied());
            let each: std::collections::BTreeSet<_> = each.into_iter().flatten().collect();
            json!(each)
        });
        for (name, property) in [
            (
                "event.outcome",
                json!({"description": "Whether the caller got what it asked for.", "enum": outcomes}),
            ),
            ("event.kind", json!({"const": "event"})),
            ("event.category", json!({"const": ["api"]})),
            ("event.type", json!({"type": "array", "items": {"enum": types}, "minItems": 1, "maxItems": 1})),
            (
                "ecs.version",
                json!({"description": "The version of the schema that the names are from.", "const": ECS_VERSION}),
            ),
        ] {
            properties.insert(name.to_owned(), property);
            required.push(name);
        }
        let source =
            json!({"description": "The same as client.ip.", "type": "string", "maxLength": LONGEST_TEXT});
        properties.insert("source.ip".to_owned(), source);
    }
    let [chain, sequence, previous] = [Member::Chain, Member::Sequence, Member::Previous].map(name);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": id,
        "title": title,
        "description": "One line of JSON in Envoy's log. Members with nothing to say are left out. Within a version members \
                        and reasons may come, and none goes or changes its meaning.",
        "type": "object",
        "properties": properties,
        "required": required,
        "dependentRequired": {chain: [sequence], sequence: [chain], previous: [chain]},
        "allOf": [
            {"if": of("allow"), "then": {"not": {"anyOf": [{"required": refused}, missing]}}},
            {"if": of("deny"), "then": {"required": refused}},
            {"if": of("end"), "then": {"required": refused, "not": {"anyOf": [method, path]}}},
        ],
    })
}

fn property(member: Member) -> Value {
    let (description, kind) = match member {
        Member::Decision => (
            "What was decided; `end`: a stream ends that was allowed before.",
            json!({"enum": ["allow", "deny", "end"]}),
        ),
        Member::Reason => ("Why it is refused or ends.", json!({"enum": codes()})),
        Member::Detail => ("More about the reason.", text()),
        Member::Missing => ("The scopes, permissions or roles that the caller lacks.", texts()),
        Member::Party => ("Given where it is the actor who is refused.", json!({"const": "actor"})),
        Member::Rule => ("The rule's name.", text()),
        Member::Method => ("The method, as the client sent it.", text()),
        Member::Path => ("The path, as the client sent it, without the query.", text()),
        Member::Actor => ("Who acts for the principal.", text()),
        Member::ActorKind => ("How the actor authenticated.", kinds()),
        Member::ActorAuthority => ("Who speaks for the actor.", text()),
        Member::ActorCredential => ("The id of the actor's credential.", text()),
        Member::Principal => ("Who it was.", text()),
        Member::Kind => ("How the principal authenticated.", kinds()),
        Member::Authority => (
            "Who speaks for the principal: a provider, behind # its tenant; which name of a certificate.",
            text(),
        ),
        Member::Credential => {
            ("The API key's id, the token's jti, the certificate's SHA-256 or the webhook's id.", text())
        }
        Member::Provider => ("Whose token it would be that is refused.", text()),
        Member::Issuer => ("What that token says in iss. Not verified.", text()),
        Member::Audience => ("What that token says in aud. Not verified.", texts()),
        Member::Kid => ("What that token says in kid. Not verified.", text()),
        Member::Certificate => ("The name of a certificate that is nobody's.", text()),
        Member::Unsent => ("Headers of claims that could not be sent, and why.", texts()),
        Member::Limit => ("The limit that refused.", text()),
        Member::Shadow => (
            "What a shadow would have decided otherwise; left out: nothing, or there is none.",
            json!({"enum": ShadowOutcome::ALL.map(ShadowOutcome::as_str)}),
        ),
        Member::ShadowReason => {
            ("Why it would be refused; of unknown, why it is not known.", json!({"enum": codes()}))
        }
        Member::ShadowRule => ("The rule of the next list that would have decided.", text()),
        Member::ShadowLimit => ("The limit that would have refused.", text()),
        Member::Address => ("The client's address, where the policy has a use for it.", text()),
        Member::RequestId => ("x-request-id.", text()),
        Member::TraceId => (
            "The id of the trace that traceparent named (W3C Trace Context).",
            json!({"type": "string", "pattern": "^(?!0{32})[0-9a-f]{32}$"}),
        ),
        Member::Repeated => (
            "How many requests alike it stands for; left out: one.",
            json!({"type": "integer", "minimum": 1}),
        ),
        Member::Chain => (
            "Which chain the record belongs to: that of one worker under one policy.",
            json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}),
        ),
        Member::Sequence => ("Its number in the chain, from 1.", json!({"type": "integer", "minimum": 1})),
        Member::Previous => (
            "SHA-256 of the record before it in the chain, as it was written; left out: it is the first.",
            json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        ),
    };
    let mut property = json!({"description": description});
    if let (Value::Object(property), Value::Object(kind)) = (&mut property, kind) {
        property.extend(kind);
    }
    property
}

fn codes() -> Vec<&'static str> {
    let mut codes = Reason::ALL.map(Reason::code).to_vec();
    codes.sort_unstable();
    codes
}

fn text() -> Value {
    json!({"type": "string", "maxLength": LONGEST_TEXT})
}

fn texts() -> Value {
    json!({"type": "array", "items": text(), "minItems": 1, "maxItems": MOST_ITEMS})
}

/// From one list, so that a kind which is missing in it does not compile.
macro_rules! kinds {
    ($($kind:ident)*) => {
        fn kinds() -> Value {
            let name = |kind: PrincipalKind| match kind {
                $(PrincipalKind::$kind => PrincipalKind::$kind.as_str(),)*
            };
            let names = [$(name(PrincipalKind::$kind)),*];
            json!({"enum": names})
        }
    };
}

kinds! { Jwt ApiKey ClientCertificate Hmac MessageSignature }
