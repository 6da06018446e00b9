//! One worker's side of an etcd: what is sent there, by a user who is logged in where etcd asks for one.

use std::{cell::RefCell, time::Duration};

use super::{AUTHENTICATE, EtcdError, Server, Token, error::body_of};
use crate::{
    calls::{Call, Outcome, pacing},
    time::Timestamp,
};

/// After failures a login is tried again no later than this, plus up to a half.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The longest answer to a login.
const MAX_ANSWER: usize = 16 * 1024;

/// Whoever asks etcd for anything on this worker does so by this one, so that all have one login.
///
/// The token stays in the worker: from the data that workers share every filter of this Envoy could take it.
#[derive(Debug)]
pub struct Client {
    server: Server,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// Somebody has something to ask, and needs a token for it.
    wanted: bool,
    /// The call was handed out, and its outcome is due.
    sent: bool,
    /// Logins one after the other with none of whose tokens anything was answered, the one under way included.
    failures: u32,
    /// When the next may be tried.
    due_at: Timestamp,
}

/// Why nothing may be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotYet {
    /// A login is under way, or is with the next [`Client::tick`].
    LoggingIn,
    /// One has failed, and it is too soon for the next.
    Pausing,
}

impl Client {
    /// Touches nothing outside.
    pub fn new(server: Server) -> Self {
        Self { server, state: RefCell::default() }
    }

    /// Where it is.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// A question, to be sent at once. Its outcome goes to [`Client::read`]. `max_answer` is the longest answer.
    ///
    /// # Errors
    /// It needs a login first. That is asked for with this, and the question to be asked again with the next tick.
    pub fn call(&self, path: &str, body: Vec<u8>, max_answer: usize, now: Timestamp) -> Result<Call, NotYet> {
        let token = self.token(now)?;
        let mut call = self.server.call(path, body, max_answer);
        call.headers.extend(token.map(|token| ("authorization", token.as_str().to_owned())));
        Ok(call)
    }

    /// What etcd knows us by, for whoever asks it by other ways than a [`Client::call`]; `None`: nobody has to log in.
    ///
    /// # Errors
    /// As there.
    pub fn token(&self, now: Timestamp) -> Result<Option<Token>, NotYet> {
        let mut state = self.state.borrow_mut();
        match &state.token {
            _ if !self.has_login() => Ok(None),
            Some(token) => Ok(Some(token.clone())),
            None if state.is_pausing(now) => Err(NotYet::Pausing),
            None => {
                state.wanted = true;
                Err(NotYet::LoggingIn)
            }
        }
    }

    /// To be called where etcd has answered to a [`Client::token`].
    pub fn confirm_token(&self) {
        let mut state = self.state.borrow_mut();
        (state.failures, state.due_at) = (0, Timestamp::default());
    }

    /// To be called where it did not know one.
    pub fn forget_token(&self) {
        self.state.borrow_mut().token = None;
    }

    /// What an answer to a [`Client::call`] has to read, at most `max_answer` bytes.
    ///
    /// # Errors
    /// There is no answer, or etcd says why not. Where etcd does not know who asks, [`Client::may_log_in`] says whether to
    /// ask again.
    pub fn read<'a>(&self, outcome: Outcome<'a>, max_answer: usize) -> Result<&'a [u8], EtcdError> {
        let body = body_of(outcome, max_answer);
        match body {
            Ok(_) => self.confirm_token(),
            // Of two that were under way the later one may cost a login that was not needed.
            Err(EtcdError::Unauthenticated) => self.forget_token(),
            Err(_) => {}
        }
        body
    }

    /// Whether something may be asked, be it after a login: none has just failed, or led to a token that etcd did not know.
    pub fn may_ask(&self, now: Timestamp) -> bool {
        !self.has_login() || !self.state.borrow().is_pausing(now)
    }

    /// The same of one who has a login.
    pub fn may_log_in(&self, now: Timestamp) -> bool {
        self.has_login() && self.may_ask(now)
    }

    /// Whether there is a user to log in.
    pub fn has_login(&self) -> bool {
        self.server.login.is_some()
    }

    /// To be called a few times a second, after all who may have something to ask: the call by which this worker logs in,
    /// where it is due. `random` spreads the calls of many Envoys.
    pub fn tick(&self, now: Timestamp, random: u64) -> Option<Call> {
        let login = self.server.login.as_ref()?;
        let mut state = self.state.borrow_mut();
        if !state.wanted || state.sent || state.token.is_some() || state.is_pausing(now) {
            return None;
        }
        // It counts as failed until something was answered to its token.
        state.due_at = now.saturating_add(pacing::backoff(state.failures, LONGEST_PAUSE, random));
        state.failures = state.failures.saturating_add(1);
        (state.wanted, state.sent) = (false, true);
        Some(self.server.call(AUTHENTICATE, login.body(), MAX_ANSWER))
    }

    /// Takes the outcome of the call that [`Client::tick`] asked for. One that nobody asked for is ignored.
    ///
    /// # Errors
    /// There is no token.
    pub fn on_answer(&self, outcome: Outcome<'_>) -> Result<(), EtcdError> {
        let mut state = self.state.borrow_mut();
        if std::mem::take(&mut state.sent) {
            state.token = Some(Token::read(body_of(outcome, MAX_ANSWER)?)?);
        }
        Ok(())
    }
}

impl State {
    /// Whether there is no login, and it is too soon for one.
    fn is_pausing(&self, now: Timestamp) -> bool {
        // A clock that was set back does not stop logins.
        self.token.is_none() && !self.sent && self.due_at.lies_ahead(now, LONGEST_PAUSE.saturating_mul(2))
    }
}

impl Server {
    fn call(&self, path: &str, body: Vec<u8>, max_answer: usize) -> Call {
        Call {
            cluster: self.cluster.clone(),
            method: "POST",
            endpoint: self.endpoint.with_path(path.to_owned()),
            headers: vec![("content-type", "application/json".to_owned())],
            body,
            timeout: self.timeout,
            max_answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calls::NoBody,
        etcd::{Login, Password, RANGE},
        url::Url,
    };

    const TOKEN: &str = r#"{"header":{"revision":"1"},"token":"t.1"}"#;
    const UNKNOWN: &str = r#"{"error":"etcdserver: invalid auth token","code":16}"#;
    const REFUSED: &str =
        r#"{"error":"etcdserver: authentication failed, invalid user ID or password","code":3}"#;

    fn client(has_login: bool) -> Client {
        let login = Login { user: "gateway".to_owned(), password: Password("hunter2".to_owned()) };
        Client::new(Server {
            section: "apiKeys.etcd",
            endpoint: Url::parse("https://etcd.test:2379").unwrap(),
            cluster: "etcd".to_owned(),
            prefix: "/p/".to_owned(),
            timeout: Duration::from_secs(5),
            login: has_login.then_some(login),
        })
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000).saturating_add(Duration::from_secs(secs))
    }

    fn answer(status: u16, body: &str) -> Outcome<'_> {
        Outcome::Answer { status, headers: &[], body: body.as_bytes() }
    }

    /// A question: what it is sent with, or why not.
    fn ask(client: &Client, secs: u64) -> Result<Option<String>, NotYet> {
        let call = client.call(RANGE, b"{}".to_vec(), 9, at(secs))?;
        assert_eq!((call.endpoint.path.as_str(), call.body.as_slice()), (RANGE, &b"{}"[..]));
        Ok(call.headers.into_iter().find(|(name, _)| *name == "authorization").map(|(_, token)| token))
    }

    fn tick(client: &Client, secs: u64) -> bool {
        client.tick(at(secs), 0).is_some_and(|call| {
            assert_eq!(call.endpoint.path, AUTHENTICATE);
            assert_eq!(call.body, br#"{"name":"gateway","password":"hunter2"}"#);
            assert!(call.headers.iter().all(|(name, _)| *name != "authorization"));
            true
        })
    }

    #[test]
    fn where_nobody_logs_in_nothing_is_asked_for() {
        let client = client(false);
        assert_eq!(ask(&client, 0), Ok(None));
        assert!(!tick(&client, 0) && !client.may_log_in(at(0)));
        assert_eq!(client.read(answer(401, UNKNOWN), 99), Err(EtcdError::Unauthenticated));
        assert!(!tick(&client, 0) && !client.may_log_in(at(0)));
        assert_eq!(ask(&client, 0), Ok(None));
    }

    #[test]
    fn all_have_one_login() {
        let client = client(true);
        assert!(!tick(&client, 0), "nobody has anything to ask");
        assert_eq!([ask(&client, 0), ask(&client, 0)], [Err(NotYet::LoggingIn), Err(NotYet::LoggingIn)]);
        assert_eq!([tick(&client, 0), tick(&client, 0)], [true, false]);
        assert_eq!(ask(&client, 1), Err(NotYet::LoggingIn));
        assert!(!tick(&client, 4), "it is under way");
        assert_eq!(client.on_answer(answer(200, TOKEN)), Ok(()));
        assert_eq!(
            [ask(&client, 5), ask(&client, 600)],
            [Ok(Some("t.1".to_owned())), Ok(Some("t.1".to_owned()))]
        );
        assert!(!tick(&client, 600));
        // What nobody asked for is nothing.
        assert_eq!(client.on_answer(answer(400, REFUSED)), Ok(()));
        assert_eq!(client.read(answer(200, "{}"), 2), Ok(&b"{}"[..]));
        // The token is known no more: at once there is another.
        assert_eq!(client.read(answer(401, UNKNOWN), 2), Err(EtcdError::Unauthenticated));
        assert!(client.may_log_in(at(600)));
        assert_eq!(ask(&client, 600), Err(NotYet::LoggingIn));
        assert!(tick(&client, 600));
        assert_eq!(client.on_answer(answer(200, &TOKEN.replace("t.1", "t.2"))), Ok(()));
        assert_eq!(ask(&client, 600), Ok(Some("t.2".to_owned())));
        for other in [answer(403, r#"{"code":7}"#), answer(503, ""), Outcome::Failed, answer(200, "too long")]
        {
            assert!(client.read(other, 2).is_err());
            assert_eq!(ask(&client, 600), Ok(Some("t.2".to_owned())), "it says nothing about the token");
        }
        assert!(!format!("{client:?}").contains("t.2") && !format!("{client:?}").contains("hunter2"));
    }

    #[test]
    fn a_login_that_fails_is_tried_again_after_a_pause() {
        let client = client(true);
        let mut now = 0;
        let mut pauses = Vec::new();
        for (outcome, expected) in [
            (answer(400, REFUSED), EtcdError::LoginRefused),
            (Outcome::Failed, EtcdError::NoBody(NoBody::Failed)),
            (answer(200, "{}"), EtcdError::Malformed),
            (
                answer(412, r#"{"error":"etcdserver: authentication is not enabled","code":9}"#),
                EtcdError::NoLogin,
            ),
            (Outcome::Failed, EtcdError::NoBody(NoBody::Failed)),
            (Outcome::Failed, EtcdError::NoBody(NoBody::Failed)),
            (Outcome::Failed, EtcdError::NoBody(NoBody::Failed)),
        ] {
            let began = now;
            loop {
                let asked = ask(&client, now);
                assert!(asked.is_err());
                if tick(&client, now) {
                    assert_eq!(asked, Err(NotYet::LoggingIn));
                    break;
                }
                assert_eq!((asked, client.may_log_in(at(now))), (Err(NotYet::Pausing), false));
                now += 1;
            }
            pauses.push(now - began);
            assert_eq!(client.on_answer(outcome), Err(expected));
        }
        assert_eq!(pauses, [0, 1, 2, 4, 5, 5, 5]);
        // By a clock that was set back, too.
        assert_eq!(ask(&client, 0), Err(NotYet::LoggingIn));
    }

    /// A token that etcd does not know is no better than none.
    #[test]
    fn a_token_that_nobody_takes_is_no_reason_to_log_in_at_once() {
        let client = client(true);
        let (mut now, mut logins) = (0, Vec::new());
        while now < 20 {
            match ask(&client, now) {
                Ok(_) => _ = client.read(answer(401, UNKNOWN), 99),
                Err(_) if tick(&client, now) => {
                    logins.push(now);
                    client.on_answer(answer(200, TOKEN)).unwrap();
                }
                Err(_) => now += 1,
            }
        }
        assert_eq!(logins, [0, 1, 3, 7, 12, 17]);
    }
}
