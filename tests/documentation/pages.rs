//! The pages by themselves: where their links lead, and that the site has each of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use super::{read, repository};

/// What `make site` puts beside each other, as it lies in the repository.
const ON_THE_SITE: [&str; 8] = [
    "README.md",
    "SECURITY.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs",
    "envoy",
];
const SUMMARY: &str = "docs/SUMMARY.md";

/// Every page, by its path from the repository.
pub(super) fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    collect("", false, &mut pages);
    collect("docs", true, &mut pages);
    assert!(pages.len() >= 9, "{pages:?}");
    pages
}

fn collect(folder: &str, with_folders: bool, pages: &mut Vec<String>) {
    for entry in fs::read_dir(repository().join(folder)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = PathBuf::from(folder).join(&name).display().to_string();
        if name.ends_with(".md") {
            pages.push(path);
        } else if with_folders && repository().join(&path).is_dir() {
            collect(&path, true, pages);
        }
    }
}

/// Without what stands between fences and in `code`.
fn prose(page: &str) -> String {
    let outside = page.split("```").step_by(2).collect::<Vec<_>>().join("");
    outside.split('`').step_by(2).collect::<Vec<_>>().join("")
}

/// The anchors that are made of a page's headings; what is called alike is numbered.
fn anchors(page: &str) -> BTreeSet<String> {
    let outside = page.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
    let mut seen = BTreeMap::new();
    let headings = outside.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let anchor = anchor(line.trim_start_matches('#').trim());
            let times: &mut usize = seen.entry(anchor.clone()).or_default();
            *times += 1;
            if *times == 1 { anchor } else { format!("{anchor}-{}", *times - 1) }
        })
        .collect()
}

/// The anchor that is made of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Where links of a page lead, but for those into the net.
fn links(text: &str) -> Vec<String> {
    let links = prose(text);
    let links = links.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
    links.filter(|link| !link.starts_with("http://") && !link.starts_with("https://")).collect()
}

/// The path from the repository to what a link in a page names.
fn target(page: &str, file: &str) -> String {
    if file.is_empty() {
        return page.to_owned();
    }
    let mut path = PathBuf::new();
    for part in Path::new(page).parent().unwrap().join(file).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{page}: {file} leaves the repository"),
            part => path.push(part),
        }
    }
    path.display().to_string()
}

/// What is wrong with a link of a page.
fn fault(page: &str, link: &str) -> Option<&'static str> {
    let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = target(page, file);
    let path = repository().join(&target);
    if !path.exists() {
        return Some("leads nowhere");
    }
    // A folder is a list of files on a forge alone.
    if path.is_dir() {
        return Some("leads to a folder");
    }
    if !ON_THE_SITE.contains(&target.split('/').next().unwrap()) {
        return Some("leads to what the site does not have");
    }
    let leads = fragment.is_empty() || anchors(&read(&target)).contains(fragment);
    (!leads).then_some("names no heading")
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut count = 0;
    for page in pages() {
        for link in links(&read(&page)) {
            count += 1;
            broken.extend(fault(&page, &link).map(|fault| format!("{page}: {link} {fault}")));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count > 100, "{count}");
}

#[test]
fn a_broken_link_is_found() {
    for (link, expected) in [
        ("keys.md", None),
        ("#limits", Some("names no heading")),
        ("#top-level", None),
        ("key.md", Some("leads nowhere")),
        ("../README.md#refusals", None),
        ("../README.md#refusal", Some("names no heading")),
        ("../envoy/minimal.yaml", None),
        ("../envoy", Some("leads to a folder")),
        ("../Makefile", Some("leads to what the site does not have")),
    ] {
        assert_eq!(fault("docs/policy.md", link), expected, "{link}");
    }
    let anchors = anchors("# One\n\n```sh\n# Two\n```\n\n## One\n\n## `a.b` and C's\n");
    assert_eq!(anchors, ["one", "one-1", "ab-and-cs"].map(str::to_owned).into());
}

/// The contents of the site name each page once, and nothing else.
#[test]
fn the_contents_list_every_page_once() {
    let text = read(SUMMARY);
    let listed: Vec<String> = links(&text).iter().map(|link| target(SUMMARY, link)).collect();
    let pages: Vec<String> = pages().into_iter().filter(|page| page != SUMMARY).collect();
    let times = |page: &String| listed.iter().filter(|one| *one == page).count();
    let wrong: Vec<_> = pages.iter().chain(&listed).filter(|page| times(page) != 1).collect();
    assert!(wrong.is_empty(), "{SUMMARY} does not list once: {wrong:?}");
    let others: Vec<_> = listed.iter().filter(|page| !pages.contains(page)).collect();
    assert!(others.is_empty(), "{SUMMARY} lists what is no page: {others:?}");
    // The Makefile gives each link of a line another beginning.
    assert!(text.lines().all(|line| line.matches("](").count() <= 1));
    assert!(read("Makefile").contains(&format!("@cp -R {} $(SITE_SOURCE)/src", ON_THE_SITE.join(" "))));
}
