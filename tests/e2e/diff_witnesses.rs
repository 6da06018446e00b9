//! Requests by which `portcullis diff` shows what two policies decide otherwise, sent through Envoy under both.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{
        gateway::{Gateway, Wire, gateway},
        issuer::token,
        now,
        policy::{anyone, api_key},
        request::{Request, request},
    },
    offline::{Draw, command, policy, records},
};

/// So many pairs that differ.
const PAIRS: usize = 12;

/// A policy whose rules do not ask where requests come from: here they all come from one address.
fn without_addresses(mut policy: Value) -> Value {
    for rule in policy["rules"].as_array_mut().unwrap() {
        if let Some(asked) = rule.get_mut("authorize").and_then(Value::as_object_mut) {
            asked.remove("remoteAddress");
        }
    }
    policy
}

/// The policy with some of its rules in the places of others, taken out, or made anew.
fn changed(draw: &mut Draw, old: &Value) -> Value {
    let mut new = old.clone();
    let other = without_addresses(policy(draw));
    let rules = new["rules"].as_array_mut().unwrap();
    let count = rules.len();
    let at = draw.below(count);
    match draw.below(3) {
        0 => rules.swap(at, (at + 1) % count),
        1 => _ = rules.remove(at),
        _ => {
            let name = rules[at]["name"].clone();
            rules[at] = other["rules"][draw.below(count)].clone();
            rules[at]["name"] = name;
        }
    }
    new
}

/// What the command tells of a request, as it is sent.
fn sent(told: &Value) -> Request {
    let url = told["url"].as_str().unwrap().strip_prefix("https://").unwrap();
    let (host, _) = url.split_once('/').unwrap();
    let mut sent = request(told["method"].as_str().unwrap(), &url[host.len()..]).authority(host);
    for header in told["headers"].as_array().into_iter().flatten() {
        sent = sent.header(header[0].as_str().unwrap(), header[1].as_str().unwrap());
    }
    let who = &told["principal"];
    if let Some(id) = who["apiKey"].as_str() {
        return sent.api_key(&api_key(id));
    }
    if who["jwt"] != "test" {
        assert!(who.is_null(), "{who}");
        return sent;
    }
    let list = |name: &str| who[name].as_array().cloned().unwrap_or_default();
    let scopes: Vec<_> = list("scopes").iter().map(|scope| scope.as_str().unwrap().to_owned()).collect();
    let mut token =
        token("somebody").claim("roles", json!(list("roles"))).claim("scope", json!(scopes.join(" ")));
    for (name, value) in who["claims"].as_object().into_iter().flatten() {
        let value = match (name.as_str(), value.as_str()) {
            ("auth_time", Some(age)) => {
                let age: i64 =
                    age.strip_prefix('-').and_then(|age| age.strip_suffix('s')).unwrap().parse().unwrap();
                json!(now() - age)
            }
            _ => value.clone(),
        };
        token = token.claim(name, value);
    }
    sent.bearer(&token.sign())
}

/// What Envoy's log says of each request, sent one after the other.
async fn decided(gateway: &Gateway, policy: &Value, requests: &[Request]) -> Vec<Value> {
    assert!(gateway.change_policy(&policy.to_string()).await, "{policy}");
    let before = gateway.log().len();
    for sent in requests {
        gateway.send_over(Wire::Http1, sent).await;
    }
    let mut seen = records(gateway, before);
    for _ in 0..200 {
        if seen.len() == requests.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        seen = records(gateway, before);
    }
    assert_eq!(seen.len(), requests.len(), "a record for each request");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_show_a_difference_show_it_in_envoy() {
    let mut draw = Draw(0x1234_5678_9abc_def1);
    let anything = json!({"rules": [{"name": "any", "authenticate": anyone()["authenticate"]}]});
    let gateway = gateway(&anything).watched().https_only().workers(1).start().await;
    let folder = tempfile::tempdir().unwrap();
    let (mut pairs, mut shown) = (0, [0_usize; 3]);
    let mut faults = Vec::new();
    while pairs < PAIRS {
        let old = without_addresses(policy(&mut draw));
        let new = changed(&mut draw, &old);
        for (name, policy) in [("old.json", &old), ("new.json", &new)] {
            fs::write(folder.path().join(name), policy.to_string()).unwrap();
        }
        // Some have rules that nobody can pass.
        if !command(folder.path(), &["check", "old.json", "new.json"]).status.success() {
            continue;
        }
        let told = command(folder.path(), &["diff", "old.json", "new.json", "--output", "json"]);
        let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{told:?}"));
        let kinds = ["opened", "closed", "changed"];
        let differences: Vec<_> = kinds
            .iter()
            .enumerate()
            .flat_map(|(kind, name)| told[*name].as_array().unwrap().iter().map(move |one| (kind, one)))
            .collect();
        if differences.is_empty() {
            continue;
        }
        pairs += 1;
        let requests: Vec<_> = differences.iter().map(|(_, one)| sent(&one["request"])).collect();
        let by_old = decided(&gateway, &old, &requests).await;
        let by_new = decided(&gateway, &new, &requests).await;
        for ((kind, one), (old_record, new_record)) in differences.iter().zip(by_old.iter().zip(&by_new)) {
            shown[*kind] += 1;
            let decisions = [&old_record["decision"], &new_record["decision"]];
            let expected = [["deny", "allow"], ["allow", "deny"], ["allow", "allow"]][*kind];
            let rules = [&old_record["rule"], &new_record["rule"]];
            if decisions != expected || rules != [&one["old"]["rule"], &one["new"]["rule"]] {
                faults.push(format!("{one:#}\n{old_record}\n{new_record}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(shown.iter().all(|count| *count > 0), "{shown:?}");
}
