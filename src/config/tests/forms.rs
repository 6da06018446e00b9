//! The two forms of the document, and bytes that are neither.

use proptest::prelude::*;
use prost::Message;
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Value, json};

use super::{base, decode, faults, faults_of, to_struct, with};

fn encode(document: &Value) -> Vec<u8> {
    to_struct(document.as_object().expect("an object")).encode_to_vec()
}

#[test]
fn json_and_struct_mean_the_same() {
    let document = base();
    let from_json = decode(document.to_string().as_bytes()).expect("good");
    let from_pretty = decode(format!("\n\t {document:#}\r\n").as_bytes()).expect("good");
    let from_struct = decode(&encode(&document)).expect("good");
    assert_eq!(format!("{from_json:?}"), format!("{from_pretty:?}"));
    assert_eq!(format!("{from_json:?}"), format!("{from_struct:?}"));
}

#[test]
fn faults_are_the_same_in_both_forms() {
    for (pointer, bad) in [
        ("/rateLimits/0/limits/0/requests", "1.5"),
        ("/rateLimits/0/limits/0/requests", "9007199254740993"),
        ("/jwt/providers/0/issuer", "7"),
        ("/rules/0/nmae", "true"),
        ("/apiKeys", "null"),
    ] {
        let document = with(pointer, bad);
        // Numbers beyond 2^53 are not the same in both.
        let without_numbers = |faults: Vec<String>| -> Vec<String> {
            faults.iter().map(|f| f.split(", found 9007").next().unwrap_or_default().to_owned()).collect()
        };
        let lines = without_numbers(faults(&document));
        assert!(!lines.is_empty(), "{pointer}");
        assert_eq!(lines, without_numbers(faults_of(&encode(&document))), "{pointer}");
    }
}

#[test]
fn a_struct_whose_first_entry_looks_like_json() {
    // An entry of 123 bytes: the message begins with a line feed and `{`.
    let pad = |n: usize| json!({"realm": "r".repeat(n)});
    let n = (1..128).find(|n| encode(&pad(*n)).starts_with(b"\n{")).expect("one of them");
    let mut document = pad(n);
    document["rules"] = base()["rules"].clone();
    document["rules"].as_array_mut().expect("a list").drain(..2);
    document["rules"].as_array_mut().expect("a list").truncate(1);
    assert!(encode(&document).starts_with(b"\n{"));
    assert!(decode(&encode(&document)).is_ok());
}

#[test]
fn bytes_that_are_no_document() {
    let nan = Struct {
        fields: [("realm".to_owned(), ProtoValue { kind: Some(Kind::NumberValue(f64::NAN)) })].into(),
    };
    let nan = nan.encode_to_vec();
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    for (bytes, expected) in [
        (&b""[..], "a policy is required: the filter's configuration is empty"),
        (b" \n\t", "a policy is required: the filter's configuration is empty"),
        (b"[]", "the policy must be a JSON object"),
        (b"\"{}\"", "the policy must be a JSON object"),
        (b"null", "the policy must be a JSON object"),
        (b"rules: []", "the policy is neither JSON nor a protobuf Struct"),
        (b"\xff\xfe", "the policy is neither JSON nor a protobuf Struct"),
        (b"\n\x05hello", "the policy is neither JSON nor a protobuf Struct"),
        (b"{\"rules\": [],\n}", "not valid JSON: trailing comma at line 2 column 1"),
        (b"{\"realm\": \"a\"} {}", "not valid JSON: trailing characters at line 1 column 16"),
        (b"{\"realm\": NaN}", "not valid JSON: expected value at line 1 column 11"),
        (b"{\"realm\": \"\xff\"}", "not valid JSON: invalid unicode code point at line 1 column 12"),
        (b"{\"realm\": 1e999}", "not valid JSON: number out of range at line 1 column 15"),
        (deep.as_bytes(), "not valid JSON: recursion limit exceeded at line 1 column 132"),
        (&nan, "realm: not a finite number"),
        (b"{}", "rules: required"),
    ] {
        let shown = String::from_utf8_lossy(bytes).chars().take(40).collect::<String>();
        assert_eq!(faults_of(bytes).first().map(String::as_str), Some(expected), "{shown}");
    }
    let large = vec![b' '; super::super::MAX_POLICY_BYTES + 1];
    assert_eq!(faults_of(&large), ["the policy is 67108865 bytes long; the most that is read is 67108864"]);
}

#[test]
fn repeated_members_are_faults() {
    let text = r#"{"realm": "a", "realm": "b", "jwt": {"providers": [{"name": "a"}, {"name": "b", "name": "c"}]},
        "x y": {"z": 1, "z": 1}}"#;
    let lines = faults_of(text.as_bytes());
    assert_eq!(
        lines[..3],
        [
            "realm: \"realm\" is given more than once",
            "jwt.providers[1].name: \"name\" is given more than once",
            "[\"x y\"].z: \"z\" is given more than once",
        ]
    );
}

/// The items of `apiKeys.keys` are left as text at first. What is wrong with them is told as of everything else.
#[test]
fn faults_of_keys_are_those_of_the_whole_document() {
    let whole = |keys: &str| format!("{{\n\"apiKeys\": {{\"keys\": {keys}}}, \"realm\": 1}}");
    for (keys, expected) in [
        (r#"[{"id": "a", "id": "b"}]"#, "apiKeys.keys[0].id: \"id\" is given more than once"),
        (r#"[{"id": "a"}], "keys": [{"id": "b"}]"#, "apiKeys.keys: \"keys\" is given more than once"),
        (r#"[{"id": "\ud800"}]"#, "not valid JSON: unexpected end of hex escape at line 2 column 36"),
        ("[{}, 1e999]", "not valid JSON: number out of range at line 2 column 30"),
        ("[{},]", "not valid JSON: trailing comma at line 2 column 25"),
        ("[{} {}]", "not valid JSON: expected `,` or `]` at line 2 column 25"),
        ("[{", "not valid JSON: expected `,` or `]` at line 2 column 33"),
    ] {
        let lines = faults_of(whole(keys).as_bytes());
        assert_eq!(lines.first().map(String::as_str), Some(expected), "{keys}");
    }
    for (keys, expected) in [
        ("7", "apiKeys.keys: expected a list, found a number"),
        ("[7]", "apiKeys.keys[0]: expected an object, found a number"),
        ("[]", "apiKeys.keys: no keys; leave apiKeys out if none are accepted"),
        ("{}", "apiKeys.keys: expected a list, found an object"),
    ] {
        assert_eq!(faults_of(whole(keys).as_bytes())[1], expected, "{keys}");
    }
    // Whatever stands before them, and however their names are spelt.
    let keys = base()["apiKeys"].to_string();
    let rest = base();
    let rest = rest.as_object().unwrap().iter().filter(|(name, _)| *name != "apiKeys");
    let rest: String = rest.map(|(name, value)| format!(", \"{name}\": {value}")).collect();
    let escaped = format!("{{\"api\\u004beys\": {}{rest}}}", keys.replace("\"keys\"", "\"key\\u0073\""));
    let read = decode(escaped.as_bytes()).expect("good");
    assert_eq!(format!("{read:?}"), format!("{:?}", decode(base().to_string().as_bytes()).expect("good")));
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "rules",
        "jwt",
        "providers",
        "name",
        "apiKeys",
        "keys",
        "roles",
        "matches",
        "path",
        "value",
        "type",
        "anyOf",
        "authorize",
        "authenticate",
        "inherits",
        "limits",
        "rateLimits",
        "key",
        "jwks",
        "inline",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        names.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 200, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..8)
                .prop_map(|members| members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = decode(&[b"\n", bytes.as_slice()].concat());
        let _ = decode(&[b"{", bytes.as_slice()].concat());
    }

    #[test]
    fn arbitrary_json_does_not_panic(value in any_json()) {
        let errors = decode(value.to_string().as_bytes());
        if let Err(rejected) = errors {
            prop_assert!(!rejected.faults.is_empty());
        }
    }

    #[test]
    fn a_good_document_with_one_value_replaced_does_not_panic(value in any_json(), at in any::<prop::sample::Index>()) {
        let mut document = base();
        let mut places = Vec::new();
        collect(&document, String::new(), &mut places);
        let place = at.get(&places);
        *document.pointer_mut(place).expect("it is there") = value;
        let by_json = decode(document.to_string().as_bytes()).map(drop);
        let by_struct = document.is_object().then(|| decode(&encode(&document)).map(drop));
        prop_assert!(by_struct.is_none_or(|s| s.is_ok() == by_json.is_ok()), "{}", place);
    }
}

fn collect(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| collect(v, format!("{at}/{i}"), places));
        }
        Value::Object(members) => members.iter().for_each(|(k, v)| collect(v, format!("{at}/{k}"), places)),
        _ => {}
    }
    places.push(at);
}

/// A change of what is said shows, and none of how it is said.
#[test]
fn the_digest_is_of_what_is_said() {
    let digest = |text: &str| decode(text.as_bytes()).expect("good").digest;
    let document = r#"{"rules": [{"name": "a", "authenticate": {"anonymous": true}, "rateLimits": ["r"]}],
        "rateLimits": [{"name": "r", "key": ["remoteAddress"], "limits": [{"requests": 5, "unit": "Hour"}]}]}"#;
    let same = r#"{"rateLimits": [{"limits": [{"unit": "\u0048our", "requests": 5.0}], "key": ["remoteAddress"], "name": "r"}],
        "rules": [{"name": "a", "rateLimits": ["r"], "authenticate": {"anonymous": true}}]}"#;
    assert_eq!(digest(document), digest(same));
    assert_eq!(digest(document), decode(&encode(&serde_json::from_str(same).unwrap())).unwrap().digest);
    for (written, instead) in [
        ("\"requests\": 5", "\"requests\": 6"),
        ("Hour", "Day"),
        ("\"name\": \"a\"", "\"name\": \"b\""),
        ("\"rules\"", "\"realm\": \"r\", \"rules\""),
        ("[\"remoteAddress\"]", "[\"remoteAddress\", \"route\"]"),
    ] {
        assert_ne!(digest(document), digest(&document.replace(written, instead)), "{written}");
    }
}
