//! `dpop` and `mtls` of a token issuer: to whom its tokens are bound.

use std::time::Duration;

use super::{
    algorithms::{ALGORITHMS, not_accepted},
    names::Definitions,
    reader::Node,
    scalar::{choice, duration},
};
use crate::{
    confirmation::BindingMode,
    crypto::Algorithm,
    dpop::{DEFAULT_ALGORITHMS, DpopSpec, LONGEST_MAX_AGE},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const MODES: [(&str, BindingMode); 2] =
    [("Accepted", BindingMode::Accepted), ("Required", BindingMode::Required)];

pub(super) fn dpop(node: Node<'_>) -> Option<DpopSpec> {
    node.object(|o| {
        let mode = o.required("mode", choice("a mode", &MODES));
        let listed = o.has("algorithms");
        let algorithms = o.optional("algorithms", algorithms);
        let max_age = o.optional("maxAge", duration(SECOND..=LONGEST_MAX_AGE));
        let wants_nonce = o.has("nonce");
        let nonce = o.optional("nonce", |n| {
            n.object(|o| {
                let given = o.has("lifetime");
                let lifetime =
                    o.optional("lifetime", duration(SECOND.saturating_mul(10)..=MINUTE.saturating_mul(60)));
                if given { lifetime } else { Some(MINUTE.saturating_mul(5)) }
            })
        });
        // Faulty and noted: never a nonce that is not asked for.
        if wants_nonce != nonce.is_some() || listed != algorithms.is_some() {
            return None;
        }
        Some(DpopSpec {
            mode: mode?,
            algorithms: algorithms.unwrap_or_else(|| DEFAULT_ALGORITHMS.to_vec()),
            max_age: max_age.unwrap_or(MINUTE),
            nonce_lifetime: nonce,
        })
    })
}

/// RFC 9449 section 4.2: an asymmetric algorithm, never `none`.
fn algorithms(node: Node<'_>) -> Option<Vec<Algorithm>> {
    let mut seen: Vec<Algorithm> = Vec::new();
    let public = || ALGORITHMS.iter().filter(|(_, algorithm)| !algorithm.is_symmetric());
    node.filled("no algorithms; leave the field out", |mut n| {
        let text = n.text("an algorithm such as \"ES256\"")?;
        let Some((name, algorithm)) = public().find(|(name, _)| *name == text) else {
            if text == "none" || Algorithm::from_name(&text).is_some() {
                let why = "proofs are signed with a client's own key (RFC 9449 section 4.2)";
                return n.fault(format!("{text} is no algorithm for proofs: {why}"));
            }
            let message = not_accepted(&text, public().map(|(name, _)| *name), n.faults);
            return n.fault(message);
        };
        if seen.contains(algorithm) {
            return n.fault(format!("{name} is listed twice"));
        }
        seen.push(*algorithm);
        Some(*algorithm)
    })
}

pub(super) fn mtls(node: Node<'_>, defs: &Definitions) -> Option<BindingMode> {
    let (path, faults) = (node.path, node.faults);
    let mode = node.object(|o| o.required("mode", choice("a mode", &MODES)));
    if !defs.client_certificates {
        faults.add(&path, "the policy has no clientCertificates section, so no certificate is ever seen");
        return None;
    }
    mode
}
