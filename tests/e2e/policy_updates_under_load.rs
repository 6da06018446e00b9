//! A policy that changes while requests come: each is decided by a policy that was in force while it was on its way, and
//! Envoy's stats say which one that is.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use portcullis::policy::Policy;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    documentation::stats_tags,
    harness::{
        envoy_config::Form,
        gateway::{Gateway, gateway},
        now,
        policy::{anyone, rule},
        request::{Answer, get},
    },
    load,
};

const CHANGES: usize = 200;
const CONNECTIONS: usize = 4;

/// The policy after so many changes. Every second change opens `/sometimes`, or closes it; every tenth is
/// [`broken`]. The name of the first rule says which policy decided.
fn policy(change: usize) -> Value {
    let mut policy = load::policy();
    let mut sometimes = rule("sometimes", "Exact", "/sometimes", anyone());
    if is_closed(change) {
        sometimes = json!({"name": "sometimes", "matches": sometimes["matches"], "action": "Deny"});
    }
    let rules = policy["rules"].as_array_mut().unwrap();
    rules.insert(0, rule(&format!("change-{change}"), "Exact", "/change", anyone()));
    rules.push(sometimes);
    policy
}

const fn is_closed(change: usize) -> bool {
    change / 2 % 2 == 1
}

const fn is_broken(change: usize) -> bool {
    change > 0 && change.is_multiple_of(10)
}

/// Where the fault of a broken policy is, and the policy. No two are alike: Envoy tries none of them twice.
fn broken(change: usize) -> (&'static str, Value) {
    let faults: [(&str, &str, Value); 4] = [
        ("/rules/2/rateLimits", "rules[2].rateLimits[0]", json!(["mnay"])),
        ("/jwt/providers/0/audiences", "jwt.providers[0].audiences", json!([])),
        ("/roles/0/permissions", "roles[0].permissions", json!("orders:read")),
        ("/defaultAction", "defaultAction", json!("Allow")),
    ];
    let (pointer, path, value) = &faults[change / 10 % faults.len()];
    let mut policy = policy(change);
    *policy.pointer_mut(pointer).unwrap() = value.clone();
    (path, policy)
}

fn hash(policy: &Value) -> u64 {
    Policy::compile(policy.to_string().as_bytes(), "test").expect("a good policy").hash()
}

/// What Envoy's stats say of the policies of one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stats {
    accepted: u64,
    refused: u64,
    hash: u64,
}

impl Stats {
    async fn of(gateway: &Gateway, filter: &str) -> Self {
        let text = gateway.admin().text("/stats?filter=portcullis_policy").await;
        let stat = |what: &str| {
            let name = format!("wasmcustom.portcullis_policy_{what}._filter={filter}_: ");
            let value = text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
            value.unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        Self {
            accepted: stat("loads._result=accepted_"),
            refused: stat("loads._result=refused_"),
            hash: stat("hash"),
        }
    }
}

/// The hash of a policy in a file, as the native command prints it.
fn checked(policy: &Value) -> u64 {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    fs::write(file.path(), policy.to_string()).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["check", "--output", "json"])
        .arg(file.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    report["policies"][0]["hash"].as_u64().unwrap_or_else(|| panic!("{report}"))
}

/// Until `hash` is shown. Nothing else is shown but what was before.
async fn shown(gateway: &Gateway, before: u64, hash: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let stats = Stats::of(gateway, "portcullis").await;
        if stats.hash == hash {
            return;
        }
        assert_eq!(stats.hash, before, "neither the old nor the new policy");
        assert!(Instant::now() < deadline, "the new policy is not shown");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Which policies may decide now.
#[derive(Debug, Default)]
struct InForce {
    oldest: AtomicUsize,
    newest: AtomicUsize,
}

/// What is wrong with an answer that a policy from `oldest` to `newest` gave.
fn wrong(answer: &Answer, is_change: bool, oldest: usize, newest: usize) -> Option<String> {
    let mut good = (oldest..=newest).filter(|change| !is_broken(*change));
    let right = if is_change {
        let by = answer.status == 200;
        by && good.any(|change| answer.seen().header("x-portcullis-rule") == [format!("change-{change}")])
    } else {
        let outcome = (answer.status, answer.reason());
        good.any(|change| {
            outcome == if is_closed(change) { (403, Some("rule_denied".to_owned())) } else { (200, None) }
        })
    };
    (!right).then(|| format!("by the policies {oldest} to {newest}: {answer:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_changes_under_load_decide_no_request_wrongly() {
    let first = policy(0);
    let gateway = gateway(&first).form(Form::Struct).watched().workers(2).start().await;
    let gateway = Arc::new(gateway);
    shown(&gateway, 0, hash(&first)).await;
    let stats = gateway.admin().stats().await;
    let connected = stats["http.test.downstream_cx_http2_total"];

    let (in_force, ends) = (Arc::new(InForce::default()), Arc::new(AtomicBool::new(false)));
    let mut tasks: JoinSet<Result<usize, String>> = JoinSet::new();
    for task in 0..2 * CONNECTIONS {
        let (gateway, in_force, ends) = (gateway.clone(), in_force.clone(), ends.clone());
        tasks.spawn(async move {
            let mut http1 = gateway.http1();
            let mut http2 = if task < CONNECTIONS { Some(gateway.http2().await) } else { None };
            let mix = load::mix();
            let mut sent = 0;
            while !ends.load(Ordering::SeqCst) {
                let turn = task + sent;
                let always = &mix[turn / 3 % mix.len()];
                let asked = match turn % 3 {
                    0 => get("/change"),
                    1 => get("/sometimes"),
                    _ => always.request.clone(),
                };
                let oldest = in_force.oldest.load(Ordering::SeqCst);
                let answer = match &mut http2 {
                    Some(http2) => http2.send(&asked).await,
                    None => http1.send(&asked).await,
                };
                let answer = answer.map_err(|error| format!("{asked:?}: {error}"))?;
                let newest = in_force.newest.load(Ordering::SeqCst);
                match turn % 3 {
                    2 => load::wrong(always, &answer),
                    place => wrong(&answer, place == 0, oldest, newest),
                }
                .map_or(Ok(()), Err)?;
                sent += 1;
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
            Ok(sent)
        });
    }

    let (mut good, mut refused) = (hash(&first), 0);
    let started = Instant::now();
    for change in 1..=CHANGES {
        let seen = gateway.log().len();
        let refusals = |log: &str| {
            log.lines().filter(|line| line.contains("policy refused")).map(str::to_owned).collect::<Vec<_>>()
        };
        if is_broken(change) {
            let (path, policy) = broken(change);
            assert!(!gateway.change_policy(&policy.to_string()).await, "{change}");
            refused += 1;
            // Long enough for every thread to say something else.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let lines = refusals(&gateway.log()[seen..]);
            assert!(lines.len() == 1 && lines[0].contains(&format!("policy refused: {path}: ")), "{lines:?}");
        } else {
            let policy = policy(change);
            in_force.newest.store(change, Ordering::SeqCst);
            assert!(gateway.change_policy(&policy.to_string()).await, "{change}: {}", gateway.log());
            let before = std::mem::replace(&mut good, hash(&policy));
            shown(&gateway, before, good).await;
            in_force.oldest.store(change, Ordering::SeqCst);
        }
        let accepted = u64::try_from(change + 1).unwrap() - refused;
        let expected = Stats { accepted, refused, hash: good };
        assert_eq!(Stats::of(&gateway, "portcullis").await, expected, "{change}");
    }
    println!("{CHANGES} changes in {:.1?}", started.elapsed());
    assert_eq!(checked(&policy(CHANGES - 1)), good);
    ends.store(true, Ordering::SeqCst);
    let sent = tasks.join_all().await.into_iter().map(|task| task.unwrap_or_else(|wrong| panic!("{wrong}")));
    let sent: usize = sent.sum();
    println!("{sent} requests");
    assert!(sent > CHANGES * 10, "{sent} are no load");

    let stats = gateway.admin().stats().await;
    // Those of HTTP/1.1 end when Envoy says so, as it does where it answers a request before its end.
    let connections = stats["http.test.downstream_cx_http2_total"] - connected;
    assert_eq!(connections, u64::try_from(CONNECTIONS).unwrap(), "connections were lost");
    let failed = stats.iter().filter(|(name, count)| name.ends_with("downstream_rq_5xx") && **count > 0);
    assert_eq!(failed.count(), 0);
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

/// Envoy tries no policy twice that it knows: one that comes back is counted all the same, and one that is refused again is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_counted_when_it_comes_back_and_not_when_it_stays() {
    let gateway = gateway(&policy(1)).watched().workers(2).start().await;
    let (good, broken) = ([policy(1), policy(2)], broken(10).1);
    shown(&gateway, 0, hash(&good[0])).await;
    // The same in other words.
    let stays = json!({"rules": good[1]["rules"], "roles": good[1]["roles"], "jwt": good[1]["jwt"],
        "apiKeys": good[1]["apiKeys"], "rateLimits": good[1]["rateLimits"], "defaultAction": "Deny"});
    for (policy, taken, accepted, refused) in [
        (&good[1], true, 2, 0),
        (&stays, true, 2, 0),
        (&good[0], true, 3, 0),
        (&good[1], true, 4, 0),
        (&broken, false, 4, 1),
        (&good[0], true, 5, 1),
        (&broken, false, 5, 1),
        (&good[1], true, 6, 1),
    ] {
        let before = Stats::of(&gateway, "portcullis").await.hash;
        assert_eq!(gateway.change_policy(&policy.to_string()).await, taken);
        let after = if taken { hash(policy) } else { before };
        shown(&gateway, before, after).await;
        assert_eq!(Stats::of(&gateway, "portcullis").await, Stats { accepted, refused, hash: after });
    }
}

/// Each by its name; and Prometheus has the names as labels.
#[tokio::test(flavor = "multi_thread")]
async fn filters_say_each_which_policy_is_in_force() {
    let (first, second) = (policy(1), policy(2));
    let gateway = gateway(&first)
        .named("edge")
        .behind("tenants", &second)
        .marks(&["edge", "tenants"])
        .stats_tags(stats_tags())
        .workers(2)
        .start()
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let prometheus = gateway.admin().text("/stats/prometheus?filter=portcullis_policy").await;
    for (filter, policy) in [("edge", &first), ("tenants", &second)] {
        for line in [
            format!("portcullis_policy_loads{{result=\"accepted\",filter=\"{filter}\"}} 1"),
            format!("portcullis_policy_loads{{result=\"refused\",filter=\"{filter}\"}} 0"),
            format!("portcullis_policy_hash{{filter=\"{filter}\"}} {}", hash(policy)),
        ] {
            assert!(prometheus.lines().any(|other| other == line), "no {line} in {prometheus}");
        }
        let name = format!("portcullis_policy_last_load_success_timestamp_seconds{{filter=\"{filter}\"}} ");
        let loaded_at: i64 =
            prometheus.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).expect("a time");
        assert!((0..60).contains(&(now() - loaded_at)), "{prometheus}");
    }
}
