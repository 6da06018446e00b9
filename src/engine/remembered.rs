//! Tokens that one worker has verified and remembers, and how often it did either.

use std::cell::Cell;

use super::{
    HostServices, WorkerState,
    provider::Remembered,
    token_cache::{self, TokenCache},
};

impl WorkerState {
    /// What came of verifying this very token with the keys that are in force now.
    pub(super) fn remembered(&self, text: &[u8], services: &HostServices<'_>) -> Option<Remembered> {
        let is_current = |token: &Remembered, generation| {
            token.provider.key_generation(services.now()) == Some(generation)
        };
        let found = self.tokens.borrow_mut().as_mut()?.find(text, is_current);
        if found.is_some() {
            let [remembered, _] = &self.token_look_ups;
            count_one(remembered);
        }
        found
    }

    /// Counts a token that is about to be verified, since it is not remembered.
    pub(super) fn count_verified_anew(&self) {
        let [_, verified] = &self.token_look_ups;
        count_one(verified);
    }

    /// How many tokens were remembered, and how many had to be verified, since this was asked last.
    pub fn take_token_look_ups(&self) -> [u32; 2] {
        self.token_look_ups.each_ref().map(Cell::take)
    }

    /// Sets what [`Self::take_token_look_ups`] has taken, so that what was looked up since is not counted.
    pub(super) fn put_back_token_look_ups(&self, counts: [u32; 2]) {
        for (own, count) in self.token_look_ups.iter().zip(counts) {
            own.set(count);
        }
    }

    /// Remembers a token that was verified with the keys in force now.
    pub(super) fn remember(&self, text: &[u8], token: &Remembered, services: &HostServices<'_>) {
        let Some(generation) = token.provider.key_generation(services.now()) else { return };
        let mut tokens = self.tokens.borrow_mut();
        if tokens.is_none() {
            let Some([a, b, c, d, e, f, g, h, ..]) = (services.random)() else { return };
            *tokens =
                Some(TokenCache::new(token_cache::CAPACITY, u64::from_le_bytes([a, b, c, d, e, f, g, h])));
        }
        if let Some(tokens) = tokens.as_mut() {
            tokens.insert(text, generation, token.clone());
        }
    }
}

fn count_one(count: &Cell<u32>) {
    count.set(count.get().saturating_add(1));
}
