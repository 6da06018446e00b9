//! Every host call fails in turn, for each kind of request.

use super::{
    Decided, Done, HOOK, KEY, Rc, STREAM, Serving, StandIn, Stream, answer_call, carry_out, filter, head,
    is_active, later, policy, root, with_hook, with_key, with_token,
};

type Scenario = fn(&StandIn, &Rc<Serving<StandIn>>) -> bool;

/// What Envoy does with one request; whether it let it go on, but for what is resumed.
const SCENARIOS: [(&str, bool, Scenario); 10] = [
    ("forwarded", true, |host, serving| {
        let goes_on = with_key(host, serving, Some(KEY));
        serving.on_response(STREAM);
        serving.on_tick();
        goes_on
    }),
    ("refused", false, |host, serving| {
        let goes_on = with_key(host, serving, None);
        serving.on_response(STREAM);
        goes_on
    }),
    ("of a wrong key", false, |host, serving| with_key(host, serving, Some("wrong-secret"))),
    ("waits and goes on", true, |host, serving| {
        let goes_on = with_token(host, serving, STREAM, "good");
        answer_call(host, serving, &is_active(true));
        // Whatever is still to do is done twice over.
        for _ in 0..2 {
            later(60);
            serving.on_tick();
        }
        serving.on_response(STREAM);
        goes_on
    }),
    ("waits and is refused", false, |host, serving| {
        let goes_on = with_token(host, serving, STREAM, "bad");
        answer_call(host, serving, &is_active(false));
        later(60);
        serving.on_tick();
        goes_on
    }),
    ("waits in vain", false, |host, serving| {
        let goes_on = with_token(host, serving, STREAM, "good");
        later(60);
        serving.on_tick();
        // Too late.
        answer_call(host, serving, &is_active(true));
        goes_on
    }),
    ("by its body", true, |host, serving| {
        let (stream, goes_on) = with_hook(host, serving, "/hooks", None);
        serving.on_tick();
        host.hand_over_body(STREAM, b"Hello");
        let early = stream.on_request_body(5, false) == Decided::Forward;
        serving.on_tick();
        host.hand_over_body(STREAM, HOOK.as_bytes());
        let passes = stream.on_request_body(HOOK.len(), true) == Decided::Forward;
        stream.on_response();
        goes_on || early || passes
    }),
    ("by a body in vain", false, |host, serving| {
        let (stream, goes_on) = with_hook(host, serving, "/hooks", None);
        host.hand_over_body(STREAM, b"Hello, World?");
        // Whatever is still to do is done twice over.
        let again = [(); 2].map(|()| stream.on_request_body(HOOK.len(), true) == Decided::Forward);
        later(60);
        serving.on_tick();
        goes_on || again.contains(&true)
    }),
    ("by its body and a token", true, |host, serving| {
        let token = ("authorization", "Bearer good");
        let (stream, goes_on) = with_hook(host, serving, "/both", Some(token));
        answer_call(host, serving, &is_active(true));
        host.hand_over_body(STREAM, HOOK.as_bytes());
        let passes = stream.on_request_body(HOOK.len(), true) == Decided::Forward;
        later(60);
        serving.on_tick();
        stream.on_response();
        goes_on || passes
    }),
    ("with trailers", true, |host, serving| {
        let mut stream = Stream::new(host.clone(), STREAM, Some(Rc::clone(serving)));
        host.hand_over(STREAM, &head("/keys", Some(("x-api-key", KEY))));
        let goes_on = stream.on_request(false) == Decided::Forward;
        host.hand_over(
            STREAM,
            &[("x-api-key", "trailing"), ("x-portcullis-subject", "root"), ("x-sum", "1")],
        );
        stream.on_request_trailers() == Decided::Forward && goes_on
    }),
];

/// What one run comes to.
#[derive(Debug)]
struct Run {
    /// Envoy lets the request go on.
    passes: bool,
    done: Vec<Done>,
    failed: Option<String>,
}

fn run(scenario: Scenario, failing: Option<usize>) -> Run {
    let (host, serving) = filter();
    host.fail(failing);
    let goes_on = scenario(&host, &serving);
    let done = host.done(STREAM);
    Run { passes: goes_on || done.contains(&Done::Resumed), done, failed: host.failed() }
}

impl Run {
    fn count(&self, is: impl Fn(&Done) -> bool) -> usize {
        self.done.iter().filter(|done| is(done)).count()
    }

    fn answers(&self) -> usize {
        self.count(|done| matches!(done, Done::Answered(..)))
    }

    /// What was done to the request before it went on, in order.
    fn changes(&self) -> Vec<&Done> {
        self.done.iter().filter(|done| matches!(done, Done::Changed(_) | Done::Marked)).collect()
    }
}

#[test]
fn nothing_passes_that_should_not_whatever_call_fails() {
    for (name, passes, scenario) in SCENARIOS {
        let whole = run(scenario, None);
        assert_eq!(whole.passes, passes, "{name}: {whole:?}");
        let mut failing = 1;
        loop {
            let run = run(scenario, Some(failing));
            let Some(failed) = &run.failed else { break };
            let what = format!("{name}, without call {failing}, {failed}: {run:?}");
            assert!(run.answers() <= 1, "answered twice: {what}");
            if run.passes {
                assert!(passes, "{what}");
                assert_eq!(run.answers(), 0, "answered and let go: {what}");
                assert_eq!(run.changes(), whole.changes(), "a change is missing: {what}");
                assert_eq!(run.count(|done| *done == Done::Marked), 1, "{what}");
            } else if failed != "send_local_response" && failed != "resume_request" {
                assert!(run.answers() == 1 || failed == "set_effective_context", "left alone: {what}");
            }
            failing += 1;
        }
        assert!(failing > 3, "{name}");
    }
}

/// Behind it stands what lets everything through that has the mark.
#[test]
fn the_mark_is_the_last_change_of_those_that_pass_and_no_other_gets_one() {
    for (name, passes, scenario) in SCENARIOS {
        let run = run(scenario, None);
        let of_head = |done: &&Done| !matches!(done, Done::Changed(change) if change.contains("trailer"));
        let changes: Vec<_> = run.changes().into_iter().filter(of_head).collect();
        assert_eq!(changes.contains(&&Done::Marked), passes, "{name}: {run:?}");
        assert_eq!(changes.last() == Some(&&Done::Marked), passes, "{name}: {run:?}");
        assert!(!changes.is_empty(), "{name}: {run:?}");
    }
}

#[test]
fn each_request_has_its_changes_and_its_answer() {
    let changed = |what: &str| Done::Changed(what.to_owned());
    let told = |what: &str| Done::Told(format!("portcullis.{what}"));
    let hsts = Done::OnAnswer("strict-transport-security: max-age=3600".to_owned());
    let run = |wanted: &str| {
        let (_, _, scenario) = SCENARIOS.into_iter().find(|(name, ..)| *name == wanted).unwrap();
        run(scenario, None).done
    };
    let forwarded = run("forwarded");
    let head = [
        told("rule keys"),
        told("principal reader"),
        changed("remove x-portcullis-rule"),
        changed("remove x-api-key"),
        changed("add x-portcullis-rule keys"),
        changed("add x-portcullis-subject reader"),
        Done::Marked,
        hsts.clone(),
    ];
    assert_eq!(forwarded, head);
    let refused = Done::Answered(401, "credentials_missing".to_owned());
    let why = [told("rule keys"), told("reason credentials_missing"), changed("remove x-portcullis-rule")];
    assert_eq!(run("refused"), [&why[..], &[refused, hsts.clone()]].concat());
    let resumed = run("waits and goes on");
    let hidden = changed("remove authorization");
    assert!(resumed.iter().position(|done| *done == hidden).is_some_and(|at| at < 2), "{resumed:?}");
    // While it waits nothing is decided.
    let is_told = |done: &&Done| matches!(done, Done::Told(_));
    assert_eq!(
        resumed.iter().filter(is_told).collect::<Vec<_>>(),
        [&told("rule tokens"), &told("principal alice")]
    );
    assert!(resumed.ends_with(&[Done::Marked, Done::Resumed, hsts]), "{resumed:?}");
    let trailers = run("with trailers");
    let removed = [changed("remove trailer x-api-key"), changed("remove trailer x-portcullis-subject")];
    assert!(trailers.ends_with(&removed), "{trailers:?}");
}

/// Configuring depends on the configuration's bytes alone; and whatever failed with it, requests are decided by it.
#[test]
fn configuring_goes_on_without_whatever_the_host_does_not_give() {
    let mut failing = 1;
    loop {
        let host = StandIn::new(policy().to_string());
        host.fail(Some(failing));
        let serving = root::configure(&host);
        let Some(failed) = host.failed() else { break };
        assert_eq!(serving.is_some(), failed != "plugin_configuration", "{failed}");
        if let Some(serving) = serving {
            host.fail(None);
            assert!(!with_key(&host, &serving, None), "{failed}");
            assert!(with_key(&host, &serving, Some(KEY)), "{failed}");
        }
        failing += 1;
    }
    assert!(failing > 10);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let (host, serving) = filter();
    host.hand_over(STREAM, &head("/keys", Some(("x-api-key", KEY))));
    host.fail(Some(1));
    assert_eq!(serving.on_request(STREAM, true), Decided::Answered);
    assert_eq!(host.failed().as_deref(), Some("request_headers"));
    let answered = Done::Answered(503, "state_unavailable".to_owned());
    assert!(host.done(STREAM).contains(&Done::Told("portcullis.reason state_unavailable".to_owned())));
    assert_eq!(host.done(STREAM).last(), Some(&answered), "{:?}", host.done(STREAM));
}

/// Where there is no policy there is nothing but a refusal, and less of the request.
#[test]
fn without_a_policy_everything_is_refused() {
    let host = StandIn::new(String::new());
    host.hand_over(STREAM, &head("/keys?api_key=secret", Some(("authorization", "Bearer x"))));
    assert!(root::configure(&host).is_none());
    carry_out::answer_without_policy(&host);
    let done = host.done(STREAM);
    assert_eq!(done.last(), Some(&Done::Answered(503, "no_policy".to_owned())), "{done:?}");
    assert!(done.contains(&Done::Changed("remove authorization".to_owned())), "{done:?}");
}

/// Of what was counted nothing is lost when a configuration's time is over.
#[test]
fn what_was_counted_is_handed_on_with_the_last_breath() {
    let (host, serving) = filter();
    with_key(&host, &serving, Some(KEY));
    let before = host.counted();
    serving.end();
    assert_eq!(host.counted(), before + 1);
    serving.end();
    assert_eq!(host.counted(), before + 1);
}

/// Filters that are configured together count together.
#[test]
fn filters_of_one_name_confirm_their_limits_to_each_other() {
    let (host, serving) = filter();
    let other = root::configure(&host).unwrap();
    host.fail(None);
    serving.note_configured(&other);
    assert!(host.calls() > 0);
}
