//! An issuer's key server that can be told what to answer, or to fail.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming};
use serde_json::Value;

use super::serving::Serving;

pub(crate) struct KeyServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _serving: Serving,
}

#[derive(Default)]
struct State {
    /// `None`: 500.
    keys: Mutex<Option<String>>,
    fetches: AtomicUsize,
}

impl KeyServer {
    /// Fails until it is told better.
    pub(crate) async fn start() -> Self {
        let state = Arc::new(State::default());
        let own = state.clone();
        let serving = Serving::start(move |request| std::future::ready(answer(&own, &request))).await;
        Self { address: serving.address, state, _serving: serving }
    }

    pub(crate) fn publish(&self, keys: &Value) {
        *self.state.keys.lock().unwrap() = Some(keys.to_string());
    }

    pub(crate) fn fail(&self) {
        *self.state.keys.lock().unwrap() = None;
    }

    pub(crate) fn fetches(&self) -> usize {
        self.state.fetches.load(Ordering::SeqCst)
    }
}

fn answer(state: &State, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    state.fetches.fetch_add(1, Ordering::SeqCst);
    let host = request.headers().get("host").and_then(|host| host.to_str().ok());
    let coding = request.headers().get("accept-encoding");
    let asked_rightly = request.method() == "GET"
        && request.uri() == "/keys?v=1"
        && host == Some("keys.test")
        && coding.is_some_and(|coding| coding == "identity");
    let keys = state.keys.lock().unwrap().clone().filter(|_| asked_rightly);
    let status = if keys.is_some() { 200 } else { 500 };
    Response::builder().status(status).body(Full::new(Bytes::from(keys.unwrap_or_default()))).unwrap()
}
