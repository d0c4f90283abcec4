//! Whether the workflows, the Dockerfile and the tasks agree.

use std::fs;
use std::path::Path;

use crate::packages::PUBLISHED;
use crate::{GATE, HELP};

const CI: &str = include_str!("../../../.github/workflows/ci.yml");
const NIGHTLY: &str = include_str!("../../../.github/workflows/nightly.yml");
const DOCKERFILE: &str = include_str!("../../../Dockerfile");

/// Whether a step of the workflow is this command.
fn runs(workflow: &str, command: &str) -> bool {
    workflow
        .lines()
        .any(|line| line.trim().trim_start_matches("- ") == format!("run: {command}"))
}

fn workspace() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_workflow_runs_the_same_gate() {
    for step in &GATE {
        let command = format!("cargo {}", step.args.join(" "));
        assert!(runs(CI, &command), "ci.yml does not run `{command}`");
        for (name, value) in step.env {
            assert!(CI.contains(&format!("{name}: {value}")), "ci.yml does not set {name}");
        }
    }
    for task in ["api", "deny", "package --no-verify", "msrv", "test"] {
        assert!(runs(CI, &format!("cargo xtask {task}")), "ci.yml does not run {task}");
    }
}

#[test]
fn what_takes_too_long_for_every_change_runs_at_night() {
    for task in [
        "deny",
        "features",
        "install",
        "minimal-versions",
        "msrv",
        "package",
        "soak --minutes 20",
        "test",
    ] {
        let command = format!("cargo xtask {task}");
        assert!(runs(NIGHTLY, &command), "nightly.yml does not run {task}");
    }
}

#[test]
fn workflows_run_only_tasks_that_exist() {
    for workflow in [CI, NIGHTLY] {
        let tasks = workflow.split("cargo xtask ").skip(1);
        for task in tasks.filter_map(|rest| rest.split_whitespace().next()) {
            let task = task.trim_end_matches(['`', '.', ',']);
            assert!(HELP.contains(&format!("\n  {task} ")), "no task {task}");
        }
    }
}

#[test]
fn workflows_may_only_read_and_take_actions_by_their_commit() {
    for workflow in [CI, NIGHTLY] {
        assert!(workflow.contains("\npermissions:\n  contents: read\n"));
        assert!(!workflow.contains(": write"));
        assert!(workflow.contains("\nconcurrency:\n"));
        let jobs = workflow.matches("runs-on:").count();
        assert_eq!(
            workflow.matches("timeout-minutes:").count(),
            jobs,
            "a job without an end"
        );
        for line in workflow.lines().filter(|line| line.contains("uses:")) {
            let commit = line.split('@').nth(1).and_then(|rest| rest.split(' ').next());
            let is_commit = commit.is_some_and(|id| id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(is_commit && line.contains("# v"), "{line}");
        }
    }
}

#[test]
fn the_image_is_built_from_what_is_there_by_the_oldest_rust() {
    let rust = format!("FROM rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(DOCKERFILE.contains(&rust), "not {rust}");
    let build = "RUN cargo build --release --locked -p streamherd-cli\n";
    assert!(DOCKERFILE.contains(build));
    assert!(DOCKERFILE.contains("target/release/streamherd /usr/local/bin/streamherd\n"));
    assert!(DOCKERFILE.contains("\nUSER 10001:10001\n") && DOCKERFILE.contains("\nSTOPSIGNAL SIGTERM\n"));
    let deployment = fs::read_to_string(workspace().join("examples/deploy/deployment.yaml")).unwrap();
    assert!(deployment.contains("runAsUser: 10001\n") && deployment.contains("runAsGroup: 10001\n"));

    // What is kept from the build's context must hold all members, for cargo reads every manifest.
    let kept = fs::read_to_string(workspace().join(".dockerignore")).unwrap();
    let kept: Vec<_> = kept.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let members = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let members = members.lines().find(|line| line.starts_with("members = ")).unwrap();
    let folders = members.split('"').skip(1).step_by(2);
    for needed in folders
        .chain(["Cargo.toml", "Cargo.lock"])
        .chain(PUBLISHED.map(|p| p.1))
    {
        let top = needed.split('/').next().unwrap();
        assert!(kept.contains(&top), "{top} is kept out of the image's build");
    }
    for name in kept.iter().filter(|name| !name.contains('*')) {
        assert!(workspace().join(name).exists(), "there is no {name}");
    }
}
