//! Requests that wait: how many there may be, and until when.

use super::{Done, StandIn, answer_call, filter, is_active, later, with_token};

fn answered(host: &StandIn, stream: u32) -> bool {
    host.done(stream).iter().any(|done| matches!(done, Done::Answered(..)))
}

/// Half of the places for one client, as many as are free for all others together; then no more.
#[test]
fn so_many_wait_and_no_more() {
    let (host, serving) = filter();
    // All with one token, about which the issuer is asked once.
    let waiting = |streams: std::ops::Range<u32>| {
        streams.filter(|stream| {
            assert!(!with_token(&host, &serving, *stream, "good"));
            !answered(&host, *stream)
        })
    };
    assert_eq!(waiting(0..200).count(), 128, "of one client");
    for client in 0..200_u32 {
        host.client(&format!("198.51.100.{client}"));
        let stream = 1000 + client;
        assert_eq!(waiting(stream..stream + 1).count() == 1, client < 128, "of client {client}");
    }
    assert_eq!(host.sent(), 1);
    // Who leaves makes room, when that is noticed.
    host.end(1000);
    answer_call(&host, &serving, &is_active(true));
    for _ in 0..9 {
        serving.on_tick();
    }
    let resumed = |stream| host.done(stream).contains(&Done::Resumed);
    assert_eq!((0..2000).filter(|stream| resumed(*stream)).count(), 255);
    assert!(!resumed(1000));
}

/// A few at a time: Envoy answers each from within the one before.
#[test]
fn what_waits_is_refused_at_its_deadline() {
    let (host, serving) = filter();
    for stream in 0..100 {
        assert!(!with_token(&host, &serving, stream, "good"));
    }
    serving.on_tick();
    assert_eq!((0..100).filter(|stream| answered(&host, *stream)).count(), 0);
    later(60);
    for expected in [32, 64, 96, 100, 100] {
        serving.on_tick();
        assert_eq!((0..100).filter(|stream| answered(&host, *stream)).count(), expected);
    }
    assert_eq!(host.done(0).last(), Some(&Done::Answered(503, "introspection_unavailable".to_owned())));
    // What comes then is no longer for them.
    answer_call(&host, &serving, &is_active(true));
    serving.on_tick();
    assert!((0..100).all(|stream| !host.done(stream).contains(&Done::Resumed)));
}

/// An answer wakes those that wait for it, and no others.
#[test]
fn each_answer_is_for_those_that_asked() {
    let (host, serving) = filter();
    for (stream, token) in [(1, "a"), (2, "b"), (3, "b")] {
        assert!(!with_token(&host, &serving, stream, token));
    }
    assert_eq!(host.sent(), 2);
    answer_call(&host, &serving, &is_active(false));
    assert_eq!([1, 2, 3].map(|stream| answered(&host, stream)), [false, true, true]);
    assert_eq!([1, 2, 3].map(|stream| serving.has_waiting(stream)), [true, false, false]);
    serving.forget(1);
    later(60);
    serving.on_tick();
    assert!(!answered(&host, 1), "an end of its own");
}
