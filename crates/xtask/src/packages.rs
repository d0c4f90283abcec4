//! What is published, and whether it can be: packages, the oldest Rust, features, the oldest dependencies.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cargo;
use crate::tools::{Tool, target};

/// What is published, each after what it depends on: cargo publishes in this order.
pub(crate) const PUBLISHED: [(&str, &str); 7] = [
    ("streamherd-testkit", "crates/streamherd-testkit"),
    ("streamherd", "crates/streamherd"),
    ("streamherd-ledger", "crates/streamherd-ledger"),
    ("streamherd-probes", "crates/streamherd-probes"),
    ("streamherd-dashboard", "crates/streamherd-dashboard"),
    ("streamherd-bench", "benches"),
    ("streamherd-cli", "crates/streamherd-cli"),
];

/// The oldest Rust that builds what is published: `rust-version` of the workspace.
const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

const CARGO_HACK: Tool = Tool {
    name: "cargo-hack",
    version: "0.6.46",
};

/// `--package` for each.
fn selected() -> impl Iterator<Item = &'static str> {
    PUBLISHED.iter().flat_map(|(name, _)| ["--package", name])
}

/// Packs what is published, and builds each package from what is in it unless `verify` is false. A warning is a failure.
pub(crate) fn package(verify: bool) -> Result<(), String> {
    let mut command = cargo(&["package", "--locked"]);
    // Only publishing has to be from what is committed.
    command.arg("--allow-dirty").args(selected());
    if !verify {
        command.arg("--no-verify");
    }
    let line = said(&command);
    eprintln!("xtask: {line}");
    let output = command
        .stdout(Stdio::inherit())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    eprint!("{text}");
    if !output.status.success() {
        return Err(format!("{line}: failed ({})", output.status));
    }
    match warnings(&text) {
        0 => Ok(()),
        count => Err(format!("{line}: {count} warnings; a package has none")),
    }
}

fn warnings(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("warning:")).count()
}

/// Installs the command as a user would, and starts it.
pub(crate) fn install() -> Result<(), String> {
    let root = target()?.join("install").display().to_string();
    let path = [
        "install",
        "--path",
        "crates/streamherd-cli",
        "--locked",
        "--root",
        &root,
    ];
    run(&mut cargo(&path))?;
    run(Command::new(format!("{root}/bin/streamherd")).arg("--version"))
}

/// Checks what is published by the oldest Rust, which rustup installs first where it is missing.
pub(crate) fn msrv() -> Result<(), String> {
    let rustup = ["toolchain", "install", OLDEST_RUST, "--profile", "minimal"];
    run(Command::new("rustup").args(rustup)).map_err(|error| format!("{error}; it takes rustup"))?;
    let mut check = Command::new("rustup");
    check.args(["run", OLDEST_RUST, "cargo", "check", "--locked", "--all-features"]);
    // Or that cargo would go on with the compiler of this one.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        check.env_remove(variable);
    }
    run(check.args(selected()))
}

/// Lints what is published with each feature and each two of them, with all and with none.
pub(crate) fn features() -> Result<(), String> {
    let program = CARGO_HACK.ensure()?;
    let mut command = Command::new(program);
    command.args(["hack", "clippy", "--feature-powerset", "--depth", "2"]);
    run(command.args(selected()).args(["--", "-D", "warnings"]))
}

/// Checks what is published with the oldest version of each direct dependency that its manifest allows, in a copy.
///
/// Only direct ones: what they need of theirs is for their own manifests to say.
pub(crate) fn minimal_versions() -> Result<(), String> {
    let target = target()?;
    let copy = target.join("minimal-versions");
    // Of an earlier run: what is no longer in the workspace must not be in its copy.
    let _ = fs::remove_dir_all(copy.join("crates"));
    for (_, folder) in PUBLISHED {
        copy_published(Path::new(folder), &copy.join(folder))?;
    }
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        copy_file(Path::new(file), &copy.join(file))?;
    }
    let members: Vec<_> = PUBLISHED.iter().map(|(_, folder)| format!("\"{folder}\"")).collect();
    let members = format!("members = [{}]", members.join(", "));
    let root = read(Path::new("Cargo.toml"))?;
    write(&copy.join("Cargo.toml"), &with_members(&root, &members))?;
    let _ = fs::remove_file(copy.join("Cargo.lock"));

    // The option is a nightly's, and this way the stable cargo takes it too. Only to choose versions: what is built then is
    // built as ever.
    let mut update = cargo(&["update", "-Z", "direct-minimal-versions"]);
    run(update.env("RUSTC_BOOTSTRAP", "1").current_dir(&copy))?;
    let mut check = cargo(&["check", "--locked", "--workspace", "--all-features"]);
    run(check.current_dir(&copy).env("CARGO_TARGET_DIR", copy.join("target")))
}

/// Sources and manifest, the latter without what only tests depend on.
fn copy_published(from: &Path, to: &Path) -> Result<(), String> {
    for entry in fs::read_dir(from).map_err(|error| failure(from, &error))? {
        let from = entry.map_err(|error| failure(from, &error))?.path();
        let Some(name) = from.file_name() else { continue };
        let to = to.join(name);
        if from.is_dir() {
            copy_published(&from, &to)?;
        } else if name == "Cargo.toml" {
            write(&to, &without_dev_dependencies(&read(&from)?))?;
        } else {
            copy_file(&from, &to)?;
        }
    }
    Ok(())
}

fn without_dev_dependencies(manifest: &str) -> String {
    let mut kept = String::new();
    let mut is_dev = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_dev = line == "[dev-dependencies]";
        }
        if !is_dev {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The root's manifest with other members, and without profiles, which name packages of its own.
fn with_members(manifest: &str, members: &str) -> String {
    let lines = manifest.lines().take_while(|line| !line.starts_with("[profile."));
    let lines = lines.map(|line| if line.starts_with("members = ") { members } else { line });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn copy_file(from: &Path, to: &Path) -> Result<(), String> {
    make_folder(to)?;
    fs::copy(from, to).map(drop).map_err(|error| failure(from, &error))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| failure(path, &error))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    make_folder(path)?;
    fs::write(path, text).map_err(|error| failure(path, &error))
}

fn make_folder(of: &Path) -> Result<(), String> {
    let folder = of.parent().unwrap_or(of);
    fs::create_dir_all(folder).map_err(|error| failure(folder, &error))
}

fn failure(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// The command as one would type it.
fn said(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = said(command);
    eprintln!("xtask: {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{line}: failed ({status})")),
        Err(error) => Err(format!("{line}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn manifest(folder: &str) -> String {
        read(&workspace().join(folder).join("Cargo.toml")).unwrap()
    }

    #[test]
    fn every_member_is_published_or_says_that_it_is_not() {
        let published: Vec<_> = PUBLISHED.iter().map(|(_, folder)| (*folder).to_owned()).collect();
        let crates = fs::read_dir(workspace().join("crates")).unwrap();
        let crates = crates.map(|entry| format!("crates/{}", entry.unwrap().file_name().to_str().unwrap()));
        let others = ["benches", "examples", "tests", "tests/api", "tests/model"].map(str::to_owned);
        for folder in crates.chain(others) {
            let is_private = manifest(&folder).contains("\npublish = false\n");
            assert_ne!(is_private, published.contains(&folder), "{folder}");
        }
    }

    #[test]
    fn what_is_published_comes_after_all_that_it_depends_on() {
        let mut earlier = Vec::new();
        for (name, folder) in PUBLISHED {
            let manifest = manifest(folder);
            let lines = manifest.lines().filter(|line| line.starts_with("streamherd"));
            for line in lines {
                let dependency = line.split(['.', ' ']).next().unwrap();
                assert!(earlier.contains(&dependency), "{name} comes before {dependency}");
            }
            earlier.push(name);
        }
    }

    #[test]
    fn what_is_published_says_what_it_is_and_under_which_licence() {
        for (name, folder) in PUBLISHED {
            let manifest = manifest(folder);
            for field in ["description", "documentation", "readme", "include"] {
                assert!(manifest.contains(&format!("\n{field} = ")), "{name}: no {field}");
            }
            for field in ["keywords", "categories", "license"] {
                assert!(manifest.contains(&format!("\n{field}")), "{name}: no {field}");
            }
            for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
                let text = read(&workspace().join(folder).join(file)).unwrap();
                assert_eq!(text, read(&workspace().join(file)).unwrap(), "{name}: {file}");
            }
        }
    }

    #[test]
    fn what_only_tests_need_is_left_out_of_the_copy() {
        let manifest = "[package]\nname = \"a\"\n\n[dev-dependencies]\nb = \"1\"\n\n[features]\nc = []\n";
        assert_eq!(
            without_dev_dependencies(manifest),
            "[package]\nname = \"a\"\n\n[features]\nc = []\n"
        );
        let root = "[workspace]\nmembers = [\"a\", \"b\"]\n[x]\n[profile.dev]\ndebug = 1\n";
        assert_eq!(
            with_members(root, "members = [\"a\"]"),
            "[workspace]\nmembers = [\"a\"]\n[x]\n"
        );
    }

    #[test]
    fn a_warning_of_cargo_is_counted() {
        assert_eq!(warnings("   Packaged 4 files\n"), 0);
        assert_eq!(
            warnings("warning: no license\n  | note\nwarning: ignoring example\n"),
            2
        );
    }
}
