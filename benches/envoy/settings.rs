//! What `make bench` and whoever calls it say in the environment.

use std::{env, fmt::Display, path::PathBuf, str::FromStr};

pub(crate) struct Settings {
    pub(crate) envoy: PathBuf,
    pub(crate) wasm: PathBuf,
    pub(crate) noop: PathBuf,
    /// Another build of the module, to be held against the first.
    pub(crate) other: Option<PathBuf>,
    /// Where results and what is made for them go.
    pub(crate) dir: PathBuf,
    pub(crate) rounds: usize,
    /// How often Envoy is started for them.
    pub(crate) starts: usize,
    /// Of load, in each round and for each subject.
    pub(crate) seconds: u32,
    /// Names of cases; empty: all of them.
    pub(crate) cases: Vec<String>,
    /// In etcd.
    pub(crate) keys: usize,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, String> {
        let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let settings = Self {
            envoy: file("PORTCULLIS_ENVOY")?,
            wasm: file("PORTCULLIS_WASM")?,
            noop: file("PORTCULLIS_NOOP_WASM")?,
            other: env::var_os("PORTCULLIS_OTHER_WASM").map(|_| file("PORTCULLIS_OTHER_WASM")).transpose()?,
            dir: repository.join("target/bench"),
            rounds: number("BENCH_ROUNDS", 9)?,
            starts: number("BENCH_STARTS", 3)?,
            seconds: number("BENCH_SECONDS", 2)?,
            cases: env::var("BENCH_CASES")
                .unwrap_or_default()
                .split([',', ' '])
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            keys: number("BENCH_KEYS", 1_000_000)?,
        };
        if settings.rounds == 0 || settings.seconds == 0 || settings.starts == 0 {
            return Err("BENCH_ROUNDS, BENCH_STARTS and BENCH_SECONDS must be at least 1".to_owned());
        }
        // No start without a round.
        Ok(Self { starts: settings.starts.min(settings.rounds), ..settings })
    }

    /// In which start a round is run, both counted from 0.
    pub(crate) fn start_of(&self, round: usize) -> usize {
        round * self.starts / self.rounds
    }
}

fn file(variable: &str) -> Result<PathBuf, String> {
    let path = env::var_os(variable).map(PathBuf::from);
    let path = path.ok_or_else(|| format!("{variable} is not set: run `make bench`"))?;
    path.canonicalize().map_err(|error| format!("{variable} names {}: {error}", path.display()))
}

fn number<T: FromStr<Err: Display>>(variable: &str, default: T) -> Result<T, String> {
    match env::var(variable) {
        Err(_) => Ok(default),
        Ok(text) if text.is_empty() => Ok(default),
        Ok(text) => text.parse().map_err(|error| format!("{variable}={text}: {error}")),
    }
}
