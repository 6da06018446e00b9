//! A server in etcd's place that answers as etcd does, or otherwise.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::serving::Serving;

/// What is wrong with its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They come after so long.
    Late(Duration),
    /// They have this status and body.
    Other(u16, &'static str),
    /// Nothing comes after half of the body.
    Half,
    /// Questions for more keys than so many get 10 MB.
    Large(u64),
    /// The next one is of another cluster, which is empty.
    AnotherClusterOnce,
    /// Every other one is as it was when this began.
    Lagging(Option<Vec<u8>>),
}

pub(crate) struct FaultyEtcd {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _serving: Serving,
}

struct State {
    etcd: SocketAddr,
    fault: Mutex<Option<Fault>>,
    /// The limits of the questions that it was asked.
    asked: Mutex<Vec<u64>>,
}

impl FaultyEtcd {
    /// In front of `etcd`.
    pub(crate) async fn start(etcd: SocketAddr) -> Self {
        let state = Arc::new(State { etcd, fault: Mutex::default(), asked: Mutex::default() });
        let own = state.clone();
        let serving = Serving::start(move |request| answer(own.clone(), request)).await;
        Self { address: serving.address, state, _serving: serving }
    }

    pub(crate) fn set(&self, fault: Option<Fault>) {
        *self.state.fault.lock().unwrap() = fault;
        self.state.asked.lock().unwrap().clear();
    }

    /// The limits of the questions since the last [`FaultyEtcd::set`].
    pub(crate) fn asked(&self) -> Vec<u64> {
        self.state.asked.lock().unwrap().clone()
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let asked = body.collect().await.unwrap().to_bytes();
    let question: Value = serde_json::from_slice(&asked).unwrap();
    let limit = question["limit"].as_str().map_or(0, |limit| limit.parse().unwrap());
    let count = {
        let mut asked = state.asked.lock().unwrap();
        asked.push(limit);
        asked.len()
    };
    let (status, body) = forward(state.etcd, head.uri.path(), asked).await;
    let plain = |status: u16, body: Bytes| Response::builder().status(status).body(Full::new(body)).unwrap();
    let fault = state.fault.lock().unwrap().clone();
    match fault {
        Some(Fault::Late(late)) => tokio::time::sleep(late).await,
        Some(Fault::Other(status, text)) => return plain(status, Bytes::from(text)),
        Some(Fault::Half) => return plain(status, body.slice(..body.len() / 2)),
        Some(Fault::Large(most)) if limit > most => return plain(200, Bytes::from(vec![b' '; 10_000_000])),
        Some(Fault::AnotherClusterOnce) => {
            *state.fault.lock().unwrap() = None;
            let empty = r#"{"header":{"cluster_id":"7","revision":"9999","raft_term":"9"}}"#;
            return plain(200, Bytes::from(empty));
        }
        Some(Fault::Lagging(None)) => {
            *state.fault.lock().unwrap() = Some(Fault::Lagging(Some(body.to_vec())))
        }
        Some(Fault::Lagging(Some(old))) if count % 2 == 0 => return plain(200, Bytes::from(old)),
        Some(Fault::Large(_) | Fault::Lagging(_)) | None => {}
    }
    plain(status, body)
}

async fn forward(etcd: SocketAddr, path: &str, body: Bytes) -> (u16, Bytes) {
    let stream = TcpStream::connect(etcd).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(path).header("host", etcd.to_string()).body(Full::new(body)).unwrap();
    let answer = client.send_request(request).await.unwrap();
    (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes())
}
