//! Nothing gets past in a second reading: every name that the policy knows, in every spelling that some server takes
//! for it, in every place, before upstreams that read loosely. None of them sees an identity, a credential, a method or
//! a path that was not decided on.

pub(crate) mod bases;
mod generated;
mod pieces;
mod reading;
mod trailers;

use crate::harness::{
    gateway::{Gateway, gateway},
    loose::{Loose, Reader},
};

async fn before_loose_readers() -> (Vec<Loose>, Gateway) {
    let mut upstreams = Vec::new();
    let mut builder = gateway(&bases::policy());
    for reader in Reader::ALL {
        let upstream = Loose::start(reader).await;
        builder = builder.host(reader.host(), upstream.address);
        upstreams.push(upstream);
    }
    (upstreams, builder.start().await)
}

/// What the others are spoilt from: it passes, and each upstream sees what it should.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_spoilt_passes() {
    let (_upstreams, gateway) = before_loose_readers().await;
    let mut connection = gateway.plain();
    for reader in Reader::ALL {
        for base in bases::all() {
            let client = base.limited.then_some(reader.host());
            let request = base.request(reader, client);
            let answer = connection.send(&request).await.unwrap();
            assert_eq!(answer.status, 200, "{reader:?} {request:?}: {answer:?}");
            let faults = reading::faults(&base, false, &answer);
            assert!(faults.is_empty(), "{reader:?} {request:?}: {faults:?}: {answer:?}");
        }
    }
}
