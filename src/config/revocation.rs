//! `revocation`.

use std::{sync::Arc, time::Duration};

use hashbrown::HashSet;

use super::{
    endpoint::endpoint,
    names::Definitions,
    reader::{Node, quoted},
    scalar::{choice, duration, label, name, text, timestamp, unique},
};
use crate::revocation::{RemoteListSpec, RevocationList, RevocationSpec, WhenStale};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const WHEN_STALE: [(&str, WhenStale); 2] = [("Deny", WhenStale::Deny), ("Serve", WhenStale::Serve)];

/// Key ids have been read.
pub(super) fn revocation(node: Node<'_>, defs: &Definitions) -> Option<RevocationSpec> {
    node.object(|o| {
        let given = (o.has("tokens"), o.has("remote"));
        let inline = o.optional("tokens", |n| tokens(n, defs));
        let remote = o.optional("remote", remote);
        match given {
            (false, false) => o.fault("nothing is revoked; give tokens or remote, or leave the section out"),
            (true, _) if inline.is_none() => None,
            (_, true) if remote.is_none() => None,
            _ => Some(RevocationSpec { inline: Arc::new(inline.unwrap_or_default()), remote }),
        }
    })
}

fn tokens(node: Node<'_>, defs: &Definitions) -> Option<RevocationList> {
    let boxed = |texts: Vec<String>| texts.into_iter().map(String::into_boxed_str).collect();
    const EMPTY: &str = "nothing is listed; leave the field out";
    node.object(|o| {
        let fields = ["jti", "sid", "clientIds", "subjects", "apiKeys"];
        if !fields.iter().any(|field| o.has(field)) {
            // Known, for the sake of suggestions; they are absent.
            for field in fields {
                o.optional(field, |_| Some(()));
            }
            return o.fault(EMPTY);
        }
        let tokens = o.optional("jti", |n| unique(n, EMPTY, text)).map(boxed);
        let sessions = o.optional("sid", |n| unique(n, EMPTY, text)).map(boxed);
        let clients = o.optional("clientIds", |n| unique(n, EMPTY, text)).map(boxed);
        let mut seen = HashSet::new();
        let subjects = o.optional("subjects", |n| n.filled(EMPTY, |n| subject(n, &mut seen)));
        let api_keys = o.optional("apiKeys", |n| {
            unique(n, EMPTY, |n| {
                let (path, faults) = (n.path, n.faults);
                let id = name(n)?;
                defs.keys.resolve(&id, &path, faults).map(|()| id)
            })
        });
        Some(RevocationList {
            tokens: tokens.unwrap_or_default(),
            sessions: sessions.unwrap_or_default(),
            clients: clients.unwrap_or_default(),
            subjects: subjects.unwrap_or_default().into_iter().collect(),
            api_keys: api_keys.map(boxed).unwrap_or_default(),
        })
    })
}

fn subject(node: Node<'_>, seen: &mut HashSet<String>) -> Option<(Box<str>, Option<crate::time::Timestamp>)> {
    node.object(|o| {
        let sub = o.required("sub", |n| {
            let (path, faults) = (n.path, n.faults);
            let sub = text(n)?;
            if !seen.insert(sub.clone()) {
                faults.add(&path, format!("{} is listed twice", quoted(&sub)));
                return None;
            }
            Some(sub)
        });
        let given = o.has("issuedBefore");
        let issued_before = o.optional("issuedBefore", timestamp);
        if given && issued_before.is_none() {
            return None;
        }
        Some((sub?.into_boxed_str(), issued_before))
    })
}

fn remote(node: Node<'_>) -> Option<RemoteListSpec> {
    node.object(|o| {
        let endpoint = o.required("uri", endpoint);
        let cluster = o.required("cluster", label);
        let poll_interval = o.optional("pollInterval", duration(SECOND..=HOUR));
        let timeout = o.optional("timeout", duration(Duration::from_millis(100)..=MINUTE));
        let given = o.has("maxStale");
        let max_stale = o.optional("maxStale", duration(SECOND..=HOUR.saturating_mul(168)));
        let when_stale = o.optional("whenStale", choice("a choice", &WHEN_STALE)).unwrap_or(WhenStale::Deny);
        if given && when_stale == WhenStale::Serve {
            o.fault_at::<()>("maxStale", "has no effect with whenStale: Serve");
        }
        let poll_interval = poll_interval.unwrap_or(SECOND.saturating_mul(30));
        // A list that is still fresh is never too stale.
        let max_stale = max_stale.unwrap_or(MINUTE.saturating_mul(5).max(poll_interval));
        if max_stale < poll_interval {
            o.fault_at::<()>("maxStale", "shorter than pollInterval");
        }
        Some(RemoteListSpec {
            endpoint: endpoint?,
            cluster: cluster?,
            poll_interval,
            timeout: timeout.unwrap_or(SECOND.saturating_mul(5)),
            max_stale,
            when_stale,
        })
    })
}
