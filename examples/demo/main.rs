//! The demo: a real Envoy with Portcullis, a small upstream, and an issuer that signs tokens for it.
//!
//! `make run`, `make token`, `make keys` and `make jwks` call this; see `envoy/demo` for what it runs.

mod api_keys;
mod material;
mod render;
mod run;
mod settings;
mod signing;
mod token;

use std::process::ExitCode;

use settings::Settings;

const USAGE: &str = "usage: demo setup|run|token|keys|jwks";

/// What went wrong, for the person at the terminal.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    match execute(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("demo: {message}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: &str) -> Result<()> {
    let settings = Settings::from_env()?;
    match command {
        "setup" => material::set_up(&settings).and_then(|()| render::all(&settings)),
        "run" => {
            material::set_up(&settings)?;
            // Before it is read: what is saved while Envoy starts is a change, too.
            let policy_from = run::policy_changed_at();
            render::all(&settings)?;
            run::run(&settings, policy_from)
        }
        "token" => {
            println!("{}", token::from_env(&settings)?);
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
        _ => Err(USAGE.to_owned()),
    }
}
