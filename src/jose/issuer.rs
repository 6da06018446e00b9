//! Issuers of one provider that differ in the tenant alone, as a template of their names.

use crate::url::Url;

/// The longest name of a tenant, in bytes.
const MAX_TENANT_LEN: usize = 128;

/// The name of an issuer with a variable in place of the tenant: `https://login.example/{tenantid}/v2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerTemplate {
    text: Box<str>,
    before: Box<str>,
    after: Box<str>,
}

impl IssuerTemplate {
    /// Whether `issuer` is to be read as a template: tokens name no issuer with braces.
    pub fn is_meant_by(issuer: &str) -> bool {
        issuer.contains(['{', '}'])
    }

    /// Reads a URL without query that has one variable, which is a whole segment of its path: so a tenant never says what
    /// else the issuer is called. `None`: it is something else.
    ///
    /// ```
    /// use portcullis::jose::IssuerTemplate;
    ///
    /// let template = IssuerTemplate::parse("https://login.example/{tenantid}/v2.0").expect("a template");
    /// assert_eq!(template.tenant_of("https://login.example/1111/v2.0"), Some("1111"));
    /// assert_eq!(template.tenant_of("https://login.example/11/11/v2.0"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let (before, rest) = text.split_once('{')?;
        let (name, after) = rest.split_once('}')?;
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_segment = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
        let is_path = Url::parse(before).is_ok() && Url::parse(text).is_ok() && !text.contains('?');
        let is_one = ![before, after].into_iter().any(Self::is_meant_by);
        let is_template = is_name && is_segment && is_path && is_one;
        is_template.then(|| Self { text: text.into(), before: before.into(), after: after.into() })
    }

    /// Whether `text` may stand in the place of the variable: never empty, and never `.` or `..`, which some reader of the
    /// issuer could take for another path.
    pub fn is_tenant(text: &str) -> bool {
        text.len() <= MAX_TENANT_LEN
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The tenant that makes the template `issuer`; `None`: none does.
    pub fn tenant_of<'i>(&self, issuer: &'i str) -> Option<&'i str> {
        let tenant = issuer.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        Some(tenant).filter(|tenant| Self::is_tenant(tenant))
    }

    /// The issuer of `tenant`.
    pub fn issuer_of(&self, tenant: &str) -> String {
        [&self.before, tenant, &self.after].concat()
    }

    /// Whether there is an issuer that both are templates of.
    pub fn meets(&self, other: &Self) -> bool {
        let (mut own, mut others) = (self.text.split('/'), other.text.split('/'));
        loop {
            match (own.next(), others.next()) {
                (None, None) => return true,
                (Some(own), Some(other)) if may_be_one(own, other) => {}
                _ => return false,
            }
        }
    }
}

/// Whether two segments of templates can stand for the same text.
fn may_be_one(one: &str, other: &str) -> bool {
    let is_variable = IssuerTemplate::is_meant_by;
    match (is_variable(one), is_variable(other)) {
        (true, true) => true,
        (true, false) => IssuerTemplate::is_tenant(other),
        (false, true) => IssuerTemplate::is_tenant(one),
        (false, false) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_template() {
        for (good, bad) in [
            ("https://login.example/{tenantid}/v2.0", "https://login.example/v2.0"),
            ("https://login.example/{tenantid}/v2.0", "https://login.example/{}/v2.0"),
            ("https://login.example/{tenant_id}", "https://login.example/{tenant-id}"),
            ("https://login.example/{t}", "https://login.example/{{t}}"),
            ("https://login.example/{t}", "https://login.example/${t}"),
            ("https://login.example/{t}/a", "https://login.example/{t}a"),
            ("https://login.example/a/{t}", "https://login.example/a{t}"),
            ("https://login.example/{t}/", "https://login.example/{t}/{u}"),
            ("https://login.example/{t}/b", "https://login.example/{t}/b}"),
            // Never the host: whose keys count is not the tenant's to say.
            ("https://login.example/{t}", "https://{t}/login.example"),
            ("https://login.example/{t}", "https://{t}.login.example/"),
            ("http://login.example/{t}", "urn:login/{t}"),
            ("https://login.example/a/{t}", "https://login.example/?a=/{t}"),
            ("https://login.example/{t}", "https://login.example/{t}/?a"),
            ("https://login.example/{t}", "https://login.example/{t}/#a"),
            ("https://login.example/{t}", "{t}"),
        ] {
            assert_eq!(IssuerTemplate::parse(good).map(|template| template.text), Some(good.into()));
            assert_eq!(IssuerTemplate::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn which_issuers_are_of_it() {
        let template = IssuerTemplate::parse("https://login.example/{tenantid}/v2.0").unwrap();
        let longest = "t".repeat(MAX_TENANT_LEN);
        for tenant in ["1111", "contoso.onmicrosoft.com", "a_B-9.", "..a", "v2.0", &longest] {
            assert_eq!(template.tenant_of(&template.issuer_of(tenant)), Some(tenant));
        }
        let too_long = "t".repeat(MAX_TENANT_LEN + 1);
        for tenant in [
            "",
            ".",
            "..",
            "-",
            "a/b",
            "/a",
            "a/",
            "{tenantid}",
            "%31",
            "a b",
            "a\0",
            "\u{e9}",
            "a@b",
            "a:1",
            "a?b",
            &too_long,
        ] {
            assert_eq!(template.tenant_of(&template.issuer_of(tenant)), None, "{tenant}");
        }
        for issuer in [
            "https://login.example/1111/v2.0/",
            "https://login.example/1111/v2.1",
            "https://login.example/1111",
            "https://login.example/v2.0",
            "https://LOGIN.example/1111/v2.0",
            "http://login.example/1111/v2.0",
            "https://login.example//1111/v2.0",
            " https://login.example/1111/v2.0",
            "https://login.example.evil.example/1111/v2.0",
            "https://evil.example/https://login.example/1111/v2.0",
            "",
        ] {
            assert_eq!(template.tenant_of(issuer), None, "{issuer}");
        }
        // What stands before and after it may not overlap.
        let short = IssuerTemplate::parse("https://a/{t}/").unwrap();
        assert_eq!((short.tenant_of("https://a/"), short.tenant_of("https://a//")), (None, None));
    }

    #[test]
    fn which_templates_meet() {
        let template = |text: &str| IssuerTemplate::parse(text).unwrap();
        for (one, other, expected) in [
            ("https://a/{t}", "https://a/{u}", true),
            ("https://a/{t}", "https://a/{t}/", false),
            ("https://a/{t}", "https://b/{t}", false),
            ("https://a/{t}/b", "https://a/b/{t}", true),
            ("https://a/{t}/b", "https://a/c/{t}", true),
            ("https://a/{t}/b", "https://a/b/c/{t}", false),
            ("https://a/{t}/b%20c", "https://a/b/{t}", false),
            ("https://a/{t}/..", "https://a/b/{t}", false),
        ] {
            let (one, other) = (template(one), template(other));
            assert_eq!((one.meets(&other), other.meets(&one)), (expected, expected), "{one:?} {other:?}");
        }
    }
}
