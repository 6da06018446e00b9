//! `envoy/minimal.yaml` with what docs/envoy.md adds to it for clients that show certificates, over every protocol.

use std::{fs, io, sync::Arc};

use tokio_rustls::rustls::ClientConfig;

use crate::{
    documentation::block,
    harness::{
        client::{self, Http2},
        envoy_version::asks_for_certificates_over_quic,
        gateway::Wire,
        http3::Http3,
        repository,
        request::{Answer, get},
        tls::{self, CLIENTS, IDENTITY, STRANGERS, client_with},
    },
    minimal_config::{Minimal, filter},
};

/// A policy in which certificates are principals, and paths that anyone may ask for.
fn policy() -> String {
    let section = "          clientCertificates: {principals: [{uri: \"spiffe://td/ns/*\"}]}\n          rules:\n          \
                   - {name: open, matches: [{path: {type: Exact, value: /open}}], authenticate: {anonymous: true}}\n          \
                   - {name: machines, matches: [{path: {type: Exact, value: /machines}}], \
                   authenticate: {anyOf: [clientCertificate]}}\n";
    filter().replace("          rules:\n", section)
}

async fn ask(minimal: &Minimal, wire: Wire, client: &Arc<ClientConfig>, path: &str) -> io::Result<Answer> {
    let request = get(path);
    match wire {
        Wire::Http1 => client::http1(client::tls(minimal.https, client.clone()).await?, &request).await,
        Wire::Http2 => Http2::connect(minimal.https, client.clone()).await?.send(&request).await,
        Wire::Http3 => Http3::connect(minimal.http3_address(), client).await?.send(&request).await,
        Wire::Plain => panic!("no listener for plain HTTP"),
    }
}

fn over(wire: Wire, client: Arc<ClientConfig>) -> Arc<ClientConfig> {
    let protocol: &[u8] = match wire {
        Wire::Http2 => b"h2",
        Wire::Http3 => b"h3",
        Wire::Http1 | Wire::Plain => b"http/1.1",
    };
    let mut client = Arc::unwrap_or_clone(client);
    client.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(client)
}

/// `minimal.yaml` with the block of docs/envoy.md, or with that block changed, in the places that `listeners` names.
async fn minimal(listeners: &[&str], required: bool) -> Minimal {
    let page = fs::read_to_string(repository().join("docs/envoy.md")).unwrap();
    let block = block(&page, "require_client_certificate", 0);
    let block = match required {
        true => block,
        false => block.replace("require_client_certificate: true", "require_client_certificate: false"),
    };
    let indented = |place: &str, indent: &str| {
        let lines = block.lines().map(|line| format!("\n{indent}{line}")).collect::<String>();
        (format!("{place}\n{indent}common_tls_context:"), format!("{place}{lines}"))
    };
    let changes = [
        (TCP, indented("v3.DownstreamTlsContext", "          ")),
        (QUIC, indented("downstream_tls_context:", "            ")),
    ];
    let changes: Vec<_> = changes
        .iter()
        .filter(|(listener, _)| listeners.contains(listener))
        .map(|(_, (shipped, here))| (shipped.as_str(), here.as_str()))
        .collect();
    Minimal::start_with(&changes, &policy()).await
}

const TCP: &str = "https";
const QUIC: &str = "http3";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Ours,
    /// Of an authority that the listener does not know, with the same name.
    Foreign,
    None,
}

impl Shown {
    const ALL: [Self; 3] = [Self::Ours, Self::Foreign, Self::None];

    fn client(self, wire: Wire) -> Arc<ClientConfig> {
        let name = "spiffe://td/ns/a";
        over(
            wire,
            match self {
                Self::Ours => client_with(&CLIENTS.identity(name)),
                Self::Foreign => client_with(&STRANGERS.identity(name)),
                Self::None => tls::client(&IDENTITY.certificate, ""),
            },
        )
    }
}

/// Whether the path is open to anyone, and what its rule says to whoever has no certificate.
const PATHS: [(&str, Option<&str>); 2] = [("/open", None), ("/machines", Some("client_certificate_missing"))];

/// Each twice: the second connection takes up the TLS session of the first.
async fn hold(minimal: &Minimal, wire: Wire, shown: Shown, connects: bool, known: bool) {
    let client = shown.client(wire);
    for (path, refusal) in [PATHS, PATHS].concat() {
        let row = format!("{wire:?} {shown:?} {path}");
        match ask(minimal, wire, &client, path).await {
            Err(error) => assert!(!connects, "{row}: {error}"),
            Ok(answer) => {
                assert!(connects, "{row}: {answer:?}");
                let refusal = if known { None } else { refusal };
                let status = if refusal.is_some() { 403 } else { 200 };
                assert_eq!(
                    (answer.status, answer.reason().as_deref()),
                    (status, refusal),
                    "{row}: {answer:?}"
                );
                if known && path == "/machines" {
                    assert_eq!(answer.seen().header("x-portcullis-subject"), ["spiffe://td/ns/a"], "{row}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_require_certificates() {
    let quic = asks_for_certificates_over_quic();
    if !quic {
        // Such an Envoy does not start with it there.
        let refused = tokio::spawn(async { minimal(&[TCP, QUIC], true).await }).await;
        let refused = refused.err().expect("Envoy refuses").into_panic();
        let log = refused.downcast_ref::<String>().expect("its log");
        assert!(log.contains("TLS Client Authentication is not supported over QUIC"), "{log}");
    }
    let minimal = minimal(if quic { &[TCP, QUIC] } else { &[TCP] }, true).await;
    for wire in [Wire::Http1, Wire::Http2, Wire::Http3] {
        for shown in Shown::ALL {
            let ours = shown == Shown::Ours;
            match wire {
                // Whoever came that way would be nobody.
                Wire::Http3 if !quic => hold(&minimal, wire, shown, true, false).await,
                _ => hold(&minimal, wire, shown, ours, ours).await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_ask_for_certificates() {
    let minimal = minimal(&[TCP, QUIC], false).await;
    for wire in [Wire::Http1, Wire::Http2, Wire::Http3] {
        for shown in Shown::ALL {
            match wire {
                Wire::Http3 if !asks_for_certificates_over_quic() => {
                    hold(&minimal, wire, shown, true, false).await;
                }
                _ => hold(&minimal, wire, shown, shown != Shown::Foreign, shown == Shown::Ours).await,
            }
        }
    }
}
