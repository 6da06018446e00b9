//! Trailers are headers to some: what is removed from the ones is removed from the others, in every spelling.

use super::{
    bases,
    pieces::{self, Piece},
    reading::is_alike,
};
use crate::harness::{
    client::Http2,
    gateway::gateway,
    request::{Request, post},
};

/// Names whose trailers an upstream may see: they only stand in conditions and in limits.
const SEEN: [&str; 4] = ["x-debug", "x-trace", "x-mode", "x-client-id"];

async fn trailers_seen(connection: &mut Http2, request: &Request) -> Vec<String> {
    let answer = connection.send(request).await.unwrap();
    assert_eq!(answer.status, 200, "{request:?}: {answer:?}");
    answer.seen().trailer_names().into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trailer_says_what_no_header_may() {
    let gateway = gateway(&bases::policy()).http2_upstream().start().await;
    let mut connection = gateway.http2().await;
    let (mut removed, mut left) = (0, Vec::new());
    for piece in pieces::all("/open") {
        let Piece::Header(name, value) = piece else { continue };
        // HTTP/2 itself knows it as a header only.
        if name.eq_ignore_ascii_case("host") {
            continue;
        }
        let request = post("/open/x").trailer(&name, &value).trailer("x-checksum", "1");
        let seen = trailers_seen(&mut connection, &request).await;
        assert!(seen.iter().any(|name| name == "x-checksum"), "{request:?}: {seen:?}");
        if SEEN.iter().any(|own| is_alike(&name, own)) {
            continue;
        }
        removed += 1;
        if seen.len() > 1 {
            left.push(request);
        }
    }
    assert!(left.is_empty(), "{} of {removed}, the first {:?}", left.len(), left.first());
    assert!(removed > 500, "{removed}");
}
