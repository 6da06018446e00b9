//! Sends requests over QUIC.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::body::{Buf as _, Bytes};
use quinn::{Connecting, Connection, Endpoint, VarInt, crypto::rustls::QuicClientConfig};
use tokio::{task::JoinHandle, time::timeout};
use tokio_rustls::rustls::ClientConfig;

use super::{
    client,
    request::{Answer, Request},
};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A connection that carries many HTTP/3 requests.
pub(crate) struct Http3 {
    connection: Connection,
    sender: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    driver: JoinHandle<()>,
}

impl Http3 {
    /// Fails, too, where the server ends the connection right after the handshake, as for a certificate it refuses.
    pub(crate) async fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let connection = timeout(ANSWER_WITHIN, connecting(address, config)?).await??;
        Self::over(connection).await
    }

    /// Sends before the handshake has ended what the server said, on an earlier connection with the same `config`, that
    /// it takes so early. `None`: it said nothing of the kind. The flag: it did take it.
    pub(crate) async fn send_early(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        request: &Request,
    ) -> io::Result<Option<(Answer, bool)>> {
        let Ok((connection, taken)) = connecting(address, config)?.into_0rtt() else { return Ok(None) };
        let answer = Self::over(connection).await?.send(request).await?;
        Ok(Some((answer, taken.await)))
    }

    async fn over(connection: Connection) -> io::Result<Self> {
        let quic = h3_quinn::Connection::new(connection.clone());
        let (mut driver, sender) = h3::client::new(quic).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            std::future::poll_fn(|context| driver.poll_close(context)).await;
        });
        Ok(Self { connection, sender, driver })
    }

    pub(crate) async fn send(&self, request: &Request) -> io::Result<Answer> {
        let mut sender = self.sender.clone();
        timeout(ANSWER_WITHIN, exchange(&mut sender, request)).await?.map_err(io::Error::other)
    }
}

impl Drop for Http3 {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0x100), b"done");
        self.driver.abort();
    }
}

fn connecting(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Connecting> {
    let mut endpoint = Endpoint::client(([127, 0, 0, 1], 0).into())?;
    let quic = QuicClientConfig::try_from(config.clone()).map_err(io::Error::other)?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(quic)));
    endpoint.connect(address, "localhost").map_err(io::Error::other)
}

async fn exchange(
    sender: &mut h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    request: &Request,
) -> Result<Answer, h3::error::StreamError> {
    let head = client::head(request, true).body(()).expect("a request that HTTP/3 can carry");
    let (body, trailers) = (Bytes::from(request.body.clone()), client::trailers(request));
    let (mut upward, mut downward) = sender.send_request(head).await?.split();
    let sending = async {
        if !body.is_empty() {
            upward.send_data(body).await?;
        }
        if !trailers.is_empty() {
            upward.send_trailers(trailers).await?;
        }
        upward.finish().await
    };
    let receiving = async {
        let head = downward.recv_response().await?;
        let mut body = Vec::new();
        while let Some(mut part) = downward.recv_data().await? {
            body.extend_from_slice(&part.copy_to_bytes(part.remaining()));
        }
        Ok(Answer { status: head.status().as_u16(), headers: client::texts(head.headers()), body })
    };
    tokio::pin!(receiving);
    // What is refused is answered before all of its body is sent, and the rest of that is not wanted.
    tokio::select! {
        answer = &mut receiving => answer,
        _ = sending => receiving.await,
    }
}
