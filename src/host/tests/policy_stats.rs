//! What Envoy's stats say of policies.

use serde_json::json;

use super::{StandIn, later, policy, root};

const OF: &str = "._filter=_";

fn stats(host: &StandIn) -> [u64; 4] {
    ["loads._result=accepted_", "loads._result=refused_", "hash", "last_load_success_timestamp_seconds"].map(
        |what| {
            let name = format!("portcullis_policy_{what}{OF}");
            host.stat(&name).unwrap_or_else(|| panic!("no {name}"))
        },
    )
}

#[test]
fn a_policy_is_shown_by_the_first_tick_and_what_comes_after_is_quiet() {
    let host = StandIn::new(policy().to_string());
    let serving = root::configure(&host).unwrap();
    assert_eq!(stats(&host), [1, 0, 0, 0]);
    later(5);
    serving.on_tick();
    let [accepted, refused, hash, loaded_at] = stats(&host);
    assert_eq!((accepted, refused, loaded_at), (1, 0, 1_800_000_005));
    assert!(0 < hash && hash < 1 << 48, "{hash}");
    // Another thread takes the same.
    let other = root::configure(&host).unwrap();
    later(5);
    serving.on_tick();
    other.on_tick();
    assert_eq!(stats(&host), [1, 0, hash, loaded_at]);
    // Time stands still in a call of this host.
    assert_eq!(host.stat("portcullis_policy_last_load_duration_microseconds._filter=_"), Some(0));
}

#[test]
fn one_that_is_replaced_before_its_first_tick_is_never_shown() {
    let host = StandIn::new(policy().to_string());
    let serving = root::configure(&host).unwrap();
    serving.note_configured(&root::configure(&host).unwrap());
    serving.on_tick();
    assert_eq!(stats(&host), [1, 0, 0, 0]);
}

#[test]
fn one_that_is_refused_is_counted_and_not_shown() {
    let mut broken = policy();
    broken["defaultAction"] = json!("Allow");
    let host = StandIn::new(broken.to_string());
    assert!(root::configure(&host).is_none());
    assert_eq!(stats(&host), [0, 1, 0, 0]);
}
