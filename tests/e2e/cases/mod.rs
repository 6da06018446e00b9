//! What was reported of gateways, in public trackers and by those who attacked this one, held as tests: each case
//! beside the nearest that must go the other way. Where what was wished for is not there, the case holds what is, and
//! that a policy which asks for more is refused.

mod credentials;
mod documents;
mod key_sets;
mod limits;
mod requests;
mod sockets;
mod surroundings;
mod tokens;
mod updates;

use std::time::Duration;

use serde_json::{Value, json};

use self::documents::Documents;
use crate::harness::{
    gateway::{Gateway, Wire, gateway},
    policy::anyone,
    table::{Pair, failures},
};

/// One policy, and what becomes of requests under it.
struct Case {
    name: &'static str,
    /// Where it was reported, or what says so.
    reported: &'static [&'static str],
    policy: Value,
    rows: Vec<Pair>,
    /// What Envoy's log says meanwhile.
    said: Vec<&'static str>,
    /// Policies that are as near as can be, and refused, with what is said of each.
    refused: Vec<(Value, &'static str)>,
}

/// How long documents may be on their way, and what is logged of them.
const SOON: Duration = Duration::from_secs(10);

impl Case {
    fn new(name: &'static str, reported: &'static [&'static str], policy: Value, rows: Vec<Pair>) -> Self {
        Self { name, reported, policy, rows, said: Vec::new(), refused: Vec::new() }
    }

    fn says(mut self, text: &'static str) -> Self {
        self.said.push(text);
        self
    }

    fn refuses(mut self, policy: Value, fault: &'static str) -> Self {
        self.refused.push((policy, fault));
        self
    }

    /// What does not go as it should.
    async fn faults(&self, gateway: &Gateway) -> Vec<String> {
        for (policy, fault) in &self.refused {
            let before = gateway.log().len();
            if gateway.change_policy(&policy.to_string()).await {
                return vec![format!("a policy is accepted that must not be: {policy}")];
            }
            let said = gateway.log().split_off(before);
            if !said.contains(fault) {
                return vec![format!("the log does not say `{fault}`:\n{said}")];
            }
        }
        let before = gateway.log().len();
        if !gateway.change_policy(&self.policy.to_string()).await {
            return vec![format!("the policy is refused:\n{}", gateway.log().split_off(before))];
        }
        let mut faults = failures(gateway, &[Wire::Http1], &self.rows).await;
        for text in &self.said {
            let mut waited = Duration::ZERO;
            while !gateway.log()[before..].contains(text) {
                if waited > SOON {
                    faults.push(format!("the log does not say `{text}`:\n{}", &gateway.log()[before..]));
                    break;
                }
                waited += Duration::from_millis(50);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        faults
    }
}

/// One Envoy for all of them, which is given one policy after the other.
async fn hold(cases: Vec<Case>, documents: &Documents) {
    let anything = json!({"rules": [{"name": "any", "authenticate": anyone()["authenticate"]}]});
    let gateway = gateway(&anything).watched().https_only().jwks(documents.address).start().await;
    let mut text = String::new();
    for case in cases {
        let faults = case.faults(&gateway).await;
        if !faults.is_empty() {
            text += &format!("--- {} ({})\n{}\n", case.name, case.reported.join(", "), faults.join("\n"));
        }
    }
    assert!(text.is_empty(), "{text}");
}
