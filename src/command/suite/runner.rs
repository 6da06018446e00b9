//! Runs cases: each on a gateway of its own, by the module's engine.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{
    expectation::unlike,
    model::{Case, Request, Suite},
};
use crate::{
    command::offline::{Asked, Described, Gateway, Keys, Minted, Outcome, Prepared, places},
    time::Timestamp,
};

/// What came of a case.
#[derive(Clone, Debug, Default)]
pub(super) struct Ran {
    /// Where it is not as expected; empty: it is.
    pub(super) failures: Vec<String>,
    pub(super) took: Duration,
}

/// A suite with its policy.
pub(super) struct Stage<'a> {
    pub(super) suite: &'a Suite,
    /// The policy.
    pub(super) document: &'a Value,
    pub(super) now: Timestamp,
}

impl Stage<'_> {
    /// What came of each case, in their order.
    ///
    /// # Errors
    /// The policy has faults.
    pub(super) fn run(&self) -> Result<Vec<Ran>, Vec<String>> {
        // Once in front, so that faults of the policy are told once.
        self.prepared()?
            .gateway(&[], self.now)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let next = AtomicUsize::new(0);
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let work = || -> Vec<(usize, Ran)> {
            let Ok(prepared) = self.prepared() else { return Vec::new() };
            let mut done = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = self.suite.cases.get(place) else { return done };
                done.push((place, self.case(case, &prepared)));
            }
        };
        let done = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect::<BTreeMap<_, _>>()
        });
        let lost = || Ran { failures: vec!["did not run".to_owned()], took: Duration::ZERO };
        let all = 0..self.suite.cases.len();
        Ok(all.map(|place| done.get(&place).cloned().unwrap_or_else(lost)).collect())
    }

    /// The policy with keys of ours.
    pub(super) fn prepared(&self) -> Result<Prepared, Vec<String>> {
        let keys = Minted::providers_of(self.document).into_iter().map(|name| (name, Keys::Made)).collect();
        let ids = Minted::api_keys_of(self.document);
        Prepared::new(self.document.clone(), &keys, &ids).map_err(|fault| vec![fault])
    }

    fn case(&self, case: &Case, prepared: &Prepared) -> Ran {
        let begun = std::time::Instant::now();
        let failures = match prepared.gateway(&[], self.now) {
            Ok(gateway) => self.steps(case, prepared, &gateway),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        };
        Ran { failures, took: begun.elapsed() }
    }

    fn steps(&self, case: &Case, prepared: &Prepared, gateway: &Gateway) -> Vec<String> {
        let mut failures = Vec::new();
        let is_stepped = case.steps.len() > 1;
        for (n, step) in case.steps.iter().enumerate() {
            if !step.after.is_zero() {
                gateway.set_now(gateway.now().saturating_add(step.after));
            }
            for time in 1..=step.times {
                let outcome = self.ask(&step.request, prepared, gateway);
                let wrong = match &outcome {
                    Ok(outcome) => unlike(&step.expected, outcome),
                    Err(fault) => vec![fault.clone()],
                };
                if wrong.is_empty() {
                    continue;
                }
                let place = match (is_stepped, step.times) {
                    (false, 1) => String::new(),
                    (false, _) => format!("request {time}: "),
                    (true, 1) => format!("step {}: ", n.saturating_add(1)),
                    (true, _) => format!("step {}, request {time}: ", n.saturating_add(1)),
                };
                failures.extend(wrong.into_iter().map(|wrong| format!("{place}{wrong}")));
                // What follows was meant to come behind something else.
                return failures;
            }
        }
        failures
    }

    /// Sends one request.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn ask(
        &self,
        request: &Request,
        prepared: &Prepared,
        gateway: &Gateway,
    ) -> Result<Outcome, String> {
        Ok(gateway.decide(&self.asked(request, prepared, gateway.now())?))
    }

    /// The request with its credentials.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn asked(
        &self,
        request: &Request,
        prepared: &Prepared,
        now: Timestamp,
    ) -> Result<Asked, String> {
        let mut asked = Asked::new(&request.method, &request.url)?;
        for (name, value) in &request.headers {
            asked = asked.with_header(name, value);
        }
        asked.body = request.body.clone().into_bytes();
        asked.address = request.from.or(asked.address);
        asked.certificate.clone_from(&request.certificate);
        for name in &request.tokens {
            let token = self.suite.tokens.get(name).ok_or_else(|| format!("unknown token {name:?}"))?;
            let described = Described {
                provider: token.provider.clone(),
                claims: super::claims::at(&token.claims, now),
                typ: token.typ.clone(),
                forged: token.forged,
            };
            let text = prepared.minted().token(&described, now)?;
            asked = places::put(asked, places::of_token(self.document, &token.provider, &text));
        }
        if let Some(id) = &request.api_key {
            let text = prepared
                .minted()
                .api_key(id)
                .ok_or_else(|| format!("the policy has no API key with the id {id:?}"))?;
            let text = text.to_owned();
            asked = places::put(asked, places::of_key(self.document, &text));
        }
        Ok(asked)
    }
}
