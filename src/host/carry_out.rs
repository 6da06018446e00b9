//! Carries out what was decided: changes to the request, the mark, answers.

use log::warn;

use super::{
    host_calls::{Failed, Host},
    wire,
};
use crate::{
    answer::{Challenges, Reason, Reply},
    engine::{self, Changes},
    request,
};

/// What the filter state says that marks a request which this filter allowed; other filters see it as `wasm.` and the
/// mark's name. Only a module can set it, so Envoy's own rbac filter behind this one can refuse whatever lacks it. Every
/// configuration of an interlock, of ours and of operators, asks for this very word.
const ALLOWED: &[u8] = b"allowed";

/// Carries out every change, up to the first that fails, and sets the interlock last: if anything fails before, nothing
/// opens it.
pub(super) fn apply(host: &impl Host, changes: &Changes<'_>, mark: Option<&[u8]>) -> Result<(), Failed> {
    for name in &changes.remove {
        host.remove_request_header(name)?;
    }
    for (name, value) in &changes.replace {
        host.set_request_header(name, value.as_str().as_bytes())?;
    }
    for (name, value) in &changes.add {
        host.add_request_header(name, value.as_str().as_bytes())?;
    }
    mark.map_or(Ok(()), |name| host.set_filter_state(name, ALLOWED))
}

/// Refuses a request whose headers were let go already.
#[cold]
pub(super) fn answer_in_between(host: &impl Host) {
    refuse(host, Reason::StateUnavailable);
}

/// Refuses a request that no policy is there for.
#[cold]
pub(super) fn answer_without_policy(host: &impl Host) {
    hide(host, engine::names_without_policy());
    refuse(host, Reason::NoPolicy);
}

/// Takes headers and the whole query out of a request that was not looked at, as far as that succeeds.
pub(super) fn hide<'a>(host: &impl Host, names: impl Iterator<Item = &'a [u8]>) {
    for name in names {
        let _ = host.remove_request_header(name);
    }
    if let Some(path) = host.property("request\0url_path") {
        let _ = host.set_request_header(":path", &path);
    }
}

/// Refuses a request that the core did not see.
#[cold]
pub(super) fn refuse(host: &impl Host, reason: Reason) {
    let reply = Reply::refusal(reason, Challenges::default());
    let content_type = host.property("request\0headers\0content-type");
    let is_grpc = content_type.is_some_and(|content_type| request::is_grpc(&content_type));
    answer(host, &if is_grpc { reply.in_grpc(reason) } else { reply });
}

/// Answers the request. If even that fails the request stays paused, and Envoy's time-outs end it.
pub(super) fn answer(host: &impl Host, reply: &Reply) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let sent = wire::write_pairs(headers).ok_or(Failed).and_then(|headers| {
        host.send_local_response(reply.status, reply.details, &reply.body, &headers, reply.grpc_status)
    });
    if sent.is_err() {
        warn!("an answer could not be sent; the request stays refused");
    }
}
