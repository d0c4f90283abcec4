//! Compares the public items of the libraries with what docs/api records.

use std::path::Path;

use crate::cargo;
use crate::packages::run;
use crate::tools::target;

/// By which the comparison says that it can't read what this toolchain's rustdoc writes.
const OTHER_FORMAT: i32 = 3;

/// What becomes of a comparison on a toolchain whose rustdoc writes JSON of another format.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The comparison fails.
    Required,
    /// It is said and passed over: whoever builds this may have another Rust.
    Wanted,
}

pub(crate) fn check(toolchain: Toolchain, bless: bool) -> Result<(), String> {
    // All of the workspace, as for the gate's pages: then what they are made from is there already.
    let mut doc = cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--all-features"]);
    let rustdoc = Path::new(env!("CARGO_MANIFEST_DIR")).join("rustdoc-json.sh");
    doc.env("RUSTDOC", rustdoc)
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json");
    run(&mut doc)?;
    let mut compare = cargo(&["run", "--quiet", "--package", "streamherd-api", "--"]);
    compare.arg(target()?.join("doc"));
    if bless {
        compare.arg("--bless");
    }
    let status = compare.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    verdict(status.code(), toolchain)
}

fn verdict(code: Option<i32>, toolchain: Toolchain) -> Result<(), String> {
    match (code, toolchain) {
        (Some(0), _) => Ok(()),
        (Some(OTHER_FORMAT), Toolchain::Wanted) => {
            eprintln!("xtask: THE PUBLIC ITEMS WERE NOT COMPARED: see above; `rustup run 1.95 cargo xtask api` does");
            Ok(())
        }
        _ => Err("the public items could not be compared, or are others".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_rustdoc_fails_the_full_check_alone() {
        for toolchain in [Toolchain::Required, Toolchain::Wanted] {
            assert_eq!(verdict(Some(0), toolchain), Ok(()));
            assert!(verdict(Some(1), toolchain).is_err());
            assert!(verdict(None, toolchain).is_err());
        }
        assert_eq!(verdict(Some(OTHER_FORMAT), Toolchain::Wanted), Ok(()));
        assert!(verdict(Some(OTHER_FORMAT), Toolchain::Required).is_err());
    }
}
