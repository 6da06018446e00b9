//! What a scanner of TLS (sslyze) says of the listener of `envoy/minimal.yaml`.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

use crate::{
    harness::artifact,
    minimal_config::{Minimal, filter},
};

/// Of the tests' certificate, which vouches for itself and does not end in this millennium.
const CERTIFICATE_FACTS: [&str; 2] = ["certificate_path_validation", "maximum_certificate_lifespan"];

/// What is found.
struct Scan {
    /// In what it falls short of Mozilla's "intermediate" recommendation, but for facts of the certificate.
    shortcomings: BTreeSet<String>,
    /// By the names of its parts.
    results: Value,
}

async fn scan(minimal: &Minimal) -> Scan {
    let (port, dir) = (minimal.https.port(), tempfile::tempdir().unwrap());
    let report = dir.path().join("report.json");
    let mut command = Command::new(artifact("PORTCULLIS_PYTHON"));
    command
        .args(["-W", "ignore", "-m", "sslyze", "--mozilla_config=intermediate", "--early_data", "--json_out"])
        .arg(&report)
        .arg(format!("localhost:{port}"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (_, compliance) = said.split_once("COMPLIANCE AGAINST TLS CONFIGURATION").unwrap_or_else(|| {
        panic!("no verdict: {said}{}", String::from_utf8_lossy(&output.stderr));
    });
    let shortcomings: BTreeSet<String> = compliance
        .lines()
        .filter_map(|line| line.trim().strip_prefix("* ")?.split_once(':'))
        .map(|(what, _)| what.to_owned())
        .filter(|what| !CERTIFICATE_FACTS.contains(&what.as_str()))
        .collect();
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    let server = &report["server_scan_results"][0];
    assert_eq!(server["scan_status"], "COMPLETED", "{server:#}");
    let parts = server["scan_result"].as_object().unwrap();
    for (name, part) in parts {
        assert!(part["status"] == "COMPLETED" || part["status"] == "NOT_SCHEDULED", "{name}: {part:#}");
    }
    let results = parts.iter().map(|(name, part)| (name.clone(), part["result"].clone())).collect();
    Scan { shortcomings, results }
}

/// The names of the cipher suites that a protocol takes.
fn suites(scan: &Scan, protocol: &str) -> Vec<String> {
    let accepted = scan.results[protocol]["accepted_cipher_suites"].as_array().unwrap();
    accepted.iter().map(|suite| suite["cipher_suite"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_is_as_mozilla_recommends() {
    let minimal = Minimal::start_with(&[], &filter()).await;
    let scan = scan(&minimal).await;
    assert_eq!(scan.shortcomings, BTreeSet::new());
    for protocol in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        assert!(suites(&scan, &format!("{protocol}_cipher_suites")).is_empty(), "{protocol}");
    }
    for protocol in ["tls_1_2_cipher_suites", "tls_1_3_cipher_suites"] {
        let suites = suites(&scan, protocol);
        assert!(!suites.is_empty(), "{protocol}");
        for suite in suites {
            let forward_secret = protocol.starts_with("tls_1_3") || suite.starts_with("TLS_ECDHE_");
            let authenticated = suite.contains("_GCM_") || suite.contains("_CHACHA20_POLY1305_");
            assert!(forward_secret && authenticated, "{suite}");
        }
    }
    assert_eq!(scan.results["tls_1_3_early_data"]["supports_early_data"], false);
}

/// Else the test above would say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_scanner_finds_what_is_weak() {
    let weak = [("tls_params: &tls {tls_minimum_protocol_version: TLSv1_2}", WEAK)];
    let minimal = Minimal::start_with(&weak, &filter()).await;
    let scan = scan(&minimal).await;
    let expected = BTreeSet::from(["tls_versions".to_owned(), "ciphers".to_owned()]);
    assert_eq!(scan.shortcomings, expected);
}

const WEAK: &str = "tls_params: &tls {tls_minimum_protocol_version: TLSv1_0, \
                    cipher_suites: [ECDHE-ECDSA-AES128-SHA, ECDHE-ECDSA-AES128-GCM-SHA256]}";
