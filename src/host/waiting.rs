//! Requests that wait, for the answer to a call or for their own body: who they are, how many there may be, and what has
//! come of their bodies.

use std::{cell::RefCell, rc::Rc};

use hashbrown::{HashMap, HashSet};

use crate::{
    calls::{Client, Room},
    engine::{Exchange, Purpose},
    time::Timestamp,
};

/// Most requests that wait for calls at once on one thread, half of them for one client alone; beyond that they are refused
/// instead. So many wait for their bodies, too: whoever sends heads alone takes no place of those that wait for an issuer.
const PLACES: Room = Room { places: 256, spare: 1 };

/// How much of the bodies that are waited for the host holds at once for one thread, in bytes, and half of that for one
/// client alone.
const HELD: Room = Room { places: 16 * 1024 * 1024, spare: 1 };

/// What has come of a request's body while the request waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// In bytes.
    pub(super) size: usize,
    pub(super) state: BodyState,
    /// How many bytes the host had received of the request when it began to wait; `None`: nobody asked.
    pub(super) received: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyState {
    #[default]
    Coming,
    Whole,
    /// The host has it and keeps it to itself.
    Withheld,
    /// There is no room for so much of it.
    Crowded,
}

/// A request that waits.
pub(super) struct Waiting {
    pub(super) exchange: Exchange,
    /// Its headers as they came: what the host has of them lacks what none may see.
    pub(super) head: Rc<[u8]>,
    /// Nothing follows its headers.
    pub(super) ends: bool,
    pub(super) body: Progress,
    pub(super) client: Client,
}

/// What is to be done when a part of a body has come.
pub(super) enum OnPart {
    /// The request waits for more of it, or for something else.
    Wait,
    /// It is to be taken and decided again.
    Decide,
    /// It waits no longer, and may go on.
    GoOn,
    /// It was answered, or is over.
    Stop,
}

/// All that wait on one thread.
#[derive(Default)]
pub(super) struct WaitingRequests {
    /// By stream.
    waiting: RefCell<HashMap<u32, Waiting>>,
    /// Those of them that are to be decided again and were not yet.
    to_wake: RefCell<Vec<(u32, Waiting)>>,
    /// Streams that have waited and were let go on, as long as they last. Whatever else comes for one that has waited stays
    /// here: it was answered.
    let_go: RefCell<HashSet<u32>>,
}

impl WaitingRequests {
    pub(super) fn insert(&self, stream: u32, waiting: Waiting) {
        self.waiting.borrow_mut().insert(stream, waiting);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.borrow().len().saturating_add(self.to_wake.borrow().len())
    }

    /// Whether `stream` waits.
    #[cfg(test)]
    pub(super) fn has(&self, stream: u32) -> bool {
        self.waiting.borrow().contains_key(&stream)
            || self.to_wake.borrow().iter().any(|(waiting, _)| *waiting == stream)
    }

    /// `stream` waits no longer.
    pub(super) fn forget(&self, stream: u32) {
        if !self.waiting.borrow().is_empty() {
            self.waiting.borrow_mut().remove(&stream);
        }
        if !self.to_wake.borrow().is_empty() {
            self.to_wake.borrow_mut().retain(|(waiting, _)| *waiting != stream);
        }
    }

    /// `stream` has waited, and is let go on.
    pub(super) fn let_go(&self, stream: u32) {
        self.let_go.borrow_mut().insert(stream);
    }

    /// `stream` is over.
    pub(super) fn end(&self, stream: u32) {
        self.forget(stream);
        if !self.let_go.borrow().is_empty() {
            self.let_go.borrow_mut().remove(&stream);
        }
    }

    /// Whether one more request of `client` may wait for a call.
    #[inline(never)]
    pub(super) fn has_room(&self, client: Client) -> bool {
        let (own, all) =
            self.counted(client, |waiting| usize::from(waiting.exchange.waits_for_body().is_none()));
        PLACES.may_take(own, all)
    }

    /// Whether one more request of `client` may wait for its body.
    #[inline(never)]
    pub(super) fn has_room_for_body(&self, client: Client) -> bool {
        let (own, all) =
            self.counted(client, |waiting| usize::from(waiting.exchange.waits_for_body().is_some()));
        PLACES.may_take(own, all)
    }

    /// What `count` comes to over all that wait: for `client`, and for everybody.
    fn counted(&self, client: Client, count: impl Fn(&Waiting) -> usize) -> (usize, usize) {
        let (waiting, to_wake) = (self.waiting.borrow(), self.to_wake.borrow());
        let every = waiting.values().chain(to_wake.iter().map(|(_, waiting)| waiting));
        every.fold((0, 0), |(own, all), waiting| {
            let counted = count(waiting);
            let of_client = if waiting.client == client { counted } else { 0 };
            (own.saturating_add(of_client), all.saturating_add(counted))
        })
    }

    /// `size` bytes of the body of `stream` have come; `whole`: that is all.
    pub(super) fn on_part(&self, stream: u32, size: usize, whole: bool) -> OnPart {
        let found = self.with(stream, |waiting| {
            waiting.body.size = size;
            waiting.body.state = if whole { BodyState::Whole } else { BodyState::Coming };
            (waiting.client, waiting.exchange.waits_for_body())
        });
        let (client, limit) = match found {
            None if self.let_go.borrow().contains(&stream) => return OnPart::GoOn,
            None => return OnPart::Stop,
            Some((_, None)) => return OnPart::Wait,
            Some((client, Some(limit))) => (client, limit),
        };
        let is_crowded = !whole && size <= limit && !self.may_hold(client);
        if is_crowded {
            self.with(stream, |waiting| waiting.body.state = BodyState::Crowded);
        }
        if !whole && size <= limit && !is_crowded {
            return OnPart::Wait;
        }
        OnPart::Decide
    }

    /// Nothing more comes of the body of `stream` than has come.
    pub(super) fn on_body_end(&self, stream: u32) -> OnPart {
        match self.with(stream, |waiting| waiting.body.size) {
            Some(size) => self.on_part(stream, size, true),
            None => self.on_part(stream, 0, true),
        }
    }

    /// Whether what is held of bodies is within bounds, with what `client` has sent last.
    fn may_hold(&self, client: Client) -> bool {
        let held = |waiting: &Waiting| waiting.exchange.waits_for_body().map_or(0, |_| waiting.body.size);
        let (own, all) = self.counted(client, held);
        HELD.may_take(own, all)
    }

    fn with<T>(&self, stream: u32, change: impl FnOnce(&mut Waiting) -> T) -> Option<T> {
        if let Some(waiting) = self.waiting.borrow_mut().get_mut(&stream) {
            return Some(change(waiting));
        }
        let mut to_wake = self.to_wake.borrow_mut();
        to_wake.iter_mut().find(|(waiting, _)| *waiting == stream).map(|(_, waiting)| change(waiting))
    }

    /// `stream` is to be decided again now.
    pub(super) fn take(&self, stream: u32) -> Option<Waiting> {
        if let Some(waiting) = self.waiting.borrow_mut().remove(&stream) {
            return Some(waiting);
        }
        let mut to_wake = self.to_wake.borrow_mut();
        let place = to_wake.iter().position(|(waiting, _)| *waiting == stream)?;
        Some(to_wake.swap_remove(place).1)
    }

    /// Streams that wait for a body of which nothing has come, with what the host had received of each before.
    pub(super) fn without_bodies(&self) -> Vec<(u32, u64)> {
        let waiting = self.waiting.borrow();
        let bodiless = |(stream, waiting): (&u32, &Waiting)| {
            let waits = waiting.exchange.waits_for_body().is_some() && waiting.body.size == 0;
            waiting.body.received.filter(|_| waits).map(|received| (*stream, received))
        };
        waiting.iter().filter_map(bodiless).collect()
    }

    /// The host keeps the body of `stream` to itself, so it is to be decided again.
    pub(super) fn withhold(&self, stream: u32) {
        if let Some(mut waiting) = self.take(stream) {
            waiting.body.state = BodyState::Withheld;
            self.to_wake.borrow_mut().push((stream, waiting));
        }
    }

    /// Those that wait for the outcome of the call for `purpose` are to be decided again. Of all others nothing has changed:
    /// a flood of tokens that issuers are asked about must not make each answer cost a look at every request.
    pub(super) fn wake_for(&self, purpose: Purpose) {
        self.wake_those(|waiting| waiting.exchange.waits_for(purpose));
    }

    /// All are to be decided again for whom that may bring anything. To be called now and then, so that each meets its own
    /// deadline.
    pub(super) fn wake_due(&self, now: Timestamp) {
        if self.to_wake.borrow().is_empty() {
            self.wake_those(|waiting| waiting.exchange.is_due(now));
        }
    }

    fn wake_those(&self, which: impl Fn(&Waiting) -> bool) {
        let mut waiting = self.waiting.borrow_mut();
        self.to_wake.borrow_mut().extend(waiting.extract_if(|_, waiting| which(waiting)));
    }

    /// The next that is to be decided again.
    pub(super) fn next(&self) -> Option<(u32, Waiting)> {
        self.to_wake.borrow_mut().pop()
    }
}
