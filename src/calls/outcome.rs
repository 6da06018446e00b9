//! What came of a call, and why it is not what was asked for.

use std::fmt;

/// What came of a [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// No answer: it could not be sent, timed out or was cut off. Envoy also answers 503 and 504 for that.
    Failed,
    /// An answer. Redirects are not followed.
    Answer {
        /// `:status`.
        status: u16,
        /// Names in lower case.
        headers: &'a [(&'a [u8], &'a [u8])],
        /// The whole body, or one byte more than was asked for at most.
        body: &'a [u8],
    },
}

/// Codings that are called by their name (RFC 9110 section 18.6, RFC 7932, RFC 8878).
const CODINGS: [&str; 6] = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress"];

/// Why an answer has no body to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBody {
    /// No answer.
    Failed,
    /// Any status but 200.
    Status(u16),
    /// Longer than allowed.
    TooLarge {
        /// The most bytes.
        max: usize,
    },
}

impl<'a> Outcome<'a> {
    /// The body of an answer with status 200, of `max` bytes at most.
    pub fn body(&self, max: usize) -> Result<&'a [u8], NoBody> {
        match *self {
            Self::Answer { status: 200, body, .. } if body.len() <= max => Ok(body),
            Self::Answer { status: 200, .. } => Err(NoBody::TooLarge { max }),
            Self::Answer { status, .. } => Err(NoBody::Status(status)),
            Self::Failed => Err(NoBody::Failed),
        }
    }

    /// The coding that an answer says its body is in, although none was asked for.
    pub fn coding(&self) -> Option<&'static str> {
        let Self::Answer { headers, .. } = self else { return None };
        let lines = headers.iter().filter(|(name, _)| *name == b"content-encoding").map(|(_, value)| *value);
        let mut codings = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let coding =
            codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))?;
        let known = CODINGS.into_iter().find(|known| coding.eq_ignore_ascii_case(known.as_bytes()));
        Some(known.unwrap_or("unknown"))
    }
}

impl fmt::Display for NoBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("no answer"),
            Self::Status(status @ 300..=399) => write!(f, "status {status}; redirects are never followed"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::TooLarge { max } => write!(f, "longer than {max} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings() {
        for (headers, expected) in [
            (&[][..], None),
            (&[("content-encoding", "gzip")], Some("gzip")),
            (&[("content-encoding", " GZip ")], Some("gzip")),
            (&[("content-encoding", "br"), ("content-encoding", "gzip")], Some("br")),
            (&[("content-encoding", "identity, zstd")], Some("zstd")),
            (&[("content-encoding", "identity")], None),
            (&[("content-encoding", "")], None),
            (&[("content-encoding", "utf-8")], Some("unknown")),
            (&[("content-encoding", "gzip\r\nx")], Some("unknown")),
            (&[("transfer-encoding", "gzip")], None),
        ] {
            let headers: Vec<(&[u8], &[u8])> =
                headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            let answer = Outcome::Answer { status: 200, headers: &headers, body: b"" };
            assert_eq!(answer.coding(), expected, "{headers:?}");
        }
        assert_eq!(Outcome::Failed.coding(), None);
    }

    #[test]
    fn bodies() {
        let answer = |status, body| Outcome::Answer { status, headers: &[], body };
        for (outcome, expected) in [
            (answer(200, b"four"), Ok(&b"four"[..])),
            (answer(200, b""), Ok(b"")),
            (answer(200, b"fives"), Err(NoBody::TooLarge { max: 4 })),
            (answer(201, b"four"), Err(NoBody::Status(201))),
            (answer(304, b""), Err(NoBody::Status(304))),
            (Outcome::Failed, Err(NoBody::Failed)),
        ] {
            assert_eq!(outcome.body(4), expected, "{outcome:?}");
        }
    }
}
