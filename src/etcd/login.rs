//! Users of etcd: who we are there, and the token that stands for it after a login.

use std::fmt;

use serde_json::{Value, json};

use super::EtcdError;

/// As whom etcd is asked.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name.
    pub user: String,
    /// What proves it.
    pub password: Password,
}

/// Its `Debug` never shows it.
#[derive(Clone)]
pub struct Password(pub String);

/// What etcd knows a user by after a login: the value of `authorization` in requests that follow. Its `Debug` never shows
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The longest token: a JWT with room to spare.
const MAX_TOKEN: usize = 8 * 1024;

impl Login {
    /// The body of a request to [`super::AUTHENTICATE`].
    pub fn body(&self) -> Vec<u8> {
        json!({"name": self.user, "password": self.password.0}).to_string().into_bytes()
    }
}

impl Token {
    /// Reads an answer with status 200. The token becomes the value of a header, so it has no other characters than one may.
    ///
    /// # Errors
    /// There is no such token in it.
    pub fn read(body: &[u8]) -> Result<Self, EtcdError> {
        let answer = serde_json::from_slice::<Value>(body).ok();
        let token = answer.as_ref().and_then(|answer| answer.get("token")?.as_str());
        let is_fit = |token: &&str| {
            (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        token.filter(is_fit).map(|token| Self(token.to_owned())).ok_or(EtcdError::Malformed)
    }

    /// The token itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let long = "x".repeat(MAX_TOKEN + 1);
        for (token, is_taken) in [
            ("ZwubwmGELtPFXlRh.14", true),
            ("", false),
            ("a b", false),
            ("a\r\nb: c", false),
            ("\u{e9}", false),
            (&long, false),
        ] {
            let body = json!({"header": {"revision": "2"}, "token": token}).to_string();
            let read = Token::read(body.as_bytes());
            assert_eq!(read.is_ok_and(|read| read.as_str() == token), is_taken, "{token}");
        }
        for broken in ["", "{}", r#"{"token":7}"#, "[]"] {
            assert_eq!(Token::read(broken.as_bytes()).err(), Some(EtcdError::Malformed), "{broken}");
        }
        let login = Login { user: "gateway".to_owned(), password: Password("hunter2".to_owned()) };
        assert_eq!(login.body(), br#"{"name":"gateway","password":"hunter2"}"#);
        assert!(!format!("{login:?}{:?}", Token("hunter2".to_owned())).contains("hunter2"));
    }
}
