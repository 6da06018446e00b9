//! A draft into a policy that is there, in its file.

use serde_json::{Map, Value as Json};

use super::{
    draft::{Draft, There},
    mark::old_rules,
    merge::Merge,
    sections::{Addition, additions},
    told::Told,
};
use crate::command::{
    edit::Writing,
    one_policy::{OnePolicy, only_policy},
    refusal::Refusal,
    source::Source,
};

/// A policy that is to be changed.
pub(super) struct Target {
    file: OnePolicy,
    /// As it is.
    policy: Json,
}

impl Target {
    /// # Errors
    /// The file cannot be read or changed, or is no YAML.
    pub(super) fn open(name: &str) -> Result<Self, Refusal> {
        if name == "-" {
            return Err(Refusal::usage("a policy that is changed in place is a file".to_owned()));
        }
        let file = OnePolicy::open(name, true)?;
        if file.source.text.get(file.found.node.span.clone()).is_some_and(|text| text.starts_with('{')) {
            return Err(Refusal::unusable(format!(
                "{name} is JSON, which has no comments by which rules would be known again; keep the policy as YAML"
            )));
        }
        let policy = file.found.node.to_json(file.found.dialect);
        Ok(Self { file, policy })
    }

    pub(super) fn there(&self) -> There {
        let providers = self.policy.get("jwt").and_then(|jwt| jwt.get("providers")).and_then(Json::as_array);
        let text = |provider: &Json, name: &str| provider.get(name).and_then(Json::as_str).map(str::to_owned);
        let both = |provider: &Json| Some((text(provider, "name")?, text(provider, "issuer")?));
        let issuers = providers.into_iter().flatten().filter_map(both).collect();
        There { issuers, has_keys: self.policy.get("apiKeys").is_some() }
    }

    /// Adds the draft.
    ///
    /// # Errors
    /// The policy would have a fault, or cannot be changed in place. It is as it was.
    pub(super) fn add(
        &self,
        mut draft: Draft,
        prune: bool,
        is_dry: bool,
        told: &mut Told,
    ) -> Result<(), Refusal> {
        let additions = additions(&self.policy, &draft.sections, told);
        let mut expected = self.policy.clone();
        for addition in &additions {
            addition.make(&mut expected).ok_or_else(|| self.not_in_place())?;
        }
        let sections: Map<String, Json> = expected.as_object().cloned().unwrap_or_default();
        draft.close_what_is_refused(&sections, false, told);
        let changed = self.changed(&draft, &additions, &mut expected, prune, told);
        let changed = changed.ok_or_else(|| self.not_in_place())?;
        self.file.write(changed, is_dry)
    }

    fn not_in_place(&self) -> Refusal {
        Refusal::refused(format!(
            "{} cannot be changed in place: its rules are not items on lines of their own, or stand behind an alias or in quoted text; nothing was changed",
            self.file.source.name
        ))
    }

    /// The file with the draft in it; `None` where it would be another document than is meant.
    fn changed(
        &self,
        draft: &Draft,
        additions: &[Addition],
        expected: &mut Json,
        prune: bool,
        told: &mut Told,
    ) -> Option<Source> {
        let mut source = Source::new(&self.file.source.name, self.file.source.text.clone());
        for addition in additions {
            let policy = only_policy(&source).ok()?;
            source = Source::new(&source.name, addition.edit(&policy, &source.text)?.apply(&source.text));
        }
        let policy = only_policy(&source).ok()?;
        let old = old_rules(&policy, &source)?;
        let merge = Merge::new(&old, &draft.rules, prune, told);
        let text = match (old.last(), policy.node.member(policy.dialect, "rules")) {
            (Some(last), _) => merge.apply(&source.text, &old, (last.lines.end, "")),
            (None, None) => {
                let line = if source.text.ends_with('\n') || source.text.is_empty() {
                    "rules:\n"
                } else {
                    "\nrules:\n"
                };
                // A policy within another file would go on behind it.
                policy.name_span.is_none().then_some(())?;
                let text = format!("{}{line}", source.text);
                merge.apply(&text, &old, (text.len(), ""))
            }
            (None, Some(rules)) => {
                let writing = Writing { text: &source.text, dialect: policy.dialect, is_json: false };
                let indentation = writing.column(rules.name_span.start);
                let colon = rules.name_span.end.checked_add(1)?;
                // `rules: []` is a fault, and `rules:` alone as well: whatever stands there is nothing.
                let end = writing.end_of(&rules.value, colon).max(colon);
                let (before, after) = (source.text.get(..colon)?, source.text.get(end..)?);
                let text = format!("{before}\n{}", after.trim_start_matches('\n'));
                merge.apply(&text, &old, (before.len().checked_add(1)?, &indentation))
            }
        };
        let rules = merge.expected(&old);
        expected.as_object_mut()?.insert("rules".to_owned(), Json::Array(rules));
        let changed = Source::new(&source.name, text);
        let read = only_policy(&changed).ok()?;
        (read.node.to_json(read.dialect) == *expected).then_some(changed)
    }
}
