//! What the filter costs beside Envoy's own filters that decide the same: `make bench`.
//!
//! One Envoy with one worker has a listener for each chain of filters. wrk drives one after the other, in several
//! rounds, each in the opposite order of the one before; what counts is the processor time of the Envoy process for
//! each request. Now and then Envoy is started anew, because the same module differs by several percent from one start
//! to the next. Results go to `target/bench`: `bench.json` and `bench.svg`.
//!
//! `PORTCULLIS_OTHER_WASM` names another build of the module; then the two are compared, and nothing else.
//! `BENCH_ROUNDS`, `BENCH_STARTS` (over which the rounds are dealt out), `BENCH_SECONDS` (of each round) and
//! `BENCH_CASES` (names) make it shorter or longer. `stored-keys` is a case apart, see there, with `BENCH_KEYS` keys.

#![expect(
    clippy::expect_used,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a benchmark on its own data"
)]

#[path = "../../tests/e2e/harness/capabilities.rs"]
mod capabilities;
mod cases;
mod credentials;
#[path = "../../tests/e2e/harness/envoy_parts.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod envoy_parts;
mod footprint;
mod gateway;
mod listeners;
mod load;
mod plot;
mod policies;
mod report;
mod settings;
#[path = "../../examples/demo/signing.rs"]
#[expect(dead_code, reason = "the demo uses more of it")]
mod signing;
mod stored_keys;

use std::{collections::HashMap, fs, process::ExitCode};

use cases::Subject;
use credentials::Credentials;
use gateway::Gateway;
use load::{Loads, Round};
use settings::Settings;

/// Seconds of load before anything counts, for each subject and start: the engine compiles hot code anew.
const WARM_UP: u32 = 1;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let settings = Settings::from_env()?;
    fs::create_dir_all(&settings.dir).map_err(|error| format!("{}: {error}", settings.dir.display()))?;
    let write = |name: &str, text: String| {
        let path = settings.dir.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
        Ok::<_, String>(())
    };
    let mut names = settings.cases.clone();
    names.retain(|name| name != stored_keys::NAME);
    if names.len() < settings.cases.len() {
        let measured = stored_keys::measure(&settings)?;
        print!("{}", stored_keys::text(&measured));
        write("stored-keys.json", format!("{:#}\n", stored_keys::to_json(&measured)))?;
        if names.is_empty() {
            return Ok(());
        }
    }
    let all = if settings.other.is_some() { cases::OTHER } else { cases::CASES };
    let cases = cases::chosen(all, &names)?;
    let credentials = Credentials::make(&settings.dir)?;
    let loads = Loads::lay_out(&settings, &credentials)?;
    let subjects = cases::subjects(&cases);

    let footprint = footprint::measure(&settings, &credentials)?;
    let mut listeners: Vec<&str> = subjects.iter().map(|(listener, _)| *listener).collect();
    listeners.sort_unstable();
    listeners.dedup();
    let mut rounds: HashMap<Subject, Vec<Round>> = HashMap::new();
    for start in 0..settings.starts {
        // Who is loaded first, and who is measured first, has a better or worse place in memory all along.
        let is_odd = start % 2 == 1;
        let bootstrap = listeners::bootstrap(&settings, &credentials, &turned(&listeners, is_odd));
        let gateway = Gateway::start(&settings, &bootstrap)?;
        for subject in &subjects {
            loads.verify(&gateway, *subject)?;
        }
        // Native filters write nothing about what they refuse; here neither do we.
        gateway.admin("POST", "/logging?wasm=error")?;
        for subject in turned(&subjects, is_odd) {
            loads.run(&gateway, subject, start, Some(WARM_UP))?;
        }
        for round in (0..settings.rounds).filter(|round| settings.start_of(*round) == start) {
            eprintln!("round {} of {}, start {}", round + 1, settings.rounds, start + 1);
            for subject in turned(&subjects, is_odd != (round % 2 == 1)) {
                rounds.entry(subject).or_default().push(loads.run(&gateway, subject, start, None)?);
            }
        }
    }

    let results = report::results(&cases, &rounds);
    print!("{}{}", report::table(&results, &subjects, &rounds), footprint.text());
    write("bench.json", format!("{:#}\n", report::to_json(&results)))?;
    write("footprint.json", format!("{:#}\n", footprint.to_json()))?;
    write("bench.svg", plot::svg(&results))
}

/// The same, from the last to the first where `is_turned`.
fn turned<T: Copy>(all: &[T], is_turned: bool) -> Vec<T> {
    let all = all.iter().copied();
    if is_turned { all.rev().collect() } else { all.collect() }
}
