//! The alert rules, by Prometheus's own tool.

use std::env;
use std::process::Command;

use crate::files::path;

/// Set by `cargo xtask test`, which has found or installed it.
const VARIABLE: &str = "STREAMHERD_PROMTOOL";

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    let named = env::var_os(VARIABLE).filter(|name| !name.is_empty());
    let tool = named.clone().unwrap_or_else(|| "promtool".into());
    for (what, file) in [("check", "streamherd.rules.yml"), ("test", "streamherd.tests.yml")] {
        let ran = Command::new(&tool)
            .args([what, "rules", file])
            .current_dir(path("docs/alerts"))
            .output();
        let output = match ran {
            Ok(output) => output,
            Err(e) if named.is_some() => panic!("{VARIABLE}: {e}"),
            // What can be checked without it, other tests check.
            Err(e) => return println!("not checked: no promtool ({e}); `cargo xtask test` installs it"),
        };
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(output.status.success(), "{what}: {}", said.concat());
    }
}
