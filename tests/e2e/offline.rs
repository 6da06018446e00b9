//! The command decides requests as the filter does in Envoy: the same decision, rule and reason, and the same headers for
//! the upstream, in `portcullis test` and `portcullis explain`.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::{Map, Value, json};

use crate::harness::{
    gateway::{Gateway, Wire, gateway},
    issuer::token,
    policy::{anyone, api_key, api_key_entry, provider},
    request::{Request, request},
};

/// So many policies, and so many requests for each.
const POLICIES: usize = 40;
const REQUESTS: usize = 50;

/// Numbers that look random and are the same in each run (xorshift, G. Marsaglia 2003).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn some<'a>(&mut self, of: &[&'a str]) -> Vec<&'a str> {
        of.iter().filter(|_| self.below(2) == 0).copied().collect()
    }
}

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const ROLES: [&str; 3] = ["viewer", "editor", "admin"];

/// A policy of six rules, each made by chance.
pub(crate) fn policy(draw: &mut Draw) -> Value {
    let paths = [
        json!({"type": "Exact", "value": "/a"}),
        json!({"type": "Exact", "value": "/a/b"}),
        json!({"type": "PathPrefix", "value": "/a"}),
        json!({"type": "PathPrefix", "value": "/b"}),
        json!({"type": "PathTemplate", "value": "/a/{id}"}),
        json!({"type": "PathTemplate", "value": "/users/{user}"}),
        json!({"type": "PathTemplate", "value": "/users/{user}/files/{path=**}"}),
        json!({"type": "RegularExpression", "value": "/c/[0-9]+"}),
    ];
    let ways = [
        json!({"anyOf": [{"jwt": "test"}]}),
        json!({"anyOf": ["apiKey"]}),
        json!({"anyOf": [{"jwt": "test"}, "apiKey"]}),
        json!({"optional": true, "anyOf": [{"jwt": "test"}]}),
        json!({"optional": true, "anyOf": [{"jwt": "test"}], "invalidCredentials": "Anonymous"}),
    ];
    let conditions = [
        json!({"scopes": ["read"]}),
        json!({"scopes": {"anyOf": ["read", "write"]}}),
        json!({"permissions": ["orders:read"]}),
        json!({"permissions": ["orders:write"]}),
        json!({"anyOf": [{"roles": ["admin"]}, {"scopes": ["write"], "permissions": ["orders:read"]}]}),
        json!({"permissions": ["orders:read"], "remoteAddress": ["127.0.0.0/8"]}),
        json!({"scopes": ["read"], "remoteAddress": ["10.0.0.0/8"]}),
        json!({"permissions": ["orders:read"], "noneOf": [{"scopes": ["suspended"]}]}),
    ];
    let of_tokens = [
        json!({"roles": ["editor"]}),
        json!({"claims": [{"claim": "dept", "in": ["sales", "it"]}]}),
        json!({"stepUp": {"acrValues": ["phr"], "maxAge": "5m"}}),
        json!({"claims": [{"claim": "dept", "present": true}], "noneOf": [{"claims": [{"claim": "dept", "equals": "it"}]}]}),
    ];
    let rules = (0..6).map(|n| {
        let path = draw.one(&paths).clone();
        let is_owned = path["value"].as_str().unwrap().contains("{user}");
        let mut entry = json!({"path": path});
        let methods = draw.some(&METHODS);
        if !methods.is_empty() {
            entry["methods"] = json!(methods);
        }
        match draw.below(6) {
            0 => entry["headers"] = json!([{"name": "x-kind", "value": "a"}]),
            1 => entry["queryParams"] = json!([{"name": "q", "type": "Present"}]),
            _ => {}
        }
        let mut rule = json!({"name": format!("r{n}"), "matches": [entry]});
        match draw.below(8) {
            0 => rule["action"] = json!("Deny"),
            1 => rule["authenticate"] = anyone()["authenticate"].clone(),
            _ => {
                let way = draw.one(&ways).clone();
                let is_optional = way.get("optional").is_some();
                let takes_tokens =
                    way["anyOf"][0]["jwt"] == "test" && way["anyOf"].as_array().unwrap().len() == 1;
                rule["authenticate"] = way;
                if !is_optional {
                    match draw.below(4) {
                        0 => {}
                        1 if takes_tokens && is_owned => {
                            rule["authorize"] = json!({"owner": {"pathVariable": "user"}});
                        }
                        1 | 2 if takes_tokens => rule["authorize"] = draw.one(&of_tokens).clone(),
                        _ => rule["authorize"] = draw.one(&conditions).clone(),
                    }
                }
            }
        }
        rule
    });
    let rules: Vec<_> = rules.collect();
    let mut provider = provider();
    provider["claimToHeaders"] = json!([{"claim": "dept", "header": "x-dept"}]);
    json!({
        "decisionLog": {"allowed": true, "denied": "All"},
        "jwt": {"providers": [provider]},
        "apiKeys": {
            "levels": {"Read": {"permissions": ["orders:read"]}, "Write": {"permissions": ["orders:*"]}},
            "keys": [
                api_key_entry("reader", json!({"level": "Read", "scopes": ["read"]})),
                api_key_entry("writer", json!({"level": "Write", "scopes": ["read", "write"], "client": "acme"})),
                api_key_entry("late", json!({"level": "Write", "expiresAt": "2025-01-01T00:00:00Z"})),
                api_key_entry("off", json!({"level": "Write", "disabled": true, "scopes": ["suspended"]})),
            ],
        },
        "roles": [
            {"name": "viewer", "permissions": ["orders:read"]},
            {"name": "editor", "inherits": ["viewer"], "permissions": ["orders:write"]},
            {"name": "admin", "inherits": ["editor"]},
        ],
        "rules": rules,
    })
}

/// A request as Envoy gets it, and as a case of a suite.
struct Both {
    sent: Request,
    case: Value,
    token: Option<Value>,
}

fn both(draw: &mut Draw, n: usize) -> Both {
    let targets = [
        "/a",
        "/a/",
        "/a/b",
        "/a/b/c",
        "/a/7?q=1",
        "/a?q=",
        "/b",
        "/b/x",
        "/users/alice",
        "/users/bob",
        "/users/alice/files/x/y",
        "/users/alice/files/",
        "/c/12",
        "/c/x",
        "/nothing",
        "/a/../b",
        "//a",
        "/a%2Fb",
        "/%61",
    ];
    let (method, target) = (*draw.one(&METHODS), *draw.one(&targets));
    let mut sent = request(method, target);
    let mut asked =
        json!({"method": method, "url": format!("https://localhost{target}"), "from": "127.0.0.1"});
    let mut headers = Map::new();
    if draw.below(4) == 0 {
        let kind = *draw.one(&["a", "b"]);
        sent = sent.header("x-kind", kind);
        headers.insert("x-kind".to_owned(), kind.into());
    }
    if draw.below(6) == 0 {
        sent = sent.header("x-portcullis-subject", "root");
        headers.insert("x-portcullis-subject".to_owned(), "root".into());
    }
    asked["headers"] = Value::Object(headers);
    let mut described = None;
    let kind = draw.below(8);
    if kind < 5 {
        let subject = *draw.one(&["alice", "bob"]);
        let mut token = token(subject);
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), subject.into());
        let mut say =
            |token: &mut crate::harness::issuer::Token, name: &str, value: Value, claimed: Value| {
                *token = token.clone().claim(name, value);
                claims.insert(name.to_owned(), claimed);
            };
        let roles = draw.some(&ROLES);
        say(&mut token, "roles", json!(roles), json!(roles));
        let scope = draw.some(&["read", "write", "suspended"]).join(" ");
        say(&mut token, "scope", json!(scope), json!(scope));
        if draw.below(2) == 0 {
            let dept = *draw.one(&["sales", "it", "hr"]);
            say(&mut token, "dept", json!(dept), json!(dept));
        }
        match draw.below(4) {
            0 => {
                let (now, acr) = (crate::harness::now(), *draw.one(&["phr", "pwd"]));
                say(&mut token, "acr", json!(acr), json!(acr));
                let (at, told) = *draw.one(&[(now - 60, "-60s"), (now - 600, "-600s")]);
                say(&mut token, "auth_time", json!(at), json!(told));
            }
            1 if draw.below(3) == 0 => {
                let at = crate::harness::now() - 100;
                say(&mut token, "exp", json!(at), json!("-100s"));
            }
            _ => {}
        }
        let mut value = json!({"provider": "test", "claims": claims});
        if draw.below(10) == 0 {
            token = token.forged();
            value["signature"] = json!("Forged");
        }
        sent = sent.bearer(&token.sign());
        asked["token"] = json!(format!("t{n}"));
        described = Some(value);
    }
    if kind == 5 || kind == 6 || (kind == 4 && draw.below(4) == 0) {
        let key = *draw.one(&["reader", "writer", "late", "off"]);
        sent = sent.api_key(&api_key(key));
        asked["apiKey"] = json!(key);
    }
    Both {
        sent,
        case: json!({"name": format!("{n}: {method} {target}"), "request": asked}),
        token: described,
    }
}

/// The decision records in Envoy's log behind `from`.
pub(crate) fn records(gateway: &Gateway, from: usize) -> Vec<Value> {
    let log = gateway.log().split_off(from);
    let lines = log.lines().filter_map(|line| line.get(line.find("{\"decision\":")?..));
    lines.filter_map(|line| serde_json::Deserializer::from_str(line).into_iter().next()?.ok()).collect()
}

pub(crate) fn command(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).current_dir(folder).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_envoy_decides_is_what_the_command_says() {
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    let anything = json!({"rules": [{"name": "any", "authenticate": anyone()["authenticate"]}]});
    let gateway = gateway(&anything).watched().https_only().workers(1).start().await;
    let folder = tempfile::tempdir().unwrap();
    let (mut good, mut compared, mut allowed) = (0, 0, 0);
    let mut faults = Vec::new();
    while good < POLICIES {
        let policy = policy(&mut draw);
        fs::write(folder.path().join("policy.json"), policy.to_string()).unwrap();
        // Some have rules that nobody reaches, or can pass.
        let is_good = command(folder.path(), &["check", "policy.json"]).status.success();
        let is_taken = gateway.change_policy(&policy.to_string()).await;
        assert_eq!(is_good, is_taken, "{policy}");
        if !is_taken {
            continue;
        }
        good += 1;
        let before = gateway.log().len();
        let mut cases = Vec::new();
        let mut tokens = Map::new();
        let mut answers = Vec::new();
        for n in 0..REQUESTS {
            let Both { sent, case, token } = both(&mut draw, n);
            tokens.extend(token.map(|token| (format!("t{n}"), token)));
            answers.push(gateway.send_over(Wire::Http1, &sent).await);
            cases.push(case);
        }
        let mut seen = records(&gateway, before);
        for _ in 0..200 {
            if seen.len() == REQUESTS {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
            seen = records(&gateway, before);
        }
        assert_eq!(seen.len(), REQUESTS, "a record for each request");
        for ((case, record), answer) in cases.iter_mut().zip(&seen).zip(&answers) {
            let is_allowed = record["decision"] == "allow";
            let mut expected = json!({"decision": if is_allowed { "Allow" } else { "Deny" }});
            let mut told = json!({"rule": record["rule"]});
            if is_allowed {
                allowed += 1;
                let upstream = answer.seen();
                let own = upstream.header_names().into_iter().filter(|name| {
                    name.starts_with("x-portcullis-")
                        || ["x-dept", "authorization", "x-api-key"].contains(name)
                });
                let mut headers: Map<String, Value> =
                    own.map(|name| (name.to_owned(), upstream.header(name).join(", ").into())).collect();
                for name in
                    ["x-dept", "authorization", "x-api-key", "x-portcullis-subject", "x-portcullis-roles"]
                {
                    headers.entry(name).or_insert(Value::Null);
                }
                headers.insert(":path".to_owned(), upstream.path().into());
                expected["upstream"] = Value::Object(headers);
            } else {
                expected["reason"] = record["reason"].clone();
                expected["status"] = json!(answer.status);
                told["reason"] = record["reason"].clone();
            }
            expected["record"] = told;
            case["expect"] = expected;
            compared += 1;
        }
        let suite = json!({"policy": "policy.json", "tokens": tokens, "cases": cases});
        fs::write(folder.path().join("suite.json"), suite.to_string()).unwrap();
        let tested = command(folder.path(), &["test", "suite.json"]);
        if !tested.status.success() {
            faults.push(format!(
                "{policy}\n{}{}",
                String::from_utf8_lossy(&tested.stdout),
                String::from_utf8_lossy(&tested.stderr)
            ));
        }
        // What `explain` says, of some.
        for (case, record) in cases.iter().zip(&seen).step_by(10) {
            let asked = &case["request"];
            let text = |name: &str| asked[name].as_str().map(str::to_owned);
            let mut arguments = vec!["explain".to_owned(), "-p".to_owned(), "policy.json".to_owned()];
            arguments.extend(["--output", "json", "--from", "127.0.0.1", "-X"].map(str::to_owned));
            arguments.extend([text("method").unwrap(), text("url").unwrap()]);
            for (name, value) in asked["headers"].as_object().unwrap() {
                arguments.extend(["-H".to_owned(), format!("{name}: {}", value.as_str().unwrap())]);
            }
            arguments.extend(text("apiKey").into_iter().flat_map(|id| ["--api-key".to_owned(), id]));
            if let Some(token) = text("token") {
                let token = &tokens[&token];
                // Those with times from now, and forged ones, are for suites alone.
                if token.to_string().contains("\"-") || token.get("signature").is_some() {
                    continue;
                }
                arguments.extend(["--claims".to_owned(), format!("test={}", token["claims"])]);
            }
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let told = command(folder.path(), &arguments);
            let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{told:?}"));
            let same = ["decision", "reason", "rule"].iter().all(|name| told["record"][name] == record[name]);
            if !same {
                faults
                    .push(format!("explain: {policy}\n{case}\nEnvoy: {record}\nexplain: {}", told["record"]));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert_eq!(compared, POLICIES * REQUESTS);
    // Neither all nor nothing.
    assert!((compared / 10..compared * 9 / 10).contains(&allowed), "{allowed} of {compared} allowed");
}
