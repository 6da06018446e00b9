//! Keys in etcd: read and written by its JSON gateway, each write only if nothing has changed since it was read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value as Json;
use ureq::{
    Agent,
    tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

use super::{
    Refusal,
    arguments::EtcdAccess,
    changes,
    policy_file::Change,
    record::{Members, Record},
    stored::{NotWritten, Stored},
};
use crate::{
    api_key::{SCHEMA, USES_SCHEMA},
    config,
    etcd::{
        AUTHENTICATE, EtcdError, Item, Login, MOST_OPERATIONS, Operation, Password, RANGE, Range,
        RangeRequest, TRANSACTION, Token, Transaction, TransactionAnswer, end_of,
    },
    replica::MAX_VALUE,
};

/// So many keys are asked for at once.
const PAGE: u32 = 1000;

/// Per call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_ANSWER: u64 = 64 << 20;

/// A store in etcd.
pub(in crate::command) struct EtcdStore {
    agent: Agent,
    /// Without a path.
    base: String,
    /// It ends with `/`.
    prefix: String,
    /// What etcd knows the caller by; `None`: it was not asked for.
    token: Option<Token>,
}

impl EtcdStore {
    /// `url` is the gateway with the prefix as its path: `https://etcd.internal:2379/portcullis/`.
    ///
    /// # Errors
    /// A URL without a prefix, a file that is no certificate or key, or a user whom etcd does not know.
    pub(in crate::command) fn open(url: &str, access: &EtcdAccess) -> Result<Self, Refusal> {
        let path_at = url.find("://").and_then(|at| {
            let host = at.checked_add(3)?;
            url.get(host..)?.find('/').and_then(|path| host.checked_add(path))
        });
        let (base, path) = path_at.and_then(|at| url.split_at_checked(at)).unwrap_or((url, ""));
        if path.len() < 2 || !path.ends_with('/') || url.contains('@') {
            let message = "a store in etcd is its URL with the prefix of apiKeys.etcd, as in https://etcd.internal:2379/portcullis/";
            return Err(Refusal::usage(message.to_owned()));
        }
        let tls = tls(access)?;
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls)
            .build();
        let mut store =
            Self { agent: agent.into(), base: base.to_owned(), prefix: path.to_owned(), token: None };
        if let Some(user) = &access.etcd_user {
            let password = std::env::var("PORTCULLIS_ETCD_PASSWORD").map_err(|_| {
                Refusal::usage("the password of --etcd-user is read from PORTCULLIS_ETCD_PASSWORD".to_owned())
            })?;
            let login = Login { user: user.clone(), password: Password(password) };
            store.token = Some(store.ask(AUTHENTICATE, login.body(), Token::read)?);
        }
        Ok(store)
    }

    /// All keys, by id, as they were at one moment.
    pub(super) fn all(&self) -> Result<Vec<Stored>, Refusal> {
        let mut all = Vec::new();
        self.each_below(&self.key(""), &mut |item| all.extend(self.stored(item)))?;
        Ok(all)
    }

    /// What the filter has noted of uses of all keys, or of the one with this id, by id.
    pub(super) fn uses(&self, id: Option<&str>) -> Result<BTreeMap<String, Json>, Refusal> {
        let prefix = format!("{}{USES_SCHEMA}", self.prefix);
        let noted = |item: &Item| {
            let id = str::from_utf8(&item.key).ok()?.strip_prefix(&prefix)?.to_owned();
            Some((id, serde_json::from_slice(&item.value).ok()?))
        };
        let mut uses = BTreeMap::new();
        match id {
            None => self.each_below(&prefix, &mut |item| uses.extend(noted(item)))?,
            Some(id) => uses.extend(self.get(&format!("{prefix}{id}"))?.iter().filter_map(noted)),
        }
        Ok(uses)
    }

    /// Hands out all entries below `prefix`, as they were at one moment.
    pub(in crate::command) fn each_below(
        &self,
        prefix: &str,
        take: &mut dyn FnMut(&Item),
    ) -> Result<(), Refusal> {
        let range_end = end_of(prefix.as_bytes());
        let (mut next, mut revision) = (prefix.to_owned().into_bytes(), 0);
        loop {
            let question =
                RangeRequest { key: &next, range_end: &range_end, limit: PAGE, revision, changed_since: 0 };
            let range = self.ask(RANGE, question.body(), Range::read)?;
            if revision == 0 {
                revision = range.revision;
            }
            range.items.iter().for_each(&mut *take);
            match range.items.last().filter(|_| range.more) {
                // The first key behind it.
                Some(last) => next = [last.key.as_slice(), &[0]].concat(),
                None => return Ok(()),
            }
        }
    }

    /// One entry; `None`: there is none.
    pub(in crate::command) fn get(&self, key: &str) -> Result<Option<Item>, Refusal> {
        let range = self.ask(RANGE, RangeRequest::one(key.as_bytes()).body(), Range::read)?;
        Ok(range.items.into_iter().next())
    }

    /// The key of this id; `None`: there is none.
    pub(super) fn one(&self, id: &str) -> Result<Option<Stored>, Refusal> {
        Ok(self.get(&self.key(id))?.and_then(|item| self.stored(&item)))
    }

    /// Carries out the changes of keys that were read as `known`; with `is_dry` it only finds out whether they could be.
    /// Many at once are written in several transactions; should one of them fail, those before it stay.
    pub(super) fn change(
        &self,
        known: &[Stored],
        changes: &[Change],
        is_dry: bool,
    ) -> Result<(), NotWritten> {
        let mut wanted: BTreeMap<String, Stored> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Add(records) => {
                    wanted.extend(records.iter().map(|record| {
                        (record.id().to_owned(), Stored { record: record.clone(), revision: 0 })
                    }))
                }
                Change::Set { id, .. } | Change::Unset { id, .. } => {
                    let before =
                        wanted.get(id).or_else(|| known.iter().find(|stored| stored.record.id() == id));
                    let before = before.ok_or(NotWritten::Conflict)?;
                    let record = changes::after(&before.record, std::slice::from_ref(change));
                    let revision = before.revision;
                    wanted.insert(id.clone(), Stored { record, revision });
                }
            }
        }
        let wanted: Vec<_> = wanted.into_values().collect();
        for stored in &wanted {
            judge(&stored.record)?;
        }
        if is_dry {
            return Ok(());
        }
        wanted.chunks(MOST_OPERATIONS).try_for_each(|some| self.write(some))
    }

    fn write(&self, wanted: &[Stored]) -> Result<(), NotWritten> {
        let mut transaction = Transaction::default();
        for stored in wanted {
            let (key, value) = (self.key(stored.record.id()), value(&stored.record));
            transaction.expect(key.as_bytes(), stored.revision);
            transaction.then(Operation::Put { key: key.as_bytes(), value: value.as_bytes() });
        }
        match self.ask(TRANSACTION, transaction.body(), TransactionAnswer::read) {
            Ok(answer) if answer.succeeded => Ok(()),
            Ok(_) => Err(NotWritten::Conflict),
            // It may have been written, and the answer lost.
            Err(refusal) => match self.are_written(wanted) {
                Ok(true) => Ok(()),
                _ => Err(refusal.into()),
            },
        }
    }

    fn are_written(&self, wanted: &[Stored]) -> Result<bool, Refusal> {
        for stored in wanted {
            let is_there =
                self.one(stored.record.id())?.is_some_and(|found| found.record.0 == stored.record.0);
            if !is_there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The whole name of the entry that is called so behind the prefix.
    pub(in crate::command) fn named(&self, name: &str) -> String {
        [&self.prefix, name].concat()
    }

    /// Whether the transaction was done; not, where one of its conditions does not hold.
    pub(in crate::command) fn commit(&self, transaction: &Transaction) -> Result<bool, Refusal> {
        Ok(self.ask(TRANSACTION, transaction.body(), TransactionAnswer::read)?.succeeded)
    }

    fn key(&self, id: &str) -> String {
        format!("{}{SCHEMA}{id}", self.prefix)
    }

    /// `None` for what is no key of ours.
    fn stored(&self, item: &Item) -> Option<Stored> {
        let id = str::from_utf8(&item.key).ok()?.strip_prefix(&self.key(""))?;
        let Json::Object(fields) = serde_json::from_slice(&item.value).ok()? else { return None };
        let mut members = Members::new();
        members.insert("id".to_owned(), id.into());
        members.extend(fields.into_iter().filter(|(name, _)| name != "id"));
        Some(Stored { record: Record(members), revision: item.changed_at })
    }

    /// Asks etcd. What it says of a failure is told; what was sent is not, for it may hold a password.
    fn ask<T>(
        &self,
        path: &str,
        body: Vec<u8>,
        read: impl FnOnce(&[u8]) -> Result<T, EtcdError>,
    ) -> Result<T, Refusal> {
        let mut request =
            self.agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", token.as_str());
        }
        let failed = |why: String| Refusal::unusable(format!("etcd at {}: {why}", self.base));
        let mut answer = request.send(body).map_err(|error| failed(error.to_string()))?;
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = body.map_err(|error| failed(error.to_string()))?;
        let read = match answer.status().as_u16() {
            200 => read(&body),
            status => Err(EtcdError::of(status, &body)),
        };
        read.map_err(|error| failed(told(&error, &body)))
    }
}

/// Of a failure that has no name here etcd's own words.
fn told(error: &EtcdError, body: &[u8]) -> String {
    let words = || {
        let answer: Json = serde_json::from_slice(body).ok()?;
        answer.get("error")?.as_str().map(str::to_owned)
    };
    match error {
        EtcdError::Status(_) => words().unwrap_or_else(|| error.to_string()),
        error => error.to_string(),
    }
}

/// As the filter would read it.
fn judge(record: &Record) -> Result<(), Refusal> {
    if value(record).len() > MAX_VALUE {
        let message =
            format!("the key {:?} would be larger than {MAX_VALUE} bytes; nothing was changed", record.id());
        return Err(Refusal::refused(message));
    }
    config::stored_key(record.id(), value(record).as_bytes()).map(drop).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Refusal::refused(format!(
            "the key {:?} would have a fault; nothing was changed: {}",
            record.id(),
            faults.join("; ")
        ))
    })
}

/// All but the id, which is the entry's name.
fn value(record: &Record) -> String {
    let mut members = record.0.clone();
    members.shift_remove("id");
    Json::Object(members).to_string()
}

fn tls(access: &EtcdAccess) -> Result<TlsConfig, Refusal> {
    let read = |name: &str| {
        std::fs::read(name).map_err(|error| Refusal::unusable(format!("{name} cannot be read: {error}")))
    };
    let certificates = |name: &str| {
        let text = read(name)?;
        let items: Vec<Certificate<'static>> = parse_pem(&text)
            .filter_map(|item| {
                if let Ok(PemItem::Certificate(certificate)) = item { Some(certificate) } else { None }
            })
            .collect();
        match items.is_empty() {
            true => Err(Refusal::unusable(format!("{name} holds no certificate in PEM"))),
            false => Ok(items),
        }
    };
    let mut tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let roots = access.etcd_ca.as_deref().map(certificates).transpose()?.unwrap_or_default();
    tls = tls.root_certs(RootCerts::Specific(Arc::new(roots)));
    if let (Some(certificate), Some(key)) = (&access.etcd_cert, &access.etcd_key) {
        let key_text = read(key)?;
        let key = PrivateKey::from_pem(&key_text)
            .map_err(|_| Refusal::unusable(format!("{key} holds no private key in PEM")))?;
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(certificate)?, key)));
    }
    Ok(tls.build())
}
