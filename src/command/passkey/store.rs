//! Accounts in etcd, as the filter reads and writes them.

use crate::{
    command::{
        etcd::{Etcd, EtcdAccess},
        refusal::Refusal,
    },
    etcd::{Operation, Transaction},
    passkeys::{ACCOUNTS, Account, Change, account_name},
};

pub(super) struct Accounts(Etcd);

impl Accounts {
    /// `url` is the gateway of etcd with the prefix as its path.
    ///
    /// # Errors
    /// As of API keys in etcd.
    pub(super) fn open(url: &str, access: &EtcdAccess) -> Result<Self, Refusal> {
        Etcd::open(url, access).map(Self)
    }

    /// All of them, by subject. What is no account is passed over.
    pub(super) fn all(&self) -> Result<Vec<Account>, Refusal> {
        let mut all = Vec::new();
        self.0.each_below(&self.0.named(ACCOUNTS), &mut |item| all.extend(Account::read(&item.value)))?;
        all.sort_by(|a: &Account, b| a.subject.cmp(&b.subject));
        Ok(all)
    }

    /// The account of `subject`, and its revision.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) fn find(&self, subject: &str) -> Result<(Account, u64), Refusal> {
        let item = self.0.get(&self.0.named(&account_name(subject).path()))?;
        let item = item.ok_or_else(|| Refusal::refused(format!("{subject:?} has no account")))?;
        let account = Account::read(&item.value);
        let account = account.ok_or_else(|| {
            Refusal::unusable(format!("the account of {subject:?} is of a form that is not known here"))
        })?;
        Ok((account, item.changed_at))
    }

    /// Whether `change` was made, or with `is_dry` could be as far as is known; not, where somebody else was first.
    pub(super) fn change(&self, change: &Change, is_dry: bool) -> Result<bool, Refusal> {
        let key = |name: &crate::passkeys::Name| self.0.named(&name.path()).into_bytes();
        let mut transaction = Transaction::default();
        for (name, revision) in &change.unless_changed {
            transaction.expect(&key(name), *revision);
        }
        for (name, value) in &change.put {
            transaction.then(Operation::Put { key: &key(name), value: value.as_bytes() });
        }
        for name in &change.delete {
            transaction.then(Operation::Delete(&key(name)));
        }
        if is_dry { Ok(true) } else { self.0.commit(&transaction) }
    }
}
