//! Sends a request over a connection of its own and reads the answer.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    HeaderMap,
    body::{Bytes, Frame, Incoming},
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::ClientConfig};

use super::request::{Answer, Request};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config).connect("localhost".try_into().unwrap(), stream).await
}

pub(crate) async fn try_http1_plain(address: SocketAddr, request: &Request) -> io::Result<Answer> {
    http1(TcpStream::connect(address).await?, request).await
}

/// HTTP/1.1 written and read by hand: no library stands between the test and the wire.
pub(crate) async fn http1(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &Request,
) -> io::Result<Answer> {
    let exchange = async {
        stream.write_all(&http1_bytes(request, true)).await?;
        stream.flush().await?;
        read_http1(&mut stream, request.method == "HEAD").await
    };
    timeout(ANSWER_WITHIN, exchange).await?
}

/// Not until the end of the connection: Envoy lingers for a second before it closes.
async fn read_http1(stream: &mut (impl AsyncRead + Unpin), head_only: bool) -> io::Result<Answer> {
    let mut answer = Vec::new();
    loop {
        if let Some(answer) = parse_http1(&answer, head_only) {
            return Ok(answer);
        }
        if stream.read_buf(&mut answer).await? == 0 {
            let text = String::from_utf8_lossy(&answer).into_owned();
            return Err(io::Error::other(format!("not a whole HTTP answer: {text:?}")));
        }
    }
}

/// Writes `bytes` and reads until the other side closes.
pub(crate) async fn raw(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> io::Result<Vec<u8>> {
    let exchange = async {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            // Some servers end TLS without saying so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
            // Envoy resets after an early answer while a body is still on its way.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !answer.is_empty() => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        Ok(answer)
    };
    timeout(ANSWER_WITHIN, exchange).await?
}

/// As it goes over the wire. `closes`: it is the last one of its connection.
pub(crate) fn http1_bytes(request: &Request, closes: bool) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target).into_bytes();
    let mut line = |name: &str, value: &[u8]| {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    };
    line("host", request.authority.as_bytes());
    for (name, value) in &request.headers {
        line(name, value);
    }
    if closes {
        line("connection", b"close");
    }
    if !request.body.is_empty() {
        line("content-length", request.body.len().to_string().as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&request.body);
    bytes
}

/// `None` while part of the answer is missing.
fn parse_http1(bytes: &[u8], head_only: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at(end);
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<_>>()?;
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let body = rest.get(4..)?;
    let body = match header("content-length").map(str::parse::<usize>) {
        _ if head_only => Vec::new(),
        _ if header("transfer-encoding") == Some("chunked") => unchunk(body)?,
        Some(length) => body.get(..length.ok()?)?.to_vec(),
        None => Vec::new(),
    };
    Some(Answer { status, headers, body })
}

/// RFC 9112 section 7.1, without extensions and trailers.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if size == 0 {
            // Nothing of it is left for the answer that comes next.
            return (rest.get(end + 2..) == Some(b"\r\n")).then_some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

/// A connection without TLS that carries one request after the other, each written by hand; made anew when Envoy ends
/// it.
pub(crate) struct Plain {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Plain {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    pub(crate) async fn send(&mut self, request: &Request) -> io::Result<Answer> {
        // Envoy may have ended the connection after the last answer: then once more on a new one.
        if let Some(stream) = self.stream.take()
            && let Ok(answer) = self.send_on(stream, request).await
        {
            return Ok(answer);
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        self.send_on(stream, request).await
    }

    async fn send_on(&mut self, mut stream: TcpStream, request: &Request) -> io::Result<Answer> {
        let exchange = async {
            stream.write_all(&http1_bytes(request, false)).await?;
            read_http1(&mut stream, request.method == "HEAD").await
        };
        let answer = timeout(ANSWER_WITHIN, exchange).await??;
        if answer.header("connection") != Some("close") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// A connection that carries many HTTP/2 requests.
#[derive(Clone)]
pub(crate) struct Http2(hyper::client::conn::http2::SendRequest<Body>);

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::connect_with_window(address, config, 65_535).await
    }

    /// Takes so much of each answer's body.
    pub(crate) async fn connect_with_window(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        window: u32,
    ) -> io::Result<Self> {
        let stream = TokioIo::new(tls(address, config).await?);
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// The status alone, and the body, which must be kept for the answer to stay open.
    pub(crate) async fn begin(&mut self, request: &Request) -> io::Result<(u16, Incoming)> {
        let answer = timeout(ANSWER_WITHIN, self.0.send_request(hyper_request(request, true))).await?;
        let answer = answer.map_err(io::Error::other)?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }

    pub(crate) async fn send(&mut self, request: &Request) -> io::Result<Answer> {
        let exchange = async {
            let answer = self.0.send_request(hyper_request(request, true)).await.map_err(io::Error::other)?;
            collected(answer).await
        };
        timeout(ANSWER_WITHIN, exchange).await?
    }
}

/// A body that comes in parts, as they are sent.
struct Parts(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

impl Http2 {
    /// Sends a request whose body is sent part by part by whoever has the other end of `parts`.
    pub(crate) async fn send_parts(
        mut self,
        request: Request,
        parts: mpsc::Receiver<Bytes>,
    ) -> io::Result<Answer> {
        let request = head(&request, true).body(Parts(parts).boxed()).expect("a request");
        let answer = self.0.send_request(request).await.map_err(io::Error::other)?;
        timeout(ANSWER_WITHIN, collected(answer)).await?
    }
}

/// A request over HTTP/1.1 that is written bit by bit.
pub(crate) struct Upload(TlsStream<TcpStream>);

impl Upload {
    pub(crate) const fn new(stream: TlsStream<TcpStream>) -> Self {
        Self(stream)
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        timeout(ANSWER_WITHIN, read_http1(&mut self.0, false)).await.unwrap().unwrap()
    }
}

/// A connection that carries one HTTP/1.1 request after the other, made anew when Envoy ends it.
pub(crate) struct Http1 {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    sender: Option<hyper::client::conn::http1::SendRequest<Body>>,
}

impl Http1 {
    pub(crate) fn new(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        Self { address, config, sender: None }
    }

    pub(crate) async fn send(&mut self, request: &Request) -> io::Result<Answer> {
        let exchange = async {
            let mut sender = match self.sender.take() {
                Some(sender) => sender,
                None => {
                    let stream = TokioIo::new(tls(self.address, self.config.clone()).await?);
                    let (sender, connection) =
                        hyper::client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
                    tokio::spawn(connection);
                    sender
                }
            };
            sender.ready().await.map_err(io::Error::other)?;
            let answer =
                sender.send_request(hyper_request(request, false)).await.map_err(io::Error::other)?;
            let answer = collected(answer).await?;
            // Envoy closes after it refused a request whose body it has not read.
            if answer.header("connection") != Some("close") {
                self.sender = Some(sender);
            }
            Ok(answer)
        };
        timeout(ANSWER_WITHIN, exchange).await?
    }
}

type Body = BoxBody<Bytes, Infallible>;

pub(super) fn trailers(request: &Request) -> HeaderMap {
    let trailer = |(name, value): &(String, Vec<u8>)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_bytes(value).expect("a value"))
    };
    request.trailers.iter().map(trailer).collect()
}

/// All but the body. `absolute`: with its host in the URI, and not in a header.
pub(super) fn head(request: &Request, absolute: bool) -> hyper::http::request::Builder {
    let uri = if absolute {
        format!("https://{}{}", request.authority, request.target)
    } else {
        request.target.clone()
    };
    let mut built = hyper::Request::builder().method(request.method.as_str()).uri(uri);
    if !absolute {
        built = built.header("host", &request.authority);
    }
    for (name, value) in &request.headers {
        built = built.header(name.as_str(), value.as_slice());
    }
    built
}

fn hyper_request(request: &Request, absolute: bool) -> hyper::Request<Body> {
    let body = Full::new(Bytes::from(request.body.clone()));
    let body = match trailers(request) {
        trailers if trailers.is_empty() => body.boxed(),
        // Nor does anybody say how long the body is.
        trailers => {
            let body = body.map_frame(|frame| frame);
            body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed()
        }
    };
    head(request, absolute).body(body).expect("a request that HTTP/2 can carry")
}

pub(super) fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

async fn collected(answer: hyper::Response<Incoming>) -> io::Result<Answer> {
    let (head, body) = answer.into_parts();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: texts(&head.headers),
        body: body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec(),
    })
}
