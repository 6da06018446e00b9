//! Fills in the templates of `envoy/demo`.

use std::path::Path;

use crate::{
    Result, api_keys,
    settings::{Settings, read},
};

const TEMPLATES: &str = "envoy/demo";
/// The file that Envoy watches.
const FILTER: &str = "filter.yaml";

/// Everything that Envoy reads.
pub(crate) fn all(settings: &Settings) -> Result<()> {
    filter(settings)?;
    bootstrap(settings)
}

/// The filter with its policy; written anew whenever the policy changes.
pub(crate) fn filter(settings: &Settings) -> Result<()> {
    let jwks: serde_json::Value = serde_json::from_str(&settings.read("jwks.json")?)
        .map_err(|error| format!("jwks.json does not parse: {error}"))?;
    // JSON is YAML, too.
    let mut values = vec![("JWKS".to_owned(), jwks.to_string())];
    for (name, key) in api_keys::load(settings)? {
        values.push((format!("HASH_{}", name.to_ascii_uppercase()), api_keys::hash(&key)));
    }
    let policy = fill(&template("policy.yaml")?, &values)?;
    settings.write("policy.yaml", &policy, false)?;
    let values = [("WASM".to_owned(), settings.wasm.clone()), ("POLICY".to_owned(), policy)];
    settings.write(FILTER, &fill(&template(FILTER)?, &values)?, false)
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
