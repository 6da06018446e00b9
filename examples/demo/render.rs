//! Fills in the templates of `envoy/demo`.

use std::path::Path;

use crate::{
    Result, api_keys,
    material::GATEWAY_KEY,
    settings::{Settings, read},
    token,
};

const TEMPLATES: &str = "envoy/demo";
/// The file that Envoy watches.
const FILTER: &str = "filter.yaml";

/// Everything that Envoy reads.
pub(crate) fn all(settings: &Settings) -> Result<()> {
    filter(settings)?;
    bootstrap(settings)?;
    login(settings)
}

/// The filter with its policy; written anew whenever the policy changes.
pub(crate) fn filter(settings: &Settings) -> Result<()> {
    let jwks: serde_json::Value = serde_json::from_str(&settings.read("jwks.json")?)
        .map_err(|error| format!("jwks.json does not parse: {error}"))?;
    // JSON is YAML, too.
    let mut values = vec![
        ("JWKS".to_owned(), jwks.to_string()),
        ("GATEWAY_KEY".to_owned(), settings.read(GATEWAY_KEY)?),
        ("ORIGIN".to_owned(), settings.origin()),
    ];
    for (name, key) in api_keys::load(settings)? {
        values.push((format!("HASH_{}", name.to_ascii_uppercase()), api_keys::hash(&key)));
    }
    let policy = fill(&template("policy.yaml")?, &values)?;
    // It holds the gateway's private key.
    settings.write("policy.yaml", &policy, true)?;
    let values = [("WASM".to_owned(), settings.wasm.clone()), ("POLICY".to_owned(), policy)];
    settings.write(FILTER, &fill(&template(FILTER)?, &values)?, true)
}

fn bootstrap(settings: &Settings) -> Result<()> {
    let values = [
        ("BIND", settings.bind.clone()),
        ("DEMO", settings.dir.display().to_string()),
        ("FILTER", FILTER.to_owned()),
        ("HTTPS_PORT", settings.https.to_string()),
        ("HTTP_PORT", settings.http.to_string()),
        ("ADMIN_PORT", settings.admin.to_string()),
        ("UPSTREAM_HOST", settings.upstream_host.clone()),
        ("UPSTREAM_PORT", settings.upstream.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    settings.write("envoy.yaml", &fill(&template("envoy.yaml")?, &values)?, false)
}

/// `envoy/oauth2-login.yaml` before the demo's own authorization server, which goes by the name of the demo's issuer.
fn login(settings: &Settings) -> Result<()> {
    let address = |host: &str, port: u16| format!("address: {host}, port_value: {port}");
    let mut config = read(Path::new("envoy/oauth2-login.yaml"))?;
    for (shipped, here) in [
        ("app.example.com:8443", format!("localhost:{}", settings.login)),
        ("address: 127.0.0.1, port_value: 8443", address(&settings.bind, settings.login)),
        ("address: 127.0.0.1, port_value: 9901", address("127.0.0.1", 0)),
        ("address: 127.0.0.1, port_value: 8081", address(&settings.upstream_host, settings.upstream)),
        ("issuer: https://idp.example.com", format!("issuer: {}", token::ISSUER)),
        ("https://idp.example.com", format!("https://localhost:{}", settings.idp)),
        ("address: idp.example.com, port_value: 443", address(&settings.idp_host, settings.idp)),
        ("idp.example.com", "localhost".to_owned()),
        ("idp-ca.pem", "ca.pem".to_owned()),
    ] {
        if !config.contains(shipped) {
            return Err(format!("envoy/oauth2-login.yaml has no `{shipped}`"));
        }
        config = config.replace(shipped, &here);
    }
    settings.write("login.yaml", &config, false)
}

fn template(name: &str) -> Result<String> {
    read(&Path::new(TEMPLATES).join(name))
}

/// Puts the values in the place of `${NAME}`. A value of several lines keeps the indentation of its place.
/// Comment lines are left out, so that they can name a placeholder.
fn fill(template: &str, values: &[(String, String)]) -> Result<String> {
    let mut filled = String::new();
    for line in template.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let indent = line.len().saturating_sub(line.trim_start().len());
        let mut line = line.to_owned();
        for (name, value) in values {
            let break_with = format!("\n{}", " ".repeat(indent));
            line = line.replace(&format!("${{{name}}}"), &value.trim_end().replace('\n', &break_with));
        }
        if line.contains("${") {
            return Err(format!("nothing to fill in at `{}`", line.trim()));
        }
        filled.push_str(&line);
        filled.push('\n');
    }
    Ok(filled)
}
