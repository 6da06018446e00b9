//! One section of a slot: what the clients of the slot owe under one set of windows, as bytes.
//!
//! A section holds the windows that it was written with, so that a reader with other windows can tell how many requests
//! its debts stand for: see [`Section::carried_over`].

use super::{
    gcra::{Debt, Span},
    quota::{self, Quota},
};
use crate::time::Timestamp;

/// Clients that one section can tell apart.
pub const ENTRIES: usize = 16;

/// Windows that one limit can have.
pub const MAX_WINDOWS: usize = 4;

/// One instant per window; those past the limit's windows are 0.
pub type Tats = [u64; MAX_WINDOWS];

/// What is owed in each window; nothing in those past the limit's windows.
pub type Debts = [Debt; MAX_WINDOWS];

pub(super) const WORD: usize = 8;
/// Where a head holds the instant since which its windows are in force: behind three letters and the number of windows.
const SINCE: usize = 4;
/// Where its windows begin.
const WINDOWS: usize = SINCE + WORD;
/// The size of one window: its interval, its length in seconds and its burst. Of one that is counted in shares its full
/// debt, its length and 0.
const WINDOW: usize = WORD + 4 + 4;

/// Where things stand in a section: a head, the number of its entries, one floor per window, then at most [`ENTRIES`]
/// entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    // INVARIANT: 1 to MAX_WINDOWS.
    windows: usize,
    /// Whether debts are stored with what is held out of turn, in three words for each window instead of one.
    pub(super) held: bool,
}

/// What a section begins with: which windows, and since when they are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    // INVARIANT: as `layout` says, and of windows that can be counted.
    bytes: Box<[u8]>,
    layout: Layout,
}

/// A section among the bytes of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    // INVARIANT: as `layout` says; the windows of its head can be counted.
    bytes: &'a [u8],
    layout: Layout,
}

/// What a head says of a window; never 0.
#[derive(Clone, Copy)]
struct Window {
    /// `None`: it is counted in shares, each request of a caller in one of its own length.
    interval: Option<u64>,
    secs: u32,
    full_debt: u64,
}

impl Layout {
    /// Three letters that name the layout; the number of windows follows. Change the letters with the layout.
    const fn magic(self) -> &'static [u8; 3] {
        if self.held { b"rl4" } else { b"rl3" }
    }

    /// The layout of the section whose head `bytes` begin with; `None` where they begin with no head.
    #[inline(never)]
    fn of_head(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let windows = usize::from(*rest.first()?);
        let layouts = [true, false].map(|held| Self { windows, held });
        let layout = layouts.into_iter().find(|layout| layout.magic() == magic)?;
        let good = |window| Window::read(bytes, window).is_some();
        ((1..=MAX_WINDOWS).contains(&windows) && (0..windows).all(good)).then_some(layout)
    }

    pub(super) const fn windows(self) -> usize {
        self.windows
    }

    /// Where the number of entries stands: behind the head.
    pub(super) const fn count_offset(self) -> usize {
        WINDOWS.saturating_add(WINDOW.saturating_mul(self.windows))
    }

    pub(super) const fn floor_offset(self, window: usize) -> usize {
        self.count_offset().saturating_add(1).saturating_add(WORD.saturating_mul(window))
    }

    const fn debt_size(self) -> usize {
        if self.held { WORD.saturating_mul(3) } else { WORD }
    }

    pub(super) const fn entry_size(self) -> usize {
        WORD.saturating_add(self.debt_size().saturating_mul(self.windows))
    }

    pub(super) const fn entry_offset(self, entry: usize) -> usize {
        self.floor_offset(self.windows).saturating_add(entry.saturating_mul(self.entry_size()))
    }

    pub(super) const fn debt_offset(self, entry: usize, window: usize) -> usize {
        let debts = self.entry_offset(entry).saturating_add(WORD);
        debts.saturating_add(window.saturating_mul(self.debt_size()))
    }
}

impl Window {
    #[inline(never)]
    fn read(head: &[u8], window: usize) -> Option<Self> {
        let offset = WINDOWS.checked_add(WINDOW.checked_mul(window)?)?;
        let (interval, rest) = head.get(offset..)?.split_first_chunk::<WORD>()?;
        let (secs, rest) = rest.split_first_chunk::<4>()?;
        let (interval, secs) = (u64::from_le_bytes(*interval), u32::from_le_bytes(*secs));
        let burst = u32::from_le_bytes(*rest.first_chunk()?);
        let full_debt = interval.checked_mul(burst.max(1).into()).filter(|full| *full > 0 && secs > 0)?;
        Some(Self { interval: (burst > 0).then_some(interval), secs, full_debt })
    }

    /// When a full debt of `since` is paid off in each of these windows, so that it makes no difference any more what
    /// was owed then.
    fn all_earned(head: &[u8], windows: usize, since: u64) -> u64 {
        let debts = (0..windows).filter_map(|window| Self::read(head, window)).map(|window| window.full_debt);
        since.saturating_add(debts.max().unwrap_or(0))
    }
}

impl Head {
    #[inline(never)]
    pub(super) fn new(quotas: &[Quota], since: u64) -> Self {
        let layout = Layout {
            windows: quotas.len().min(MAX_WINDOWS),
            held: quota::prepaid_requests(quotas).is_some(),
        };
        let mut bytes = layout.magic().to_vec();
        // INVARIANT: windows <= MAX_WINDOWS.
        bytes.push(u8::try_from(layout.windows).unwrap_or(0));
        bytes.extend_from_slice(&since.to_le_bytes());
        for quota in quotas.iter().take(layout.windows) {
            // What is counted in shares has no interval of its own, and is told by a burst of 0.
            let (interval, burst) = match quota.varies() {
                true => (quota.full_debt(), 0),
                false => (quota.interval(), quota.burst()),
            };
            bytes.extend_from_slice(&interval.to_le_bytes());
            bytes.extend_from_slice(&quota.window_secs().to_le_bytes());
            bytes.extend_from_slice(&burst.to_le_bytes());
        }
        Self { bytes: bytes.into(), layout }
    }

    /// The head that `bytes` begin with, and what comes after it.
    pub(super) fn first(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let layout = Layout::of_head(bytes)?;
        let (head, rest) = bytes.split_at_checked(layout.count_offset())?;
        Some((Self { bytes: head.into(), layout }, rest))
    }

    /// The same windows, in force since another time.
    pub(super) fn since_another(&self, since: u64) -> Self {
        let mut head = self.clone();
        if let Some(bytes) = head.bytes.get_mut(SINCE..).and_then(<[u8]>::first_chunk_mut::<WORD>) {
            *bytes = since.to_le_bytes();
        }
        head
    }

    pub(super) fn is_of_same_windows(&self, other: &Self) -> bool {
        self.layout == other.layout && self.bytes.get(WINDOWS..) == other.bytes.get(WINDOWS..)
    }

    pub(super) fn since(&self) -> u64 {
        word(&self.bytes, SINCE)
    }

    /// From this instant on, in nanoseconds since the epoch, nothing is carried over any more; see
    /// [`Section::carried_over`].
    pub(super) fn carries_over_until(&self) -> u64 {
        Window::all_earned(&self.bytes, self.layout.windows, self.since())
    }

    pub(super) const fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) const fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether `bytes` are one section with this head and nothing else.
    pub(super) fn is_of_all(&self, bytes: &[u8]) -> bool {
        let count = bytes.get(self.layout.count_offset()).map_or(usize::MAX, |count| usize::from(*count));
        bytes.starts_with(&self.bytes) && count <= ENTRIES && bytes.len() == self.layout.entry_offset(count)
    }
}

impl<'a> Section<'a> {
    /// The last section of a slot, which has the rest of its bytes.
    pub(super) const fn last(bytes: &'a [u8], layout: Layout) -> Self {
        Self { bytes, layout }
    }

    /// All sections that `bytes` are made of; `None` where they are anything else.
    pub(super) fn all(mut bytes: &'a [u8]) -> Option<Vec<Self>> {
        let mut sections = Vec::new();
        while !bytes.is_empty() {
            let (section, rest) = Self::first(bytes)?;
            sections.push(section);
            bytes = rest;
        }
        Some(sections).filter(|sections| !sections.is_empty())
    }

    /// The first section of `bytes`, and what comes after it.
    #[inline(never)]
    pub(super) fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let layout = Layout::of_head(bytes)?;
        let count = usize::from(*bytes.get(layout.count_offset())?);
        let (bytes, rest) = bytes.split_at_checked(layout.entry_offset(count))?;
        (count <= ENTRIES).then_some((Self { bytes, layout }, rest))
    }

    pub(super) const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn has(self, head: &Head) -> bool {
        self.bytes.starts_with(&head.bytes)
    }

    /// Since when its windows are in force.
    pub(super) fn since(self) -> u64 {
        word(self.bytes, SINCE)
    }

    /// How many entries there are.
    pub(super) fn len(self) -> usize {
        let entries = self.bytes.len().saturating_sub(self.layout.entry_offset(0));
        entries.checked_div(self.layout.entry_size()).unwrap_or(0)
    }

    #[inline]
    pub(super) fn fingerprint(self, entry: usize) -> u64 {
        word(self.bytes, self.layout.entry_offset(entry))
    }

    pub(super) fn position(self, fingerprint: u64) -> Option<usize> {
        (0..self.len()).find(|entry| self.fingerprint(*entry) == fingerprint)
    }

    /// The most that a client without an entry owes.
    pub(super) fn floor(self) -> Tats {
        let mut floor = [0; MAX_WINDOWS];
        for (window, tat) in floor.iter_mut().take(self.layout.windows).enumerate() {
            *tat = word(self.bytes, self.layout.floor_offset(window));
        }
        floor
    }

    pub(super) fn debts_at(self, entry: usize) -> Debts {
        let mut debts = [Debt::default(); MAX_WINDOWS];
        for (window, debt) in debts.iter_mut().take(self.layout.windows).enumerate() {
            let offset = self.layout.debt_offset(entry, window);
            debt.tat = word(self.bytes, offset);
            if self.layout.held {
                let from = word(self.bytes, offset.saturating_add(WORD));
                let to = word(self.bytes, offset.saturating_add(WORD.saturating_mul(2)));
                debt.held = Span { from, to };
            }
        }
        debts
    }

    /// What the client owes: its entry, or the floor when it has none.
    pub(super) fn debts(self, fingerprint: u64) -> Debts {
        match self.position(fingerprint) {
            Some(entry) => self.debts_at(entry),
            None => self.floor().map(Debt::until),
        }
    }

    /// When nobody owes anything any more.
    #[inline(never)]
    pub(super) fn end(self) -> u64 {
        let entries = (0..self.len()).flat_map(|entry| self.debts_at(entry)).map(|debt| debt.end());
        entries.chain(self.floor()).max().unwrap_or(0)
    }

    /// Whether it can be dropped: nobody owes anything, and nothing would be carried over if it were made anew.
    pub(super) fn is_idle(self, now: u64) -> bool {
        Window::all_earned(self.bytes, self.layout.windows, self.since()) <= now && self.end() <= now
    }

    /// What `debts` of this section are in the windows of `head`, as of `since`: as many requests as they stood for
    /// then, but never more than a full debt.
    ///
    /// Where one of the two is counted in shares, it is as much of the window as was used instead, in time.
    ///
    /// A window takes over from the old one of the same length. Where there was none, it takes over from the old window
    /// that gives the most; if that one is longer, this may be more than was used within the new window's length. Debts
    /// are paid off at the old rate up to `since` and at the new one from then on, so the result does not depend on
    /// when this is called.
    #[inline(never)]
    pub(super) fn carried_over(self, debts: &Debts, head: &Head, since: u64) -> Debts {
        let mut carried = [Debt::default(); MAX_WINDOWS];
        for (place, carried) in carried.iter_mut().enumerate().take(head.layout.windows) {
            let Some(new) = Window::read(&head.bytes, place) else { continue };
            let owed = |window: usize| {
                let (old, debt) = (Window::read(self.bytes, window)?, debts.get(window)?);
                let owed = debt.in_turn(Timestamp::from_nanos(since)).saturating_sub(since);
                let owed = owed.min(old.full_debt);
                let owed = match (old.interval, new.interval) {
                    (Some(old), Some(new)) if old != new => owed.div_ceil(old).saturating_mul(new),
                    _ => owed,
                };
                Some((old.secs == new.secs, owed.min(new.full_debt)))
            };
            let windows = || (0..self.layout.windows).filter_map(owed);
            let same = windows().find_map(|(same, owed)| same.then_some(owed));
            let owed = same.or_else(|| windows().map(|(_, owed)| owed).max()).unwrap_or(0);
            if owed > 0 {
                *carried = Debt::until(since.saturating_add(owed));
            }
        }
        carried
    }
}

/// The word at `offset`; 0 past the end.
fn word(bytes: &[u8], offset: usize) -> u64 {
    let word = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u64::from_le_bytes(*word))
}
