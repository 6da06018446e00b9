//! Cookies of a request (RFC 6265 section 4.2), and what looser servers take for some.

use std::borrow::Cow;

use super::{RequestHead, alike::AlikeNames, sighting::Sighting};

/// How much of cookies is looked at for names, in bytes, counted as often as they are: a fraction of a millisecond. No
/// browser sends as much.
const MAX_LOOKS: usize = 1 << 17;

/// Everything that some server takes for one of the cookies that are looked for, each with the place of the name that
/// it is taken for, in order.
pub(super) struct Suspects<'a> {
    all: Vec<(usize, Name<'a>)>,
    /// There was too much to look through. The rest may hold any cookie.
    gave_up: bool,
}

/// What some server takes for one of `names`, over all `cookie` headers.
#[inline(never)]
pub(super) fn suspects<'a>(head: &RequestHead<'a>, names: &AlikeNames) -> Suspects<'a> {
    let mut found = Suspects { all: Vec::new(), gave_up: false };
    let mut left = MAX_LOOKS;
    for line in head.values("cookie") {
        let read = each_name(line, |given| {
            let from = found.all.len();
            given.each_read_as(names, &mut left, &mut |name| {
                if !found.all.iter().skip(from).any(|(known, _)| *known == name) {
                    found.all.push((name, given));
                }
            })
        });
        if read.is_none() {
            found.gave_up = true;
            break;
        }
    }
    found
}

impl<'a> Suspects<'a> {
    /// What the cookie `name` (compared with case), at `place` among the names, holds. An empty one holds nothing.
    ///
    /// One pair of double quotes around the value is dropped (RFC 6265 section 4.1.1). Pieces without `=` are no
    /// cookies. A value that is not UTF-8 cannot be decoded. `is_other` says which names stand for cookies of their
    /// own, whatever looser servers make of them.
    pub(super) fn find(
        &self,
        place: usize,
        name: &str,
        is_other: impl Fn(&[u8]) -> bool,
    ) -> Sighting<Cow<'a, [u8]>> {
        let mut seen = Sighting { has_alike: self.gave_up, ..Sighting::default() };
        for (_, given) in self.all.iter().filter(|(own, _)| *own == place) {
            if given.is_cookie(name) {
                let value = given.value();
                if !value.is_empty() {
                    seen.note(str::from_utf8(value).ok().map(|_| Cow::Borrowed(value)));
                }
            } else if !seen.has_alike {
                seen.has_alike = !given.is_void() && !is_other(given.text);
            }
        }
        seen
    }
}

/// Visits every value of the cookie `name`, which is one of `names`; where there is none, those of whatever some server
/// takes for it. Empty ones hold nothing. `None`: there is too much to look through, and nothing was visited.
pub fn each_value(
    head: &RequestHead<'_>,
    names: &AlikeNames,
    name: &str,
    visit: &mut dyn FnMut(&[u8]),
) -> Option<()> {
    let place = names.place(name)?;
    let found = suspects(head, names);
    if found.gave_up {
        return None;
    }
    let all = || found.all.iter().filter(|(own, given)| *own == place && !given.value().is_empty());
    let has_own = all().any(|(_, given)| given.is_cookie(name));
    let meant = all().filter(|(_, given)| given.is_cookie(name) == has_own);
    meant.for_each(|(_, given)| visit(given.value()));
    Some(())
}

/// The `cookie` header without whatever some server takes for a cookie of `names`, all lines joined (RFC 9113 section
/// 8.2.3); `None` when it has nothing of them. Empty: nothing is left, so the header should go. Bytes that are not
/// UTF-8 are dropped with their cookie.
///
/// Those of `kept`, which is a part of `names`, stay as [`Suspects::find`] finds them.
pub fn without(head: &RequestHead<'_>, names: &AlikeNames, kept: &[&str]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let cookies = || head.values("cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    let goes = |cookie: &[u8], looks: &mut usize| {
        let mut goes = false;
        let read = each_name(cookie, |given| {
            let mut is_one = false;
            given.each_read_as(names, looks, &mut |_| is_one = true)?;
            let stays = || kept.iter().any(|name| given.is_cookie(name)) && !given.value().is_empty();
            goes |= is_one && !stays();
            Some(())
        });
        read.map(|()| goes)
    };
    let mut looks = MAX_LOOKS;
    if cookies().all(|cookie| goes(cookie, &mut looks) == Some(false)) {
        return None;
    }
    let mut left = String::new();
    looks = MAX_LOOKS;
    for cookie in cookies() {
        match goes(cookie, &mut looks) {
            Some(true) => {}
            Some(false) => match str::from_utf8(cookie.trim_ascii()) {
                Ok("") | Err(_) => {}
                Ok(cookie) => {
                    left.push_str(if left.is_empty() { "" } else { "; " });
                    left.push_str(cookie);
                }
            },
            // There is too much to look through, and the rest may hold any of them.
            None => return Some(String::new()),
        }
    }
    Some(left)
}

/// What some server takes for the name of a cookie.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    text: &'a [u8],
    /// Whatever follows its `=`.
    rest: &'a [u8],
    /// It is at the beginning of a cookie, where RFC 6265 has names.
    begins: bool,
}

impl<'a> Name<'a> {
    /// Whether it is the cookie `name`.
    fn is_cookie(&self, name: &str) -> bool {
        self.begins && self.text == name.as_bytes()
    }

    fn each_read_as(&self, names: &AlikeNames, left: &mut usize, visit: &mut dyn FnMut(usize)) -> Option<()> {
        names.each_read_as(self.text, b"[]", left, visit)
    }

    fn value(&self) -> &'a [u8] {
        let value = self.rest.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        match value {
            [b'"', inner @ .., b'"'] => inner,
            _ => value,
        }
    }

    /// Whether nobody finds a value.
    fn is_void(&self) -> bool {
        self.value().iter().all(|byte| !byte.is_ascii_graphic() || *byte == b'"')
    }
}

/// Finds what may be the name before each `=` of `line`: all that the cookie has before it, and the last word of that,
/// since to some servers a cookie also ends at blanks and commas. Quotes hold nothing together here. `None`: `each`
/// gave up.
fn each_name<'a>(line: &'a [u8], mut each: impl FnMut(Name<'a>) -> Option<()>) -> Option<()> {
    // Where the cookie begins, and from where to where its last word is, both until the name is found; whether the next
    // character begins a word.
    let (mut cookie, mut word, mut gap): (_, Option<(usize, usize)>, _) = (Some(0), None, true);
    for (at, byte) in line.iter().enumerate() {
        let next = at.saturating_add(1);
        match byte {
            b';' => (cookie, word, gap) = (Some(next), None, true),
            b',' | b'"' => gap = true,
            // With no word before it, it ends no name; the name may still follow.
            b'=' if gap && word.is_none() => {}
            b'=' => {
                let rest = line.get(next..).unwrap_or_default();
                let whole = cookie.take().and_then(|from| line.get(from..at)).map(<[u8]>::trim_ascii);
                let last = word.take().and_then(|(from, to)| line.get(from..to));
                if let Some(text) = whole {
                    each(Name { text, rest, begins: true })?;
                }
                if let Some(text) = last.filter(|last| whole != Some(last)) {
                    each(Name { text, rest, begins: false })?;
                }
                gap = false;
            }
            _ if !byte.is_ascii_graphic() => gap = true,
            _ => {
                word = match word {
                    Some((from, _)) if !gap => Some((from, next)),
                    _ if gap => Some((at, next)),
                    // This is within a value, where no word has begun.
                    _ => None,
                };
                gap = false;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::Lookup;

    fn head<'a>(lines: &[&'a [u8]]) -> RequestHead<'a> {
        let mut headers: Vec<(&[u8], &[u8])> = vec![(b"x-cookie", b"sid=9")];
        headers.extend(lines.iter().map(|line| (&b"cookie"[..], *line)));
        RequestHead { headers, ..RequestHead::default() }
    }

    fn names(all: &[&str]) -> AlikeNames {
        let mut names = AlikeNames::default();
        all.iter().for_each(|name| {
            names.add(name);
        });
        names
    }

    fn find<'a>(
        head: &RequestHead<'a>,
        name: &str,
        is_other: impl Fn(&[u8]) -> bool,
    ) -> Sighting<Cow<'a, [u8]>> {
        suspects(head, &names(&[name])).find(0, name, is_other)
    }

    fn found<'a>(head: &RequestHead<'a>) -> (Lookup<Cow<'a, [u8]>>, bool) {
        let seen = find(head, "sid", |other| other == b"SID");
        (seen.found, seen.has_alike)
    }

    #[test]
    fn a_cookie_is_found_once_or_not_at_all() {
        let rows: &[(&[&[u8]], Lookup<&str>)] = &[
            (&[], Lookup::Absent),
            (&[b""], Lookup::Absent),
            (&[b"sid=1"], Lookup::One("1")),
            (&[b"a=0; sid=1; b=2"], Lookup::One("1")),
            (&[b"a=0;sid=1"], Lookup::One("1")),
            (&[b"a=0", b"sid=1"], Lookup::One("1")),
            (&[b" sid = 1 "], Lookup::One("1")),
            (&[b"sid=\"1\""], Lookup::One("1")),
            (&[b"sid=\""], Lookup::One("\"")),
            (&[b"sid=a=b"], Lookup::One("a=b")),
            (&[b"sid=a==; b"], Lookup::One("a==")),
            (&[b"SID=1"], Lookup::Absent),
            (&[b"xsid=1; sidx=1; sid"], Lookup::Absent),
            (&[b"x=sid=1"], Lookup::Absent),
            (&[b"sid=1; sid=1"], Lookup::Many),
            (&[b"sid=1", b"sid=2"], Lookup::Many),
            (&[b"sid=1", b" sid =\xff"], Lookup::Many),
            (&[b"sid=\xff"], Lookup::Malformed),
            // Empty ones are none.
            (&[b"sid="], Lookup::Absent),
            (&[b"sid=\"\"; sid= ; sid=1"], Lookup::One("1")),
        ];
        for (lines, expected) in rows {
            let expected = expected.clone().map(|value| Cow::Borrowed(value.as_bytes()));
            assert_eq!(found(&head(lines)), (expected, false), "{lines:?}");
        }
    }

    /// Each beside a cookie that is found, so that it counts for nobody that it is ambiguous.
    #[test]
    fn whatever_some_server_takes_for_the_cookie_is_told() {
        let rows: &[(&[u8], bool)] = &[
            (b"Sid=1", true),
            (b"sid[]=1", true),
            (b"%73id=1", true),
            (b"x=1 sid=2", true),
            (b"x=1\tsid=2", true),
            (b"x=1,sid=2", true),
            (b"x=1, sid =2", true),
            (b"x=\"1 sid=2\"", true),
            (b"x=1\xc2\xa0sid=2", true),
            (b"\xc2\xa0sid=1", true),
            (b"sid\x1f=1", true),
            (b"=sid=1", true),
            (b"==sid=1", true),
            (b"$Version=1, sid=1", true),
            // Empty, or somebody else's.
            (b"Sid=", false),
            (b"x=1 sid=", false),
            (b"Sid=\" \"", false),
            (b"SID=1", false),
            (b"sid.sig=1", false),
            (b"sids=1", false),
            (b"x=1 xsid=2", false),
            (b"x=a=sid=2", false),
            (b"x=1&sid=2", false),
            (b"x=1 sid", false),
            (b"x sid", false),
        ];
        for (other, expected) in rows {
            for lines in [[b"sid=0", *other], [other, b"sid=0"]] {
                let one = Lookup::One(Cow::Borrowed(&b"0"[..]));
                let line = [lines[0], b"; ", lines[1]].concat();
                assert_eq!(found(&head(&[&line])), (one.clone(), *expected), "{}", line.escape_ascii());
                assert_eq!(found(&head(&lines)), (one, *expected), "{lines:?}");
            }
        }
        // Quotes hold nothing together.
        assert_eq!(found(&head(&[b"x=\"1; sid=2\""])).0, Lookup::One(Cow::Borrowed(&b"2\""[..])));
        // `_` is any sign.
        for (line, expected) in
            [("a_b=1", false), ("a.b=1", true), ("a b=1", true), ("a,b=1", true), ("b=1", false)]
        {
            assert_eq!(find(&head(&[line.as_bytes()]), "a_b", |_| false).has_alike, expected, "{line}");
        }
    }

    #[test]
    fn a_cookie_is_taken_out() {
        let rows: &[(&[&[u8]], Option<&str>)] = &[
            (&[], None),
            (&[b"a=1"], None),
            (&[b"sid=1"], Some("")),
            (&[b"sid="], Some("")),
            (&[b"a=1; sid=1; b=2"], Some("a=1; b=2")),
            (&[b"a=1; sid=1", b"sid=2;b=2"], Some("a=1; b=2")),
            (&[b"a=1; sid=1; b=\xff"], Some("a=1")),
            // White space to some: U+00A0, and it as Latin-1, a vertical tab, a unit separator.
            (&[b"a=1; \xc2\xa0sid=1; \xa0sid=2; \x0bsid=3; sid\x1f=4; xsid=5"], Some("a=1; xsid=5")),
            (&[b"sid=0; \xc2\xa0a=1"], Some("\u{a0}a=1")),
            (&[b"a=1 sid=2; b=2"], Some("b=2")),
            (&[b"a=\"1; sid=2\"; b=2"], Some("a=\"1; b=2")),
            (&[b"Sid=1; sid[x]=2; sid.sig=3"], Some("sid.sig=3")),
        ];
        for (lines, expected) in rows {
            let head = head(lines);
            assert_eq!(without(&head, &names(&["sid"]), &[]).as_deref(), *expected, "{lines:?}");
            assert_eq!(without(&head, &names(&[]), &[]), None);
        }
    }

    #[test]
    fn what_is_too_much_to_look_through_may_hold_any() {
        let many = |count: usize| "a=1; ".repeat(count) + "b=2";
        for (count, gave_up) in [(1000, false), (15_000, true)] {
            let line = many(count);
            let head = head(&[line.as_bytes()]);
            assert_eq!(found(&head), (Lookup::Absent, gave_up), "{count}");
            let left = without(&head, &names(&["sid"]), &[]);
            assert_eq!(left.as_deref(), gave_up.then_some(""), "{count}");
        }
    }

    #[test]
    fn one_that_is_kept_stays_alone() {
        let rows: &[(&str, Option<&str>)] = &[
            ("a=1; sid=1", None),
            ("sid=1; Sid=2; sid[]=3; b=2", Some("sid=1; b=2")),
            ("sid=1; sid=", Some("sid=1")),
            ("sid=1; x=1 sid=2", Some("sid=1")),
            ("sid=1; k=2", Some("sid=1")),
        ];
        for (line, expected) in rows {
            let left = without(&head(&[line.as_bytes()]), &names(&["sid", "k"]), &["sid"]);
            assert_eq!(left.as_deref(), *expected, "{line}");
        }
        // The names are alike, and each its own.
        let line = head(&[b"sid=1; Sid=2; SID=3"]);
        assert_eq!(without(&line, &names(&["sid", "Sid"]), &["Sid"]).as_deref(), Some("Sid=2"));
    }

    proptest! {
        #[test]
        fn nothing_of_what_was_taken_out_is_left(line in "[sidSD=;, \"x\\[%]{0,24}") {
            let left = without(&head(&[line.as_bytes()]), &names(&["sid"]), &[]);
            let left = left.as_deref().unwrap_or(&line);
            let head = head(&[left.as_bytes()]);
            let seen = find(&head, "sid", |_| false);
            prop_assert_eq!((seen.found, seen.has_alike), (Lookup::Absent, false));
        }
    }
}
