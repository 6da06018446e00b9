//! One policy as one worker has it, with what it asks of other servers answered here.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::IpAddr,
    rc::Rc,
};

use serde_json::{Map, Value, json};

use super::{Asked, Entry, Keys, Minted, Outcome, kept, outcome::carried_out};
use crate::{
    answer::Reason,
    calls::{self, Call, Client},
    engine::{Body, Exchange, HostServices, LogEnabled, Purpose, Step, WorkerState},
    fault::Fault,
    policy::Policy,
    store::MemoryStore,
    time::{Clock, Timestamp},
};

/// What the filter calls itself in the shared data.
const NAMESPACE: &str = "offline";

/// How often calls are answered before whoever waits is told that no more come. A key set, a list and a login take one
/// each.
const ROUNDS: usize = 64;

/// A policy with keys of ours in it.
#[derive(Clone)]
pub(in crate::command) struct Prepared {
    /// The policy, in which every request gets a decision record.
    pub(in crate::command) document: Value,
    minted: Rc<Minted>,
}

impl Prepared {
    /// `document` with the keys of [`Minted::put_into`].
    ///
    /// # Errors
    /// As there.
    pub(in crate::command) fn new(
        mut document: Value,
        keys: &BTreeMap<String, Keys>,
        api_keys: &[String],
    ) -> Result<Self, String> {
        let minted = Rc::new(Minted::put_into(&mut document, keys, api_keys)?);
        if let Some(members) = document.as_object_mut() {
            members.insert("decisionLog".to_owned(), json!({"allowed": true, "denied": "All"}));
        }
        Ok(Self { document, minted })
    }

    /// Another policy, in which the same credentials are good.
    pub(in crate::command) fn with(&self, document: Value) -> Self {
        Self { document, minted: Rc::clone(&self.minted) }
    }

    /// What makes credentials for it.
    pub(in crate::command) fn minted(&self) -> &Minted {
        &self.minted
    }

    /// A gateway on which nothing has happened yet.
    ///
    /// # Errors
    /// The policy has faults.
    pub(in crate::command) fn gateway(
        &self,
        entries: &[Entry],
        now: Timestamp,
    ) -> Result<Gateway, Vec<Fault>> {
        let policy = Policy::compile(self.document.to_string().as_bytes(), NAMESPACE)?;
        let gateway = Gateway {
            worker: WorkerState::new(policy, NAMESPACE),
            store: MemoryStore::default(),
            now: Cell::new(now),
            draws: Cell::new(0),
            minted: Rc::clone(&self.minted),
            entries: entries.to_vec(),
            notes: RefCell::default(),
        };
        gateway.with_services(&Body::Whole(Vec::new()), None, true, |services| {
            gateway.worker.confirm_limits(services);
        });
        gateway.settle();
        Ok(gateway)
    }
}

/// A policy in force, and the time.
pub(in crate::command) struct Gateway {
    worker: WorkerState,
    store: MemoryStore,
    now: Cell<Timestamp>,
    draws: Cell<u128>,
    minted: Rc<Minted>,
    entries: Vec<Entry>,
    notes: RefCell<Vec<String>>,
}

impl Gateway {
    /// The time.
    pub(in crate::command) fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Sets the time, which must not go back.
    pub(in crate::command) fn set_now(&self, now: Timestamp) {
        self.now.set(now);
        self.settle();
    }

    /// What the operator would read in Envoy's log so far, beside the decision records.
    pub(in crate::command) fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    /// Decides a request.
    pub(in crate::command) fn decide(&self, asked: &Asked) -> Outcome {
        let mut exchange = Exchange::default();
        let body = Body::Whole(asked.body.clone());
        let mut may_wait = true;
        for _ in 0..=ROUNDS {
            let attempt = self.with_services(&body, asked.address, may_wait, |services| {
                let head = asked.head();
                let decision = exchange.on_request(&self.worker, &head, services);
                let record = decision.record.as_deref().and_then(|line| serde_json::from_str(line).ok());
                let (upstream, reply) = match &decision.step {
                    Step::Forward(changes) => (Some(carried_out(&head, changes)), None),
                    Step::Reply(reply, _) => (None, Some((**reply).clone())),
                    Step::Wait(_) => return None,
                };
                let record: Map<String, Value> = record.unwrap_or_default();
                Some(Outcome { reason: decision.reason, upstream, reply, added: Vec::new(), record })
            });
            if let Some(mut outcome) = attempt {
                let added = exchange.on_response(&self.worker);
                outcome.added = added.map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
                return outcome;
            }
            may_wait = self.answer_calls();
        }
        // It waits for ever, which Envoy ends by the route's timeout.
        Outcome {
            reason: Some(Reason::StateUnavailable),
            upstream: None,
            reply: None,
            added: Vec::new(),
            record: Map::new(),
        }
    }

    /// Answers what is asked of other servers until nothing is.
    fn settle(&self) {
        for _ in 0..ROUNDS {
            if !self.answer_calls() {
                return;
            }
        }
    }

    /// Whether anything was asked.
    fn answer_calls(&self) -> bool {
        let nothing = Body::Whole(Vec::new());
        let mut calls = self.worker.take_calls();
        calls.extend(self.with_services(&nothing, None, true, |services| self.worker.on_tick(services)));
        let any = !calls.is_empty();
        for (purpose, call) in calls {
            let answer = self.answer(purpose, &call).map(|value| value.to_string());
            let outcome = match &answer {
                Some(body) => calls::Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() },
                None => calls::Outcome::Failed,
            };
            let told = self.with_services(&nothing, None, true, |services| {
                self.worker.on_answer(purpose, outcome, services)
            });
            self.notes.borrow_mut().extend(told);
        }
        any
    }

    /// What is answered to a call; `None`: nothing comes.
    fn answer(&self, purpose: Purpose, call: &Call) -> Option<Value> {
        match purpose {
            Purpose::Introspection { .. } => Some(self.minted.introspected(&call.body)),
            // Nothing is revoked but what the policy says.
            Purpose::Revocations => Some(json!({})),
            Purpose::EtcdLogin
            | Purpose::KeyStore
            | Purpose::PasskeysLogin
            | Purpose::Passkeys { .. }
            | Purpose::RevocationStore
            | Purpose::RevocationLogin => kept::answer(call, &self.entries),
            Purpose::KeySet { .. } | Purpose::KeyUses => None,
        }
    }

    fn with_services<T>(
        &self,
        body: &Body,
        address: Option<IpAddr>,
        may_wait: bool,
        with: impl FnOnce(&HostServices<'_>) -> T,
    ) -> T {
        let random = || {
            // Unpredictable is what no one here must guess: the same requests are decided alike every time.
            let draw = self.draws.get().wrapping_add(1);
            self.draws.set(draw);
            Some(crate::crypto::sha256(&draw.to_be_bytes()).first_chunk::<16>().copied().unwrap_or_default())
        };
        let clock = Clock::at(self.now.get());
        with(&HostServices {
            client: &|| Client::new(address),
            may_wait: &|| may_wait,
            body: &|most| match body {
                Body::Whole(bytes) if bytes.len() > most => Body::TooLong,
                body => body.clone(),
            },
            log_enabled: LogEnabled::ALL,
            ..HostServices::new(clock, &self.store, &random)
        })
    }
}
