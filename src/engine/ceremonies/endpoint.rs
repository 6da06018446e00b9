//! Which endpoint a request is for.

use crate::{passkeys::CeremonyRule, policy::Passkeys};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'p> {
    RegistrationOptions,
    Registration,
    AuthenticationOptions,
    Authentication,
    StepUpOptions,
    Credentials,
    /// Another name for the credential with this id, as it stands in the path.
    Rename(&'p str),
    Remove(&'p str),
    SignOut,
    /// There is one, but not by this method; by these.
    WrongMethod(&'static str),
    /// None is there.
    Unknown,
}

/// Which rule says who may ask for what is at `path`; `None`: it is none of ours.
#[inline]
pub(in crate::engine) fn rule(passkeys: &Passkeys, method: &str, path: &str) -> Option<CeremonyRule> {
    path.starts_with(passkeys.spec.path.as_str()).then(|| find(passkeys, method, path).rule())
}

/// The endpoint that a request is for whose path begins as those of endpoints do.
pub(super) fn find<'p>(passkeys: &Passkeys, method: &str, path: &'p str) -> Endpoint<'p> {
    let name = path.strip_prefix(passkeys.spec.path.as_str()).unwrap_or_default();
    let (endpoint, its_method) = match name {
        "registration/options" => (Endpoint::RegistrationOptions, "POST"),
        "registration" => (Endpoint::Registration, "POST"),
        "authentication/options" => (Endpoint::AuthenticationOptions, "POST"),
        "authentication" => (Endpoint::Authentication, "POST"),
        "step-up/options" => (Endpoint::StepUpOptions, "POST"),
        "sign-out" => (Endpoint::SignOut, "POST"),
        "credentials" => (Endpoint::Credentials, "GET"),
        _ => match name.strip_prefix("credentials/").filter(|id| !id.is_empty() && !id.contains('/')) {
            Some(id) if method == "PATCH" => (Endpoint::Rename(id), "PATCH"),
            Some(id) if method == "DELETE" => (Endpoint::Remove(id), "DELETE"),
            Some(_) => return Endpoint::WrongMethod("DELETE, PATCH"),
            None => return Endpoint::Unknown,
        },
    };
    if method == its_method { endpoint } else { Endpoint::WrongMethod(its_method) }
}

impl Endpoint<'_> {
    fn rule(self) -> CeremonyRule {
        match self {
            Self::RegistrationOptions | Self::Registration => CeremonyRule::Registration,
            Self::StepUpOptions | Self::Credentials | Self::Rename(_) | Self::Remove(_) => {
                CeremonyRule::Credentials
            }
            Self::AuthenticationOptions
            | Self::Authentication
            | Self::SignOut
            | Self::WrongMethod(_)
            | Self::Unknown => CeremonyRule::Authentication,
        }
    }
}
