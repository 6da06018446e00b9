//! Trailers of requests: what is removed from headers is removed from them. Envoy calls for them only where there are any.

use super::{
    carry_out,
    host_calls::{Failed, Host},
    serving::Serving,
    wire,
};

/// Whether the request of `stream`, with what is left of its trailers, may go on; without a policy none is left.
///
/// Trailers come when the headers were let go, or after. Where Envoy is told to hand them over before, a request that
/// waits goes on waiting; and one whose trailers cannot be cleaned goes no further.
#[cold]
pub(super) fn on_request_trailers<H: Host>(host: &H, stream: u32, serving: Option<&Serving<H>>) -> bool {
    if clean(host, serving).is_err() {
        if let Some(serving) = serving {
            serving.forget(stream);
        }
        carry_out::answer_in_between(host);
        return false;
    }
    !serving.is_some_and(|serving| serving.has_waiting(stream))
}

fn clean<H: Host>(host: &H, serving: Option<&Serving<H>>) -> Result<(), Failed> {
    let bytes = host.request_trailers()?;
    let trailers = wire::parse_pairs(&bytes).ok_or(Failed)?;
    trailers
        .iter()
        .filter(|(name, _)| serving.is_none_or(|serving| serving.guards_trailer(name)))
        .try_for_each(|(name, _)| host.remove_request_trailer(name))
}
