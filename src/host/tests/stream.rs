//! One request from its creation to its end, whatever ends it.

use super::{Done, KEY, Rc, STREAM, StandIn, Stream, answer_call, filter, head, is_active, later};

fn answers(host: &StandIn) -> usize {
    host.done(STREAM).iter().filter(|done| matches!(done, Done::Answered(..))).count()
}

#[test]
fn a_request_is_begun_once() {
    for (key, passes) in [(KEY, true), ("wrong-secret", false)] {
        let (host, serving) = filter();
        let mut stream = Stream::new(host.clone(), STREAM, Some(serving));
        host.hand_over(STREAM, &head("/keys", Some(("x-api-key", key))));
        assert_eq!(stream.on_request(true), passes);
        let done = host.done(STREAM);
        host.hand_over(STREAM, &head("/keys", Some(("x-api-key", KEY))));
        assert!(!stream.on_request(true), "{key}");
        assert_eq!(host.done(STREAM), done, "{key}");
    }
}

#[test]
fn without_a_policy_there_is_a_refusal_alone() {
    let host = StandIn::new(String::new());
    let mut stream = Stream::new(host.clone(), STREAM, None);
    host.hand_over(STREAM, &head("/keys", Some(("x-api-key", KEY))));
    assert!(!stream.on_request(true));
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
            assert!(!stream.on_request(true));
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

/// Who has gone leaves its place to others at once.
#[test]
fn an_end_makes_room() {
    let (host, serving) = filter();
    let mut streams = Vec::new();
    for id in 0..128 {
        let mut stream = Stream::new(host.clone(), id, Some(Rc::clone(&serving)));
        host.hand_over(id, &head("/tokens", Some(("authorization", "Bearer good"))));
        assert!(!stream.on_request(true));
        streams.push(stream);
    }
    let begin = || {
        let mut stream = Stream::new(host.clone(), STREAM + 1000, Some(Rc::clone(&serving)));
        host.hand_over(STREAM + 1000, &head("/tokens", Some(("authorization", "Bearer good"))));
        stream.on_request(true);
        serving.has_waiting(STREAM + 1000)
    };
    assert!(!begin());
    streams.pop();
    assert!(begin());
}
