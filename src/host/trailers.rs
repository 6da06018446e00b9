//! Trailers of requests: what is removed from headers is removed from them. Envoy calls for them only where there are any.

use super::{
    host_calls::{Failed, Host},
    serving::Serving,
    wire,
};

/// Takes out of the trailers what is not to reach the upstream; without a policy, all of them. A request whose trailers cannot
/// be cleaned goes no further.
#[cold]
pub(super) fn clean<H: Host>(host: &H, serving: Option<&Serving<H>>) -> Result<(), Failed> {
    let bytes = host.request_trailers()?;
    let trailers = wire::parse_pairs(&bytes).ok_or(Failed)?;
    trailers
        .iter()
        .filter(|(name, _)| serving.is_none_or(|serving| serving.guards_trailer(name)))
        .try_for_each(|(name, _)| host.remove_request_trailer(name))
}
