//! What requests allocate, counted: the admitted path of a rate limit, and uses of API keys.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, RefCell},
    time::Duration,
};

use portcullis::{
    crypto::sha256,
    engine::{Exchange, HostServices, Step, WorkerState},
    policy::Policy,
    rate_limit::{
        KeyPart, Ledger, LimitId, LimitSpec, Limiter, Prepayments, SlotSecret, Subject, Terms, WindowSpec,
    },
    request::RequestHead,
    store::{Expected, SharedStore, StoreError, Versioned},
    time::{Clock, Timestamp},
};
use serde_json::{Value, json};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator cannot be counted otherwise; forwards to the system's")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get().wrapping_add(1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A store whose writes allocate nothing, so that reads (one allocation, as from a host) and our own show.
#[derive(Default)]
struct Flat(RefCell<Vec<(String, Versioned)>>);

impl SharedStore for Flat {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        Ok(self.0.borrow().iter().find(|(k, _)| k == key).map(|(_, stored)| stored.clone()))
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        let mut entries = self.0.borrow_mut();
        match (entries.iter_mut().find(|(k, _)| k == key), expected) {
            (Some((_, stored)), Expected::Version(version)) if version == stored.version => {
                stored.value.clear();
                stored.value.extend_from_slice(value);
                stored.version = version.wrapping_add(1).max(1);
            }
            (None, Expected::Absent) => {
                entries.push((key.to_owned(), Versioned { value: value.to_vec(), version: 1 }));
            }
            _ => return Err(StoreError::Conflict),
        }
        Ok(())
    }
}

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get().wrapping_sub(before)
}

#[test]
fn an_admitted_request_allocates_its_copy_of_the_shared_state_and_nothing_where_it_is_paid_ahead() {
    let window =
        |requests, secs| WindowSpec { requests, per: Duration::from_secs(secs), burst: requests, own: None };
    let limit = |name: &str, windows| LimitSpec {
        name: name.into(),
        key: vec![KeyPart::RemoteAddress, KeyPart::Route],
        windows,
        tiers: vec![],
        methods: vec!["GET".into()],
        exempt: Default::default(),
        before_authentication: false,
        shadow: false,
        ipv4_prefix: 32,
        ipv6_prefix: 64,
    };
    let specs = [
        limit("one", vec![window(100, 60)]),
        limit("four", vec![window(100, 1), window(100, 60), window(100, 3_600), window(100, 86_400)]),
        limit("large", vec![window(10_000, 60)]),
    ];
    let limiter = Limiter::compile(&specs, "portcullis").unwrap();
    let store = Flat::default();
    let secret = SlotSecret::load_or_create(&store, "portcullis", [7; 16]).unwrap();
    let address = "2001:db8::1".parse().ok();
    let subject = Subject {
        remote_address: address,
        principal: None,
        actor: None,
        known_place: None,
        rule: "r",
        host: "",
        variables: None,
        method: "GET",
        head: &RequestHead::default(),
        query: None,
    };
    let now = Timestamp::from_secs(1_000_000);
    let [one, four, large] = ["one", "four", "large"].map(|name| limiter.id(name).unwrap());
    let (mut prepayments, mut terms) = (Prepayments::default(), Terms::default());
    let mut check = |limits: &[LimitId]| {
        let mut ledger = Ledger {
            store: &store,
            secret: &secret,
            prepayments: &mut prepayments,
            terms: &mut terms,
            tells: false,
        };
        let outcome = limiter.check(limits, &subject, now, &mut ledger);
        assert!(outcome.unwrap().admitted());
    };
    // The first request makes the slots, and prepayments.
    check(&[one, four, large]);
    // The value that the store hands over, and what is made of it.
    for (limits, expected) in [(&[one][..], 2), (&[four], 2), (&[large], 0), (&[], 0)] {
        assert_eq!(allocations(|| check(limits)), expected, "{limits:?}");
    }
    // Several are listed first.
    assert_eq!(allocations(|| check(&[one, four])), 4);
}

/// A request with an API key costs no allocation more where uses are counted, once the key was met in an interval.
#[test]
fn counting_uses_allocates_nothing_for_a_key_that_is_counted() {
    let hash: String = sha256(b"key").iter().map(|byte| format!("{byte:02x}")).collect();
    let store = Flat::default();
    let random = || Some([7; 16]);
    let head = RequestHead {
        headers: vec![
            (b":method", b"GET"),
            (b":path", b"/"),
            (b":authority", b"api.test"),
            (b":scheme", b"https"),
            (b"x-api-key", b"key"),
        ],
        tls: true,
        ends: true,
        ..RequestHead::default()
    };
    let of_each = |usage: Option<Value>| {
        let mut policy = json!({
            "interlock": false,
            "apiKeys": {"keys": [{"id": "k", "hash": format!("sha256:{hash}")}]},
            "rules": [{"name": "all", "authenticate": {"anyOf": ["apiKey"]}}],
        });
        if let Some(usage) = usage {
            policy["apiKeys"]["usage"] = usage;
        }
        let worker = WorkerState::new(Policy::compile(policy.to_string().as_bytes(), "t").unwrap(), "t");
        let request = |secs| {
            let services = HostServices::new(Clock::at(Timestamp::from_secs(secs)), &store, &random);
            allocations(|| {
                let decision = Exchange::default().on_request(&worker, &head, &services);
                assert!(matches!(decision.step, Step::Forward(_)));
            })
        };
        let tick = |secs| {
            worker.on_tick(&HostServices::new(Clock::at(Timestamp::from_secs(secs)), &store, &random));
        };
        tick(1000);
        request(1000);
        let same = request(1001);
        tick(1100);
        let told = worker.take_key_uses(false).len();
        let first = request(1100);
        (same, request(1101), first - same, told)
    };
    let (without, counted) = (of_each(None), of_each(Some(json!({"to": "Log"}))));
    assert_eq!((without.2, without.3), (0, 0));
    assert_eq!((counted.0, counted.1), (without.0, without.1));
    // The first of an interval keeps the key's id; the table has its size from the interval before.
    assert_eq!((counted.2, counted.3), (1, 1));
}
