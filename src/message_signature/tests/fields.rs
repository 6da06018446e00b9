//! Structured fields, against tables and another implementation.

use proptest::prelude::*;
use sfv::{Dictionary, FieldType, ListEntry, Parser};

use super::*;
use crate::message_signature::fields::{MAX_FIELD, dictionary, field};

fn read(lines: &[&str]) -> Option<String> {
    let headers = lines.iter().map(|line| (&b"signature"[..], line.as_bytes())).collect();
    field(&RequestHead { headers, ..RequestHead::default() }, "signature").ok().flatten()
}

/// The members as they are serialized.
fn members(lines: &[&str]) -> Option<Vec<String>> {
    let text = read(lines)?;
    let shown = |member: &Member<'_>| {
        let is = if member.text.is_empty() || member.text.starts_with(';') { "" } else { "=" };
        [member.name, is, member.text].concat()
    };
    Some(dictionary(&text)?.iter().map(shown).collect())
}

#[test]
fn what_is_read_and_what_is_not() {
    for (line, expected) in [
        ("a=1", Some("a=1")),
        ("*a-_.*9=-15", Some("*a-_.*9=-15")),
        ("a=999999999999999", Some("a=999999999999999")),
        ("a=\"x\\\"y\\\\ z;,(\"", Some("a=\"x\\\"y\\\\ z;,(\"")),
        ("a=:AQI=:", Some("a=:AQI=:")),
        ("a=::", Some("a=::")),
        ("a=tok/en:*", Some("a=tok/en:*")),
        ("a=?0", Some("a=?0")),
        ("a;b", Some("a;b")),
        ("a=()", Some("a=()")),
        ("a=(\"x\" \"y\";z);b=1;c", Some("a=(\"x\" \"y\";z);b=1;c")),
        // Blanks that may stand there.
        (" a=1 ", Some("a=1")),
        ("a=(  \"x\"   \"y\"; z=1 ); b=1;  c", Some("a=(\"x\" \"y\";z=1);b=1;c")),
        ("a=( )", Some("a=()")),
        // And those that may not.
        ("a =1", None),
        ("a= 1", None),
        ("a=1 ;b", None),
        ("a;b =1", None),
        ("a=(\"x\"\t\"y\")", None),
        ("a=1;\tb", None),
        ("a=(\"x\",\"y\")", None),
        ("a=(\"x\"\"y\")", None),
        ("a=(\"x\"", None),
        ("a=\"x\"y\"", None),
        ("a=\"\\x\"", None),
        ("a=\"x", None),
        ("a=\"x\\", None),
        ("a=:AQI:", None),
        ("a=:AQJ=:", None),
        ("a=:AQI=", None),
        ("a=:AQ-_:", None),
        // In another form than they are serialized in.
        ("a=01", None),
        ("a=-0", None),
        ("a=?1", None),
        ("a;b=?1", None),
        ("a=1000000000000000", None),
        ("a=-", None),
        // What stands in none of the fields.
        ("a=1.0", None),
        ("a=@1", None),
        ("a=%\"x\"", None),
        ("a=((1))", None),
        // No dictionaries.
        ("", None),
        ("A=1", None),
        ("1=1", None),
        ("a=1,", None),
        (",a=1", None),
        ("a=1;;b", None),
        ("a=", None),
        ("a=1b", None),
        ("a=1;b=1;b=2", None),
        ("a=\u{e9}", None),
    ] {
        assert_eq!(members(&[line]), expected.map(|one| vec![one.to_owned()]), "{line}");
    }
}

#[test]
fn members_may_stand_in_several_lines() {
    let two = Some(vec!["a=1".to_owned(), "b=(\"x\")".to_owned()]);
    for lines in
        [&["a=1", "b=(\"x\")"][..], &["a=1,b=(\"x\")"], &["a=1 \t, \t b=(\"x\")"], &[" a=1\t", "\tb=(\"x\")"]]
    {
        assert_eq!(members(lines), two, "{lines:?}");
    }
    for lines in [&["a=1", "a=1"][..], &["a=1", ""], &["a=1,", "b=1"], &["a=1 b=1"], &["a=1;b", "=1"], &[]] {
        assert_eq!(members(lines), None, "{lines:?}");
    }
}

#[test]
fn bounds() {
    let many = |count: usize, one: fn(usize) -> String, between: &str| {
        (0..count).map(one).collect::<Vec<_>>().join(between)
    };
    let of_members = |count| many(count, |n| format!("a{n}=1"), ",");
    let of_items = |count| format!("a=({})", many(count, |n| format!("\"{n}\""), " "));
    let of_parameters = |count| format!("a=1;{}", many(count, |n| format!("p{n}"), ";"));
    for (most, one_more) in [
        (of_members(16), of_members(17)),
        (of_items(32), of_items(33)),
        (of_parameters(16), of_parameters(17)),
        ("a".repeat(MAX_FIELD), "a".repeat(MAX_FIELD + 1)),
    ] {
        assert!(members(&[&most]).is_some() && members(&[&one_more]).is_none(), "{most}");
    }
    // All lines count.
    let half = "a".repeat(MAX_FIELD / 2);
    assert!(read(&[&half, &half]).is_some() && read(&[&half, "b", &half]).is_none());
}

/// The same by the other implementation; `None` where it is none of what we read.
fn by_another(text: &str) -> Option<Vec<String>> {
    let read: Dictionary = Parser::new(text).parse().ok()?;
    let one = |(name, entry): (&sfv::Key, &ListEntry)| {
        let text = match entry {
            ListEntry::Item(item) => item.serialize(),
            ListEntry::InnerList(list) => {
                sfv::List::from([ListEntry::InnerList(list.clone())]).serialize()?
            }
        };
        Some(format!("{}={text}", name.as_str()))
    };
    read.iter().map(one).collect()
}

proptest! {
    /// What both read is the same, and the other one reads all that we do.
    #[test]
    fn another_implementation_reads_the_same(
        text in "[ab*;, \t=()\"\\\\:?01Q./-]{0,16}|(a|b)=(\\(( ?\"[x\\\\]\"(; ?k=1)?)*\\)|:(QQ==)?:|[01]{1,3})(; ?[ab](=[0-2]{1,2}|=\"x\")?){0,3}( ?, ?c=1)?"
    ) {
        let Some(own) = members(&[&text]) else { return Ok(()) };
        // True is not written (RFC 9651 section 4.1.2).
        let flag = |one: String| match one.split_once("=?1") {
            Some((name, rest)) if !name.contains('=') && (rest.is_empty() || rest.starts_with(';')) => {
                [name, rest].concat()
            }
            _ => one,
        };
        let flagless = |all: Vec<String>| all.into_iter().map(flag).collect::<Vec<_>>();
        let trimmed = text.trim_matches([' ', '\t']);
        prop_assert_eq!(by_another(trimmed).map(flagless), Some(own), "{}", text);
    }

    /// Read anew, a field is as it was.
    #[test]
    fn a_serialized_field_is_its_own_serialization(text in "[ -~\t]{0,40}") {
        if let Some(own) = members(&[&text]) {
            prop_assert_eq!(members(&[&own.iter().map(|one| one.replacen("=;", ";", 1)).collect::<Vec<_>>().join(", ")]), Some(own));
        }
    }

    /// What the other one serializes is read, of what these fields have.
    #[test]
    fn what_another_implementation_makes_is_read(
        name in "[a-z*][a-z0-9_.*-]{0,5}",
        strings in prop::collection::vec("[ -~]{0,8}", 0..5),
        bytes in prop::collection::vec(any::<u8>(), 0..8),
        number in -999_999_999_999_999_i64..=999_999_999_999_999,
    ) {
        use sfv::{BareItem, InnerList, Integer, Item, Key, Parameters, String as Text};
        let text = |text: &str| BareItem::String(Text::from_string(text.to_owned()).unwrap());
        let key = |name: &str| Key::from_string(name.to_owned()).unwrap();
        let mut parameters = Parameters::new();
        parameters.insert(key("created"), BareItem::Integer(Integer::try_from(number).unwrap()));
        parameters.insert(key("nonce"), BareItem::ByteSequence(bytes.clone()));
        parameters.insert(key("flag"), BareItem::Boolean(true));
        let items = strings.iter().map(|one| Item { bare_item: text(one), params: parameters.clone() }).collect();
        let mut made = Dictionary::new();
        made.insert(key(&name), ListEntry::InnerList(InnerList { items, params: parameters }));
        let made = made.serialize().unwrap();
        let own = read(&[&made]).unwrap();
        prop_assert_eq!(&own, &made);
        let read = dictionary(&own).unwrap();
        let Entry::List(components) = &read[0].entry else { panic!("{made}") };
        let named: Vec<_> = components.iter().map(|one| base::name(one).unwrap()).collect();
        prop_assert_eq!(named, strings.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(parameter(&read[0].parameters, "created"), Some(&Value::Integer(number)));
        prop_assert_eq!(parameter(&read[0].parameters, "nonce"), Some(&Value::Bytes(bytes)));
    }
}
