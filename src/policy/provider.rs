//! A token issuer, with all that the policy says of its tokens.

use std::sync::Arc;

use crate::{
    config,
    confirmation::BindingMode,
    dpop::DpopSpec,
    fault::Fault,
    introspection::{ClientProof, IntrospectionMode, IntrospectionSpec},
    jwt::{self, Issuer},
};

/// How tokens of one issuer are judged, and what is asked of them beside.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    /// How they are judged here.
    pub(crate) jwt: jwt::Provider,
    /// How to ask the issuer about them; `None`: it is not asked.
    pub(crate) introspection: Option<IntrospectionSpec>,
    /// How proofs of keys are taken; `None`: tokens that are bound to a key are refused.
    pub(crate) dpop: Option<DpopSpec>,
    /// Whether they must be bound to a client certificate; `None`: nothing is asked of those that are not.
    pub(crate) mtls: Option<BindingMode>,
}

impl Provider {
    /// All faults have paths within the provider.
    pub(super) fn compile(spec: &config::ProviderSpec) -> Result<Self, Vec<Fault>> {
        let config::ProviderSpec { path: _, jwt, introspection, dpop, mtls } = spec;
        let audience = audience_fault(&jwt.issuer, introspection.as_ref());
        let jwt = match (jwt::Provider::compile(jwt), audience) {
            (Ok(jwt), None) => jwt,
            (found, audience) => return Err(found.err().into_iter().flatten().chain(audience).collect()),
        };
        Ok(Self { jwt, introspection: introspection.clone(), dpop: dpop.clone(), mtls: *mtls })
    }

    /// As configured.
    pub(crate) fn spec(&self) -> &jwt::ProviderSpec {
        self.jwt.spec()
    }

    /// The name that rules refer to.
    pub(crate) fn name(&self) -> &Arc<str> {
        self.jwt.name()
    }

    /// What `iss` must be.
    pub(crate) fn issuer(&self) -> &Issuer {
        self.jwt.issuer()
    }

    /// Whether the issuer is to be asked about a token. `is_own_jwt`: it is a JWT with this issuer, which is then
    /// verified here before where there are keys.
    pub(crate) fn introspects(&self, is_own_jwt: bool) -> bool {
        let verifiable = is_own_jwt && self.jwt.has_keys();
        let introspection = self.introspection.as_ref();
        introspection.is_some_and(|spec| spec.mode == IntrospectionMode::Always || !verifiable)
    }
}

/// Where the policy names no audience for our assertions, it is the issuer.
fn audience_fault(issuer: &Issuer, introspection: Option<&IntrospectionSpec>) -> Option<Fault> {
    let is_needed = matches!(
        (issuer, introspection.map(|spec| &spec.proof)),
        (Issuer::Tenants(_), Some(ClientProof::PrivateKeyJwt { audience: None, .. }))
    );
    let message = "required: issuer has a variable, and is the name of nobody";
    is_needed.then(|| Fault::new("introspection.privateKeyJwt.audience", message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        crypto::{Algorithm, SigningKey},
        identity::ClaimPath,
        introspection::ClientSecret,
        jose::IssuerTemplate,
        jwt::{KeySource, Tenants, tests::tokens},
        url::Url,
    };

    fn introspection(mode: IntrospectionMode) -> IntrospectionSpec {
        IntrospectionSpec {
            endpoint: Url::parse("https://idp.example/introspect").unwrap(),
            cluster: "idp".into(),
            client_id: "gateway".into(),
            proof: ClientProof::Secret(ClientSecret("secret".into())),
            mode,
            cache_duration: Duration::from_secs(60),
            inactive_cache_duration: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            token_type_hint: "access_token".into(),
        }
    }

    /// It would be the issuer, and a template is none.
    #[test]
    fn an_assertion_has_an_audience() {
        let pair = jwt_simple::algorithms::ES256KeyPair::generate();
        let key = SigningKey::from_pem(Algorithm::Es256, &pair.to_pem().unwrap()).unwrap();
        let template = IssuerTemplate::parse("https://login.example/{tenantid}/v2.0").unwrap();
        let tenants = Issuer::Tenants(Box::new(Tenants::new(template, None, ClaimPath::dotted("tid"))));
        let one = Issuer::from("https://login.example/1111/v2.0");
        let due = "introspection.privateKeyJwt.audience: required: issuer has a variable, and is the name of nobody";
        for (issuer, audience, expected) in [
            (&one, None, vec![]),
            (&one, Some("https://login.example"), vec![]),
            (&tenants, Some("https://login.example"), vec![]),
            (&tenants, None, vec![due.to_owned()]),
        ] {
            let jwt = jwt::ProviderSpec {
                issuer: issuer.clone(),
                algorithms: vec![],
                keys: KeySource::None,
                ..tokens::provider()
            };
            let audience = audience.map(str::to_owned);
            let proof = ClientProof::PrivateKeyJwt { key: key.clone(), kid: None, audience };
            let introspection = Some(IntrospectionSpec { proof, ..introspection(IntrospectionMode::Opaque) });
            let spec =
                config::ProviderSpec { path: String::new(), jwt, introspection, dpop: None, mtls: None };
            let faults = Provider::compile(&spec).err().unwrap_or_default();
            assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{issuer:?}");
        }
    }

    #[test]
    fn which_tokens_the_issuer_is_asked_about() {
        use IntrospectionMode::{Always, Opaque};
        let keyless = jwt::ProviderSpec { algorithms: vec![], keys: KeySource::None, ..tokens::provider() };
        let with_keys = jwt::ProviderSpec {
            algorithms: vec![Algorithm::Es256],
            keys: KeySource::Inline(tokens::keys().jwks.clone()),
            ..tokens::provider()
        };
        for (jwt, mode, own_jwt, other) in [
            (&keyless, Some(Opaque), true, true),
            (&with_keys, Some(Opaque), false, true),
            (&with_keys, Some(Always), true, true),
            (&with_keys, None, false, false),
        ] {
            let (jwt, introspection) = (jwt.clone(), mode.map(introspection));
            let spec =
                config::ProviderSpec { path: String::new(), jwt, introspection, dpop: None, mtls: None };
            let provider = Provider::compile(&spec).unwrap();
            assert_eq!(
                (provider.introspects(true), provider.introspects(false)),
                (own_jwt, other),
                "{mode:?}"
            );
        }
    }
}
