//! The trace that a request belongs to (W3C Trace Context).

/// The id of the trace that the value of `traceparent` names, 32 lower-case hexadecimal digits; `None` where nothing is to
/// be taken from it (section 2.2).
pub fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let mut fields = traceparent.splitn(5, |byte| *byte == b'-');
    let version = hexadecimal(fields.next()?, 2)?;
    let trace_id = hexadecimal(fields.next()?, 32)?;
    let parent_id = hexadecimal(fields.next()?, 16)?;
    hexadecimal(fields.next()?, 2)?;
    let is_good = version != "ff" && !is_nothing(trace_id) && !is_nothing(parent_id);
    // Later versions may have more to say (section 4).
    let ends = version != "00" || fields.next().is_none();
    (is_good && ends).then_some(trace_id)
}

fn hexadecimal(field: &[u8], length: usize) -> Option<&str> {
    let is_good = field.len() == length && field.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    str::from_utf8(field).ok().filter(|_| is_good)
}

fn is_nothing(id: &str) -> bool {
    id.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    /// The first is the example of section 2.2.2.
    #[test]
    fn a_trace_is_named_by_what_is_good_alone() {
        for (value, id) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some(ID)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", Some(ID)),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e47366-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None),
            (
                "00-00000000000000000000000000000001-00f067aa0ba902b7-01",
                Some("00000000000000000000000000000001"),
            ),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000001-01", Some(ID)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            // What is behind it belongs to a later version.
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", None),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future", Some(ID)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", None),
            ("fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some(ID)),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            (" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("", None),
        ] {
            assert_eq!(trace_id(value.as_bytes()), id, "{value}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_32_digits_whatever_comes(value in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(trace_id(&value).is_none_or(|id| id.len() == 32));
        }
    }
}
