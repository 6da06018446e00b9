//! `revocation`.

use std::sync::Arc;

use hashbrown::HashSet;

use super::{
    etcd::{ETCD, etcd},
    faults::quoted,
    model::{Bound, Form, HOUR, Kind, MINUTE, SECOND, Shape, default, optional, required, words},
    names::Definitions,
    reader::Object,
};
use crate::{
    replica::ReplicaSpec,
    revocation::{RemoteListSpec, RevocationList, RevocationSpec, SCHEMA, WhenStale},
    time::Timestamp,
};

const WHEN_STALE: [(&str, WhenStale); 2] = [("Deny", WhenStale::Deny), ("Serve", WhenStale::Serve)];

pub(super) static REVOCATION: Shape = Shape::bound(
    &[
        optional("tokens", Kind::Object(&TOKENS), "absent: none", "A list in the policy, see below."),
        optional(
            "remote",
            Kind::Object(&REMOTE),
            "absent: nothing is fetched",
            "A list that is fetched, see below.",
        ),
        optional(
            "etcd",
            Kind::Object(&ETCD),
            "absent: none are there",
            "Where single revocations are kept, see [below](#revocations-in-etcd). Its fields are those of \
         [apiKeys.etcd](#keys-in-etcd).",
        ),
    ],
    &[Bound::Some(&["tokens", "remote", "etcd"])],
);

const EMPTY: &str = "nothing is listed; leave the field out";
const TEXTS: Kind = Kind::List(EMPTY, &Kind::Text(Form::Any));
const LISTS: [&str; 6] = ["jti", "sid", "passkeys", "clientIds", "subjects", "apiKeys"];

pub(super) static TOKENS: Shape = Shape::bound(
    &[
        optional("jti", TEXTS, "", "Tokens with these ids."),
        optional("sid", TEXTS, "", "Tokens of these sessions."),
        optional(
            "passkeys",
            TEXTS,
            "",
            "Sessions that began with these [passkeys](#passkeys), by their ids: tokens with such a `credential`.",
        ),
        optional(
            "clientIds",
            TEXTS,
            "",
            "Tokens of these clients (`client_id`, `azp`, `cid` or `appid`), and API keys of these clients.",
        ),
        optional(
            "subjects",
            Kind::List(EMPTY, &Kind::Object(&SUBJECT)),
            "",
            "Tokens of these subjects, by `sub` or by `claims.subject`.",
        ),
        optional(
            "apiKeys",
            Kind::List(EMPTY, &Kind::Text(Form::Name)),
            "",
            "API keys with these ids, which must be defined in `apiKeys.keys`, but where there are others in `apiKeys.etcd`.",
        ),
    ],
    &[Bound::Some(&LISTS)],
);

static SUBJECT: Shape = Shape::new(&[
    required("sub", Kind::Text(Form::Any), "The subject."),
    optional(
        "issuedBefore",
        Kind::Time,
        "absent: all",
        "Only tokens with an `iat` that is not later, or without one.",
    ),
]);

pub(super) static REMOTE: Shape = Shape::new(&[
    required("uri", Kind::Url { https: false }, "Where the list is fetched."),
    required("cluster", Kind::Text(Form::Label), "The Envoy cluster that reaches it."),
    default(
        "pollInterval",
        Kind::Duration(SECOND, HOUR),
        "30s",
        "The most time from one fetch to the next. One fetch serves all workers.",
    ),
    default("timeout", Kind::Duration(100, MINUTE), "5s", "Per fetch."),
    default(
        "maxStale",
        Kind::Duration(SECOND, 168 * HOUR),
        "5m",
        "How long a list counts after the server last sent or confirmed it. At least `pollInterval`, which it is where \
         that is longer than the default.",
    ),
    default(
        "whenStale",
        Kind::Choice("a choice", &words(&WHEN_STALE)),
        "Deny",
        "What then: `Deny` refuses every credential with 503 `revocation_unavailable`; `Serve` goes on with the old \
         list. Until the first list has arrived, every credential is refused in either case.",
    ),
]);

/// Key ids have been read.
pub(super) fn revocation(
    mut o: Object<'_>,
    defs: &Definitions,
) -> Option<(RevocationSpec, Option<ReplicaSpec>)> {
    let inline = o.object("tokens").and_then(|o| tokens(o, defs));
    let remote = o.object("remote").and_then(remote);
    let kept = o.object("etcd").and_then(|o| etcd(o, "revocation.etcd", SCHEMA));
    if !o.has_one(&["tokens", "remote", "etcd"]) {
        return o.fault("nothing is revoked; give tokens, remote or etcd, or leave the section out");
    }
    let read = [("tokens", inline.is_some()), ("remote", remote.is_some()), ("etcd", kept.is_some())];
    if read.into_iter().any(|(name, is_read)| o.has(name) != is_read) {
        return None;
    }
    Some((RevocationSpec { inline: Arc::new(inline.unwrap_or_default()), remote }, kept))
}

fn tokens(mut o: Object<'_>, defs: &Definitions) -> Option<RevocationList> {
    if !o.has_one(&LISTS) {
        return o.fault(EMPTY);
    }
    let mut boxed = |name| {
        let texts: Option<Vec<String>> = o.texts(name);
        texts.unwrap_or_default().into_iter().map(String::into_boxed_str).collect()
    };
    let (tokens, sessions, passkeys, clients) =
        (boxed("jti"), boxed("sid"), boxed("passkeys"), boxed("clientIds"));
    let mut seen = HashSet::new();
    let subjects = o.objects("subjects", |o| subject(o, &mut seen));
    let api_keys = o.texts_that("apiKeys", &mut |id, path, faults| match defs.keys_elsewhere {
        true => Some(()),
        false => defs.keys.resolve(id, path, faults).copied(),
    });
    Some(RevocationList {
        tokens,
        sessions,
        passkeys,
        clients,
        subjects: subjects.unwrap_or_default().into_iter().collect(),
        api_keys: api_keys.unwrap_or_default().into_iter().map(String::into_boxed_str).collect(),
    })
}

fn subject(mut o: Object<'_>, seen: &mut HashSet<String>) -> Option<(Box<str>, Option<Timestamp>)> {
    let mut sub = o.text("sub");
    if let Some(text) = &sub
        && !seen.insert(text.clone())
    {
        sub = o.fault_at("sub", format!("{} is listed twice", quoted(text)));
    }
    let issued_before = o.time("issuedBefore");
    if o.has("issuedBefore") && issued_before.is_none() {
        return None;
    }
    Some((sub?.into_boxed_str(), issued_before))
}

fn remote(mut o: Object<'_>) -> Option<RemoteListSpec> {
    let endpoint = o.url("uri");
    let cluster = o.text("cluster");
    let poll_interval = o.duration("pollInterval");
    let timeout = o.duration("timeout");
    let mut max_stale = o.duration("maxStale");
    let when_stale = o.choice("whenStale", &WHEN_STALE);
    if o.has("maxStale") && when_stale == Some(WhenStale::Serve) {
        o.fault_at::<()>("maxStale", "has no effect with whenStale: Serve");
    }
    if !o.has("maxStale") {
        // A list that is still fresh is never too stale.
        max_stale = max_stale.max(poll_interval);
    } else if max_stale.is_some_and(|stale| poll_interval.is_some_and(|interval| stale < interval)) {
        o.fault_at::<()>("maxStale", "shorter than pollInterval");
    }
    Some(RemoteListSpec {
        endpoint: endpoint?,
        cluster: cluster?,
        poll_interval: poll_interval?,
        timeout: timeout?,
        max_stale: max_stale?,
        when_stale: when_stale?,
    })
}
