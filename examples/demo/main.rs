//! The demo: a real Envoy with Portcullis, a small upstream, and an issuer that signs tokens for it.
//!
//! The Makefile, `envoy/demo/setup.sh` and `envoy/docker-compose.yaml` call this; see `envoy/demo` for what it runs.

mod api_keys;
mod material;
mod render;
mod run;
mod settings;
mod signing;
mod token;
mod watch;

use std::process::ExitCode;

use settings::Settings;
use watch::Watch;

const USAGE: &str =
    "usage: demo setup|run|watch|token [NAME=value..]|passkeys [NAME=value..]|keys|jwks|ca|secret";

/// What went wrong, for the person at the terminal.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    match execute(&command, &arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("demo: {message}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: &str, arguments: &[String]) -> Result<()> {
    let settings = Settings::from_env()?;
    match command {
        "setup" => material::set_up(&settings).and_then(|()| render::all(&settings)),
        "run" => {
            material::set_up(&settings)?;
            let watch = Watch::begin();
            render::all(&settings)?;
            run::run(&settings, watch)
        }
        "watch" => watch::watch(&settings),
        "token" => {
            println!("{}", token::token(&settings, arguments)?);
            Ok(())
        }
        // The part behind # is seen by the page alone.
        "passkeys" => {
            println!("{}/passkeys#token={}", settings.origin(), token::token(&settings, arguments)?);
            Ok(())
        }
        "keys" => {
            for (name, key) in api_keys::load(&settings)? {
                println!("{name} {key}");
            }
            Ok(())
        }
        "jwks" => {
            print!("{}", settings.read("jwks.json")?);
            Ok(())
        }
        "secret" => {
            println!("{}", material::client_secret(&settings)?);
            Ok(())
        }
        "ca" => {
            print!("{}", settings.read("ca.pem")?);
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    }
}
