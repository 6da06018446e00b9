//! Tests over several parts of this module. Those of one part stand beside it.

mod attacks;
mod compile;
mod discovery;
mod principals;
mod providers;
mod remote;
mod tenants;
pub(crate) mod tokens;
mod wanted;

use super::{JwtError, Provider, ProviderSpec, VerifiedToken};
use crate::{
    crypto::{HostCrypto, NoHostCrypto, test_host::RingHost},
    jose::{CompactToken, KeySet},
    time::Timestamp,
};

/// Verifies over both roads, which must agree.
fn verify(spec: &ProviderSpec, text: &str) -> Result<VerifiedToken, JwtError> {
    let provider = Provider::compile(spec).unwrap();
    let keys = provider.keys().unwrap();
    let by = |host: &dyn HostCrypto| verify_by(&provider, keys, host, text);
    let (in_module, by_host) = (by(&NoHostCrypto), by(&RingHost));
    assert_eq!(in_module.as_ref().err(), by_host.as_ref().err(), "the two roads part on {text}");
    in_module
}

fn verify_by(
    provider: &Provider,
    keys: &KeySet,
    host: &dyn HostCrypto,
    text: &str,
) -> Result<VerifiedToken, JwtError> {
    let mut token = CompactToken::parse(text, 8192)?;
    provider.check(&mut token, Timestamp::from_secs(tokens::NOW))?.verify(keys, host)
}
