//! What an issuer publishes, as it comes: any bytes, any headers.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http_body_util::Full;
use hyper::{HeaderMap, Request, Response, body::Bytes, body::Incoming};

use crate::harness::serving::Serving;

pub(super) struct Documents {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _serving: Serving,
}

type Header = (&'static str, &'static str);

#[derive(Default)]
struct State {
    /// By path: the document, and a header that comes with it.
    published: BTreeMap<String, (Vec<u8>, Option<Header>)>,
    asked: Vec<(String, HeaderMap)>,
}

impl Documents {
    pub(super) async fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let own = Arc::clone(&state);
        let serving =
            Serving::start(move |request| std::future::ready(answer(&mut own.lock().unwrap(), &request)))
                .await;
        Self { address: serving.address, state, _serving: serving }
    }

    pub(super) fn publish(&self, path: &str, document: impl AsRef<[u8]>) {
        self.publish_with(path, document, None);
    }

    pub(super) fn publish_with(&self, path: &str, document: impl AsRef<[u8]>, header: Option<Header>) {
        let published = (document.as_ref().to_vec(), header);
        self.state.lock().unwrap().published.insert(path.to_owned(), published);
    }

    /// The headers of each request for `path`.
    pub(super) fn asked(&self, path: &str) -> Vec<HeaderMap> {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|(asked, _)| asked == path).map(|(_, headers)| headers.clone()).collect()
    }
}

fn answer(state: &mut State, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    state.asked.push((path.to_owned(), request.headers().clone()));
    let Some((document, header)) = state.published.get(path) else {
        return Response::builder().status(404).body(Full::default()).unwrap();
    };
    let mut response = Response::builder();
    if let Some((name, value)) = header {
        response = response.header(*name, *value);
    }
    response.body(Full::new(Bytes::from(document.clone()))).unwrap()
}
