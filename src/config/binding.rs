//! `dpop` and `mtls` of a token issuer: to whom its tokens are bound.

use super::{
    algorithms::{PUBLIC, named, not_accepted},
    model::{HOUR, Kind, MINUTE, SECOND, Shape, default, optional, required, words},
    names::Definitions,
    reader::{Node, Object},
};
use crate::{confirmation::BindingMode, crypto::Algorithm, dpop::DpopSpec};

const MODES: [(&str, BindingMode); 2] =
    [("Accepted", BindingMode::Accepted), ("Required", BindingMode::Required)];

const MODE: Kind = Kind::Choice("a mode", &words(&MODES));

pub(super) static DPOP: Shape = Shape::new(&[
    required(
        "mode",
        MODE,
        "`Accepted`: tokens that are bound need a proof, others pass as bearer tokens. `Required`: every token must \
         be bound and proven.",
    ),
    default(
        "algorithms",
        Kind::List("no algorithms; leave the field out", &Kind::Algorithm(&PUBLIC)),
        "ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512",
        "The only algorithms accepted in proofs; any with public keys.",
    ),
    default(
        "maxAge",
        Kind::Duration(SECOND, 5 * MINUTE),
        "60s",
        "How long after its `iat` a proof is accepted. A client's clock may be 5 s ahead.",
    ),
    optional(
        "nonce",
        Kind::Object(&NONCE),
        "absent: proofs need no nonce",
        "Every proof must carry a nonce of ours. A proof without gets 401 `use_dpop_nonce` with one in `DPoP-Nonce`; \
         an allowed answer brings the next in time.",
    ),
]);

static NONCE: Shape = Shape::new(&[default(
    "lifetime",
    Kind::Duration(10 * SECOND, HOUR),
    "5m",
    "How long a nonce is handed out. It is accepted for as long again.",
)]);

pub(super) static MTLS: Shape = Shape::new(&[required(
    "mode",
    MODE,
    "Tokens bound to a client certificate (`cnf.x5t#S256`, RFC 8705 section 3) pass only with that certificate, \
     whatever is written here. `Required`: every token must be bound to one. Needs `clientCertificates`; without that \
     section bound tokens are refused.",
)]);

pub(super) fn dpop(mut o: Object<'_>) -> Option<DpopSpec> {
    let mode = o.choice("mode", &MODES);
    let algorithms = algorithms(&mut o);
    let max_age = o.duration("maxAge");
    let nonce_lifetime = o.object("nonce").and_then(|mut o| o.duration("lifetime"));
    // Faulty and noted: never a nonce that is not asked for.
    if o.has("nonce") != nonce_lifetime.is_some() {
        return None;
    }
    Some(DpopSpec { mode: mode?, algorithms: algorithms?, max_age: max_age?, nonce_lifetime })
}

/// RFC 9449 section 4.2: an asymmetric algorithm, never `none`.
fn algorithms(o: &mut Object<'_>) -> Option<Vec<Algorithm>> {
    if let Some(names) = o.left_out("algorithms") {
        return names.split(' ').map(Algorithm::from_name).collect();
    }
    let mut seen: Vec<Algorithm> = Vec::new();
    o.list("algorithms")?.all(|mut n: Node<'_>| {
        let text = n.text("an algorithm such as \"ES256\"")?;
        let Some(algorithm) = named(&text, &PUBLIC) else {
            if text.eq_ignore_ascii_case("none") || Algorithm::from_name(&text).is_some() {
                let why = "proofs are signed with a client's own key (RFC 9449 section 4.2)";
                return n.fault(format!("{text} is no algorithm for proofs: {why}"));
            }
            return n.fault(not_accepted(&text, &PUBLIC, n.faults));
        };
        if seen.contains(&algorithm) {
            return n.fault(format!("{text} is listed twice"));
        }
        seen.push(algorithm);
        Some(algorithm)
    })
}

pub(super) fn mtls(mut o: Object<'_>, defs: &Definitions) -> Option<BindingMode> {
    let mode = o.choice("mode", &MODES);
    if !defs.client_certificates {
        return o.fault("the policy has no clientCertificates section, so no certificate is ever seen");
    }
    mode
}
