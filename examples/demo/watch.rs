//! What follows once Envoy serves: how to ask it, and a policy that changes while it does.

use std::time::{Duration, SystemTime};

use crate::{Result, render, settings::Settings};

const POLICY: &str = "envoy/demo/policy.yaml";
/// Looking works on every file system, also on those that a container shares with another machine.
pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Which policy Envoy was given last, by the time of its last change. `None`: it cannot be read now.
pub(crate) struct Watch(Option<SystemTime>);

impl Watch {
    /// To be called before the policy is read: what is saved from then on is a change.
    pub(crate) fn begin() -> Self {
        Self(changed_at())
    }

    /// Hands a policy that was saved meanwhile on to Envoy.
    pub(crate) fn look(&mut self, settings: &Settings) {
        let now = changed_at();
        if now == self.0 || now.is_none() {
            return;
        }
        self.0 = now;
        match render::filter(settings) {
            Ok(()) => println!("demo: {POLICY} has changed; Envoy takes it over, or says in its log why not"),
            // An editor may be half-way through; the policy in force stays.
            Err(error) => eprintln!("demo: {error}"),
        }
    }
}

fn changed_at() -> Option<SystemTime> {
    std::fs::metadata(POLICY).and_then(|metadata| metadata.modified()).ok()
}

/// Beside an Envoy that somebody else runs.
pub(crate) fn watch(settings: &Settings) -> Result<()> {
    let mut watch = Watch::begin();
    render::filter(settings)?;
    println!("{}", greeting(settings));
    loop {
        std::thread::sleep(BETWEEN_LOOKS);
        watch.look(settings);
    }
}

pub(crate) fn greeting(settings: &Settings) -> String {
    let (http, admin, command) = (settings.http, settings.admin, &settings.command);
    let url = settings.origin();
    let curl = "curl -i --cacert ca.pem";
    format!(
        r#"
Portcullis is up: {url}, plain HTTP http://localhost:{http}, Envoy's admin page http://127.0.0.1:{admin}
Try, from another terminal in this directory:

  demo() {{ {command} "$@"; }}
  demo ca >ca.pem
  {curl} {url}/health                                                      # anyone: 200
  {curl} {url}/orders                                                      # nobody: 401
  {curl} -H "Authorization: Bearer $(demo token SUB=alice ROLES=viewer)" {url}/orders/7            # 200
  {curl} -H "Authorization: Bearer $(demo token SUB=alice ROLES=viewer)" -X DELETE {url}/orders/7  # 403
  {curl} -H "Authorization: Bearer $(demo token SUB=bob ROLES=admin)" -X DELETE {url}/orders/7     # 200
  {curl} -H "X-Api-Key: $(demo keys | awk '$1 == "reader" {{print $2}}')" {url}/reports/march           # 200
  curl -i http://localhost:{http}/health                                   # plain HTTP: 403
  demo passkeys                                                            # a link for a browser that trusts ca.pem

The policy is {POLICY}: change it, save, and it is in force. Ctrl-C ends the demo."#
    )
}
