//! Requests by the thousand: every piece, each before or after what is there, alone or with others that chance adds.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    bases::{self, Base},
    before_loose_readers,
    pieces::{self, Piece},
    reading,
};
use crate::harness::{
    client::{Http2, Plain, http1_bytes},
    gateway::Gateway,
    loose::Reader,
    request::{Answer, Request},
};

/// Fixed, so that every run asks the same. Another one asks for other combinations.
const SEED: u64 = 12;
const REQUESTS: usize = 20_000;
/// Connections, and as many requests at once.
const CLIENTS: usize = 6;

/// SplitMix64: what is needed of randomness here is that it comes again.
struct Random(u64);

impl Random {
    fn of(seed: u64, index: usize) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D).wrapping_add(u64::try_from(index).unwrap()))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A base with pieces, each with its place before or after what is there.
#[derive(Clone, Debug)]
struct Attempt {
    /// Over HTTP/2, where it can carry the request; else over HTTP/1.1.
    http2: bool,
    reader: Reader,
    base: usize,
    /// It says who it is.
    named: bool,
    pieces: Vec<(Piece, bool)>,
}

struct Space {
    bases: Vec<Base>,
    pieces: Vec<Vec<Piece>>,
}

impl Space {
    fn new() -> Self {
        let bases = bases::all();
        let pieces = bases.iter().map(|base| pieces::all(&base.path[..base.path.len() - 2])).collect();
        Self { bases, pieces }
    }

    /// The pieces one after the other, with whatever chance adds to each.
    fn attempt(&self, index: usize) -> Attempt {
        let mut random = Random::of(SEED, index);
        let base = random.below(self.bases.len());
        let pieces = &self.pieces[base];
        let http2 = random.once_in(4);
        let reader = Reader::ALL[(index + index / pieces.len()) % Reader::ALL.len()];
        let mut chosen = vec![(pieces[index % pieces.len()].clone(), random.once_in(2))];
        while random.once_in(4) {
            chosen.push((pieces[random.below(pieces.len())].clone(), random.once_in(2)));
        }
        // Those who do not say who they are share one count, which is for those who say it in another spelling.
        let unnamed =
            matches!(&chosen[0].0, Piece::Header(name, _) if reading::is_alike(name, "x-client-id"));
        let named = self.bases[base].limited && !(unnamed && random.once_in(2));
        Attempt { http2, reader, base, named, pieces: chosen }
    }

    /// `unique`: a client of its own.
    fn request(&self, attempt: &Attempt, unique: usize) -> Request {
        let client = attempt.named.then(|| format!("client-{unique}"));
        let mut request = self.bases[attempt.base].request(attempt.reader, client.as_deref());
        for (piece, first) in &attempt.pieces {
            match piece {
                Piece::Header(name, value) if value == b"FORGED-client" => {
                    let value = [value.as_slice(), unique.to_string().as_bytes()].concat();
                    Piece::Header(name.clone(), value).put(&mut request, *first);
                }
                piece => piece.put(&mut request, *first),
            }
        }
        request
    }

    fn faults(&self, attempt: &Attempt, answer: &Answer) -> Vec<String> {
        let is_spelt = attempt.pieces.iter().any(|(piece, _)| matches!(piece, Piece::Path(_)));
        reading::faults(&self.bases[attempt.base], is_spelt, answer)
    }

    /// Without the pieces that do not matter.
    async fn smallest(
        &self,
        connections: &mut Connections,
        mut attempt: Attempt,
        unique: &mut usize,
    ) -> Attempt {
        let mut at = 0;
        while attempt.pieces.len() > 1 && at < attempt.pieces.len() {
            let mut smaller = attempt.clone();
            smaller.pieces.remove(at);
            *unique += 1;
            let answer = connections.send(smaller.http2, &self.request(&smaller, *unique)).await;
            if self.faults(&smaller, &answer).is_empty() {
                at += 1;
            } else {
                attempt = smaller;
            }
        }
        attempt
    }
}

/// One of each kind.
struct Connections {
    http1: Plain,
    http2: Http2,
}

impl Connections {
    async fn to(gateway: &Gateway) -> Self {
        Self { http1: gateway.plain(), http2: gateway.http2().await }
    }

    async fn send(&mut self, http2: bool, request: &Request) -> Answer {
        let answer = if http2 && fits_http2(request) {
            self.http2.send(request).await
        } else {
            self.http1.send(request).await
        };
        answer.unwrap_or_else(|error| panic!("{error}: {}", shown(request)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_upstream_sees_what_was_not_decided_on() {
    let (_upstreams, gateway) = before_loose_readers().await;
    let space = Arc::new(Space::new());
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let (space, mut connections) = (Arc::clone(&space), Connections::to(&gateway).await);
        clients.push(tokio::spawn(async move {
            let (mut failed, mut statuses) = (Vec::new(), BTreeMap::new());
            for index in (client..REQUESTS).step_by(CLIENTS) {
                let attempt = space.attempt(index);
                let request = space.request(&attempt, index);
                let answer = connections.send(attempt.http2, &request).await;
                *statuses.entry(answer.status).or_insert(0) += 1;
                let faults = space.faults(&attempt, &answer);
                if !faults.is_empty() {
                    failed.push((index, attempt, faults));
                }
            }
            (failed, statuses)
        }));
    }
    let (mut failed, mut statuses) = (Vec::new(), BTreeMap::<u16, usize>::new());
    for client in clients {
        let (own, counts) = client.await.unwrap();
        failed.extend(own);
        counts.into_iter().for_each(|(status, count)| *statuses.entry(status).or_default() += count);
    }
    report(&space, &gateway, failed).await;
    // Whoever refuses everything shows nothing either.
    let passed = statuses.get(&200).copied().unwrap_or_default();
    assert!(passed * 4 > REQUESTS, "{statuses:?}");
}

/// The smallest requests for each way to fail.
async fn report(space: &Space, gateway: &Gateway, mut failed: Vec<(usize, Attempt, Vec<String>)>) {
    const OF_EACH: usize = 5;
    failed.sort_by_key(|(index, ..)| *index);
    let mut ways: BTreeMap<String, Vec<(usize, Attempt)>> = BTreeMap::new();
    for (index, attempt, faults) in &failed {
        let (way, _) = faults[0].split_once(" is ").unwrap();
        ways.entry(way.to_owned()).or_default().push((*index, attempt.clone()));
    }
    let (mut connections, mut unique) = (Connections::to(gateway).await, REQUESTS);
    let mut text = String::new();
    for (way, attempts) in ways {
        text += &format!("--- {way}: {} times\n", attempts.len());
        let step = attempts.len().div_ceil(OF_EACH);
        for (index, attempt) in attempts.into_iter().step_by(step) {
            let attempt = space.smallest(&mut connections, attempt, &mut unique).await;
            unique += 1;
            let request = space.request(&attempt, unique);
            let answer = connections.send(attempt.http2, &request).await;
            let faults = space.faults(&attempt, &answer).join("; ");
            let wire = if attempt.http2 && fits_http2(&request) { "HTTP/2" } else { "HTTP/1.1" };
            text += &format!("{index}, {wire}, {:?}: {faults}\n{}\n", attempt.reader, shown(&request));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {REQUESTS} requests show what was not decided on (seed {SEED}):\n{text}",
        failed.len()
    );
}

fn shown(request: &Request) -> String {
    let bytes = http1_bytes(request, false);
    let lines: Vec<String> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| format!("    {}", line.trim_ascii_end().escape_ascii()))
        .collect();
    lines.join("\n").trim_end().to_owned()
}

/// Whether our library can say it: it wants every part to be well formed.
fn fits_http2(request: &Request) -> bool {
    let fits = |(name, value): &(String, Vec<u8>)| {
        hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
            && hyper::header::HeaderValue::from_bytes(value).is_ok()
    };
    format!("https://{}{}", request.authority, request.target).parse::<hyper::Uri>().is_ok()
        && request.headers.iter().chain(&request.trailers).all(fits)
}
