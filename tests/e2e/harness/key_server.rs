//! An issuer's key server that can be told what to answer, or to fail.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

pub(crate) struct KeyServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let task = tokio::spawn(serve(listener, state.clone()));
        Self { address, state, task }
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

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        let service = service_fn(move |request| {
            let answer = answer(&state, &request);
            async { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

fn answer(state: &State, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    state.fetches.fetch_add(1, Ordering::SeqCst);
    let host = request.headers().get("host").and_then(|host| host.to_str().ok());
    let asked_rightly =
        request.method() == "GET" && request.uri() == "/keys?v=1" && host == Some("keys.test");
    let keys = state.keys.lock().unwrap().clone().filter(|_| asked_rightly);
    let status = if keys.is_some() { 200 } else { 500 };
    Response::builder().status(status).body(Full::new(Bytes::from(keys.unwrap_or_default()))).unwrap()
}
