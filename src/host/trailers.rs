//! Trailers of requests: what is removed from headers is removed from them. Envoy calls for them only where there are any.

use std::rc::Rc;

use super::{
    host_calls::{Failed, Host},
    root,
    serving::{self, Serving},
    wire,
};

/// Whether the request of `stream`, with what is left of its trailers, may go on; `servings` are all in this VM.
///
/// Trailers come when the headers were let go, or after. Where Envoy is told to hand them over before, a request that
/// waits goes on waiting; and one whose trailers cannot be cleaned goes no further.
#[cold]
pub(super) fn on_request_trailers<H: Host>(host: &H, stream: u32, servings: &[Rc<Serving<H>>]) -> bool {
    if clean(host, servings).is_err() {
        servings.iter().for_each(|serving| serving.forget(stream));
        serving::answer_in_between(host);
        return false;
    }
    !servings.iter().any(|serving| serving.has_waiting(stream))
}

fn clean<H: Host>(host: &H, servings: &[Rc<Serving<H>>]) -> Result<(), Failed> {
    // Nothing tells which configuration has decided a stream: each request would pay for that. What is known is whose
    // filter it is, and its configurations differ only while one takes another's place.
    let (_, namespace) = root::names(host);
    let is_known = servings.iter().any(|serving| serving.namespace() == namespace);
    let guards = |trailer: &[u8]| {
        let mut all = servings.iter().filter(|serving| !is_known || serving.namespace() == namespace);
        servings.is_empty() || all.any(|serving| serving.guards_trailer(trailer))
    };
    let bytes = host.request_trailers()?;
    let trailers = wire::parse_pairs(&bytes).ok_or(Failed)?;
    trailers
        .iter()
        .filter(|(name, _)| guards(name))
        .try_for_each(|(name, _)| host.remove_request_trailer(name))
}
