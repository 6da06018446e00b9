//! `portcullis import`: a policy of what people have: an OpenAPI document, or Envoy's own filters.
//!
//! What the source says and the policy does not is told, with its place. It makes the policy stricter than the source, or
//! closes what it is about; never is anything open here that is not there.

mod arguments;
mod demand;
#[cfg(test)]
mod demand_tests;
mod draft;
mod envoy;
mod into;
mod mark;
mod merge;
mod openapi;
mod sections;
mod told;
mod written;

pub(super) use self::arguments::ImportTask;
use self::{
    arguments::{EnvoyOptions, OpenapiOptions},
    draft::Draft,
    into::Target,
    told::Told,
};
use super::{
    documents::{self, Content},
    findings::Broken,
    refusal::Refusal,
    scalar::Dialect,
    source::Source,
    tree::Node,
};

/// Carries out what is asked for.
pub(super) fn run(task: &ImportTask) -> u8 {
    let done = match task {
        ImportTask::Openapi(options) => of_openapi(options),
        ImportTask::Envoy(options) => of_envoy(options),
    };
    match done {
        Ok(code) => code,
        Err(refusal) => Refusal::told(Err(refusal)),
    }
}

fn of_openapi(options: &OpenapiOptions) -> Result<u8, Refusal> {
    let (source, root) = only_document(&options.file)?;
    let mut told = Told::default();
    let target = options.result.into.as_deref().map(Target::open).transpose()?;
    let there = target.as_ref().map(Target::there).unwrap_or_default();
    let mut draft = openapi::draft(&root, &source, options, &there, &mut told)?;
    let output = options.result.output;
    if let Some(target) = target {
        target.add(draft, options.result.prune, options.result.dry_run, &mut told)?;
        return Ok(told.tell(&source, None, output));
    }
    let sections = draft.sections.clone();
    draft.close_what_is_refused(&sections, false, &mut told);
    let heading = format!("Made of {} by `portcullis import openapi`.", openapi::title(&root));
    Ok(told.tell(&source, Some(&written(&draft, &heading)?), output))
}

fn of_envoy(options: &EnvoyOptions) -> Result<u8, Refusal> {
    let (source, root) = only_document(&options.file)?;
    let mut told = Told::default();
    let mut draft = envoy::draft(&root, &source, options.listener.as_deref(), &mut told)?;
    let sections = draft.sections.clone();
    draft.close_what_is_refused(&sections, true, &mut told);
    let heading = "Made of Envoy's own filters by `portcullis import envoy`.";
    Ok(told.tell(&source, Some(&written(&draft, heading)?), options.output))
}

/// The policy, read again: what is printed is what is meant.
fn written(draft: &Draft, heading: &str) -> Result<String, Refusal> {
    let text = written::policy(draft, heading);
    let read = documents::read(&Source::new("policy.yaml", text.clone()));
    let is_meant = match read {
        Ok(Content::Yaml(yaml)) => yaml.documents.first().is_some_and(|document| {
            draft.rules.is_empty() || document.to_json(Dialect::Envoy) == draft.to_json()
        }),
        _ => false,
    };
    match is_meant {
        true => Ok(text),
        false => Err(Refusal::unusable(
            "the policy would not be read as it is meant; nothing is printed".to_owned(),
        )),
    }
}

/// The one document of a file. What readers could take in two ways is none.
fn only_document(name: &str) -> Result<(Source, Node), Refusal> {
    let source =
        Source::read(name).map_err(|why| Refusal::unusable(format!("{name} cannot be read: {why}")))?;
    let broken = |broken: &Broken| {
        let line = source.position(broken.span.start).line;
        Refusal::unusable(format!("{name}:{line}: {}", broken.message))
    };
    let (mut documents, repeated) = match documents::read(&source) {
        Ok(Content::Json(node, repeated)) => (vec![node], repeated),
        Ok(Content::Yaml(yaml)) => (yaml.documents, yaml.repeated),
        Err(first) => return Err(broken(&first)),
    };
    if let Some(first) = repeated.first() {
        return Err(broken(first));
    }
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok((source, document)),
        (None, _) => Err(Refusal::unusable(format!("{name} says nothing"))),
        (Some(_), _) => Err(Refusal::unusable(format!("{name} holds several documents"))),
    }
}
