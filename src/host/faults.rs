//! Failures on demand, in test builds only: what `PORTCULLIS_FAULT` in the VM's environment asks for.

use super::{abi::Abi, host_calls::Host as _};

/// Counts configurations, over all threads.
const CONFIGURED: &str = "portcullis/faults/configured";

fn wanted(fault: &str) -> bool {
    std::env::var("PORTCULLIS_FAULT").is_ok_and(|value| value == fault)
}

/// Fails or traps every configuration but the first, which is the trial run on Envoy's main thread.
pub(super) fn on_configure() -> bool {
    let fails = wanted("configure-fails-on-workers");
    let traps = wanted("configure-traps-on-workers");
    if !fails && !traps {
        return true;
    }
    if Abi.set_shared_data(CONFIGURED, b"1", u32::MAX) == Ok(true) {
        return true;
    }
    if traps {
        std::process::abort();
    }
    false
}

/// Traps on a request that asks for it.
pub(super) fn on_request() {
    if wanted("trap-on-request")
        && Abi.request_headers().is_ok_and(|bytes| {
            super::wire::parse_pairs(&bytes)
                .is_some_and(|pairs| pairs.contains(&(b"x-fault".as_slice(), b"trap".as_slice())))
        })
    {
        std::process::abort();
    }
}
