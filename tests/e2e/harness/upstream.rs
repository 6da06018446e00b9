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
use hyper::{HeaderMap, Request, Response, body::Bytes, body::Incoming};
use serde_json::json;

use super::serving::Serving;

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    count: Arc<AtomicUsize>,
    _serving: Serving,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::start_as(false).await
    }

    /// Which speaks HTTP/2 alone, if `http2`; else HTTP/1.1.
    pub(crate) async fn start_as(http2: bool) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let reached = count.clone();
        let serving = Serving::start_as(http2, move |request| {
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
    let (trailers, body) = match body.collect().await {
        Ok(body) => (body.trailers().cloned().unwrap_or_default(), body.to_bytes()),
        Err(_) => Default::default(),
    };
    let seen = json!({
        "method": head.method.as_str(),
        "path": head.uri.to_string(),
        "headers": values(&head.headers),
        "trailers": values(&trailers),
        "body": String::from_utf8_lossy(&body),
    });
    let mut response = Response::new(Full::new(Bytes::from(seen.to_string())));
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// By name.
fn values(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        values.entry(name.as_str()).or_default().push(value);
    }
    values
}
