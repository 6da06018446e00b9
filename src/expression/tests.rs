//! Expressions against what they mean, and against a second implementation.

use proptest::prelude::*;

use super::*;

fn matches(text: &str, value: &str) -> bool {
    Expression::compile(text).unwrap().matches(value, &mut usize::MAX.clone()).unwrap()
}

fn other(text: &str) -> Result<regex_lite::Regex, regex_lite::Error> {
    regex_lite::Regex::new(text)?;
    regex_lite::Regex::new(&format!(r"\A(?:{text})\z"))
}

#[test]
fn expressions_match_whole_values_and_no_more() {
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("", &[""], &["a"]),
        ("a", &["a"], &["", "aa", "A", "ab", "ba"]),
        ("a|b", &["a", "b"], &["ab", ""]),
        ("a||b", &["a", "", "b"], &["ab"]),
        ("(a|b)*c", &["c", "abbac"], &["ab", "abcx"]),
        ("a+?", &["a", "aaa"], &[""]),
        ("a{2,3}", &["aa", "aaa"], &["a", "aaaa"]),
        ("a{2}{2}", &["aaaa"], &["aa", "aaa", "aaaaa"]),
        ("a{ 1 , 2 }", &["a", "aa"], &["", "aaa"]),
        ("(ab){2,}", &["abab", "ababab"], &["ab", "aba"]),
        ("(a*)*b", &["b", "aaab"], &["a"]),
        ("(a{0,3}){0,3}", &["", "aaaaaaaaa"], &["aaaaaaaaaa"]),
        (".", &["a", "é", "\u{10ffff}", "\r"], &["", "\n", "ab"]),
        ("(?s).", &["\n"], &[""]),
        ("(?s:.).", &["\na"], &["a\n"]),
        (r"\d\s\w\.", &["7\t_."], &["é .", "7 é."]),
        (r"\D\S\W", &["éé "], &["1ab"]),
        ("[a-c]-[^a-c]", &["b-d", "a-é"], &["b-b", "d-d"]),
        ("[]a]", &["]", "a"], &["[", ""]),
        ("[^]a]", &["b"], &["]", "a"]),
        ("[-a]", &["-", "a"], &["b"]),
        ("[a-]", &["-", "a"], &["b"]),
        (r"[\w.-]+", &["a.b-c"], &["a b"]),
        ("[[:alpha:]0]", &["x", "0"], &["1", ":", "["]),
        ("[[:^digit:]]", &["x"], &["1"]),
        ("[α-ω]+", &["αβγ"], &["abc", "Α"]),
        ("(?i)straße", &["STRAßE", "straße"], &["STRASSE", "STRAẞE"]),
        ("(?i)[x-z]", &["X"], &["W"]),
        ("(?i)[^x]", &["y"], &["X"]),
        ("a(?i)b|c", &["aB", "C"], &["Ab"]),
        ("(a(?i)b)c", &["aBc"], &["aBC"]),
        ("(?i:a)b", &["Ab"], &["AB"]),
        ("(?i-s)(?-i)a", &["a"], &["A"]),
        ("(?P<x>a)(?<y>b)", &["ab"], &["a"]),
        ("^a$", &["a"], &["a\n"]),
        ("^*a", &["a"], &[""]),
        ("a^b", &[], &["ab", "a\nb"]),
        ("(?m)a$\n^b", &["a\nb"], &["ab"]),
        (r"a\zb|\Ac", &["c"], &["ab", "a"]),
        (r".*\bbot\b.*", &["a bot", "bot", "x-bot/1"], &["robot", "bots", "bot_1"]),
        (r".*\b{start}b.*", &["a b"], &["ab"]),
        (r"\<a\>", &["a"], &[""]),
        (r"a\b{2}", &["a"], &[""]),
        (r"a\Bb", &["ab"], &["a b"]),
        (r"\x41\u0042\U00000043\x{44}", &["ABCD"], &["abcd"]),
        (r"\a\f\t\n\r\v", &["\x07\x0c\t\n\r\x0b"], &["aftnrv"]),
        (r"\/\-\#\!", &["/-#!"], &[r"\/\-\#\!"]),
        ("}]{2}", &["}]]"], &["}]"]),
    ];
    for (text, yes, no) in rows {
        let other = other(text).unwrap();
        for (value, expected) in
            yes.iter().map(|value| (value, true)).chain(no.iter().map(|value| (value, false)))
        {
            assert_eq!(matches(text, value), expected, "{text:?} {value:?}");
            assert_eq!(other.is_match(value), expected, "{text:?} {value:?}: the other one");
        }
    }
}

#[test]
fn what_is_no_expression_is_refused() {
    let rows = [
        ("(", "parentheses"),
        ("a)", "parentheses"),
        ("a)|(b", "parentheses"),
        ("(?:a", "parentheses"),
        ("(?i", "parentheses"),
        ("*", "a repetition"),
        ("a|*", "a repetition"),
        ("(+)", "a repetition"),
        ("a{", "a repetition"),
        ("a{,2}", "a repetition"),
        ("a{2", "a repetition"),
        ("a{3,2}", "a repetition"),
        ("a{99999999999}", "a repetition"),
        ("[", "a character class"),
        ("[a", "a character class"),
        ("[]", "a character class"),
        ("[b-a]", "a character class"),
        (r"[\d-z]", "a character class"),
        (r"[a-\d]", "a character class"),
        (r"[\b]", "a character class"),
        ("[[a]]", "a character class"),
        ("[[:nope:]]", "a character class"),
        ("[a&&b]", "a character class"),
        ("[a--b]", "a character class"),
        ("[a~~b]", "a character class"),
        (r"\", "an escape"),
        (r"\q", "an escape"),
        (r"\é", "an escape"),
        (r"\x4", "an escape"),
        (r"\x{}", "an escape"),
        (r"\x{+41}", "an escape"),
        (r"\x{d800}", "an escape"),
        (r"\b{middle}", "an escape"),
        (r"\1", "back-references"),
        (r"\pL", "Unicode classes"),
        ("(?=a)", "look-around"),
        ("(?<!a)", "look-around"),
        ("(?)", "flags"),
        ("(?z)", "flags"),
        ("(?i-)", "flags"),
        ("(?--i)", "flags"),
        ("(?ii)", "flags"),
        ("(?P=a)", "flags"),
        ("(?<>a)", "a group's name"),
        ("(?<1>a)", "a group's name"),
        ("(?<a>b)(?<a>c)", "a group's name"),
    ];
    for (text, message) in rows {
        let error = Expression::compile(text).unwrap_err();
        assert!(error.starts_with(&format!("bad regular expression: {message}")), "{text:?}: {error}");
        assert!(other(text).is_err(), "{text:?}: the other one takes it");
    }
    for text in ["(?x)a", "(?R)a"] {
        assert!(Expression::compile(text).unwrap_err().contains("the flags x and R"), "{text}");
    }
    for text in ["(".repeat(51) + &")".repeat(51), "a".to_owned() + &"*".repeat(52)] {
        assert!(Expression::compile(&text).unwrap_err().contains("too deep"), "{text}");
    }
}

#[test]
fn what_would_take_too_much_is_refused() {
    let rows = [
        (".*[a-z].{10}x", true),
        (".*[a-z].{20}x", false),
        (r"(\w{100}){10}", true),
        (r"(\w{100}){100}", false),
        ("a{1000000000}", false),
        ("(){1000000000}", false),
        ("(((a{30}){30}){30}){30}", false),
        (r".*\b(googlebot|bingbot|yandexbot|duckduckbot|baiduspider)\b.*", true),
        ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", true),
        (r"(?i)[^@\s]{1,64}@([a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}", true),
    ];
    for (text, expected) in rows {
        let compiled = Expression::compile(text);
        assert_eq!(compiled.is_ok(), expected, "{text}");
        assert!(compiled.err().is_none_or(|error| error.contains("too much memory")), "{text}");
    }
}

#[test]
fn trying_costs_what_is_looked_at() {
    let expression = Expression::compile("ab*").unwrap();
    for (value, left, expected, remaining) in [
        ("abb", 100, Some(true), 81),
        ("xbb", 100, Some(false), 84),
        ("abx", 100, Some(false), 82),
        ("abb", 19, Some(true), 0),
        // Not tried in part.
        ("abb", 18, None, 18),
        ("xbb", 18, None, 18),
    ] {
        let mut left = left;
        assert_eq!((expression.matches(value, &mut left), left), (expected, remaining), "{value}");
    }
}

fn any_expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        8 => "[ab_é.\\^$-]",
        1 => Just(r"\n".to_owned()),
        2 => Just(r"\b".to_owned()),
        1 => Just(r"\B".to_owned()),
        1 => Just(r"\w".to_owned()),
        1 => Just(r"\D".to_owned()),
        1 => Just(r"\.".to_owned()),
        1 => Just(r"\>".to_owned()),
        1 => Just(r"\b{start-half}".to_owned()),
        2 => Just("[^a]".to_owned()),
        2 => Just("[a-c_]".to_owned()),
        1 => Just("[^é\\s-]".to_owned()),
        1 => Just("[[:upper:]]".to_owned()),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let flags = prop_oneof![4 => Just(""), 4 => Just("?:"), 1 => Just("?i:"), 1 => Just("?s:"), 1 => Just("?m:")];
        prop_oneof![
            4 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            3 => (flags, proptest::collection::vec(inner.clone(), 1..4))
                .prop_map(|(flags, parts)| format!("({flags}{})", parts.join("|"))),
            2 => (inner.clone(), "[*+?]\\??").prop_map(|(part, times)| format!("{part}{times}")),
            1 => (inner, 0_u8..3, 0_u8..3).prop_map(|(part, min, more)| format!("({part}){{{min},{}}}", min.saturating_add(more))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_implementations_agree(text in any_expression(), values in proptest::collection::vec("[abA_é.\n -]{0,6}", 1..40)) {
        let (own, other) = (Expression::compile(&text), other(&text));
        match (own, other) {
            (Ok(own), Ok(other)) => {
                for value in values {
                    let matches = own.matches(&value, &mut usize::MAX.clone());
                    prop_assert_eq!(matches, Some(other.is_match(&value)), "{:?} {:?}", text, value);
                }
            }
            (Err(error), _) if error.contains("too much memory") => {}
            (own, other) => prop_assert!(own.is_err() && other.is_err(), "{:?} {:?} {:?}", text, own, other),
        }
    }

    #[test]
    fn whatever_is_written_is_read_alike_or_refused(text in r"[ab()|*+?{},0-3\[\]^$.\\:<>P!=imsdwbB\-&]{0,14}", values in proptest::collection::vec("[ab0-3(){},\\[\\]:&-]{0,5}", 1..30)) {
        let (own, other) = (Expression::compile(&text), other(&text));
        match (own, other) {
            (Ok(own), Ok(other)) => {
                for value in values {
                    let matches = own.matches(&value, &mut usize::MAX.clone());
                    prop_assert_eq!(matches, Some(other.is_match(&value)), "{:?} {:?}", text, value);
                }
            }
            (Err(error), _) if error.contains("too much memory") => {}
            (own, other) => prop_assert!(own.is_err() && other.is_err(), "{:?} {:?} {:?}", text, own, other),
        }
    }
}
