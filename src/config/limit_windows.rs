//! The windows of limits and of their tiers, and the numbers that callers may have of their own there.

use std::time::Duration;

use super::{
    faults::quoted,
    model::{Bound, Form, HOUR, Kind, SECOND, Shape, optional, required, words},
    names::OwnRequestsFacts,
    reader::Object,
};
use crate::{
    identity::ClaimPath,
    rate_limit::{KeyPart, MAX_WINDOWS, OwnRequestsSpec, WindowSpec},
};

const UNITS: [(&str, Duration); 4] = [
    ("Second", Duration::from_secs(1)),
    ("Minute", Duration::from_secs(60)),
    ("Hour", Duration::from_secs(3600)),
    ("Day", Duration::from_secs(86_400)),
];

pub(super) const WINDOWS: Kind =
    Kind::Few(MAX_WINDOWS, "no limits; a limit needs at least one window", &Kind::Object(&WINDOW));

pub(super) static TIER: Shape = Shape::new(&[
    required("name", Kind::Text(Form::Label), "The tier."),
    required("limits", WINDOWS, "They replace those of the limit."),
]);

pub(super) static WINDOW: Shape = Shape::bound(
    &[
        required(
            "requests",
            Kind::Number(1, u32::MAX),
            "How many requests per `unit` or `window`; at most 1,000,000 a second.",
        ),
        optional(
            "unit",
            Kind::Choice("a unit", &words(&UNITS)),
            "one of these two is required",
            "The length of the window.",
        ),
        optional("window", Kind::Duration(SECOND, 8760 * HOUR), "", "Any other length, in whole seconds."),
        optional(
            "burst",
            Kind::Number(1, u32::MAX),
            "`requests`",
            "How many at once. It must be earned back within 366 days. Refused with `ownRequests`.",
        ),
        optional(
            "ownRequests",
            Kind::Object(&OWN_REQUESTS),
            "absent: the same for all",
            "Callers may have numbers of their own, see [below](#numbers-of-ones-own). `requests` are for those who have none. \
             In one window of a list.",
        ),
    ],
    &[Bound::One(&["unit", "window"]), Bound::Apart(&["burst", "ownRequests"])],
);

static OWN_REQUESTS: Shape = Shape::new(&[
    optional(
        "claim",
        Kind::Claim,
        "absent: API keys alone have numbers, by their `ownRequests`",
        "Where a token says how many requests its caller has in the window.",
    ),
    required(
        "max",
        Kind::Number(1, MOST_OWN_REQUESTS),
        "The most that any number counts as; at least `requests`, and at most 1,000,000 a second.",
    ),
]);

/// The shares of a window of a day are then told apart by a clock of nanoseconds.
const MOST_OWN_REQUESTS: u32 = 1_000_000_000;

/// What must be known of a limit where its windows say that callers have numbers of their own.
pub(super) struct Numbered {
    before: bool,
    /// Whether its key has a part that only callers have; and such a part that tokens have, too.
    by_caller: bool,
    by_token: bool,
}

impl Numbered {
    /// Of a key that could not be read nothing is said.
    pub(super) fn of(key: Option<&[KeyPart]>, before: bool) -> Self {
        let by_token = key.is_none_or(|key| {
            use KeyPart::{Actor, Claim, ClaimHeader, Principal};
            key.iter().any(|part| matches!(part, Principal | Actor | Claim(_) | ClaimHeader { .. }))
        });
        let by_key = key.is_some_and(|key| key.contains(&KeyPart::ApiKey));
        Self { before, by_caller: by_token || by_key, by_token }
    }
}

pub(super) fn windows(o: &mut Object<'_>, numbered: &Numbered) -> Option<Vec<WindowSpec>> {
    let mut before = false;
    o.objects("limits", |mut o| {
        let has_own = o.has("ownRequests");
        if before && has_own {
            o.fault_at::<()>("ownRequests", "another window has them already; a caller has one number");
        }
        before |= has_own;
        window(&mut o, numbered)
    })
}

fn window(o: &mut Object<'_>, numbered: &Numbered) -> Option<WindowSpec> {
    let requests = o.number("requests");
    let per = per(o);
    let burst = o.number("burst");
    if o.has("burst") && burst.is_none() {
        return None;
    }
    let own = o.object("ownRequests").and_then(own_requests_of_window);
    if o.has("ownRequests") {
        if o.has("burst") {
            o.fault_at::<()>(
                "burst",
                "contradicts ownRequests: as many come at once as the caller's number says",
            );
        }
        if let Some(reason) = numbered.refuses(own.as_ref()?) {
            return o.fault_at("ownRequests", reason);
        }
        if requests.zip(own.as_ref()).is_some_and(|(requests, own)| requests > own.max) {
            return o.fault_at("requests", "is more than ownRequests.max, which is the most for anyone");
        }
    }
    let requests = requests?;
    Some(WindowSpec { requests, per: per?, burst: burst.unwrap_or(requests), own })
}

fn own_requests_of_window(mut o: Object<'_>) -> Option<OwnRequestsSpec> {
    let claim = o.claim("claim");
    let max = o.number("max");
    if o.has("claim") && claim.is_none() {
        return None;
    }
    Some(OwnRequestsSpec { claim, max: max? })
}

impl Numbered {
    /// Why callers cannot have numbers of their own.
    fn refuses(&self, own: &OwnRequestsSpec) -> Option<&'static str> {
        if self.before {
            return Some("who is calling, and with which number, is not known before authentication");
        }
        if !self.by_caller {
            return Some(
                "a caller's number must not govern a count that others share; add principal, actor, apiKey or a claim to key",
            );
        }
        if own.claim.is_some() && !self.by_token {
            return Some(
                "tokens share one count where key has apiKey alone; leave out claim, or count by principal",
            );
        }
        None
    }
}

/// What API keys that name the limit must know of it; `None` where it could not be read.
pub(super) fn own_requests(
    key: Option<&[KeyPart]>,
    windows: Option<&[WindowSpec]>,
    tiers: Option<&[(String, Vec<WindowSpec>)]>,
) -> Option<OwnRequestsFacts> {
    let max = |windows: &[WindowSpec]| windows.iter().find_map(|window| Some(window.own.as_ref()?.max));
    let is_sub = |claim: &ClaimPath| matches!(claim.0.as_slice(), [name] if name == "sub");
    let by_key = key?.iter().any(|part| match part {
        KeyPart::Principal | KeyPart::Actor | KeyPart::ApiKey => true,
        KeyPart::Claim(claim) => is_sub(claim),
        _ => false,
    });
    let tiers = tiers.unwrap_or_default().iter().map(|(tier, windows)| (tier.clone(), max(windows)));
    Some(OwnRequestsFacts { by_key, max: max(windows?), tiers: tiers.collect() })
}

fn per(o: &mut Object<'_>) -> Option<Duration> {
    let unit = o.choice("unit", &UNITS);
    let window = o.duration("window");
    match (o.has("unit"), o.has("window")) {
        (true, true) => o.fault_at("window", "contradicts unit; give one of them"),
        (false, false) => o.fault_at("unit", "required (or window, as in window: 10s)"),
        _ => unit.or(window),
    }
}

pub(super) fn tiers(
    o: &mut Object<'_>,
    before: bool,
    numbered: &Numbered,
) -> Option<Vec<(String, Vec<WindowSpec>)>> {
    if before && o.has("tiers") {
        return o.fault_at("tiers", "tiers belong to principals, which are not known before authentication");
    }
    let mut seen = hashbrown::HashSet::new();
    o.objects("tiers", |mut o| {
        let mut name = o.text("name");
        if let Some(tier) = &name
            && !seen.insert(tier.clone())
        {
            name = o.fault_at("name", format!("duplicate tier {}", quoted(tier)));
        }
        let windows = windows(&mut o, numbered);
        Some((name?, windows?))
    })
}
