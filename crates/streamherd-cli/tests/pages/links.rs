//! Links from page to page.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::root;

/// Links of a page that lead nowhere: to a file that is not there, or a heading that is not in it.
pub(crate) fn broken(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let folder = root().join(page).parent().unwrap().to_owned();
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let own = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    own.filter(|target| {
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let path = if file.is_empty() {
            root().join(page)
        } else {
            folder.join(file)
        };
        !(path.exists() && (heading.is_empty() || has_heading(&path, heading)))
    })
    .map(|target| format!("{page}: {target}"))
    .collect()
}

fn has_heading(path: &Path, heading: &str) -> bool {
    let text = fs::read_to_string(path).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchors: BTreeSet<String> = headings
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect();
    anchors.contains(heading)
}

/// As GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn headings_are_linked_as_they_are_shown() {
    assert_eq!(anchor("`Producer::retain`, and *why*"), "producerretain-and-why");
}
