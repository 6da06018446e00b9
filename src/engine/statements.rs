//! Signed statements of who is calling: made once for each caller, and kept until half their life is over, since a signature takes
//! longer than all the rest of a decision.

use std::rc::Rc;

use hashbrown::HashMap;

use crate::{
    policy,
    statement::{Callers, Statement, Statements},
    time::Timestamp,
};

/// How much is kept, at most: some thousand statements, in bytes of text.
const MAX_BYTES: usize = 4 << 20;

/// Statements that were made before, by what they say. Those of two halves: what is asked for is taken over into the young
/// one, and when that is full it becomes the old one, and what was old is forgotten.
#[derive(Debug, Default)]
pub(super) struct KeptStatements {
    young: Half,
    old: Half,
}

#[derive(Debug, Default)]
struct Half {
    statements: HashMap<Box<str>, Statement>,
    bytes: usize,
}

/// No signature could be made.
pub(super) struct NotSigned;

impl KeptStatements {
    /// What `statements` say of `callers` at `now`; `None`: there is nobody to speak of.
    #[inline(never)]
    pub(super) fn of(
        &mut self,
        statements: &Statements,
        callers: &policy::Callers,
        now: Timestamp,
    ) -> Result<Option<Rc<str>>, NotSigned> {
        let Some(principal) = callers.principal.as_deref() else { return Ok(None) };
        let actor = callers.actor.as_deref();
        let callers = Callers {
            principal: &principal.principal,
            actor: actor.map(|actor| &actor.principal),
            not_after: actor.map_or(principal.not_after, |actor| actor.not_after.min(principal.not_after)),
        };
        let key = callers.key();
        let found = self.find(&key, |statement| statement.serves(&callers, now, statements.lifetime));
        if found.is_some() {
            return Ok(found);
        }
        let statement = statements.make(&callers, now).ok_or(NotSigned)?;
        let text = Rc::clone(&statement.text);
        self.keep(key.into(), statement);
        Ok(Some(text))
    }

    /// The one that says `key`, where it `serves`.
    fn find(&mut self, key: &str, serves: impl Fn(&Statement) -> bool) -> Option<Rc<str>> {
        if let Some(statement) = self.young.statements.get(key) {
            return serves(statement).then(|| Rc::clone(&statement.text));
        }
        let statement = self.old.statements.remove(key).filter(serves)?;
        let text = Rc::clone(&statement.text);
        self.keep(key.into(), statement);
        Some(text)
    }

    fn keep(&mut self, key: Box<str>, statement: Statement) {
        let bytes = key.len().saturating_add(statement.text.len());
        if self.young.bytes.saturating_add(bytes) > MAX_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes = self.young.bytes.saturating_add(bytes);
        // Of one that is replaced the bytes count until the half is over.
        self.young.statements.insert(key, statement);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(text: &str) -> Statement {
        let at = Timestamp::default();
        Statement { text: text.into(), fresh_until: at, expires: at }
    }

    #[test]
    fn what_serves_is_found_by_what_it_says() {
        let mut kept = KeptStatements::default();
        assert_eq!(kept.find("a", |_| true), None);
        kept.keep("a".into(), statement("1"));
        assert_eq!(kept.find("a", |_| true).as_deref(), Some("1"));
        assert_eq!(kept.find("b", |_| true), None);
        assert_eq!(kept.find("a", |_| false), None);
        kept.keep("a".into(), statement("2"));
        assert_eq!(kept.find("a", |_| true).as_deref(), Some("2"));
    }

    #[test]
    fn what_is_used_stays_and_the_rest_makes_room() {
        let mut kept = KeptStatements::default();
        let text = "x".repeat(1000);
        let mut most = 0;
        kept.keep("used".into(), statement("used"));
        kept.keep("unused".into(), statement("unused"));
        for n in 0..20_000 {
            kept.keep(format!("{n}").into(), statement(&text));
            if n % 100 == 0 {
                assert_eq!(kept.find("used", |_| true).as_deref(), Some("used"), "{n}");
            }
            let halves = [&kept.young, &kept.old];
            let held = |half: &Half| {
                half.statements.iter().map(|(key, own)| key.len() + own.text.len()).sum::<usize>()
            };
            assert!(halves.iter().all(|half| held(half) <= half.bytes));
            most = most.max(halves.iter().map(|half| half.bytes).sum());
        }
        assert!((MAX_BYTES / 2..=MAX_BYTES).contains(&most), "{most}");
        assert_eq!(kept.find("unused", |_| true), None);
        assert_eq!(kept.find("0", |_| true), None);
        // In both halves, one replaces the other.
        assert_eq!(kept.find("19999", |_| true).as_deref(), Some(&*text));
    }
}
