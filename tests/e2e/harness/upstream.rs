//! The service behind the gateway: counts what reaches it and answers each request with what it received.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming};
use serde_json::json;

use super::serving::Serving;

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    count: Arc<AtomicUsize>,
    _serving: Serving,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let reached = count.clone();
        let serving = Serving::start(move |request| {
            reached.fetch_add(1, Ordering::SeqCst);
            answer(request)
        })
        .await;
        Self { address: serving.address, count, _serving: serving }
    }

    /// Requests that reached it.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        headers
            .entry(name.as_str())
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let seen = json!({
        "method": head.method.as_str(),
        "path": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    let mut response = Response::new(Full::new(Bytes::from(seen.to_string())));
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}
