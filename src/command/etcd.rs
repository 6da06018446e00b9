//! A connection to etcd, by its JSON gateway, for whatever the command reads and writes there.

use std::{sync::Arc, time::Duration};

use clap::Args;
use serde_json::Value as Json;
use ureq::{
    Agent,
    tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

use super::{refusal::Refusal, telling::Telling};
use crate::etcd::{
    AUTHENTICATE, EtcdError, Item, Login, Password, RANGE, Range, RangeRequest, TRANSACTION, Token,
    Transaction, TransactionAnswer, end_of,
};

/// So many entries are asked for at once.
const PAGE: u32 = 1000;

/// Per call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_ANSWER: u64 = 64 << 20;

/// How etcd is reached.
#[derive(Debug, Default, Args)]
pub(super) struct EtcdAccess {
    /// Certificates (PEM) of the authorities by which etcd's own is judged; needed for https
    #[arg(long, env = "PORTCULLIS_ETCD_CA", value_name = "FILE")]
    pub(super) etcd_ca: Option<String>,
    /// A certificate (PEM) to show to etcd
    #[arg(long, env = "PORTCULLIS_ETCD_CERT", value_name = "FILE", requires = "etcd_key")]
    pub(super) etcd_cert: Option<String>,
    /// Its private key (PEM)
    #[arg(long, env = "PORTCULLIS_ETCD_KEY", value_name = "FILE", requires = "etcd_cert")]
    pub(super) etcd_key: Option<String>,
    /// Who asks. The password is read from the environment variable PORTCULLIS_ETCD_PASSWORD
    #[arg(long, env = "PORTCULLIS_ETCD_USER", value_name = "NAME")]
    pub(super) etcd_user: Option<String>,
}

/// Where the filter keeps something in etcd, and what is said of it.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Where the filter keeps it: the URL of etcd with the prefix that the policy names, as in
    /// https://etcd.internal:2379/portcullis/
    #[arg(long, env = "PORTCULLIS_STORE", value_name = "URL")]
    pub(super) store: String,
    #[command(flatten)]
    pub(super) etcd: EtcdAccess,
    #[command(flatten)]
    pub(super) telling: Telling,
}

/// One etcd, and a prefix there.
pub(super) struct Etcd {
    agent: Agent,
    /// Without a path.
    base: String,
    /// It ends with `/`.
    prefix: String,
    /// What etcd knows the caller by; `None`: it was not asked for.
    token: Option<Token>,
}

impl Etcd {
    /// `url` is the gateway with the prefix as its path: `https://etcd.internal:2379/portcullis/`.
    ///
    /// # Errors
    /// A URL without a prefix, a file that is no certificate or key, or a user whom etcd does not know.
    pub(super) fn open(url: &str, access: &EtcdAccess) -> Result<Self, Refusal> {
        let path_at = url.find("://").and_then(|at| {
            let host = at.checked_add(3)?;
            url.get(host..)?.find('/').and_then(|path| host.checked_add(path))
        });
        let (base, path) = path_at.and_then(|at| url.split_at_checked(at)).unwrap_or((url, ""));
        if path.len() < 2 || !path.ends_with('/') || url.contains('@') {
            let message = "a store in etcd is its URL with the prefix of the policy, as in https://etcd.internal:2379/portcullis/";
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
        let mut etcd =
            Self { agent: agent.into(), base: base.to_owned(), prefix: path.to_owned(), token: None };
        if let Some(user) = &access.etcd_user {
            let password = std::env::var("PORTCULLIS_ETCD_PASSWORD").map_err(|_| {
                Refusal::usage("the password of --etcd-user is read from PORTCULLIS_ETCD_PASSWORD".to_owned())
            })?;
            let login = Login { user: user.clone(), password: Password(password) };
            etcd.token = Some(etcd.ask(AUTHENTICATE, login.body(), Token::read)?);
        }
        Ok(etcd)
    }

    /// The whole name of the entry that is called so behind the prefix.
    pub(super) fn named(&self, name: &str) -> String {
        [&self.prefix, name].concat()
    }

    /// Hands out all entries below `prefix`, as they were at one moment.
    pub(super) fn each_below(&self, prefix: &str, take: &mut dyn FnMut(&Item)) -> Result<(), Refusal> {
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

    /// The entry of this name; `None`: there is none.
    pub(super) fn get(&self, key: &str) -> Result<Option<Item>, Refusal> {
        let range = self.ask(RANGE, RangeRequest::one(key.as_bytes()).body(), Range::read)?;
        Ok(range.items.into_iter().next())
    }

    /// Whether the transaction was done; not, where one of its conditions does not hold.
    pub(super) fn commit(&self, transaction: &Transaction) -> Result<bool, Refusal> {
        Ok(self.ask(TRANSACTION, transaction.body(), TransactionAnswer::read)?.succeeded)
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
