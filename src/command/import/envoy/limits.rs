//! The filter `local_ratelimit`: buckets, and what they count apart.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::fields::{duration, get, is_true, items, milliseconds, number, only, place, tell_unknown, text};
use crate::command::{
    import::{draft::named, told::Told},
    tree::Node,
};

/// Shared by all: a claim that no token has.
const EVERYBODY: &str = "counted-together";

/// A limit, and which routes' requests it counts.
pub(super) struct Limit {
    pub(super) value: Json,
    /// Of the routes' `rate_limits`, those in whose actions it finds its entries; `None`: all requests.
    pub(super) actions: Option<Vec<usize>>,
}

impl Limit {
    pub(super) fn name(&self) -> String {
        self.value.get("name").and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    /// Whether it has one count for everybody.
    pub(super) fn counts_together(&self) -> bool {
        self.value.get("key") == Some(&json!([{"claim": EVERYBODY}]))
    }

    /// Whether it counts requests with any of these methods.
    pub(super) fn counts(&self, methods: Option<&BTreeSet<String>>) -> bool {
        let own = self.value.get("methods").and_then(Json::as_array);
        match (own, methods) {
            (Some(own), Some(methods)) => methods.iter().any(|method| own.contains(&json!(method))),
            _ => true,
        }
    }

    pub(super) fn rename(&mut self, name: &str) {
        if let Some(members) = self.value.as_object_mut() {
            members.insert("name".to_owned(), json!(name));
        }
    }
}

/// An entry of a descriptor as an action makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Address,
    Header { key: String, header: String },
    Generic { key: String, value: String },
    Unknown,
}

/// What `rate_limits` of a route say: descriptors, each of entries.
pub(super) type Actions = Vec<Vec<Entry>>;

pub(super) fn actions(node: &Node) -> Actions {
    items(node, "rate_limits")
        .iter()
        .map(|limit| items(limit, "actions").iter().map(entry).collect())
        .collect()
}

fn entry(action: &Node) -> Entry {
    let Some((name, value)) = only(action) else { return Entry::Unknown };
    let of = |name| text(value, name).map(str::to_owned);
    match name.as_str() {
        "remote_address" => Entry::Address,
        "request_headers" => match (of("descriptor_key"), of("header_name")) {
            (Some(key), Some(header)) => Entry::Header { key, header: header.to_ascii_lowercase() },
            _ => Entry::Unknown,
        },
        "generic_key" => Entry::Generic {
            key: of("descriptor_key").unwrap_or_else(|| "generic_key".to_owned()),
            value: of("descriptor_value").unwrap_or_default(),
        },
        _ => Entry::Unknown,
    }
}

impl Entry {
    fn key(&self) -> &str {
        match self {
            Self::Address => "remote_address",
            Self::Header { key, .. } | Self::Generic { key, .. } => key,
            Self::Unknown => "",
        }
    }
}

/// The limits of a filter, named after `name`. `routes` are what the routes' `rate_limits` say.
pub(super) fn local_ratelimit(filter: &Node, routes: &[Actions], told: &mut Told) -> Vec<Limit> {
    let about = text(filter, "stat_prefix").unwrap_or("local_ratelimit");
    let known = [
        "@type",
        "stat_prefix",
        "status",
        "token_bucket",
        "filter_enabled",
        "filter_enforced",
        "descriptors",
        "stage",
        "always_consume_default_token_bucket",
        "max_dynamic_descriptors",
        "enable_x_ratelimit_headers",
        "rate_limits",
        "response_headers_to_add",
        "request_headers_to_add_when_not_enforced",
        "rate_limited_as_resource_exhausted",
    ];
    tell_unknown(filter, &known, about, "the limit counts without it", told);
    for name in ["filter_enabled", "filter_enforced"] {
        let part = get(filter, name).and_then(|part| get(part, "default_value"));
        let numerator = part.and_then(|part| number(part, "numerator")).unwrap_or(0);
        if numerator == 0 {
            told.note(
                &place(filter),
                about,
                format!("{name} is none of the requests, so it limits nothing and is left out"),
            );
            return Vec::new();
        }
        let whole = match part.and_then(|part| text(part, "denominator")) {
            None | Some("HUNDRED" | "0") => 100,
            Some("TEN_THOUSAND" | "1") => 10_000,
            Some(_) => 1_000_000,
        };
        if numerator < whole {
            told.left(
                &place(filter),
                about,
                format!("{name} is a part of the requests; here it is all of them"),
            );
        }
    }
    if let Some(status) = get(filter, "status") {
        told.note(&place(status), about, "the status is 429: local_reply_config maps it");
    }
    let name = |part: &str| {
        let name: String = named(&format!("{about}{part}")).replace([':', '/', '@'], "-");
        name.chars().take(60).collect::<String>()
    };
    let mut limits = Vec::new();
    if let Some(window) = get(filter, "token_bucket").and_then(window) {
        if get(filter, "always_consume_default_token_bucket").is_some()
            && !is_true(filter, "always_consume_default_token_bucket")
        {
            told.note(
                &place(filter),
                about,
                "the bucket for all counts every request, those of other buckets, too",
            );
        }
        let key = json!([{"claim": EVERYBODY}]);
        limits
            .push(Limit { value: json!({"name": name(""), "key": key, "limits": [window]}), actions: None });
    } else {
        told.left(&place(filter), about, "its token_bucket cannot be read; nothing is limited by it");
    }
    for (number, descriptor) in items(filter, "descriptors").iter().enumerate() {
        tell_unknown(descriptor, &["entries", "token_bucket"], about, "the limit counts without it", told);
        let Some(window) = get(descriptor, "token_bucket").and_then(window) else {
            told.left(&place(descriptor), about, "its token_bucket cannot be read; nothing is limited by it");
            continue;
        };
        let part = format!("-{}", number.saturating_add(1));
        limits.extend(of_descriptor(descriptor, &name(&part), &window, about, routes, told));
    }
    limits
}

fn of_descriptor(
    descriptor: &Node,
    name: &str,
    window: &Json,
    about: &str,
    routes: &[Actions],
    told: &mut Told,
) -> Option<Limit> {
    let wanted: Vec<(&str, Option<&str>)> = items(descriptor, "entries")
        .iter()
        .map(|entry| {
            (text(entry, "key").unwrap_or_default(), text(entry, "value").filter(|value| !value.is_empty()))
        })
        .collect();
    let fits = |entries: &Vec<Entry>| {
        let is_own = |(entry, (key, value)): (&Entry, &(&str, Option<&str>))| {
            let is_value = match entry {
                Entry::Generic { value: own, .. } => value.is_none_or(|value| value == own),
                _ => true,
            };
            // What cannot be said may be anything.
            *entry == Entry::Unknown || (entry.key() == *key && is_value)
        };
        entries.len() == wanted.len() && entries.iter().zip(&wanted).all(is_own)
    };
    let of: Vec<usize> = (0..routes.len())
        .filter(|place| routes.get(*place).is_some_and(|actions| actions.iter().any(fits)))
        .collect();
    let Some(first) = routes.iter().flatten().find(|entries| fits(entries)) else {
        told.note(
            &place(descriptor),
            about,
            "no route makes such a descriptor, so it limits nothing and is left out",
        );
        return None;
    };
    let (mut key, mut methods) = (Vec::new(), Vec::new());
    for (entry, (_, value)) in first.iter().zip(&wanted) {
        let mut all = |message: &str| told.left(&place(descriptor), about, message);
        match (entry, value) {
            (Entry::Address, None) => key.push(json!("remoteAddress")),
            (Entry::Address, Some(_)) => {
                all("one address alone is not limited here: all addresses are, each by itself")
            }
            (Entry::Header { header, .. }, Some(method)) if header == ":method" => {
                methods.push(json!(method))
            }
            (Entry::Header { header, .. }, None) if !header.starts_with(':') => {
                key.push(json!({"header": header}))
            }
            (Entry::Header { .. }, Some(_)) => {
                all("requests with one value of a header alone are not limited here: all are, together")
            }
            (Entry::Header { .. }, None) => all("what it counts apart is counted together"),
            (Entry::Generic { .. }, _) => {}
            (Entry::Unknown, _) => {
                all("an action has no counterpart: what it counts apart is counted together")
            }
        }
        if matches!((entry, value), (Entry::Address, Some(_))) {
            key.push(json!("remoteAddress"));
        }
    }
    if key.is_empty() {
        key.push(json!({"claim": EVERYBODY}));
    }
    let mut value = json!({"name": name, "key": key, "limits": [window]});
    if let (false, Some(members)) = (methods.is_empty(), value.as_object_mut()) {
        members.insert("methods".to_owned(), json!(methods));
    }
    Some(Limit { value, actions: Some(of) })
}

/// A `TokenBucket`; `None`: it cannot be read.
fn window(bucket: &Node) -> Option<Json> {
    let most = number(bucket, "max_tokens")?;
    let fill = get(bucket, "tokens_per_fill").map(|own| get(own, "value").unwrap_or(own));
    let fill = fill.map_or(Some(1), |own| own.text()?.parse::<u64>().ok())?;
    let interval = text(bucket, "fill_interval").and_then(milliseconds).filter(|interval| *interval > 0)?;
    // Whole seconds, in which no more come back than would there.
    let (requests, seconds) = match interval.checked_rem(1000)? {
        0 => (fill, interval.checked_div(1000)?),
        _ => {
            let seconds = interval.div_ceil(1000);
            (fill.checked_mul(seconds)?.checked_mul(1000)?.checked_div(interval)?, seconds)
        }
    };
    let requests = requests.max(1);
    let time = match seconds {
        1 => json!({"requests": requests, "unit": "Second"}),
        60 => json!({"requests": requests, "unit": "Minute"}),
        3600 => json!({"requests": requests, "unit": "Hour"}),
        _ => json!({"requests": requests, "window": duration(seconds.checked_mul(1000)?)}),
    };
    let mut window = time;
    if most != requests {
        window.as_object_mut()?.insert("burst".to_owned(), json!(most));
    }
    Some(window)
}
