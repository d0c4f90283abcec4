//! The page: its files are inside the binary, and it loads nothing from elsewhere.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::extract::{OriginalUri, Path};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

const INDEX: &[u8] = include_bytes!("../assets/index.html");

/// A file below `assets/` by its path there.
macro_rules! assets {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../assets/", $path)).as_slice())),*]
    };
}

/// Each file but the index; a test says which are missing here.
const FILES: &[(&str, &[u8])] = assets![
    "actions.js",
    "api.js",
    "app.js",
    "chart.css",
    "chart.js",
    "dialog.js",
    "dom.js",
    "format.js",
    "frame.js",
    "icon.svg",
    "layout.css",
    "list.js",
    "live.js",
    "pages.js",
    "parts.css",
    "parts.js",
    "route.js",
    "scale.js",
    "status.js",
    "theme.js",
    "tokens.css",
    "views/consumers.js",
    "views/dead-letters.js",
    "views/delayed.js",
    "views/health.js",
    "views/held.js",
    "views/leases.js",
    "views/letter.js",
    "views/orphans.js",
    "views/overview.js",
    "views/partitions.js",
    "views/reasons.js",
];

/// The page itself.
pub(crate) async fn index(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let path = uri.path();
    match path.rsplit_once('/') {
        // Mounted at `/ops/herd` and asked for as such, its relative addresses would lead to `/ops/…`.
        Some((_, last)) if !last.is_empty() && last != "index.html" => {
            let page = format!("{last}/index.html");
            (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, page)]).into_response()
        }
        _ => file("index.html", INDEX, &headers),
    }
}

/// What the page is made of.
pub(crate) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match FILES.iter().find(|(name, _)| *name == path) {
        Some((name, bytes)) => file(name, bytes, &headers),
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}

/// Asked for each time, and sent only when it has changed: what was kept of another version would not go with the rest.
fn file(name: &str, bytes: &'static [u8], headers: &HeaderMap) -> Response {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let about = [(CACHE_CONTROL, "no-cache".to_owned()), (ETAG, tag.clone())];
    let known = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|tags| {
        tags.split(',')
            .any(|known| known.trim().trim_start_matches("W/") == tag)
    }) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    ([(CONTENT_TYPE, kind(name))], about, bytes).into_response()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn files_in(dir: &Path, below: &str, all: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                files_in(&entry.path(), &format!("{name}/"), all);
            } else {
                all.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_in_the_binary_under_its_name_and_with_a_type() {
        let mut on_disk = BTreeSet::new();
        files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets"), "", &mut on_disk);
        let in_binary: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        on_disk.remove("index.html");
        assert_eq!(in_binary, on_disk, "the list in assets.rs and the files in assets/");
        for name in &in_binary {
            assert_ne!(kind(name), "application/octet-stream", "{name}");
        }
    }
}
