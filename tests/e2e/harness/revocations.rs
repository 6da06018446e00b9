//! A server with a list of what is revoked: with an `ETag`, so that an unchanged list is not sent again.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming};
use serde_json::{Value, json};

use super::serving::Serving;

pub(crate) struct RevocationServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _serving: Serving,
}

struct State {
    /// `None`: 500. With the number of its version.
    list: Mutex<(Option<String>, usize)>,
    sent: AtomicUsize,
    unchanged: AtomicUsize,
}

impl RevocationServer {
    /// Nothing is revoked.
    pub(crate) async fn start() -> Self {
        let state = Arc::new(State {
            list: Mutex::new((Some("{}".to_owned()), 0)),
            sent: AtomicUsize::default(),
            unchanged: AtomicUsize::default(),
        });
        let own = state.clone();
        let serving = Serving::start(move |request| std::future::ready(answer(&own, &request))).await;
        Self { address: serving.address, state, _serving: serving }
    }

    /// The section `revocation` of a policy.
    pub(crate) fn section(&self, max_stale: &str) -> Value {
        json!({"remote": {
            "uri": "https://revocations.test/list", "cluster": "revocations",
            "pollInterval": "1s", "timeout": "500ms", "maxStale": max_stale,
        }})
    }

    pub(crate) fn publish(&self, list: &Value) {
        self.answer(Some(list.to_string()));
    }

    pub(crate) fn fail(&self) {
        self.answer(None);
    }

    fn answer(&self, text: Option<String>) {
        let mut list = self.state.list.lock().unwrap();
        *list = (text, list.1 + 1);
    }

    /// How often the list was sent, and how often it was only confirmed.
    pub(crate) fn fetches(&self) -> (usize, usize) {
        (self.state.sent.load(Ordering::SeqCst), self.state.unchanged.load(Ordering::SeqCst))
    }
}

fn answer(state: &State, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (list, version) = state.list.lock().unwrap().clone();
    let etag = format!("\"v{version}\"");
    let known = request.headers().get("if-none-match").is_some_and(|known| known == etag.as_str());
    let (status, body) = match list {
        _ if request.uri() != "/list" => (404, String::new()),
        _ if request.headers().get("accept-encoding").is_none_or(|coding| coding != "identity") => {
            (406, String::new())
        }
        None => (500, String::new()),
        Some(_) if known => (304, String::new()),
        Some(list) => (200, list),
    };
    match status {
        200 => state.sent.fetch_add(1, Ordering::SeqCst),
        304 => state.unchanged.fetch_add(1, Ordering::SeqCst),
        _ => 0,
    };
    Response::builder().status(status).header("etag", etag).body(Full::new(Bytes::from(body))).unwrap()
}
