//! The relying party (WebAuthn section 4): whom credentials are for, and from where they may be used.

use super::{attestation::OtherAttestation, cose_key::cose_algorithm};
use crate::{
    crypto::{Algorithm, sha256},
    fault::Fault,
    origin::{WebOrigin, is_localhost},
    text::base64url,
};

/// What the origins of Android apps begin with; the SHA-256 of the certificate that signed the app follows.
const ANDROID: &str = "android:apk-key-hash:";

/// So many labels all browsers take (section 5.11); what is listed behind them may be ignored.
const LABELS_OF_ALL_BROWSERS: usize = 5;

/// Where a ceremony may take place: web pages, or an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The pages of a web origin, for which the browser speaks.
    Web(WebOrigin),
    /// An Android app, for which the system speaks: `android:apk-key-hash:` and the SHA-256 of its certificate as
    /// base64url. A store that signs anew what it sells makes it another origin.
    Android(Box<str>),
}

/// A relying party, as configured. Lists that are said not to be empty are faults where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingPartySpec {
    /// The RP ID: the domain that credentials are bound to, for good, in lower case.
    pub id: String,
    /// What the user is shown; never empty.
    pub name: String,
    /// Where ceremonies may take place; never empty. Web origins are of the RP ID or of a domain below it. None is taken
    /// that is not listed, since whoever has a page on some subdomain could use all credentials (section 13.4.8).
    pub origins: Vec<Origin>,
    /// Web origins of other domains (section 5.11). Browsers take those that `/.well-known/webauthn` of the RP ID lists.
    /// Empty: none, and there need be no such document.
    pub related_origins: Vec<WebOrigin>,
    /// Web origins whose pages may show ours in a frame. Empty: no ceremony in a frame of another origin's page.
    pub top_origins: Vec<WebOrigin>,
    /// Algorithms of new credentials, the best first; never empty.
    pub algorithms: Vec<Algorithm>,
    /// What becomes of attestations that are not verified here.
    pub other_attestation: OtherAttestation,
    /// What becomes of an assertion whose counter did not go up.
    pub counter: CounterPolicy,
}

/// What becomes of an assertion whose signature counter did not go up, which may mean that the authenticator was cloned,
/// or that two assertions arrived in another order (section 6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterPolicy {
    /// It is refused.
    Refuse,
    /// It is taken, and reported.
    Report,
}

/// A relying party that is fit, with what is worked out of it once.
#[derive(Clone, Debug)]
pub struct RelyingParty {
    spec: RelyingPartySpec,
    id_hash: [u8; 32],
}

impl Origin {
    /// Reads an origin as people write it.
    ///
    /// # Errors
    /// What it must be, to be said of the field that it stands in.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(hash) = text.strip_prefix(ANDROID) else {
            return WebOrigin::parse(text).map(Self::Web);
        };
        match base64url::decode(hash.as_bytes()) {
            Some(hash) if hash.len() == 32 => Ok(Self::Android(text.into())),
            _ => Err("must be `android:apk-key-hash:` with a SHA-256 as base64url without padding"),
        }
    }

    /// The page; `None` of an app.
    pub fn as_web(&self) -> Option<&WebOrigin> {
        match self {
            Self::Web(origin) => Some(origin),
            Self::Android(_) => None,
        }
    }

    /// As clients write it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Web(origin) => origin.as_str(),
            Self::Android(text) => text,
        }
    }
}

impl RelyingParty {
    /// Checks a relying party.
    ///
    /// # Errors
    /// Every fault, with a path relative to the section: `id`, `name`, `origins[0]`, `relatedOrigins[0]`,
    /// `topOrigins[0]`, `algorithms[0]`.
    pub fn new(spec: RelyingPartySpec) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let empty = [
            ("name", spec.name.is_empty()),
            ("origins", spec.origins.is_empty()),
            ("algorithms", spec.algorithms.is_empty()),
        ];
        let empty = empty.into_iter().filter(|(_, is_empty)| *is_empty);
        faults.extend(empty.map(|(field, _)| Fault::new(field, "must not be empty")));
        // Whether an origin is of the RP ID can be said where there is one.
        let id = check_id(&spec.id).map(|()| spec.id.as_str());
        faults.extend(id.err().map(|message| Fault::new("id", message)));
        let id = id.ok();
        for (i, origin) in spec.origins.iter().enumerate() {
            if let Origin::Web(origin) = origin {
                let strange = id.filter(|id| !is_of(origin, id)).map(|id| {
                    format!("must be of `{id}` or a domain below it; others belong to `relatedOrigins`")
                });
                check_origin(origin, strange, || format!("origins[{i}]"), &mut faults);
            }
        }
        for (i, origin) in spec.related_origins.iter().enumerate() {
            let own = id.filter(|id| is_of(origin, id));
            let own = own.map(|id| format!("must not be of `{id}`; those belong to `origins`"));
            check_origin(origin, own, || format!("relatedOrigins[{i}]"), &mut faults);
        }
        for (i, origin) in spec.top_origins.iter().enumerate() {
            check_origin(origin, None, || format!("topOrigins[{i}]"), &mut faults);
        }
        for (i, algorithm) in spec.algorithms.iter().enumerate() {
            if cose_algorithm(*algorithm).is_none() {
                faults.push(Fault::new(format!("algorithms[{i}]"), "must be ES256, EdDSA or RS256"));
            }
        }
        match faults.is_empty() {
            true => Ok(Self { id_hash: sha256(spec.id.as_bytes()), spec }),
            false => Err(faults),
        }
    }

    /// As it was configured.
    pub fn spec(&self) -> &RelyingPartySpec {
        &self.spec
    }

    /// SHA-256 of the RP ID.
    pub fn id_hash(&self) -> &[u8; 32] {
        &self.id_hash
    }

    /// Every origin whose pages or apps it is of, related ones too.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        let related = self.spec.related_origins.iter().map(WebOrigin::as_str);
        self.spec.origins.iter().map(Origin::as_str).chain(related)
    }

    /// Whether a ceremony may take place at `origin`, as the client wrote it.
    pub fn takes_origin(&self, origin: &str) -> bool {
        self.spec.origins.iter().any(|own| own.as_str() == origin)
            || self.spec.related_origins.iter().any(|own| own.as_str() == origin)
    }

    /// Whether ceremonies may take place in frames of other origins' pages at all.
    pub fn takes_frames(&self) -> bool {
        !self.spec.top_origins.is_empty()
    }

    /// Whether the page in whose frame a ceremony takes place may be of `origin`, as the client wrote it.
    pub fn takes_top_origin(&self, origin: &str) -> bool {
        self.spec.top_origins.iter().any(|own| own.as_str() == origin)
    }

    /// The origin among `related_origins` from which on some browsers ignore what is listed, since it has the sixth label;
    /// `None`: all browsers take all of them.
    ///
    /// A label is what stands before the public suffix: `shop` of `shop.example`. No list of suffixes is at hand, so
    /// `co.uk` and its like are told by their form.
    pub fn first_ignored_related_origin(&self) -> Option<usize> {
        let mut labels: Vec<&str> = Vec::new();
        self.spec.related_origins.iter().position(|origin| {
            let label = registrable_label(origin.host());
            if !labels.contains(&label) {
                labels.push(label);
            }
            labels.len() > LABELS_OF_ALL_BROWSERS
        })
    }
}

/// `strange`: what is wrong with its domain.
fn check_origin(
    origin: &WebOrigin,
    strange: Option<String>,
    path: impl Fn() -> String,
    faults: &mut Vec<Fault>,
) {
    // Browsers let no other pages use credentials: of these it is not sure who wrote them.
    let insecure =
        (!origin.is_trustworthy()).then(|| "must be https; http is for localhost alone".to_owned());
    faults.extend(insecure.or(strange).map(|message| Fault::new(path(), message)));
}

/// Whether `origin` may use the RP ID `id` without being listed as related: its host is that domain, or below it.
fn is_of(origin: &WebOrigin, id: &str) -> bool {
    let rest = origin.host().strip_suffix(id);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Section 5.1.3 step 7: a domain, no address, and no public suffix. Which suffixes are public only a list could say; a lone
/// label is one.
fn check_id(id: &str) -> Result<(), &'static str> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if id.len() > 253 || !id.split('.').all(is_label) {
        return Err("must be a domain in lower case, such as `example.com`, without scheme and port");
    }
    // What ends in a number is an address to whoever parses URLs.
    if id.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("must be a domain: credentials cannot be bound to an address");
    }
    if !id.contains('.') && !is_localhost(id) {
        return Err("must be a domain of its own, not a public suffix");
    }
    Ok(())
}

/// The label in front of the public suffix.
fn registrable_label(host: &str) -> &str {
    const SECOND_LEVEL: [&str; 9] = ["ac", "co", "com", "edu", "go", "gov", "ne", "net", "org"];
    let mut labels = host.rsplit('.');
    let (top, second, third) = (labels.next().unwrap_or_default(), labels.next(), labels.next());
    match (second, third) {
        (Some(second), Some(third)) if top.len() == 2 && SECOND_LEVEL.contains(&second) => third,
        (Some(second), _) => second,
        (None, _) => top,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::authenticator::spec, *};

    fn web(text: &str) -> WebOrigin {
        WebOrigin::parse(text).unwrap()
    }

    /// The faults of a relying party, one in a line.
    fn faults(change: impl FnOnce(&mut RelyingPartySpec)) -> Vec<String> {
        let mut spec = spec();
        change(&mut spec);
        let faults = RelyingParty::new(spec).err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rp_ids() {
        const DOMAIN: &str = "must be a domain in lower case, such as `example.com`, without scheme and port";
        const ADDRESS: &str = "must be a domain: credentials cannot be bound to an address";
        const SUFFIX: &str = "must be a domain of its own, not a public suffix";
        let long = ["a"; 127].join(".");
        let too_long = format!("{long}.a");
        let label = format!("{}.example", "a".repeat(63));
        let long_label = format!("a{label}");
        for (id, expected) in [
            ("app.example", Ok(())),
            ("a.b.c.app.example", Ok(())),
            ("localhost", Ok(())),
            ("app.localhost", Ok(())),
            ("xn--bcher-kva.example", Ok(())),
            ("4.example", Ok(())),
            (&long, Ok(())),
            (&label, Ok(())),
            (&too_long, Err(DOMAIN)),
            (&long_label, Err(DOMAIN)),
            ("", Err(DOMAIN)),
            ("App.example", Err(DOMAIN)),
            ("bücher.example", Err(DOMAIN)),
            ("app.example.", Err(DOMAIN)),
            (".example", Err(DOMAIN)),
            ("app..example", Err(DOMAIN)),
            ("-app.example", Err(DOMAIN)),
            ("app-.example", Err(DOMAIN)),
            ("app_1.example", Err(DOMAIN)),
            ("app.example:443", Err(DOMAIN)),
            ("https://app.example", Err(DOMAIN)),
            ("*.app.example", Err(DOMAIN)),
            ("[::1]", Err(DOMAIN)),
            ("127.0.0.1", Err(ADDRESS)),
            ("app.1", Err(ADDRESS)),
            ("1", Err(ADDRESS)),
            ("com", Err(SUFFIX)),
            ("notlocalhost", Err(SUFFIX)),
        ] {
            assert_eq!(check_id(id), expected, "{id}");
        }
    }

    #[test]
    fn every_fault_has_its_place() {
        assert_eq!(faults(|_| ()), [""; 0]);
        let found = faults(|spec| {
            spec.name = String::new();
            spec.algorithms = vec![Algorithm::Es256, Algorithm::Ps256];
            spec.origins = ["https://app.example", "https://other.example", "http://app.example"]
                .map(|origin| Origin::parse(origin).unwrap())
                .to_vec();
            spec.related_origins =
                vec![web("https://app.test"), web("https://x.app.example"), web("http://a.test")];
            spec.top_origins = vec![web("https://portal.test"), web("http://portal.test")];
        });
        assert_eq!(
            found,
            [
                "name: must not be empty",
                "origins[1]: must be of `app.example` or a domain below it; others belong to `relatedOrigins`",
                "origins[2]: must be https; http is for localhost alone",
                "relatedOrigins[1]: must not be of `app.example`; those belong to `origins`",
                "relatedOrigins[2]: must be https; http is for localhost alone",
                "topOrigins[1]: must be https; http is for localhost alone",
                "algorithms[1]: must be ES256, EdDSA or RS256",
            ]
        );
        let found = faults(|spec| {
            spec.origins = vec![];
            spec.algorithms = vec![];
        });
        assert_eq!(found, ["origins: must not be empty", "algorithms: must not be empty"]);
        // What an origin should be of cannot be said.
        assert_eq!(
            faults(|spec| spec.id = "com".into()),
            ["id: must be a domain of its own, not a public suffix"]
        );
    }

    #[test]
    fn origins_of_the_domain_and_of_others() {
        for (id, origin, is_fit) in [
            ("app.example", "https://app.example:8443", true),
            ("app.example", "https://a.b.app.example", true),
            ("app.example", "https://example", false),
            ("app.example", "https://myapp.example", false),
            ("app.example", "https://app.example.test", false),
            ("app.example", "android:apk-key-hash:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", true),
            ("localhost", "http://localhost:3000", true),
            ("localhost", "http://app.localhost", true),
            ("localhost", "http://127.0.0.1:3000", false),
        ] {
            let found = faults(|spec| {
                spec.id = id.into();
                spec.origins = vec![Origin::parse(origin).unwrap()];
            });
            assert_eq!(found.is_empty(), is_fit, "{id} {origin}: {found:?}");
        }
    }

    #[test]
    fn android_apps() {
        let hash = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        for (text, is_one) in [
            (format!("android:apk-key-hash:{hash}"), true),
            (format!("android:apk-key-hash:{hash}="), false),
            (format!("android:apk-key-hash:{}", hash.trim_start_matches('A')), false),
            (format!("android:apk-key-hash:{hash}AA"), false),
            (format!("Android:apk-key-hash:{hash}"), false),
            (format!("android:apk-key-hash-sha256:{hash}"), false),
            ("android:apk-key-hash:".to_owned(), false),
        ] {
            let parsed = Origin::parse(&text);
            assert_eq!(parsed.is_ok(), is_one, "{text}");
            assert!(parsed.is_err() || parsed.unwrap().as_str() == text);
        }
    }

    #[test]
    fn the_sixth_label_is_ignored_by_some() {
        let first_ignored = |origins: &[&str]| {
            let mut spec = spec();
            spec.related_origins = origins.iter().map(|origin| web(origin)).collect();
            RelyingParty::new(spec).unwrap().first_ignored_related_origin()
        };
        let five = ["https://a.test", "https://b.test", "https://c.test", "https://d.test", "https://e.test"];
        assert_eq!(first_ignored(&[]), None);
        assert_eq!(first_ignored(&five), None);
        // The same label under other suffixes.
        let same = ["https://a.co.uk", "https://www.b.example", "https://x.c.com.au:8443", "https://a.de"];
        assert_eq!(first_ignored(&[&five[..], &same].concat()), None);
        assert_eq!(
            first_ignored(&[&five[..], &same, &["https://f.test", "https://a.net"]].concat()),
            Some(9)
        );
        assert_eq!(first_ignored(&[&five[..], &["https://co.uk.test"]].concat()), Some(5));
    }
}
