//! Comparisons against requests that are decided one by one, and against what is known beforehand.

#![expect(clippy::arithmetic_side_effects, reason = "test code may panic")]

use std::cell::Cell;

use serde_json::{Value, json};

use super::{
    access::{Atom, Caller, Fact, Facts},
    given::Given,
    region::Route,
    witness::{Holder, Witness, confirm},
    *,
};
use crate::{config::MethodSpec, identity::Party, route::Part};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Numbers that look like chance, the same every time.
struct Dice(Cell<u64>);

impl Dice {
    fn below(&self, most: usize) -> usize {
        let mut next = self.0.get();
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        self.0.set(next);
        usize::try_from((next >> 16) % u64::try_from(most).unwrap()).unwrap()
    }

    fn one<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn in_one_of(&self, times: usize) -> bool {
        self.below(times) == 0
    }
}

fn jwks() -> Value {
    let jwk = crate::crypto::new_private_jwk(crate::crypto::Algorithm::Es256).unwrap();
    let key = crate::crypto::SigningKey::from_jwk(crate::crypto::Algorithm::Es256, &jwk).unwrap();
    json!({"keys": [key.public_jwk().unwrap()]})
}

/// A policy of these rules.
fn with_rules(rules: Value) -> Value {
    json!({
        "jwt": {"providers": [{
            "name": "corp", "issuer": "https://corp.example", "audiences": ["api"], "algorithms": ["ES256"], "claims": {"roles": "roles"},
            "jwks": {"inline": jwks()}
        }]},
        "apiKeys": {
            "levels": {"Write": {"permissions": ["p:1"]}},
            "keys": [
                {"id": "k1", "hash": format!("sha256:{}", "1".repeat(64)), "scopes": ["s1"]},
                {"id": "k2", "hash": format!("sha256:{}", "2".repeat(64)), "roles": ["r1"], "client": "a"},
                {"id": "k3", "hash": format!("sha256:{}", "3".repeat(64)), "level": "Write"}
            ]
        },
        "roles": [
            {"name": "r1", "permissions": ["p:1"]},
            {"name": "r2", "permissions": ["p:*"]},
            {"name": "r3", "inherits": ["r1"], "permissions": ["p:3"]}
        ],
        "rules": rules
    })
}

fn compiled(document: Value) -> Policy {
    Policy::new("test", document, NOW).map_err(|refusal| refusal.message).unwrap()
}

fn compared(old: &Value, new: &Value) -> Comparison {
    Comparison::of(&compiled(old.clone()), &compiled(new.clone()))
}

fn rule(dice: &Dice, name: &str) -> Value {
    let mut rule = json!({"name": name});
    if dice.in_one_of(3) {
        rule["hostnames"] = json!([dice.one(&["a.x", "b.x", "*.x", "*.w.x"])]);
    }
    let entries: Vec<Value> = (0..1 + dice.below(2)).map(|_| entry(dice)).collect();
    if !entries.iter().any(|entry| entry.as_object().unwrap().is_empty()) {
        rule["matches"] = entries.into();
    }
    if dice.in_one_of(8) {
        rule["action"] = "Deny".into();
        return rule;
    }
    let has_id = rule["matches"].as_array().is_some_and(|matches| {
        matches.iter().all(|entry| entry["path"]["value"].as_str().is_some_and(|path| path.contains("{id}")))
    });
    let (ways, authorize) = (dice.below(6), authorize(dice, has_id));
    rule["authenticate"] = match ways {
        0 => json!({"anonymous": true}),
        1 => json!({"anyOf": ["apiKey"]}),
        2 => json!({"anyOf": [{"jwt": "corp"}, "apiKey"]}),
        _ => json!({"anyOf": [{"jwt": "corp"}]}),
    };
    match ways {
        0 if dice.in_one_of(2) => {
            rule["authorize"] = json!({"remoteAddress": [dice.one(&["10.0.0.0/8", "10.1.0.0/16"])]})
        }
        0 => {}
        _ if !authorize.as_object().unwrap().is_empty() => rule["authorize"] = authorize,
        _ => {}
    }
    rule
}

fn entry(dice: &Dice) -> Value {
    let mut entry = json!({});
    if !dice.in_one_of(6) {
        entry["path"] = dice
            .one(&[
                json!({"type": "Exact", "value": "/a"}),
                json!({"type": "Exact", "value": "/a/b"}),
                json!({"type": "Exact", "value": "/A/b", "caseSensitive": false}),
                json!({"type": "PathPrefix", "value": "/a"}),
                json!({"type": "PathPrefix", "value": "/b"}),
                json!({"type": "PathPrefix", "value": "/a/b"}),
                json!({"type": "PathTemplate", "value": "/{id}"}),
                json!({"type": "PathTemplate", "value": "/a/{id}"}),
                json!({"type": "PathTemplate", "value": "/{id}/b"}),
                json!({"type": "PathTemplate", "value": "/{id}/{other}"}),
                json!({"type": "PathTemplate", "value": "/b/{rest=**}"}),
                json!({"type": "RegularExpression", "value": "/(a|b)/[a-f]+"}),
                json!({"type": "RegularExpression", "value": "/a/.*"}),
                json!({"type": "RegularExpression", "value": "(?i)/A/?b?"}),
                json!({"type": "RegularExpression", "value": "/[^/]+/[ab]*"}),
            ])
            .clone();
    }
    if dice.in_one_of(2) {
        entry["methods"] = dice.one(&[json!(["GET"]), json!(["POST"]), json!(["GET", "POST"])]).clone();
    }
    if dice.in_one_of(4) {
        entry["headers"] = dice
            .one(&[
                json!([{"name": "x-h", "value": "1"}]),
                json!([{"name": "x-h", "value": "2"}]),
                json!([{"name": "x-h", "type": "Present"}]),
                json!([{"name": "x-h", "type": "RegularExpression", "value": "[12],?.*"}]),
                json!([{"name": "x-i", "type": "RegularExpression", "value": "a+"}, {"name": "x-h", "value": "1"}]),
            ])
            .clone();
    }
    if dice.in_one_of(6) {
        entry["queryParams"] = dice
            .one(&[
                json!([{"name": "q", "value": "1"}]),
                json!([{"name": "q", "type": "RegularExpression", "value": "[12]"}]),
            ])
            .clone();
    }
    entry
}

fn authorize(dice: &Dice, has_id: bool) -> Value {
    let one = || {
        let mut asked = json!({});
        if dice.in_one_of(3) {
            asked["scopes"] =
                dice.one(&[json!(["s1"]), json!(["s1", "s2"]), json!({"anyOf": ["s1", "s2"]})]).clone();
        }
        if dice.in_one_of(4) {
            asked["permissions"] = dice.one(&[json!(["p:1"]), json!({"anyOf": ["p:1", "p:3"]})]).clone();
        }
        if dice.in_one_of(5) {
            asked["roles"] =
                dice.one(&[json!(["r1"]), json!(["r2"]), json!({"anyOf": ["r1", "r2"]})]).clone();
        }
        if dice.in_one_of(5) {
            asked["claims"] = json!([dice.one(&[
                json!({"claim": "team", "equals": "red"}),
                json!({"claim": "team", "in": ["red", "blue"]}),
                json!({"claim": "team", "contains": "red"}),
                json!({"claim": "team", "matches": "r.*"}),
                json!({"claim": "team", "present": true}),
            ])]);
        }
        if dice.in_one_of(6) {
            asked["noneOf"] = json!([dice.one(&[
                json!({"scopes": ["s2"]}),
                json!({"claims": [{"claim": "team", "equals": "blue"}]}),
                json!({"roles": ["r2"]}),
                json!({"remoteAddress": ["10.1.0.0/16"]}),
            ])]);
        }
        if dice.in_one_of(6) {
            asked["remoteAddress"] = json!([dice.one(&["10.0.0.0/8", "10.1.0.0/16"])]);
        }
        if has_id && dice.in_one_of(3) {
            asked["owner"] = json!({"pathVariable": "id"});
        }
        asked
    };
    let first = one();
    if first.as_object().unwrap().is_empty() || !dice.in_one_of(4) {
        return first;
    }
    let second = one();
    if second.as_object().unwrap().is_empty() { first } else { json!({"anyOf": [first, second]}) }
}

fn is_good(document: &Value) -> bool {
    crate::policy::Policy::compile(document.to_string().as_bytes(), "test").is_ok()
}

/// A policy that has no faults.
fn policy_of(dice: &Dice, base: &Value) -> Value {
    let mut document = base.clone();
    let most = 1 + dice.below(6);
    for n in 0..most {
        let mut with = document.clone();
        let new = rule(dice, &format!("n{n}"));
        with["rules"].as_array_mut().unwrap().push(new);
        if is_good(&with) {
            document = with;
        }
    }
    if document["rules"].as_array().unwrap().is_empty() {
        document["rules"] = json!([{"name": "n0", "authenticate": {"anonymous": true}}]);
    }
    document
}

/// The policy with something else in it.
fn mutated(dice: &Dice, document: &Value) -> Value {
    for _ in 0..40 {
        let mut other = document.clone();
        let count = other["rules"].as_array().unwrap().len();
        let at = dice.below(count);
        let rules = other["rules"].as_array_mut().unwrap();
        match dice.below(7) {
            0 if count > 1 => _ = rules.remove(at),
            1 if count > 1 => rules.swap(at, (at + 1) % count),
            2 => rules.insert(at, rule(dice, "new")),
            3 => {
                let name = rules[at]["name"].as_str().unwrap().to_owned();
                rules[at] = rule(dice, &name);
            }
            4 => {
                let new = rule(dice, "x");
                for name in ["authenticate", "authorize"] {
                    if let (Some(value), true) = (new.get(name), rules[at].get("action").is_none()) {
                        rules[at][name] = value.clone();
                    }
                }
            }
            5 => {
                let new = rule(dice, "x");
                match new.get("matches") {
                    Some(value) => rules[at]["matches"] = value.clone(),
                    None => continue,
                }
            }
            _ => {
                let granted =
                    dice.one(&[json!(["p:1"]), json!(["p:3"]), json!(["p:*"]), json!(["q:1"])]).clone();
                other["roles"][dice.below(3)]["permissions"] = granted;
            }
        }
        if other != *document && is_good(&other) {
            return other;
        }
    }
    document.clone()
}

/// A request of the world that the policies above speak of, with a stranger in each dimension.
fn request(dice: &Dice) -> Witness {
    let segments = ["a", "b", "A", "ab", "f", "z", "cd"];
    let depth = dice.below(4);
    let mut path: String = (0..depth).map(|_| format!("/{}", dice.one(&segments))).collect();
    if path.is_empty() || dice.in_one_of(8) {
        path.push('/');
    }
    let given = |values: &[&str]| match dice.below(7) {
        0..=2 => Given::Nothing,
        3 | 4 => Given::One((*dice.one(values)).to_owned()),
        5 => Given::Two((*dice.one(values)).to_owned(), (*dice.one(values)).to_owned()),
        _ => Given::Alike,
    };
    let mut named = vec![
        (Part::Header, "x-h".to_owned(), given(&["1", "2", "3", "1,2"])),
        (Part::Header, "x-i".to_owned(), given(&["a", "aa", "b"])),
    ];
    let query = given(&["1", "2", "3"]);
    named.push((Part::Query, "q".to_owned(), if query == Given::Alike { Given::Nothing } else { query }));
    let route = Route {
        method: (*dice.one(&["GET", "POST", "PUT"])).to_owned(),
        host: (*dice.one(&["a.x", "b.x", "c.w.x", "x", "y"])).to_owned(),
        path,
        given: named,
    };
    let mut facts = Facts::new();
    let address = *dice.one(&["192.0.2.1", "10.0.0.1", "10.1.2.3"]);
    facts.insert(Atom::Address, Fact::Address(address.parse().unwrap()));
    let (principal, holder) = match dice.below(5) {
        0 => (None, None),
        1 => (Some(MethodSpec::ApiKey), Some(Holder::Key((*dice.one(&["k1", "k2", "k3"])).to_owned()))),
        _ => {
            for scope in ["s1", "s2"] {
                facts.insert(Atom::Scope(Party::Principal, scope.to_owned()), Fact::Flag(dice.in_one_of(2)));
            }
            for role in ["r1", "r2", "r3"] {
                facts.insert(Atom::Role(Party::Principal, role.to_owned()), Fact::Flag(dice.in_one_of(3)));
            }
            let teams = [
                None,
                Some(json!("red")),
                Some(json!("blue")),
                Some(json!(["red", "blue"])),
                Some(json!("rot")),
            ];
            let team = dice.one(&teams);
            facts.insert(Atom::Claim(Party::Principal, vec!["team".to_owned()]), Fact::Claim(team.clone()));
            let subject = *dice.one(&["a", "b", "somebody"]);
            facts.insert(
                Atom::Claim(Party::Principal, vec!["sub".to_owned()]),
                Fact::Claim(Some(subject.into())),
            );
            (Some(MethodSpec::Jwt("corp".to_owned())), None)
        }
    };
    Witness { route, caller: Caller { actor: None, principal }, facts, holder }
}

/// What became of one pair of policies.
#[derive(Debug, Default)]
struct Tally {
    pairs: usize,
    equal: usize,
    classes: usize,
    undecided: usize,
    requests: usize,
    differing: usize,
    /// Requests that differ in a pair of rules of which something was left undecided.
    in_undecided: usize,
}

/// Compares two policies, and holds that against requests that are decided one by one.
fn held_against_requests(dice: &Dice, old: &Value, new: &Value, requests: usize, tally: &mut Tally) {
    let (old_policy, new_policy) = (compiled(old.clone()), compiled(new.clone()));
    let comparison = Comparison::of(&old_policy, &new_policy);
    let found = &comparison.found;
    tally.pairs += 1;
    tally.equal += usize::from(comparison.is_equal());
    tally.classes += found.differences.len();
    tally.undecided += found.undecided.len();
    let told = || format!("{}\n---\n{}\n---\n{:#}", old["rules"], new["rules"], comparison.json());
    let told = || format!("{}\nroles {} {}", told(), old["roles"], new["roles"]);
    for one in &found.differences {
        let both = confirm(&one.witness, &old_policy, &new_policy).unwrap();
        let is_allowed = [both.old.reason.is_none(), both.new.reason.is_none()];
        let expected = match one.kind {
            Kind::Opened => [false, true],
            Kind::Closed => [true, false],
            Kind::Changed => [true, true],
        };
        assert_eq!(is_allowed, expected, "{one:?}\n{}", told());
        assert!(one.kind != Kind::Changed || !one.changes.is_empty(), "{one:?}");
    }
    for _ in 0..requests {
        let asked = request(dice);
        let both = confirm(&asked, &old_policy, &new_policy).unwrap();
        tally.requests += 1;
        let kind = match (both.old.reason, both.new.reason) {
            (Some(_), None) => Kind::Opened,
            (None, Some(_)) => Kind::Closed,
            (None, None) if both.old.rule() != both.new.rule() => Kind::Changed,
            _ => continue,
        };
        tally.differing += 1;
        let rules = [&both.old, &both.new].map(|outcome| outcome.rule().map(str::to_owned));
        let is_told = found
            .differences
            .iter()
            .any(|one| one.kind == kind && [&one.old_rule, &one.new_rule] == [&rules[0], &rules[1]]);
        let is_open =
            found.undecided.iter().any(|one| [&one.old_rule, &one.new_rule] == [&rules[0], &rules[1]]);
        tally.in_undecided += usize::from(!is_told && is_open);
        assert!(
            is_told || is_open,
            "{kind:?} {rules:?} {} {} -> {} is not told\n{}",
            asked.json(),
            both.old.verdict(),
            both.new.verdict(),
            told()
        );
    }
}

/// `PORTCULLIS_DIFF_PAIRS` and `PORTCULLIS_DIFF_REQUESTS` say how many; the seed is `PORTCULLIS_DIFF_SEED`.
#[test]
fn every_request_that_differs_is_in_a_class_that_is_told() {
    let number = |name: &str, otherwise: usize| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let pairs = number("PORTCULLIS_DIFF_PAIRS", 12);
    let requests = number("PORTCULLIS_DIFF_REQUESTS", 400);
    let seed = number("PORTCULLIS_DIFF_SEED", 1);
    let base = with_rules(json!([]));
    let mut tally = Tally::default();
    for pair in 0..pairs {
        let dice = Dice(Cell::new(
            u64::try_from(seed * 1_000_003 + pair).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        ));
        let old = policy_of(&dice, &base);
        let new = match pair % 4 {
            0 => policy_of(&dice, &base),
            1 => mutated(&dice, &mutated(&dice, &old)),
            _ => mutated(&dice, &old),
        };
        held_against_requests(&dice, &old, &new, requests, &mut tally);
    }
    eprintln!("{tally:?}");
    assert!(tally.classes >= pairs / 2, "{tally:?}");
    assert!(tally.undecided <= pairs / 4, "{tally:?}");
}

#[test]
fn a_policy_is_equal_to_itself_and_differences_mirror() {
    let base = with_rules(json!([]));
    for seed in 1..=10 {
        let dice = Dice(Cell::new(seed * 0x9E37_79B9));
        let old = policy_of(&dice, &base);
        let new = mutated(&dice, &old);
        assert!(compared(&old, &old).is_equal(), "{}", old["rules"]);
        let [there, back] = [compared(&old, &new), compared(&new, &old)];
        let classes = |comparison: &Comparison, mirror: bool| {
            let mut all: Vec<_> = comparison
                .found
                .differences
                .iter()
                .map(|one| {
                    let rules = (one.old_rule.clone(), one.new_rule.clone());
                    match (mirror, one.kind) {
                        (false, kind) => (kind, rules),
                        (true, Kind::Opened) => (Kind::Closed, (rules.1, rules.0)),
                        (true, Kind::Closed) => (Kind::Opened, (rules.1, rules.0)),
                        (true, Kind::Changed) => (Kind::Changed, (rules.1, rules.0)),
                    }
                })
                .collect();
            all.sort();
            all
        };
        assert_eq!(classes(&there, false), classes(&back, true), "{}\n{}", old["rules"], new["rules"]);
    }
}

fn by_scope(name: &str, path: Value, scope: &str) -> Value {
    json!({
        "name": name, "matches": [{"path": path}],
        "authenticate": {"anyOf": [{"jwt": "corp"}]}, "authorize": {"scopes": [scope]}
    })
}

#[test]
fn rewrites_that_mean_the_same_are_equal() {
    let (a, b) = (json!({"type": "Exact", "value": "/a"}), json!({"type": "PathPrefix", "value": "/b"}));
    let base = with_rules(json!([by_scope("a", a.clone(), "s1"), by_scope("b", b.clone(), "s2")]));
    let with = |rules: Value| {
        let mut other = base.clone();
        other["rules"] = rules;
        other
    };
    let expression = json!({"type": "RegularExpression", "value": "\\/a"});
    let mut split = by_scope("a", a.clone(), "s1");
    split["matches"] = json!([
        {"path": a, "methods": ["GET"]},
        {"path": a}
    ]);
    // An entry that another one shadows is a fault, so the methods are written apart.
    split["matches"][1]["methods"] = json!(["POST"]);
    let mut all = by_scope("a", a.clone(), "s1");
    all["matches"] = json!([{"path": a, "methods": ["POST", "GET"]}]);
    let mut wordy = by_scope("a", a.clone(), "s1");
    wordy["authorize"] = json!({"anyOf": [{"scopes": ["s1"]}, {"scopes": {"allOf": ["s1", "s2"]}}]});
    for (old, new) in [
        (base.clone(), with(json!([by_scope("b", b.clone(), "s2"), by_scope("a", a.clone(), "s1")]))),
        (base.clone(), with(json!([by_scope("a", expression, "s1"), by_scope("b", b.clone(), "s2")]))),
        (with(json!([split])), with(json!([all]))),
        (base.clone(), with(json!([wordy, by_scope("b", b, "s2")]))),
    ] {
        let comparison = compared(&old, &new);
        assert!(comparison.is_equal(), "{}", comparison.text());
    }
}

#[test]
fn edits_are_told_by_what_they_do() {
    let path = |text: &str| json!({"type": "PathTemplate", "value": text});
    let mut old = with_rules(json!([by_scope("own", path("/u/{id}"), "s1")]));
    old["rules"][0]["authorize"] = json!({"owner": {"pathVariable": "id"}, "scopes": ["s1"]});
    old["rateLimits"] =
        json!([{"name": "slow", "key": ["principal"], "limits": [{"requests": 5, "unit": "Minute"}]}]);
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        let comparison = compared(&old, &new);
        let kinds: Vec<_> = comparison.found.differences.iter().map(|one| one.kind.name()).collect();
        (kinds.join(" "), comparison.found.undecided.len(), comparison.sections.join(" "))
    };
    let asked = |value: Value| move |policy: &mut Value| policy["rules"][0]["authorize"] = value.clone();
    let told = |kinds: &str, sections: &str| (kinds.to_owned(), 0, sections.to_owned());
    assert_eq!(edit(&|_| {}), told("", ""));
    assert_eq!(edit(&asked(json!({"scopes": ["s1"]}))), told("opened", ""));
    assert_eq!(
        edit(&asked(json!({"owner": {"pathVariable": "id"}, "scopes": ["s1", "s2"]}))),
        told("closed", "")
    );
    assert_eq!(
        edit(&asked(json!({"owner": {"pathVariable": "id"}, "scopes": ["s2"]}))),
        told("opened closed", "")
    );
    let step_up = json!({"owner": {"pathVariable": "id"}, "scopes": ["s1"], "stepUp": {"acrValues": ["high"], "maxAge": "5m"}});
    assert_eq!(edit(&asked(step_up)), told("closed", ""));
    assert_eq!(edit(&|policy| policy["rules"][0]["rateLimits"] = json!(["slow"])), told("changed", ""));
    // What is not in force decides nothing.
    let next = |policy: &mut Value| {
        let limit = json!({"name": "next", "key": ["principal"], "limits": [{"requests": 1, "unit": "Day"}], "shadow": true});
        policy["rateLimits"].as_array_mut().unwrap().push(limit);
        policy["rules"][0]["rateLimits"] = json!(["next"]);
    };
    assert_eq!(edit(&next), told("", "~ shadow"));
    assert_eq!(
        edit(&|policy| policy["rules"][0]["shadow"] = json!({"action": "Deny"})),
        told("", "~ shadow")
    );
    let list = json!({"rules": [{"name": "all", "action": "Deny"}]});
    assert_eq!(edit(&|policy| policy["shadow"] = list.clone()), told("", "~ shadow"));
    assert_eq!(edit(&|policy| policy["rules"][0]["name"] = "mine".into()), told("changed", ""));
    assert_eq!(
        edit(&|policy| policy["rules"][0]["corsPreflight"] = "Allow".into()),
        told("opened changed", "")
    );
    // Of all paths one alone is that of somebody whom both rules let pass.
    let both = json!({"owner": {"pathVariable": "id"}, "claims": [{"claim": "sub", "equals": "boss"}]});
    let mut boss = old.clone();
    boss["rules"][0]["authorize"] = both.clone();
    let mut scoped = boss.clone();
    scoped["rules"][0]["authorize"]["scopes"] = json!(["s1"]);
    let comparison = compared(&boss, &scoped);
    let told_of: Vec<_> =
        comparison.found.differences.iter().map(|one| (one.kind, &*one.witness.route.path)).collect();
    assert_eq!(told_of, [(Kind::Closed, "/u/boss")]);
    // Paths with `%2F` are not searched, which is said.
    let (kinds, undecided, _) = edit(&|policy| policy["rules"][0]["encodedSlash"] = "Keep".into());
    assert_eq!((kinds.as_str(), undecided), ("changed", 1));
    assert_eq!(edit(&|policy| policy["realm"] = "other".into()), told("", "+ realm"));
    assert_eq!(edit(&|policy| policy["roles"][0]["permissions"] = json!(["p:9"])), told("", ""));
}

#[test]
fn keys_that_can_do_more_or_less_are_told() {
    let takes = |name: &str, authorize: Value| {
        json!({
            "name": name, "matches": [{"path": {"type": "PathPrefix", "value": format!("/{name}")}}],
            "authenticate": {"anyOf": ["apiKey"]}, "authorize": authorize
        })
    };
    let old = with_rules(json!([
        takes("a", json!({"scopes": ["s1"]})),
        takes("b", json!({"permissions": ["p:1"]})),
        takes("c", json!({"owner": {"pathVariable": "id"}})),
    ]));
    let mut old = old;
    old["rules"][2]["matches"] = json!([{"path": {"type": "PathTemplate", "value": "/c/{id}"}}]);
    let told = |change: &dyn Fn(&mut Value)| -> Vec<String> {
        let mut new = old.clone();
        change(&mut new);
        let comparison = compared(&old, &new);
        assert!(comparison.found.undecided.is_empty(), "{}", comparison.text());
        let line = |change: &KeyChange| format!("{:?} {:?} {:?}", change.ids, change.more, change.less);
        comparison.keys.iter().map(line).collect()
    };
    assert_eq!(told(&|_| {}), [""; 0]);
    let scopes = told(&|policy| policy["apiKeys"]["keys"][1]["scopes"] = json!(["s1"]));
    assert_eq!(scopes, [r#"["k2"] {"a"} {}"#]);
    let disabled = told(&|policy| policy["apiKeys"]["keys"][1]["disabled"] = true.into());
    assert_eq!(disabled, [r#"["k2"] {} {"b", "c"}"#]);
    let level = told(&|policy| policy["apiKeys"]["levels"]["Write"]["permissions"] = json!(["p:2"]));
    assert_eq!(level, [r#"["k3"] {} {"b"}"#]);
    // Who is k2's client owns one path alone.
    let client = told(&|policy| policy["apiKeys"]["keys"][1]["client"] = "b".into());
    assert_eq!(client, [r#"["k2"] {"c"} {"c"}"#]);
    let rule = told(&|policy| policy["rules"][0]["authorize"] = json!({"permissions": ["p:1"]}));
    assert_eq!(rule, [r#"["k1"] {} {"a"}"#, r#"["k2"] {"a"} {}"#, r#"["k3"] {"a"} {}"#]);
}

#[test]
fn who_can_is_what_the_engine_lets_pass() {
    let mut policy = with_rules(json!([
        {"name": "open", "matches": [{"path": {"type": "Exact", "value": "/"}}], "authenticate": {"anonymous": true}},
        {"name": "no", "matches": [{"path": {"type": "PathPrefix", "value": "/a/b"}}], "action": "Deny"},
        {
            "name": "net", "matches": [{"path": {"type": "PathPrefix", "value": "/a"}, "methods": ["POST"]}],
            "authenticate": {"anonymous": true}, "authorize": {"remoteAddress": ["10.0.0.0/8"]}
        },
        {
            "name": "own", "matches": [{"path": {"type": "PathTemplate", "value": "/u/{id}"}}],
            "authenticate": {"anyOf": [{"jwt": "corp"}, "apiKey"]},
            "authorize": {"anyOf": [{"owner": {"pathVariable": "id"}}, {"roles": ["r2"]}, {"permissions": ["p:3"], "scopes": ["s1"]}]}
        }
    ]));
    policy["apiKeys"]["keys"][0]["disabled"] = true.into();
    let policy = compiled(policy);
    let who = |method: &str, path: &str| {
        let found =
            who_can::found(&policy, method, None, path).map_err(|refusal| refusal.message).unwrap().json();
        let rules = found["rules"].as_array().unwrap().clone();
        let one = |rule: &Value| {
            let keys = rule["apiKeys"].as_array().unwrap().len();
            format!("{} {} {} {keys}", rule["rule"].as_str().unwrap_or("-"), rule["anyone"], rule["nobody"])
        };
        rules.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(who("GET", "/"), "open true false 0");
    assert_eq!(who("GET", "/a/b/c"), "no false true 0");
    assert_eq!(who("POST", "/a/{x}"), "no false true 0, net true false 0");
    assert_eq!(who("GET", "/a/c"), "- false true 0");
    assert_eq!(who("GET", "/u/{id}"), "own false false 2");
    assert_eq!(who("GET", "/u/a"), "own false false 1");
    let can = |caller: &str| {
        let found = can::found(&policy, caller).map_err(|refusal| refusal.message).unwrap();
        found.iter().map(|one| format!("{} {}", one.rule, one.only.len())).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(can("anyone"), "open 0, net 1");
    assert_eq!(can("role:r2"), "open 0, net 1, own 0");
    assert_eq!(can("role:r1"), "open 0, net 1, own 1");
    assert_eq!(can("key:k2"), "open 0, net 1, own 1");
    assert_eq!(can("key:k1"), "open 0, net 1");
}

/// `PORTCULLIS_DIFF_RULES` says how many rules there are.
#[test]
fn large_policies_with_few_edits_are_compared_in_bounded_time() {
    let count =
        std::env::var("PORTCULLIS_DIFF_RULES").ok().and_then(|text| text.parse().ok()).unwrap_or(300_usize);
    let path = |n: usize| match n % 4 {
        0 => json!({"type": "Exact", "value": format!("/s{n}/status")}),
        1 => json!({"type": "PathPrefix", "value": format!("/s{n}/api")}),
        2 => json!({"type": "PathTemplate", "value": format!("/s{n}/items/{{id}}")}),
        _ => json!({"type": "PathTemplate", "value": format!("/{{tenant}}/r{n}/{{rest=**}}")}),
    };
    let old =
        with_rules((0..count).map(|n| by_scope(&format!("n{n}"), path(n), &format!("s{}", n % 7))).collect());
    let mut new = old.clone();
    let rules = new["rules"].as_array_mut().unwrap();
    rules[17]["authorize"] = json!({"scopes": ["s1"]});
    rules.remove(count / 2);
    rules.insert(100, json!({
        "name": "wide", "matches": [{"path": {"type": "PathPrefix", "value": "/s104"}}], "authenticate": {"anonymous": true}
    }));
    rules.retain(|rule| rule["name"] != "n104");
    let (old, new) = (compiled(old), compiled(new));
    let since = std::time::Instant::now();
    let comparison = Comparison::of(&old, &new);
    eprintln!("{count} rules: {:?}", since.elapsed());
    assert!(comparison.found.undecided.is_empty(), "{}", comparison.text());
    let told: Vec<_> = comparison
        .found
        .differences
        .iter()
        .map(|one| (one.kind, one.old_rule.clone(), one.new_rule.clone()))
        .collect();
    let has =
        |kind, old: Option<String>, new: Option<&str>| told.contains(&(kind, old, new.map(str::to_owned)));
    assert!(has(Kind::Opened, Some("n17".to_owned()), Some("n17")), "{told:?}");
    assert!(has(Kind::Closed, Some(format!("n{}", count / 2)), None), "{told:?}");
    assert!(has(Kind::Opened, None, Some("wide")), "{told:?}");
}
