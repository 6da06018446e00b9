//! Edits of files as people write them.

use proptest::prelude::*;
use serde_json::json;

use super::edit::*;
use crate::command::{scalar::Dialect, tree::Node, yaml};

fn root(text: &str) -> Node {
    yaml::read(text).unwrap().documents.remove(0)
}

fn changed(text: &str, make: impl Fn(&Writing<'_>, &Node) -> Option<Edit>) -> String {
    let is_json = text.starts_with("{\"");
    let writing = Writing { text, dialect: Dialect::Envoy, is_json };
    make(&writing, &root(text)).unwrap().apply(text)
}

#[test]
fn a_member_is_set_where_it_stands_or_behind_the_last() {
    for (text, expected) in [
        ("a: 1 # one\nb: 2\n", "a: x # one\nb: 2\n"),
        ("a: \"1\" # one\n", "a: x # one\n"),
        ("a: 'it''s' # one\n", "a: x # one\n"),
        ("a: \"\\\"\" # one\n", "a: x # one\n"),
        ("a:\nb: 2\n", "a: x\nb: 2\n"),
        ("a: # none\nb: 2\n", "a: x # none\nb: 2\n"),
        ("a:\n  - 1\n  - 2 # two\n# end\nb: 2\n", "a: x # two\n# end\nb: 2\n"),
        ("a: |\n  text\n\nb: 2\n", "a: x\n\nb: 2\n"),
        ("b: 2 # two\n", "b: 2 # two\na: x\n"),
        ("b: 2", "b: 2\na: x"),
        ("b: 2\r\n", "b: 2\na: x\r\n"),
        ("# begin\nb:\n  c: 3 # three\n\n# end\n", "# begin\nb:\n  c: 3 # three\na: x\n\n# end\n"),
        ("b: |\n  text\n", "b: |\n  text\na: x\n"),
        ("{b: 2}\n", "{b: 2, a: x}\n"),
        ("{\n  b: 2 # two\n}\n", "{\n  b: 2,\n  a: x # two\n}\n"),
        ("{}\n", "{a: x}\n"),
        ("{\"b\": 2}", "{\"b\": 2, \"a\": \"x\"}"),
        ("{\"a\": 2}", "{\"a\": \"x\"}"),
        ("{\"b\": {\n  \"c\": 3\n}}", "{\"b\": {\n  \"c\": 3\n}, \"a\": \"x\"}"),
    ] {
        assert_eq!(changed(text, |writing, root| writing.set(root, "a", &json!("x"))), expected, "{text}");
    }
}

#[test]
fn a_member_is_taken_away_with_its_line() {
    for (text, expected) in [
        ("a: 1 # one\nb: 2\n", "b: 2\n"),
        ("b: 2\na: 1 # one\n", "b: 2\n"),
        ("b: 2\na:\n  - 1\nc: 3\n", "b: 2\nc: 3\n"),
        ("{a: 1, b: 2}\n", "{b: 2}\n"),
        ("{b: 2, a: 1}\n", "{b: 2}\n"),
        ("{b: 2, a: 1, c: 3}\n", "{b: 2, c: 3}\n"),
        ("{\"b\": 2, \"a\": [1]}", "{\"b\": 2}"),
        ("{a: 1}\n", "{}\n"),
    ] {
        assert_eq!(changed(text, |writing, root| writing.remove(root, "a")), expected, "{text}");
    }
    let text = "- a: 1\n  b: 2\n";
    let list = |writing: &Writing<'_>, root: &Node| writing.remove(root.items().first().unwrap(), "a");
    assert_eq!(changed(text, list), "- b: 2\n");
}

#[test]
fn lists_grow_in_their_own_way() {
    for (text, expected) in [
        ("- a: 1 # one\n# end\n", "- a: 1 # one\n- b: no text\n  c: [1, \"2\"]\n# end\n"),
        ("-   a: 1\n", "-   a: 1\n- b: no text\n  c: [1, \"2\"]\n"),
        ("- {a: 1} # one\n", "- {a: 1} # one\n- {b: no text, c: [1, \"2\"]}\n"),
        ("[{a: 1}]\n", "[{a: 1}, {b: no text, c: [1, \"2\"]}]\n"),
        (
            "[\n  {a: 1},\n  {a: 2} # two\n]\n",
            "[\n  {a: 1},\n  {a: 2},\n  {b: no text, c: [1, \"2\"]} # two\n]\n",
        ),
        ("[]\n", "[{b: no text, c: [1, \"2\"]}]\n"),
    ] {
        let item = json!({"b": "no text", "c": [1, "2"]});
        let expected = expected.replace("no text", "\"no text\"");
        assert_eq!(
            changed(text, |writing, root| writing.append(root, std::slice::from_ref(&item))),
            expected,
            "{text}"
        );
    }
    let items = [json!({"b": 1}), json!({"b": 2})];
    for (text, expected) in [
        ("r: 1 # one\n", "r: 1 # one\nk:\n  l:\n    - b: 1\n    - b: 2\n"),
        ("{\"r\": 1}", "{\"r\": 1, \"k\": {\"l\": [{\"b\": 1}, {\"b\": 2}]}}"),
    ] {
        assert_eq!(changed(text, |writing, root| writing.add_list(root, &["k", "l"], &items)), expected);
    }
}

#[test]
fn text_has_quotes_where_it_could_be_taken_for_something_else() {
    for (text, expected) in [
        ("acme", "acme"),
        ("sha256:0f", "sha256:0f"),
        ("orders:read", "orders:read"),
        ("https://a.test/b", "https://a.test/b"),
        ("y", "\"y\""),
        ("No", "\"No\""),
        ("null", "\"null\""),
        ("true", "\"true\""),
        ("a b", "\"a b\""),
        ("a: b", "\"a: b\""),
        ("a:", "\"a:\""),
        ("a,b", "\"a,b\""),
        ("a#b", "\"a#b\""),
        ("2027-01-01T00:00:00Z", "\"2027-01-01T00:00:00Z\""),
        ("1e3", "\"1e3\""),
        ("-a", "\"-a\""),
        ("*a", "\"*a\""),
        ("é", "\"é\""),
        ("a\"b\\", "\"a\\\"b\\\\\""),
        ("", "\"\""),
    ] {
        let written = changed("a: 1\n", |writing, root| writing.set(root, "a", &json!(text)));
        assert_eq!(written, format!("a: {expected}\n"));
        assert_eq!(root(&written).to_json(Dialect::Envoy), json!({"a": text}));
    }
}

/// Objects as people write them: with comments, in blocks or in brackets.
fn written() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("1"),
        Just("x y"),
        Just("\"q # q\""),
        Just("'it''s'"),
        Just("[1, 2]"),
        Just("{p: 1}"),
        Just("\n  - 1\n  - 2"),
        Just("\n  p: 1"),
        Just("|\n  text"),
        Just(""),
    ];
    let members = prop::collection::vec((value, any::<bool>(), any::<bool>()), 1..6);
    members.prop_map(|members| {
        let lines = members.iter().enumerate().map(|(place, (value, comment, blank))| {
            let is_block = value.starts_with('|');
            let comment = if *comment && !is_block { " # said" } else { "" };
            format!("m{place}: {value}{comment}\n{}", if *blank { "\n# apart\n" } else { "" })
        });
        lines.collect()
    })
}

proptest! {
    #[test]
    fn an_edit_makes_the_document_that_is_meant(text in written(), place in 0_usize..6, remove: bool) {
        let before = root(&text);
        let name = format!("m{place}");
        let mut expected = before.to_json(Dialect::Envoy);
        let there = expected.get(&name).is_some();
        let members = expected.as_object_mut().unwrap();
        let writing = Writing { text: &text, dialect: Dialect::Envoy, is_json: false };
        let edit = if remove && there {
            members.shift_remove(&name);
            writing.remove(&before, &name)
        } else {
            members.insert(name.clone(), json!(["x", "2"]));
            writing.set(&before, &name, &json!(["x", "2"]))
        };
        let after = edit.unwrap().apply(&text);
        prop_assume!(!expected.as_object().unwrap().is_empty());
        prop_assert_eq!(root(&after).to_json(Dialect::Envoy), expected, "{}\n->\n{}", text, after);
        // Comments on lines of their own stay.
        prop_assert_eq!(after.matches("# apart").count(), text.matches("# apart").count(), "{}\n->\n{}", text, after);
    }
}
