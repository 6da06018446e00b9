//! Requests that wait for their bodies: what comes of each part, how many there may be, and how much is held of them.

use super::{
    Decided, Done, HOOK, HOOK_SIGNATURE, Rc, STREAM, Serving, StandIn, Stream, answer_call, filter, goes_on,
    head, is_active, later, with_hook,
};

fn begin(host: &StandIn, serving: &Rc<Serving<StandIn>>, id: u32) -> (Stream<StandIn>, Decided) {
    let mut stream = Stream::new(host.clone(), id, Some(Rc::clone(serving)));
    let headers: Vec<_> = head("/hooks", None).into_iter().chain([HOOK_SIGNATURE]).collect();
    host.hand_over(id, &headers);
    let decided = stream.on_request(false);
    (stream, decided)
}

fn answered(host: &StandIn, stream: u32) -> Option<(u16, String)> {
    host.done(stream).into_iter().find_map(|done| match done {
        Done::Answered(status, reason) => Some((status, reason)),
        _ => None,
    })
}

fn refused(status: u16, reason: &str) -> Option<(u16, String)> {
    Some((status, reason.to_owned()))
}

#[test]
fn nothing_is_decided_before_the_last_byte_and_all_is_then() {
    let (host, serving) = filter();
    let (stream, goes_on) = with_hook(&host, &serving, "/hooks", None);
    assert!(!goes_on);
    let before = host.done(STREAM);
    for size in 0..HOOK.len() {
        host.hand_over_body(STREAM, &HOOK.as_bytes()[..size]);
        assert_eq!(stream.on_request_body(size, false), Decided::Wait, "{size}");
        serving.on_tick();
    }
    assert_eq!(host.done(STREAM), before);
    // The last part may be empty.
    host.hand_over_body(STREAM, HOOK.as_bytes());
    assert_eq!(stream.on_request_body(HOOK.len(), false), Decided::Wait);
    assert_eq!(stream.on_request_body(HOOK.len(), true), Decided::Forward);
    // The call that brought it lets it go on.
    assert!(!host.done(STREAM).contains(&Done::Resumed));
    assert_eq!(host.done(STREAM).last(), Some(&Done::Marked));
}

#[test]
fn trailers_end_a_body() {
    for (body, expected) in [(HOOK, Decided::Forward), ("Hello, World?", Decided::Answered)] {
        let (host, serving) = filter();
        let (stream, _) = with_hook(&host, &serving, "/hooks", None);
        host.hand_over_body(STREAM, body.as_bytes());
        assert_eq!(stream.on_request_body(body.len(), false), Decided::Wait);
        host.hand_over(STREAM, &[("x-portcullis-subject", "root"), ("x-sum", "1")]);
        assert_eq!(stream.on_request_trailers(), expected);
        let removed = Done::Changed("remove trailer x-portcullis-subject".to_owned());
        assert!(host.done(STREAM).contains(&removed));
    }
    // Behind no body at all.
    let (host, serving) = filter();
    let (stream, _) = with_hook(&host, &serving, "/hooks", None);
    host.hand_over(STREAM, &[("x-sum", "1")]);
    assert_eq!(stream.on_request_trailers(), Decided::Answered);
    assert_eq!(answered(&host, STREAM), refused(403, "signature_invalid"));
}

/// Whatever comes for it then.
#[test]
fn what_was_refused_goes_on_never() {
    let (host, serving) = filter();
    let (stream, _) = with_hook(&host, &serving, "/hooks", None);
    host.hand_over_body(STREAM, b"Hello, World?");
    assert_eq!(stream.on_request_body(HOOK.len(), true), Decided::Answered);
    let done = host.done(STREAM);
    host.hand_over_body(STREAM, HOOK.as_bytes());
    for ends in [false, true] {
        assert_eq!(stream.on_request_body(HOOK.len(), ends), Decided::Answered);
    }
    later(60);
    serving.on_tick();
    assert_eq!(host.done(STREAM), done);
    host.hand_over(STREAM, &[("x-sum", "1")]);
    assert_eq!(stream.on_request_trailers(), Decided::Answered);
    assert!(!host.done(STREAM).contains(&Done::Resumed));
}

/// 262,144 bytes by default.
#[test]
fn what_is_too_long_is_refused_when_that_shows() {
    const LIMIT: usize = 262_144;
    for (size, ends, expected) in [
        (LIMIT, false, Decided::Wait),
        (LIMIT, true, Decided::Answered),
        (LIMIT + 1, false, Decided::Answered),
        (LIMIT + 1, true, Decided::Answered),
    ] {
        let (host, serving) = filter();
        let (stream, _) = with_hook(&host, &serving, "/hooks", None);
        host.hand_over_body(STREAM, &vec![b'x'; size]);
        assert_eq!(stream.on_request_body(size, ends), expected, "{size} {ends}");
        let reason = match (size > LIMIT, expected) {
            (true, _) => refused(413, "body_too_large"),
            (false, Decided::Answered) => refused(403, "signature_invalid"),
            (false, _) => None,
        };
        assert_eq!(answered(&host, STREAM), reason, "{size} {ends}");
    }
}

#[test]
fn what_does_not_come_is_refused_at_the_deadline() {
    let (host, serving) = filter();
    // The host hands bodies over, as another request shows.
    let (other, _) = begin(&host, &serving, 1);
    other.on_request_body(1, false);
    let (stream, _) = with_hook(&host, &serving, "/hooks", None);
    later(14);
    serving.on_tick();
    assert_eq!(answered(&host, STREAM), None);
    later(1);
    serving.on_tick();
    assert_eq!(answered(&host, STREAM), refused(408, "body_timeout"));
    assert_eq!(stream.on_request_body(1, true), Decided::Answered);
}

/// No setting says whether the host hands bodies over while their requests wait: it shows by what it receives.
#[test]
fn a_host_that_keeps_bodies_to_itself_is_found_out() {
    // How much was received when the request came and afterwards; whether another body came meanwhile; what is found.
    for (before, after, is_known, expected) in [
        (Some(200), 200, false, None),
        (Some(200), 201, false, refused(503, "body_unavailable")),
        (Some(200), 201, true, None),
        (None, 201, false, None),
    ] {
        let (host, serving) = filter();
        if let Some(before) = before {
            host.receive(before);
        }
        let (_stream, _) = with_hook(&host, &serving, "/hooks", None);
        serving.on_tick();
        assert_eq!(answered(&host, STREAM), None);
        if is_known {
            let (other, _) = begin(&host, &serving, 1);
            other.on_request_body(1, false);
        }
        host.receive(after);
        serving.on_tick();
        assert_eq!(answered(&host, STREAM), expected, "{before:?} {after} {is_known}");
    }
}

/// A token is asked about first; the body comes before the answer to that, or behind it.
#[test]
fn a_body_comes_while_its_request_waits_for_something_else() {
    for late in [false, true] {
        let (host, serving) = filter();
        let token = ("authorization", "Bearer good");
        let (stream, _) = with_hook(&host, &serving, "/both", Some(token));
        assert_eq!(host.sent(), 1);
        let last = || {
            host.hand_over_body(STREAM, HOOK.as_bytes());
            stream.on_request_body(HOOK.len(), true)
        };
        if !late {
            assert_eq!(last(), Decided::Wait);
        }
        answer_call(&host, &serving, &is_active(true));
        assert_eq!(host.done(STREAM).contains(&Done::Resumed), !late);
        if late {
            // The client takes its time, which is none of the issuer's; and nobody is asked again.
            later(10);
            serving.on_tick();
            assert_eq!(last(), Decided::Forward);
        }
        assert_eq!(host.sent(), 1);
        assert_eq!(answered(&host, STREAM), None);
    }
}

/// Half of the places for one client; those that wait for calls have places of their own.
#[test]
fn so_many_wait_for_their_bodies_and_no_more() {
    let (host, serving) = filter();
    let streams: Vec<_> = (0..200).map(|id| begin(&host, &serving, 1000 + id)).collect();
    assert_eq!(streams.iter().filter(|(_, decided)| *decided == Decided::Wait).count(), 128);
    assert_eq!(answered(&host, 1199), refused(503, "body_unavailable"));
    host.hand_over(STREAM, &head("/tokens", Some(("authorization", "Bearer good"))));
    let mut stream = Stream::new(host.clone(), STREAM, Some(Rc::clone(&serving)));
    assert!(!goes_on(&serving, stream.on_request(true)));
    assert!(serving.has_waiting(STREAM));
    // Who has its place keeps it, and who leaves makes room.
    host.hand_over_body(1000, b"H");
    assert_eq!(streams[0].0.on_request_body(1, false), Decided::Wait);
    drop(streams);
    assert_eq!(begin(&host, &serving, 2000).1, Decided::Wait);
}

/// Half of what is held for one client.
#[test]
fn so_much_is_held_and_no_more() {
    const PART: usize = 262_144;
    let (host, serving) = filter();
    let fills = |from: u32| {
        let streams: Vec<_> = (from..from + 100).map(|id| (id, begin(&host, &serving, id).0)).collect();
        let kept = streams.iter().filter(|(id, stream)| {
            host.hand_over_body(*id, &[b'x'; PART]);
            stream.on_request_body(PART, false) == Decided::Wait
        });
        (kept.count(), streams)
    };
    // 8 MiB of 16.
    let (first, streams) = fills(1000);
    assert_eq!(first, 31);
    assert_eq!(answered(&host, 1099), refused(503, "body_unavailable"));
    host.client("198.51.100.1");
    let (second, _others) = fills(2000);
    assert_eq!(second, 16);
    drop(streams);
    host.client("198.51.100.2");
    assert!(fills(3000).0 > 16);
}
