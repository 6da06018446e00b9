//! `${name}` in text, where something stands for it.

/// `text` with each `${name}` replaced that `value` knows.
pub(in crate::command) fn filled(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.find("${").and_then(|at| rest.split_at_checked(at)) {
        out.push_str(before);
        let found = from.get(2..).and_then(|inner| inner.split_once('}'));
        match found.and_then(|(name, behind)| Some((value(name)?, behind))) {
            Some((value, behind)) => {
                out.push_str(&value);
                rest = behind;
            }
            None => {
                out.push_str("${");
                rest = from.get(2..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}
