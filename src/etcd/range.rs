//! Reading: `KV.Range`.

use serde_json::{Map, Value, json};

use super::{
    EtcdError,
    json::{base64, bytes, flag, list, number, revision},
};

/// A question for one key, or for all from `key` up to `range_end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRequest<'a> {
    /// The one key, or the first.
    pub key: &'a [u8],
    /// Behind the last; empty: `key` alone is asked for. See [`end_of`].
    pub range_end: &'a [u8],
    /// The most that are answered; 0: all.
    pub limit: u32,
    /// As the store was at this revision; 0: as it is now.
    pub revision: u64,
    /// Only those changed at this revision or later, the first first; 0: all, by their names.
    pub changed_since: u64,
}

/// What a range has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Which cluster answered.
    pub cluster_id: u64,
    /// Of the whole store, when it answered.
    pub revision: u64,
    /// Counts the elections of leaders.
    pub raft_term: u64,
    /// In the order that was asked for.
    pub items: Vec<Item>,
    /// There are more than these.
    pub more: bool,
    /// How many keys lie in the range, whatever was asked of them.
    pub count: u64,
}

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// Its whole name.
    pub key: Vec<u8>,
    /// What it holds.
    pub value: Vec<u8>,
    /// The revision at which it was changed last.
    pub changed_at: u64,
}

/// The next key in the order of keys that does not begin with `prefix`: the end of a range of all that do.
pub fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    // Nothing lies behind: etcd's name for the end of all keys.
    vec![0]
}

impl<'a> RangeRequest<'a> {
    /// For one key, as it is now.
    pub fn one(key: &'a [u8]) -> Self {
        Self { key, range_end: b"", limit: 0, revision: 0, changed_since: 0 }
    }

    /// The body of a request to [`super::RANGE`].
    pub fn body(&self) -> Vec<u8> {
        let mut body = json!({"key": base64(self.key)});
        if let Value::Object(members) = &mut body {
            let mut set = |name: &str, value: String| _ = members.insert(name.to_owned(), value.into());
            if !self.range_end.is_empty() {
                set("range_end", base64(self.range_end));
            }
            if self.limit > 0 {
                set("limit", self.limit.to_string());
            }
            if self.revision > 0 {
                set("revision", self.revision.to_string());
            }
            if self.changed_since > 0 {
                set("min_mod_revision", self.changed_since.to_string());
                set("sort_target", "MOD".to_owned());
                set("sort_order", "ASCEND".to_owned());
            }
        }
        body.to_string().into_bytes()
    }
}

impl Range {
    /// Reads an answer with status 200.
    ///
    /// # Errors
    /// It is none of etcd's.
    pub fn read(body: &[u8]) -> Result<Self, EtcdError> {
        Self::read_object(body).ok_or(EtcdError::Malformed)
    }

    fn read_object(body: &[u8]) -> Option<Self> {
        let Value::Object(answer) = serde_json::from_slice(body).ok()? else { return None };
        let header = answer.get("header")?.as_object()?;
        Some(Self {
            cluster_id: number(header, "cluster_id")?,
            revision: revision(header)?,
            raft_term: number(header, "raft_term")?,
            items: items(&answer)?,
            more: flag(&answer, "more")?,
            count: number(&answer, "count")?,
        })
    }
}

/// What a range holds, be it an answer by itself or a part of a transaction's.
pub(super) fn items(range: &Map<String, Value>) -> Option<Vec<Item>> {
    list(range, "kvs")?.iter().map(Item::read).collect()
}

impl Item {
    fn read(item: &Value) -> Option<Self> {
        let members = item.as_object()?;
        Some(Self {
            key: bytes(members, "key")?,
            value: bytes(members, "value")?,
            changed_at: number(members, "mod_revision")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        for (prefix, end) in [
            (&b"/k/"[..], &b"/k0"[..]),
            (b"a", b"b"),
            (b"a\xff", b"b"),
            (b"a\xff\xff", b"b"),
            (b"\xff\xff", b"\0"),
            (b"", b"\0"),
        ] {
            assert_eq!(end_of(prefix), end, "{prefix:?}");
        }
    }

    #[test]
    fn questions() {
        let request =
            RangeRequest { key: b"/k/", range_end: b"/k0", limit: 500, revision: 0, changed_since: 0 };
        let read = |request: &RangeRequest<'_>| serde_json::from_slice::<Value>(&request.body()).unwrap();
        assert_eq!(read(&RangeRequest::one(b"/k/")), json!({"key": "L2sv"}));
        assert_eq!(read(&request), json!({"key": "L2sv", "range_end": "L2sw", "limit": "500"}));
        let since = RangeRequest { revision: 7, changed_since: 9_007_199_254_740_993, ..request };
        let expected = json!({
            "key": "L2sv", "range_end": "L2sw", "limit": "500", "revision": "7",
            "min_mod_revision": "9007199254740993", "sort_target": "MOD", "sort_order": "ASCEND",
        });
        assert_eq!(read(&since), expected);
    }

    #[test]
    fn answers() {
        let full = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"1","revision":"9007199254740993","raft_term":"2"},
            "kvs":[{"key":"L2svYQ==","create_revision":"2","mod_revision":"3","version":"2","value":"AP8="},{"key":"L2svYg==","mod_revision":"4"}],
            "more":true,"count":"5"}"#;
        let range = Range::read(full.as_bytes()).unwrap();
        let items = vec![
            Item { key: b"/k/a".to_vec(), value: vec![0, 0xff], changed_at: 3 },
            Item { key: b"/k/b".to_vec(), value: vec![], changed_at: 4 },
        ];
        let expected = Range {
            cluster_id: 14_841_639_068_965_178_418,
            revision: 9_007_199_254_740_993,
            raft_term: 2,
            items,
            more: true,
            count: 5,
        };
        assert_eq!(range, expected);
        let empty = Range::read(br#"{"header":{"cluster_id":"1","revision":"1"}}"#).unwrap();
        assert_eq!((empty.items.len(), empty.more, empty.count), (0, false, 0));
        for broken in [
            "",
            "[]",
            "{}",
            r#"{"header":{}}"#,
            r#"{"header":{"revision":"0"}}"#,
            r#"{"header":{"revision":"x"}}"#,
            r#"{"header":{"revision":"1"},"kvs":{}}"#,
            r#"{"header":{"revision":"1"},"kvs":[{"key":"*"}]}"#,
            r#"{"header":{"revision":"1"},"kvs":[{"key":"L2sv","value":7}]}"#,
            r#"{"header":{"revision":"1"},"more":"yes"}"#,
            r#"{"header":{"revision":"1"},"count":-1}"#,
            r#"{"header":{"revision":"99999999999999999999"}}"#,
            full.strip_suffix('}').unwrap(),
        ] {
            assert_eq!(Range::read(broken.as_bytes()), Err(EtcdError::Malformed), "{broken}");
        }
    }
}
