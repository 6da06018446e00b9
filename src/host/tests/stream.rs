//! One request from its creation to its end, whatever ends it.

use super::{
    Decided, Done, KEY, Rc, STREAM, Serving, StandIn, Stream, answer_call, filter, goes_on, head, is_active,
    later, policy, root,
};

fn begin(stream: &mut Stream<StandIn>, serving: &Serving<StandIn>) -> bool {
    goes_on(serving, stream.on_request(true))
}

fn answers(host: &StandIn) -> usize {
    host.done(STREAM).iter().filter(|done| matches!(done, Done::Answered(..))).count()
}

#[test]
fn a_request_is_begun_once() {
    for (key, passes) in [(KEY, true), ("wrong-secret", false)] {
        let (host, serving) = filter();
        let mut stream = Stream::new(host.clone(), STREAM, Some(Rc::clone(&serving)));
        host.hand_over(STREAM, &head("/keys", Some(("x-api-key", key))));
        assert_eq!(begin(&mut stream, &serving), passes);
        let done = host.done(STREAM);
        host.hand_over(STREAM, &head("/keys", Some(("x-api-key", KEY))));
        assert!(!begin(&mut stream, &serving), "{key}");
        assert_eq!(host.done(STREAM), done, "{key}");
    }
}

#[test]
fn without_a_policy_there_is_a_refusal_alone() {
    let host = StandIn::new(String::new());
    let mut stream = Stream::new(host.clone(), STREAM, None);
    host.hand_over(STREAM, &head("/keys", Some(("x-api-key", KEY))));
    assert_eq!(stream.on_request(true), Decided::Answered);
    assert_eq!(stream.on_request_body(1, true), Decided::Answered);
    stream.on_response();
    assert_eq!(answers(&host), 1);
}

/// Envoy answers by a time-out of its own, or the client leaves: what comes for the request then changes nothing.
#[test]
fn a_request_that_has_ended_is_never_touched_again() {
    enum End {
        None,
        Answer,
        Delete,
    }
    for (end, touched) in [(End::None, true), (End::Answer, false), (End::Delete, false)] {
        // The issuer answers; or it does not, and a deadline comes.
        for late in [false, true] {
            let (host, serving) = filter();
            let mut stream = Stream::new(host.clone(), STREAM, Some(Rc::clone(&serving)));
            host.hand_over(STREAM, &head("/tokens", Some(("authorization", "Bearer good"))));
            assert!(!begin(&mut stream, &serving));
            let waiting = host.done(STREAM);
            let kept = match end {
                End::None => Some(stream),
                End::Answer => {
                    stream.on_response();
                    Some(stream)
                }
                End::Delete => {
                    drop(stream);
                    None
                }
            };
            if late {
                later(60);
            } else {
                answer_call(&host, &serving, &is_active(true));
            }
            serving.on_tick();
            assert_eq!(host.done(STREAM) != waiting, touched);
            drop(kept);
        }
    }
}

/// Where Envoy hands a body over while its request waits, to let it pass would let the request pass.
#[test]
fn a_body_waits_with_its_request() {
    let (host, serving) = filter();
    for (path, credential, passes) in
        [("/keys", ("x-api-key", KEY), true), ("/tokens", ("authorization", "Bearer good"), false)]
    {
        let mut stream = Stream::new(host.clone(), STREAM, Some(Rc::clone(&serving)));
        host.hand_over(STREAM, &head(path, Some(credential)));
        assert_eq!(begin(&mut stream, &serving), passes, "{path}");
        let expected = if passes { Decided::Forward } else { Decided::Wait };
        assert_eq!(stream.on_request_body(1, false), expected, "{path}");
        if !passes {
            answer_call(&host, &serving, &is_active(true));
            assert_eq!(stream.on_request_body(2, true), Decided::Forward, "{path}: decided");
        }
    }
}

/// Whatever call fails, a stream is ended once its key has run out, and nothing of it goes on that was refused.
#[test]
fn a_stream_ends_with_its_key() {
    // The clock of tests begins at eight, and each round takes a minute.
    for failing in 1.. {
        let mut policy = policy();
        policy["apiKeys"]["keys"][0]["expiresAt"] =
            format!("2027-01-15T{:02}:{:02}:00Z", 8 + failing / 60, failing % 60).into();
        policy["rules"][0]["endStreams"] = true.into();
        let host = StandIn::new(policy.to_string());
        let serving = Rc::new(root::configure(&host).unwrap());
        let mut stream = Stream::new(host.clone(), STREAM, Some(Rc::clone(&serving)));
        host.hand_over(STREAM, &head("/keys", Some(("x-api-key", KEY))));
        host.fail(Some(failing));
        let passes = begin(&mut stream, &serving);
        serving.on_tick();
        let refused = answers(&host);
        later(60);
        serving.on_tick();
        serving.on_tick();
        let has_failed = host.failed().is_some();
        assert!(answers(&host) <= 1 && (passes || refused <= 1), "{failing}");
        if !has_failed {
            assert!(passes && refused == 0);
            assert_eq!(host.done(STREAM).last(), Some(&Done::Answered(401, "api_key_expired".to_owned())));
            assert_eq!(host.stat("portcullis_streams_ended._reason=api_key_expired_"), Some(1));
            break;
        }
    }
}

/// Who has gone leaves its place to others at once.
#[test]
fn an_end_makes_room() {
    let (host, serving) = filter();
    let mut streams = Vec::new();
    for id in 0..128 {
        let mut stream = Stream::new(host.clone(), id, Some(Rc::clone(&serving)));
        host.hand_over(id, &head("/tokens", Some(("authorization", "Bearer good"))));
        assert!(!begin(&mut stream, &serving));
        streams.push(stream);
    }
    let waits = || {
        let mut stream = Stream::new(host.clone(), STREAM + 1000, Some(Rc::clone(&serving)));
        host.hand_over(STREAM + 1000, &head("/tokens", Some(("authorization", "Bearer good"))));
        begin(&mut stream, &serving);
        serving.has_waiting(STREAM + 1000)
    };
    assert!(!waits());
    streams.pop();
    assert!(waits());
}
