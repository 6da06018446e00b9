//! Load by wrk, and what a round of it came to.

use std::{cell::RefCell, collections::HashMap, fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::{
    cases::{Load, Subject},
    credentials::{Credentials, api_key},
    gateway::Gateway,
    listeners::ECHO,
    policies::{self, KEY_HEADER},
    settings::Settings,
};

const CONNECTIONS: &str = "16";
/// A request as wrk is to send it: path, then header and value, if any.
type Request = (String, Option<(&'static str, String)>);

/// One request after the other from a file, from a place on that the environment names. wrk asks for requests a
/// little ahead of sending them, so a few are skipped between rounds.
const SCRIPT: &str = r#"
local requests, at = {}, tonumber(os.getenv("BENCH_FROM"))
function init()
  for line in io.lines(os.getenv("BENCH_REQUESTS")) do
    local path, name, value = line:match("^(%S+) (%S+) (.*)$")
    requests[#requests + 1] = wrk.format("GET", path, {["Host"] = "bench.example", [name] = value})
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"#;

/// Reported by wrk itself at the end.
const DONE: &str = r#"
function done(summary, latency)
  local errors = summary.errors
  print(string.format("BENCH %d %d %d %d %d %d", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99)))
end
"#;

pub(crate) struct Loads {
    dir: PathBuf,
    requests: HashMap<Load, Vec<Request>>,
    /// Where the next round begins.
    next: RefCell<HashMap<Subject, usize>>,
    seconds: u32,
}

/// What one round of one subject came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Of Envoy, counted from 0.
    pub(crate) start: usize,
    pub(crate) requests: u64,
    /// Of the Envoy process.
    pub(crate) cpu_us_per_request: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

impl Loads {
    pub(crate) fn lay_out(settings: &Settings, credentials: &Credentials) -> Result<Self, String> {
        let bearer =
            |token: &String| ("/orders/4711".to_owned(), Some(("authorization", format!("Bearer {token}"))));
        let key = |path: String, n| (path, Some((KEY_HEADER, api_key(n))));
        let sized = |n| key(policies::path(n), n);
        let (rules, keys) = policies::LARGE;
        let spread = (0..2000).map(|n| key(policies::path(n * 4999 % rules), n * 49_999 % keys));
        let requests = HashMap::from([
            (Load::Repeat, vec![bearer(&credentials.repeat)]),
            (Load::FreshRs256, credentials.fresh_rs256.iter().map(bearer).collect()),
            (Load::FreshEs256, credentials.fresh_es256.iter().map(bearer).collect()),
            (Load::ApiKey, vec![key("/orders/4711".to_owned(), 0)]),
            (Load::TenKeys, (0..10).map(sized).collect()),
            (Load::ManyKeys, spread.collect()),
            (Load::BadSignature, vec![bearer(&credentials.bad_signature)]),
            (Load::Expired, vec![bearer(&credentials.expired)]),
            (Load::NoCredentials, vec![("/orders/4711".to_owned(), None)]),
        ]);
        let write = |name: String, text: String| {
            let path = settings.dir.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        for (load, requests) in &requests {
            let lines: String = requests
                .iter()
                .filter_map(|(path, header)| {
                    header.as_ref().map(|(name, value)| format!("{path} {name} {value}\n"))
                })
                .collect();
            write(format!("{load:?}.txt"), lines)?;
        }
        write("cycle.lua".to_owned(), format!("{SCRIPT}{DONE}"))?;
        write("same.lua".to_owned(), DONE.to_owned())?;
        Ok(Self { dir: settings.dir.clone(), requests, next: RefCell::default(), seconds: settings.seconds })
    }

    /// Sends a few requests and looks at the answers: nothing is measured that does not do its work.
    pub(crate) fn verify(&self, gateway: &Gateway, (listener, load): Subject) -> Result<(), String> {
        let address = gateway.address(listener);
        let fail = |what: String| Err(format!("{listener} under {load:?}: {what}"));
        for (path, header) in self.requests[&load].iter().take(50) {
            let headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = crate::gateway::send(address, "GET", path, &headers)?;
            if answer.status != load.status() {
                return fail(format!(
                    "{path} is answered {}, not {}: {}",
                    answer.status,
                    load.status(),
                    answer.body
                ));
            }
        }
        let guards = !matches!(listener, "none" | "noop");
        let (path, header) = &self.requests[&load][0];
        if guards && path.starts_with("/orders/") && load.status() == 200 {
            // A client's own identity is not believed; the upstream sees who it is and no credential.
            let mut headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
            if load != Load::ApiKey {
                headers.push((policies::EMAIL_HEADER, "mallory@example.com"));
            }
            headers.push((policies::SUBJECT_HEADER, "mallory"));
            let answer = crate::gateway::send(address, "GET", ECHO, &headers)?;
            let email = if load == Load::ApiKey { None } else { Some(policies::EMAIL) };
            for (name, expected) in [
                (policies::SUBJECT_HEADER, Some(policies::SUBJECT)),
                (policies::EMAIL_HEADER, email),
                ("authorization", None),
                (KEY_HEADER, None),
            ] {
                let seen = answer.headers.get(&format!("x-seen-{name}")).map(String::as_str);
                if seen.filter(|seen| *seen != "-") != expected {
                    return fail(format!("the upstream would see {name}: {seen:?}, not {expected:?}"));
                }
            }
            // What must not pass, does not.
            for (what, method, headers) in [
                ("without credentials", "GET", &[][..]),
                ("with a bad token", "GET", &[("authorization", "Bearer x.y.z")]),
            ] {
                let status = crate::gateway::send(address, method, path, headers)?.status;
                if status != 401 {
                    return fail(format!("a request {what} is answered {status}"));
                }
            }
        }
        Ok(())
    }

    /// One round: load for a while, and the processor time that Envoy has used meanwhile.
    pub(crate) fn run(
        &self,
        gateway: &Gateway,
        subject: Subject,
        start: usize,
        seconds: Option<u32>,
    ) -> Result<Round, String> {
        let (listener, load) = subject;
        let requests = &self.requests[&load];
        let from = self.next.borrow().get(&subject).copied().unwrap_or(0);
        let duration = format!("-d{}s", seconds.unwrap_or(self.seconds));
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "-c", CONNECTIONS, &duration, "--timeout", "10s", "-H", "Host: bench.example"]);
        if let [(path, header)] = requests.as_slice() {
            if let Some((name, value)) = header {
                wrk.arg("-H").arg(format!("{name}: {value}"));
            }
            wrk.arg("-s").arg(self.dir.join("same.lua"));
            wrk.arg(format!("http://{}{path}", gateway.address(listener)));
        } else {
            wrk.env("BENCH_FROM", from.to_string());
            wrk.env("BENCH_REQUESTS", self.dir.join(format!("{load:?}.txt")));
            wrk.arg("-s").arg(self.dir.join("cycle.lua"));
            wrk.arg(format!("http://{}/", gateway.address(listener)));
        }
        let before = gateway.cpu_seconds()?;
        let output = wrk.output().map_err(|error| format!("wrk: {error}"))?;
        let cpu = gateway.cpu_seconds()? - before;
        let text = String::from_utf8_lossy(&output.stdout);
        let figures = text.lines().find_map(|line| line.strip_prefix("BENCH "));
        let figures: Vec<u64> =
            figures.unwrap_or_default().split(' ').filter_map(|n| n.parse().ok()).collect();
        let [done, us, failed, refused, p50_us, p99_us] = figures[..] else {
            return Err(format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)));
        };
        // wrk counts every status above 399 as an error.
        let expected = if load.status() >= 400 { done } else { 0 };
        if done == 0 || failed > 0 || refused != expected {
            return Err(format!(
                "{listener} under {load:?}: {done} answers, {refused} of them refused, {failed} failed"
            ));
        }
        let next = from + usize::try_from(done).unwrap_or(0) + 64;
        self.next.borrow_mut().insert(subject, next % requests.len());
        let (requests, us) = (done as f64, us as f64);
        Ok(Round {
            start,
            requests: done,
            cpu_us_per_request: cpu * 1e6 / requests,
            requests_per_second: requests * 1e6 / us,
            p50_us,
            p99_us,
        })
    }
}

impl Round {
    pub(crate) fn to_json(self) -> Value {
        json!({
            "start": self.start,
            "requests": self.requests,
            "usPerRequest": round(self.cpu_us_per_request),
            "requestsPerSecond": self.requests_per_second.round(),
            "p50Us": self.p50_us,
            "p99Us": self.p99_us,
        })
    }
}

/// To a hundredth.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
