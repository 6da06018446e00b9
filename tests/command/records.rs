//! `portcullis report`, on lines as Envoy's log has them.

use serde_json::{Value, json};

use crate::{
    pages::{commands, shell},
    run, text,
};

const POLICY: &str = r#"
rules:
- {name: read, matches: [{path: {type: PathPrefix, value: /orders}, methods: [GET]}], authenticate: {anyOf: [apiKey]}, authorize: {permissions: ["orders:read"]}}
- {name: write, matches: [{path: {type: PathPrefix, value: /orders}}], authenticate: {anyOf: [apiKey]}, authorize: {permissions: ["orders:write"]}}
roles: [{name: viewer, permissions: ["orders:read"]}, {name: editor, permissions: ["orders:write"]}]
apiKeys:
  keys:
  - {id: k1, roles: [viewer], hash: "sha256:9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab"}
  - {id: k2, roles: [editor], hash: "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"}
"#;

const LOG: &str = r#"[2027-01-14 23:59:59.999][12][warning][wasm] wasm log: {"decision":"deny","reason":"no_rule","method":"GET","path":"/x"}
[2027-01-15 08:00:00.000][12][info][wasm] wasm log portcullis: {"decision":"allow","rule":"read","method":"GET","path":"/orders","principal":"it","kind":"api-key","credential":"k1"}
[2027-01-15 08:00:01.000][12][info][main] starting main dispatch loop
{"decision":"deny","reason":"insufficient_permission","missing":["orders:write"],"rule":"write","method":"PUT","path":"/orders","principal":"it","kind":"api-key","credential":"k1","repeated":41}
{"decision":"deny","reason":"rate_limited","rule":"read","principal":"bob\u001b[2J","kind":"jwt","limit":"reads"}
not {"decision":"a record
"#;

fn told(arguments: &[&str]) -> Value {
    let all = [&["report", "--output", "json"], arguments, &["-"]].concat();
    let done = run(&all, LOG);
    assert!(done.status.success(), "{}", text(done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn records_are_counted_wherever_they_stand_in_a_log() {
    let tally = |allowed: u64, denied: u64| json!({"allowed": allowed, "denied": denied, "ended": 0, "wouldDeny": 0, "wouldAllow": 0});
    let all = told(&[]);
    assert_eq!(all["requests"], tally(1, 43));
    assert_eq!(all["by"]["rule"], json!({"write": tally(0, 41), "read": tally(1, 1)}));
    assert_eq!(all["by"]["principal"]["it (api-key)"], tally(1, 41));
    for (arguments, expected) in [
        (&["--where", "credential=k1"][..], tally(1, 41)),
        (&["--where", "credential=k1", "--where", "decision=allow"], tally(1, 0)),
        (&["--where", "missing=orders:write"], tally(0, 41)),
        (&["--where", "credential=k2"], tally(0, 0)),
        (&["--since", "2027-01-15"], tally(1, 42)),
        (&["--since", "2027-01-15 08:00:00.001"], tally(0, 42)),
    ] {
        assert_eq!(told(arguments)["requests"], expected, "{arguments:?}");
    }
}

#[test]
fn people_are_told_the_most_frequent_first_and_no_terminal_obeys() {
    let done = run(&["report", "--by", "principal", "--top", "1", "-"], LOG);
    let expected = "44 requests: 1 allowed, 43 denied

  allowed    denied  principal
        1        41  it (api-key)
                      and 1 more (--top)
";
    assert_eq!(text(done.stdout), expected);
    let said = text(run(&["report", "-"], LOG).stdout);
    assert!(said.contains("bob\\u{1b}[2J") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn what_nobody_used_is_told_of_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    let unused = told(&["-p", policy.to_str().unwrap()])["unused"].clone();
    let expected = json!({
        "rules": ["write"], "permissions": ["orders:write"], "roles": ["editor"], "apiKeys": ["k2"],
        "rulesByApiKey": {"k1": ["read"]},
    });
    assert_eq!(unused, expected);
}

#[test]
fn what_cannot_be_read_is_said() {
    for (arguments, expected) in [
        (&["report", "nowhere.log"][..], "error: nowhere.log cannot be read: "),
        (&["report", "--where", "decision", "-"], "error: --where is MEMBER=VALUE"),
    ] {
        let done = run(arguments, "");
        assert_eq!(done.status.code(), Some(2));
        let said = text(done.stderr);
        assert!(said.starts_with(expected), "{said}");
    }
}

/// Every command of the page for whoever is on call, in one folder with a policy, later ones and a log.
#[test]
fn the_page_for_whoever_is_on_call_is_done_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let page = include_str!("../../docs/on-call.md");
    let testing = include_str!("../../docs/testing.md");
    let policy = testing.split("```yaml\n").find(|block| block.starts_with("jwt:")).unwrap();
    let policy = policy.split("\n```").next().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("policy.yaml", policy);
    write("yesterday.yaml", &policy.replace("methods: [PUT]", "methods: [PUT, DELETE]"));
    write("new.yaml", &policy.replace("requests: 3", "requests: 4"));
    let log = LOG.replace("\"limit\":\"reads\"", "\"limit\":\"reads\",\"requestId\":\"x\"");
    let denied = r#"{"decision":"deny","reason":"insufficient_permission","rule":"write","method":"PUT","path":"/orders/7","principal":"vera","kind":"jwt","authority":"corp","requestId":"0c2f1a7e"}"#;
    let used = r#"[2027-01-15 09:00:00.000][1][info][wasm] wasm log: {"decision":"allow","rule":"read","method":"GET","path":"/orders","principal":"reader","kind":"api-key","credential":"reader","address":"10.0.0.1"}"#;
    write("envoy.log", &format!("{log}{denied}\n{used}\n"));
    write("chained.log", &chained("a", 3).join("\n"));
    let answers: Vec<_> =
        commands(page).into_iter().map(|command| (command, shell(folder.path(), command))).collect();
    for (begins, expected) in [
        ("grep", "DENY 403 insufficient_permission  by rule write"),
        ("portcullis report --by principal --top", "  it (api-key)\n"),
        ("portcullis report --by limit", "  reads\n"),
        ("portcullis diff policy.yaml new.yaml", "changed: "),
        ("portcullis check policy.yaml", "hash "),
        ("portcullis report --where credential=reader", "  10.0.0.1\n"),
        ("portcullis can role:viewer", "read: GET /orders/..\n"),
        ("portcullis report --by principal --where rule=read", "  reader (api-key)\n"),
        ("portcullis diff yesterday.yaml", "closed: "),
        ("portcullis report -p policy.yaml", "  rules: health, write\n"),
        ("portcullis report --verify", "3 records, 1 to 3, whole; the last has the digest "),
    ] {
        let answer = answers.iter().find(|(command, _)| command.starts_with(begins));
        let (command, said) = answer.unwrap_or_else(|| panic!("{begins} is not on the page"));
        assert!(said.contains(expected), "{command}:\n{said}");
    }
    assert_eq!(answers.len(), 11);
}

fn digest(record: &str) -> String {
    portcullis::crypto::sha256(record.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lines of a log with a chain of so many records.
fn chained(id: &str, records: usize) -> Vec<String> {
    let mut previous = String::new();
    let lines = (1..=records).map(|n| {
        let record = format!(
            r#"{{"decision":"allow","rule":"read","path":"/orders/{n}","chain":"{id}","sequence":{n}{previous}}}"#
        );
        previous = format!(r#","previous":"{}""#, digest(&record));
        format!("[2027-01-15 08:00:00.000][12][info][wasm] [source/context.cc:1] wasm log portcullis: {record}")
    });
    lines.collect()
}

/// Lines of both, in turn.
fn mixed(one: Vec<String>, other: Vec<String>) -> Vec<String> {
    one.into_iter().zip(other).flat_map(|(one, other)| [one, other]).collect()
}

fn verified(lines: &[String], arguments: &[&str]) -> (Option<i32>, Value) {
    let done = run(
        &[&["report", "--verify", "--output", "json"], arguments, &["-"]].concat(),
        &format!("{}\n", lines.join("\n")),
    );
    (done.status.code(), serde_json::from_slice(&done.stdout).unwrap())
}

/// What is done to the lines of a log, and its nearest that does no harm.
#[test]
fn what_was_done_to_chains_is_found() {
    let log = || mixed(chained("a", 9), chained("b", 9));
    let (code, told) = verified(&log(), &[]);
    assert_eq!((code, &told["whole"], told["chains"].as_array().unwrap().len()), (Some(0), &json!(true), 2));
    let change = |what: &dyn Fn(&mut Vec<String>)| {
        let mut lines = log();
        what(&mut lines);
        lines
    };
    // Record 5 of "a" is line 9, its next line 11.
    let of_five = |lines: &[String]| {
        lines.iter().position(|line| line.contains("/orders/5\",\"chain\":\"a\"")).unwrap()
    };
    for (lines, place, why) in [
        (change(&|lines| _ = lines.remove(of_five(lines))), "-:10", "5 is missing"),
        (change(&|lines| _ = lines.drain(6..13)), "-:8", "4 to 7 are missing"),
        (
            change(&|lines| {
                let at = of_five(lines);
                lines[at] = lines[at].replace("/orders/5", "/orders/6");
            }),
            "-:11",
            "5 is changed, or what 6 says of it",
        ),
        (
            change(&|lines| {
                let at = of_five(lines);
                lines[at] = lines[at].replace("\"rule\"", " \"rule\"");
            }),
            "-:11",
            "5 is changed, or what 6 says of it",
        ),
        (change(&|lines| lines.swap(8, 10)), "-:9", "5 is missing"),
        (
            change(&|lines| {
                let at = of_five(lines);
                lines.insert(at, lines[at].clone());
            }),
            "-:10",
            "5 is there twice",
        ),
        (
            change(&|lines| {
                let at = of_five(lines);
                lines.insert(at, lines[at].replace("/orders/5", "/orders/x"));
            }),
            "-:10",
            "5 is there twice, in two forms",
        ),
        (change(&|lines| lines.push(lines[8].clone())), "-:19", "5 stands behind 9"),
        (change(&|lines| _ = lines.remove(0)), "-:2", "all before 2 is missing"),
        (
            change(&|lines| lines[0] = lines[0].replace("\"sequence\":1", "\"sequence\":0")),
            "-:1",
            "0 is changed: no chain begins so",
        ),
    ] {
        let (code, told) = verified(&lines, &[]);
        let chains = told["chains"].as_array().unwrap();
        let broken: Vec<&Value> = chains.iter().filter(|chain| chain["whole"] == false).collect();
        assert!(code == Some(1) && told["whole"] == false && !broken.is_empty(), "{why}: {told}");
        let first = broken.iter().find(|chain| chain["chain"] == "a").unwrap();
        assert_eq!(first["broken"], json!({"at": place, "why": why}), "{told}");
    }
    for (lines, what) in [
        (mixed(chained("b", 9), chained("a", 9)), "the chains in another order"),
        ([chained("a", 9), chained("b", 9)].concat(), "one behind the other"),
        (change(&|lines| lines.insert(4, "[2027-01-15] something else".into())), "another line"),
        (change(&|lines| lines[8] = lines[8].replace("08:00:00", "09:00:00")), "what Envoy writes"),
        // Of the end nobody can tell but who knows the last digest.
        (change(&|lines| lines.truncate(15)), "the end cut off"),
    ] {
        assert_eq!(verified(&lines, &[]).0, Some(0), "{what}");
    }
}

#[test]
fn what_is_in_no_chain_is_told() {
    let with = |line: &str| {
        let mut lines = chained("a", 3);
        lines.insert(1, line.to_owned());
        lines
    };
    let record = r#"{"decision":"deny","reason":"no_rule"}"#;
    let (code, told) = verified(&with(record), &[]);
    assert_eq!((code, &told["unchained"]), (Some(1), &json!({"records": 1, "first": "-:2"})));
    let (code, told) = verified(&with(r#"{"decision":"deny","reas"#), &[]);
    assert_eq!((code, &told["unreadable"]), (Some(1), &json!({"records": 1, "first": "-:2"})));
    assert_eq!(verified(&with("{}"), &[]).0, Some(0));
    // There is nothing that could be whole.
    assert_eq!(verified(&[], &[]).0, Some(1));
    let said = text(run(&["report", "--verify", "-"], record).stdout);
    assert_eq!(
        said,
        "no record is in a chain: decisionLog: {chain: true}\nrecords in no chain: 1, the first at -:1\n"
    );
    for wrong in [&["report", "--verify", "--by", "rule", "-"][..], &["report", "--expect", "ab", "-"]] {
        assert_eq!(run(wrong, "").status.code(), Some(2), "{wrong:?}");
    }
}

/// The digests that were told before: of an end that is cut off, and of a log that goes on in another file.
#[test]
fn the_last_digest_shows_what_became_of_the_end() {
    let lines = chained("a", 9);
    let last =
        |lines: &[String]| verified(lines, &[]).1["chains"][0]["lastDigest"].as_str().unwrap().to_owned();
    let (early, late) = (last(&lines[..5]), last(&lines));
    assert_eq!(
        late,
        digest(lines[8].split_once(": {").map(|(_, rest)| format!("{{{rest}")).as_deref().unwrap())
    );
    for (lines, expected, code) in [
        (&lines[..], &early, 0),
        (&lines[..], &late, 0),
        (&lines[..8], &late, 1),
        (&lines[..5], &early, 0),
        // Behind what was verified before, and behind a gap.
        (&lines[5..], &early, 0),
        (&lines[6..], &early, 1),
    ] {
        let (ended, told) = verified(lines, &["--expect", expected]);
        assert_eq!(ended, Some(code), "{told}");
    }
}

/// Those under the names of the Elastic Common Schema are told under ours.
#[test]
fn both_kinds_of_names_are_read() {
    let ecs = r#"[2027-01-15][warning] {"event.action":"deny","event.outcome":"failure","event.kind":"event","event.category":["api"],"event.type":["denied"],"ecs.version":"8.17.0","event.reason":"rate_limited","rule.name":"read","http.request.method":"GET","url.path":"/orders","user.id":"it","portcullis.kind":"api-key","portcullis.limit":"reads","client.ip":"10.0.0.1","source.ip":"10.0.0.1","portcullis.repeated":7}
[2027-01-15][warning] {"decision":"deny","reason":"rate_limited","rule":"read","principal":"it","kind":"api-key"}
"#;
    for filter in ["reason=rate_limited", "event.reason=rate_limited", "rule.name=read"] {
        let done = run(&["report", "--output", "json", "--by", "principal", "--where", filter, "-"], ecs);
        let told: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(told["by"]["principal"]["it (api-key)"]["denied"], 8, "{filter}: {told}");
    }
    let names = [("decision", "event.action"), ("chain", "portcullis.chain"), ("sequence", "event.sequence")];
    let first = names.iter().fold(chained("a", 1).concat(), |line, (own, ecs)| {
        line.replace(&format!("{own}\":"), &format!("{ecs}\":"))
    });
    let (code, told) = verified(std::slice::from_ref(&first), &[]);
    assert_eq!((code, &told["chains"][0]["records"]), (Some(0), &json!(1)), "{first}");
}
