//! Objects of a suite, of which every member must be known.

use serde_json::{Map, Value};

/// What is wrong with a suite, all of it: `cases[2].expect.reson: unknown member`.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<String>);

impl Faults {
    pub(super) fn add(&mut self, path: &str, message: &str) {
        self.0.push(if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") });
    }
}

/// An object of which each member is taken once.
pub(super) struct Members<'a> {
    pub(super) path: String,
    left: Map<String, Value>,
    pub(super) faults: &'a mut Faults,
}

impl<'a> Members<'a> {
    /// `None`, and a fault, if it is no object.
    pub(super) fn of(value: &Value, path: &str, faults: &'a mut Faults) -> Option<Self> {
        match value {
            Value::Object(left) => Some(Self { path: path.to_owned(), left: left.clone(), faults }),
            _ => {
                faults.add(path, "must be an object");
                None
            }
        }
    }

    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.shift_remove(name)
    }

    fn fault<T>(&mut self, name: &str, message: &str) -> Option<T> {
        let path = self.at(name);
        self.faults.add(&path, message);
        None
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            // What looks like a number or a truth value in YAML is text here.
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => self.fault(name, "must be text"),
        }
    }

    pub(super) fn count(&mut self, name: &str) -> Option<u64> {
        let value = self.take(name)?;
        // Numbers of YAML are doubles to some.
        let whole =
            value.as_u64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0)?.to_string().parse().ok());
        whole.or_else(|| self.fault(name, "must be a whole number"))
    }

    pub(super) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(members) => Some(members),
            _ => self.fault(name, "must be an object"),
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Vec<Value> {
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => self.fault(name, "must be a list").unwrap_or_default(),
        }
    }

    /// Whatever was not taken is unknown.
    pub(super) fn end(self) {
        for name in self.left.keys() {
            let path = self.at(name);
            self.faults.add(&path, "unknown member");
        }
    }
}
