//! Paths as documents write them, as patterns of a policy: what they take, and which of them take the same.

use std::cmp::Ordering;

use serde_json::{Map, Value as Json, json};

/// A segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    /// Text around variables: `{name}.json` is `["", ".json"]`. At least two pieces.
    Mixed(Vec<String>),
    Variable(String),
}

/// A path with all that a document says of where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    segments: Vec<Segment>,
    /// Parameters that stand in the path itself, behind a question mark.
    query: Vec<(String, String)>,
    /// What the document calls a variable, and what the policy does.
    names: Vec<(String, String)>,
}

impl Path {
    /// A path behind `base`, which is empty or begins with a slash and ends with none.
    ///
    /// # Errors
    /// Why it cannot be a pattern.
    pub(super) fn new(base: &str, text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("a path begins with a slash".to_owned());
        }
        // A fragment is never sent: documents tell operations on one path apart by it.
        let text = text.split('#').next().unwrap_or_default();
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut read = Self { segments: Vec::new(), query: parameters(query), names: Vec::new() };
        let whole = format!("{base}{path}");
        let segments: Vec<&str> = whole.split('/').skip(1).collect();
        let inner = segments.len().saturating_sub(1);
        if segments.iter().take(inner).any(|segment| segment.is_empty()) {
            return Err("two slashes stand beside each other".to_owned());
        }
        for segment in segments {
            let segment = read.segment(segment)?;
            read.segments.push(segment);
        }
        Ok(read)
    }

    fn segment(&mut self, text: &str) -> Result<Segment, String> {
        let mut pieces = vec![String::new()];
        let mut variables = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("a brace is not closed")?;
            if name.is_empty() || name.contains(|c: char| "+*=?&;{".contains(c)) {
                return Err(format!("{{{name}}} is no variable of OpenAPI"));
            }
            if let Some(last) = pieces.last_mut() {
                last.push_str(before);
            }
            pieces.push(String::new());
            variables.push(name);
            rest = behind;
        }
        if rest.contains('}') {
            return Err("a brace is not opened".to_owned());
        }
        if let Some(last) = pieces.last_mut() {
            last.push_str(rest);
        }
        match (variables.as_slice(), pieces.iter().all(String::is_empty)) {
            ([], _) => Ok(Segment::Literal(text.to_owned())),
            ([name], true) => Ok(Segment::Variable(self.name(name))),
            _ => Ok(Segment::Mixed(pieces)),
        }
    }

    /// Letters, digits and `_`, no digit first, and no other variable's.
    fn name(&mut self, name: &str) -> String {
        let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut made: String = name.chars().map(fit).collect();
        if made.starts_with(|c: char| c.is_ascii_digit()) {
            made.insert(0, '_');
        }
        while self.names.iter().any(|(_, other)| *other == made) {
            made.push('_');
        }
        self.names.push((name.to_owned(), made.clone()));
        made
    }

    /// What the policy calls a variable.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.names.iter().find(|(own, _)| own == name).map(|(_, made)| made.as_str())
    }

    pub(super) fn is_exact(&self) -> bool {
        self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
    }

    /// The conditions of a match on the path.
    pub(super) fn said(&self) -> Map<String, Json> {
        let is_mixed = self.segments.iter().any(|segment| matches!(segment, Segment::Mixed(_)));
        let kind = match () {
            () if self.is_exact() => "Exact",
            () if is_mixed => "RegularExpression",
            () => "PathTemplate",
        };
        let written = |segment: &Segment| match segment {
            Segment::Literal(text) if is_mixed => escaped(text),
            Segment::Literal(text) => text.clone(),
            Segment::Variable(_) if is_mixed => "[^/]+".to_owned(),
            Segment::Variable(name) => format!("{{{name}}}"),
            Segment::Mixed(pieces) => {
                pieces.iter().map(|piece| escaped(piece)).collect::<Vec<_>>().join("[^/]+")
            }
        };
        let value: String = self.segments.iter().map(|segment| format!("/{}", written(segment))).collect();
        let mut said = Map::from_iter([("path".to_owned(), json!({"type": kind, "value": value}))]);
        if !self.query.is_empty() {
            let conditions = self.query.iter().map(|(name, value)| match value.as_str() {
                "" => json!({"name": name, "type": "Present"}),
                value => json!({"name": name, "value": value}),
            });
            said.insert("queryParams".to_owned(), conditions.collect());
        }
        said
    }

    /// Narrower paths first: text before text with variables before variables, and conditions on the query before none.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let class = |path: &Self| path.segments.iter().map(Segment::class).collect::<Vec<_>>();
        let by_kind = self.is_exact().cmp(&other.is_exact()).reverse();
        let by_query = self.query.is_empty().cmp(&other.query.is_empty());
        // Of two exact paths none takes what the other takes: they stay as the document has them.
        let by_class = if self.is_exact() { Ordering::Equal } else { class(self).cmp(&class(other)) };
        by_kind.then(by_class).then(by_query)
    }

    /// Whether it takes every request that `other` takes.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|(own, other)| own.covers(other))
            && self.query.iter().all(|condition| other.query.contains(condition))
    }

    /// What both take: `None`: nothing; an error: it cannot be said.
    pub(super) fn meets(&self, other: &Self) -> Result<Option<Self>, ()> {
        if self.segments.len() != other.segments.len() {
            return Ok(None);
        }
        let mut segments = Vec::new();
        let mut is_unknown = false;
        for (own, other) in self.segments.iter().zip(&other.segments) {
            match own.meets(other) {
                Ok(Some(segment)) => segments.push(segment),
                Ok(None) => return Ok(None),
                Err(()) => is_unknown = true,
            }
        }
        let further = other.query.iter().filter(|condition| !self.query.contains(condition));
        let query = self.query.iter().chain(further).cloned().collect();
        if is_unknown { Err(()) } else { Ok(Some(Self { segments, query, names: Vec::new() })) }
    }
}

impl Segment {
    fn class(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Mixed(_) => 1,
            Self::Variable(_) => 2,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Variable(_), Self::Literal(text)) => !text.is_empty(),
            (Self::Variable(_), _) => true,
            (Self::Mixed(pieces), Self::Literal(text)) => takes(pieces, text),
            (own, other) => own == other,
        }
    }

    fn meets(&self, other: &Self) -> Result<Option<Self>, ()> {
        match (self, other) {
            (own, other) if own.covers(other) => Ok(Some(other.clone())),
            (own, other) if other.covers(own) => Ok(Some(own.clone())),
            (Self::Mixed(own), Self::Mixed(other)) => {
                let ends = |pieces: &Vec<String>| (pieces.first().cloned(), pieces.last().cloned());
                let ((own_first, own_last), (first, last)) = (ends(own), ends(other));
                let (own_first, own_last) = (own_first.unwrap_or_default(), own_last.unwrap_or_default());
                let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
                let may = |one: &str, other: &str, is_end: fn(&str, &str) -> bool| {
                    is_end(one, other) || is_end(other, one)
                };
                let starts = may(&own_first, &first, |a, b| a.starts_with(b));
                let ends = may(&own_last, &last, |a, b| a.ends_with(b));
                if starts && ends { Err(()) } else { Ok(None) }
            }
            _ => Ok(None),
        }
    }
}

/// Whether variables between `pieces` can stand for the rest of `text`.
fn takes(pieces: &[String], text: &str) -> bool {
    let Some((first, others)) = pieces.split_first() else { return false };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
    let Some((last, inner)) = others.split_last() else { return rest.is_empty() };
    // Each variable takes a character at least; the earliest place of a piece leaves the most for those behind.
    for piece in inner {
        let from = rest.chars().next().map_or(0, char::len_utf8);
        let Some(place) =
            rest.get(from..).filter(|_| from > 0).and_then(|behind| behind.find(piece.as_str()))
        else {
            return false;
        };
        let end = from.saturating_add(place).saturating_add(piece.len());
        rest = rest.get(end..).unwrap_or_default();
    }
    rest.len() > last.len() && rest.ends_with(last.as_str())
}

/// For a regular expression, as itself.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::new("", text).unwrap()
    }

    #[test]
    fn paths_are_patterns() {
        for (base, text, kind, value) in [
            ("", "/pets", "Exact", "/pets"),
            ("/v1", "/pets", "Exact", "/v1/pets"),
            ("/v1", "/", "Exact", "/v1/"),
            ("", "/pets/", "Exact", "/pets/"),
            ("", "/pets/{id}", "PathTemplate", "/pets/{id}"),
            ("", "/pets/{pet-id}/x/{2nd}", "PathTemplate", "/pets/{pet_id}/x/{_2nd}"),
            ("", "/a/{x}/{x}", "PathTemplate", "/a/{x}/{x_}"),
            ("", "/f/{name}.json", "RegularExpression", r"/f/[^/]+\.json"),
            ("", "/f/{a}-{b}/{c}", "RegularExpression", r"/f/[^/]+\-[^/]+/[^/]+"),
            ("", "/f#get_x", "Exact", "/f"),
        ] {
            let said = Path::new(base, text).unwrap().said();
            assert_eq!(said["path"], json!({"type": kind, "value": value}), "{text}");
        }
        let said = path("/act?action=list&x").said();
        assert_eq!(
            said["queryParams"],
            json!([{"name": "action", "value": "list"}, {"name": "x", "type": "Present"}])
        );
        for text in ["pets", "/a//b", "/a/{+path}", "/a/{b", "/a/b}", "/{name=projects/*}"] {
            assert!(Path::new("", text).is_err(), "{text}");
        }
    }

    #[test]
    fn wider_paths_take_what_narrower_ones_take() {
        for (wide, narrow, expected) in [
            ("/a/{x}", "/a/b", true),
            ("/a/{x}", "/a/{y}", true),
            ("/a/{x}", "/a/", false),
            ("/a/{x}", "/a/b/c", false),
            ("/a/b", "/a/{x}", false),
            ("/a/{x}", "/a/{y}.json", true),
            ("/a/{y}.json", "/a/b.json", true),
            ("/a/{y}.json", "/a/.json", false),
            ("/a/{y}-{z}.json", "/a/b-c.json", true),
            ("/a/{y}-{z}.json", "/a/-c.json", false),
            ("/a/{y}-{z}", "/a/b-", false),
            ("/a/{x}/c", "/a/b/{y}", false),
            ("/a", "/a?b=c", true),
            ("/a?b=c", "/a", false),
        ] {
            assert_eq!(path(wide).covers(&path(narrow)), expected, "{wide} {narrow}");
            let order = path(narrow).order(&path(wide));
            assert!(!expected || order != Ordering::Greater, "{narrow} comes before {wide}");
        }
    }

    #[test]
    fn what_two_paths_take_is_found() {
        for (one, other, expected) in [
            ("/a/{x}/c", "/a/b/{y}", Ok(Some("/a/b/c"))),
            ("/a/{x}/c", "/a/b/d", Ok(None)),
            ("/a/{x}", "/a/{y}.json", Ok(Some("/a/{y}.json"))),
            ("/a/{x}.xml", "/a/{y}.json", Ok(None)),
            ("/a/x{x}", "/a/{y}.json", Err(())),
        ] {
            let met = path(one).meets(&path(other));
            assert_eq!(
                met.map(|met| met.map(|met| met.segments)),
                expected.map(|text| text.map(|text| path(text).segments)),
                "{one} {other}"
            );
        }
    }
}
