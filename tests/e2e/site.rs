//! The pages as a site, which `make site` builds: all of them are there, and every link in them leads somewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use crate::harness::{artifact, repository};

/// The pages of a folder of the site, by their paths from its root.
fn pages(site: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(site.join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        if site.join(&path).is_dir() {
            pages(site, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "html") {
            found.push(path);
        }
    }
}

/// The values of an attribute, wherever it stands.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let begins = format!(" {attribute}=\"");
    page.split(begins.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// The path from the site's root to what a link in a page names; `None` if it leaves the site.
fn target(page: &Path, file: &str) -> Option<PathBuf> {
    if file.is_empty() {
        return Some(page.to_owned());
    }
    let mut path = PathBuf::new();
    for part in page.parent().unwrap().join(file).components() {
        match part {
            Component::ParentDir if !path.pop() => return None,
            Component::ParentDir => {}
            part => path.push(part),
        }
    }
    Some(path)
}

#[test]
fn every_link_of_the_site_leads_somewhere() {
    let site = artifact("PORTCULLIS_SITE");
    let mut all = Vec::new();
    pages(&site, Path::new(""), &mut all);
    // That one is served wherever nothing else is, so its links begin at the root of the server. Below `envoy` are files that
    // pages show, the demo's page among them.
    all.retain(|page| page != Path::new("404.html") && !page.starts_with("envoy"));
    let read = |page: &Path| fs::read_to_string(site.join(page)).unwrap();
    let mut count = 0;
    let mut broken = BTreeSet::new();
    for page in &all {
        let text = read(page);
        for link in values(&text, "href").into_iter().chain(values(&text, "src")) {
            if link.contains("://") {
                continue;
            }
            count += 1;
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = target(page, file).filter(|target| site.join(target).is_file());
            let leads = target.is_some_and(|target| {
                fragment.is_empty() || values(&read(&target), "id").contains(&fragment)
            });
            if !leads {
                broken.insert(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count > 1000, "{count}");
}

/// Each page of the contents is a page of the site, with what it says.
#[test]
fn the_site_has_every_page() {
    let site = artifact("PORTCULLIS_SITE");
    let contents = fs::read_to_string(repository().join("docs/SUMMARY.md")).unwrap();
    let listed: Vec<&str> =
        contents.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(listed.len() > 20, "{listed:?}");
    for link in listed {
        let source = target(Path::new("docs/SUMMARY.md"), link).unwrap();
        let title = fs::read_to_string(repository().join(&source)).unwrap();
        let title = title.lines().next().unwrap().trim_start_matches("# ");
        let page = fs::read_to_string(site.join(source.with_extension("html"))).unwrap();
        assert!(page.contains(title), "{}: {title}", source.display());
    }
    // Whoever is sent to no page gets the first.
    let first = fs::read_to_string(site.join("index.html")).unwrap();
    assert!(values(&first, "id").contains(&"five-minutes"));
}
