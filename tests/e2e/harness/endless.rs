//! A service whose answers have no end: events, messages over WebSockets and by gRPC; and requests without an answer.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{
    Response,
    body::{Body, Bytes, Frame},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Interval, interval},
};

/// From one event to the next.
const EVERY: Duration = Duration::from_millis(50);

/// Serves until it is dropped.
pub(crate) struct Endless {
    pub(crate) address: SocketAddr,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Endless {
    /// By HTTP/1.1, with one request to a connection; or gRPC by HTTP/2. Of the former, paths that begin with
    /// `/unanswered` get no answer.
    pub(crate) async fn start(grpc: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicUsize::new(0));
        let counted = open.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let open = counted.clone();
                tokio::spawn(async move {
                    if grpc {
                        serve_grpc(stream, open).await
                    } else {
                        serve(stream, Open::one_of(&open)).await
                    }
                });
            }
        });
        Self { address, open, task }
    }

    /// Requests that are not over.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Counts a request until it is over.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn one_of(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::SeqCst);
        Self(all.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Until the other side closes.
async fn serve(mut stream: TcpStream, _open: Open) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let (answer, event): (&[u8], &[u8]) = if head.contains("\r\nupgrade: websocket\r\n") {
        (
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            b"\x81\x05event",
        )
    } else if head.split(' ').nth(1).is_some_and(|target| target.starts_with("/unanswered")) {
        (b"", b"")
    } else {
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            b"d\r\ndata: event\n\n\r\n",
        )
    };
    let (mut reading, mut writing) = stream.split();
    let events = async {
        let mut written = writing.write_all(answer).await;
        while written.is_ok() {
            tokio::time::sleep(EVERY).await;
            written = writing.write_all(event).await;
        }
    };
    let mut sink = [0; 4096];
    let closed = async { while reading.read(&mut sink).await.is_ok_and(|read| read > 0) {} };
    tokio::select! {
        () = events => {}
        () = closed => {}
    }
}

async fn serve_grpc(stream: TcpStream, open: Arc<AtomicUsize>) {
    let answer = service_fn(move |_| {
        let messages = Messages { interval: interval(EVERY), _open: Open::one_of(&open) };
        let answer = Response::builder().header("content-type", "application/grpc").body(messages).unwrap();
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // A connection that Envoy drops is no fault.
    let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
}

/// Each is one byte long.
struct Messages {
    interval: Interval,
    _open: Open,
}

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.interval.poll_tick(context));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x01m")))))
    }
}
