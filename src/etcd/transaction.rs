//! Writing: `KV.Txn`.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    EtcdError, Item,
    json::{base64, flag, list, revision},
    range,
};

/// What is done if nothing that it depends on has changed, and what else; nobody ever sees a part of it.
///
/// At most [`super::MOST_OPERATIONS`] conditions, and as many operations on either side, none of which writes a key twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Lists of JSON, without their brackets.
    compare: String,
    success: String,
    failure: String,
}

/// A part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Write an entry.
    Put {
        /// Its name.
        key: &'a [u8],
        /// What it holds from now on.
        value: &'a [u8],
    },
    /// Delete an entry, if it is there.
    Delete(&'a [u8]),
    /// Read an entry.
    Get(&'a [u8]),
    /// Read all entries whose names begin so.
    List(&'a [u8]),
}

/// What came of a transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TransactionAnswer {
    /// All conditions held.
    pub succeeded: bool,
    /// Of the whole store, after it.
    pub revision: u64,
    /// What each [`Operation::Get`] and [`Operation::List`] of the side that was done has found, in their order.
    pub found: Vec<Vec<Item>>,
}

impl Transaction {
    /// Makes it a condition that the entry was changed last at `revision`; 0: that it is not there.
    pub fn expect(&mut self, key: &[u8], revision: u64) {
        let key = base64(key);
        add(
            &mut self.compare,
            format_args!(
                "{{\"key\":\"{key}\",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"{revision}\"}}"
            ),
        );
    }

    /// Has this done where all conditions hold; without any it is done in any case.
    pub fn then(&mut self, operation: Operation<'_>) {
        operation.add_to(&mut self.success);
    }

    /// Has this done where one of them does not.
    pub fn otherwise(&mut self, operation: Operation<'_>) {
        operation.add_to(&mut self.failure);
    }

    /// The body of a request to [`super::TRANSACTION`].
    pub fn body(&self) -> Vec<u8> {
        let Self { compare, success, failure } = self;
        format!("{{\"compare\":[{compare}],\"success\":[{success}],\"failure\":[{failure}]}}").into_bytes()
    }
}

impl Operation<'_> {
    fn add_to(self, list: &mut String) {
        match self {
            Self::Put { key, value } => {
                let (key, value) = (base64(key), base64(value));
                add(list, format_args!("{{\"request_put\":{{\"key\":\"{key}\",\"value\":\"{value}\"}}}}"));
            }
            Self::Delete(key) => {
                add(list, format_args!("{{\"request_delete_range\":{{\"key\":\"{}\"}}}}", base64(key)));
            }
            Self::Get(key) => {
                add(list, format_args!("{{\"request_range\":{{\"key\":\"{}\"}}}}", base64(key)));
            }
            Self::List(prefix) => {
                let (key, end) = (base64(prefix), base64(&range::end_of(prefix)));
                add(
                    list,
                    format_args!("{{\"request_range\":{{\"key\":\"{key}\",\"range_end\":\"{end}\"}}}}"),
                );
            }
        }
    }
}

/// Adds an item to a list.
#[inline(never)]
fn add(list: &mut String, item: std::fmt::Arguments<'_>) {
    if !list.is_empty() {
        list.push(',');
    }
    // Writing to a string does not fail.
    let _ = list.write_fmt(item);
}

impl TransactionAnswer {
    /// Reads an answer with status 200.
    ///
    /// # Errors
    /// It is none of etcd's.
    pub fn read(body: &[u8]) -> Result<Self, EtcdError> {
        Self::read_object(body).ok_or(EtcdError::Malformed)
    }

    fn read_object(body: &[u8]) -> Option<Self> {
        let Value::Object(answer) = serde_json::from_slice(body).ok()? else { return None };
        let ranges = list(&answer, "responses")?.iter().filter_map(|response| response.get("response_range"));
        Some(Self {
            succeeded: flag(&answer, "succeeded")?,
            revision: revision(answer.get("header")?.as_object()?)?,
            found: ranges.map(|range| range::items(range.as_object()?)).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(transaction: &Transaction) -> Value {
        serde_json::from_slice(&transaction.body()).unwrap()
    }

    #[test]
    fn questions() {
        let mut transaction = Transaction::default();
        assert_eq!(read(&transaction), json!({"compare": [], "success": [], "failure": []}));
        transaction.expect(b"/k/a", 9_007_199_254_740_993);
        transaction.expect(b"/k/b", 0);
        transaction.then(Operation::Put { key: b"/k/a", value: b"\0\xff" });
        transaction.then(Operation::Delete(b"/k/b"));
        transaction.otherwise(Operation::Get(b"/k/a"));
        transaction.otherwise(Operation::List(b"/k/"));
        let condition = |key: &str, revision: &str| json!({"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision});
        let expected = json!({
            "compare": [condition("L2svYQ==", "9007199254740993"), condition("L2svYg==", "0")],
            "success": [
                {"request_put": {"key": "L2svYQ==", "value": "AP8="}},
                {"request_delete_range": {"key": "L2svYg=="}},
            ],
            "failure": [
                {"request_range": {"key": "L2svYQ=="}},
                {"request_range": {"key": "L2sv", "range_end": "L2sw"}},
            ],
        });
        assert_eq!(read(&transaction), expected);
    }

    #[test]
    fn answers() {
        let item = |name: &[u8], changed_at| Item { key: name.to_vec(), value: vec![], changed_at };
        for (body, expected) in [
            (
                r#"{"header":{"revision":"7"},"succeeded":true,"responses":[{"response_put":{"header":{"revision":"7"}}}]}"#,
                TransactionAnswer { succeeded: true, revision: 7, found: vec![] },
            ),
            (
                r#"{"header":{"revision":"7"},"responses":[{"response_range":{"header":{}}},{"response_delete_range":{}},
                    {"response_range":{"kvs":[{"key":"L2svYQ==","mod_revision":"3"},{"key":"L2svYg==","mod_revision":"4"}],"count":"2"}}]}"#,
                TransactionAnswer {
                    succeeded: false,
                    revision: 7,
                    found: vec![vec![], vec![item(b"/k/a", 3), item(b"/k/b", 4)]],
                },
            ),
        ] {
            assert_eq!(TransactionAnswer::read(body.as_bytes()), Ok(expected), "{body}");
        }
        for broken in [
            "",
            "{}",
            r#"{"header":{},"succeeded":true}"#,
            r#"{"succeeded":true}"#,
            r#"{"header":{"revision":"7"},"succeeded":"true"}"#,
            r#"{"header":{"revision":"7"},"responses":{}}"#,
            r#"{"header":{"revision":"7"},"responses":[{"response_range":7}]}"#,
            r#"{"header":{"revision":"7"},"responses":[{"response_range":{"kvs":[{"key":"*"}]}}]}"#,
        ] {
            assert_eq!(TransactionAnswer::read(broken.as_bytes()), Err(EtcdError::Malformed), "{broken}");
        }
    }
}
