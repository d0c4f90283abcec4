//! What shells and `man` are given.

use std::fs;
use std::process::Command;

use crate::support::{run, stderr, stdout, streamherd};

/// What bash would offer for the last of these words.
fn completed(words: &[&str]) -> Vec<String> {
    let script = "\
        source <(\"$1\" completions bash); shift
        COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))
        complete -p streamherd >&2
        _streamherd streamherd \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let binary = env!("CARGO_BIN_EXE_streamherd");
    let output = run(Command::new("bash").args(["-c", script, "bash", binary]).args(words));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("-F _streamherd"), "{}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(completed(&["streamherd", "wor"]), ["worker"]);
    assert_eq!(completed(&["streamherd", "dlq", "redr"]), ["redrive"]);
    assert_eq!(
        completed(&["streamherd", "worker", "--shutdown-d"]),
        ["--shutdown-deadline"]
    );
    assert_eq!(completed(&["streamherd", "doctor", "--role", "pro"]), ["producer"]);
    assert!(completed(&["streamherd", "worker", "--"]).contains(&"--service".to_owned()));
}

#[test]
fn every_shell_that_is_offered_gets_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(streamherd().args(["completions", shell]));
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}");
        let script = stdout(&output);
        for word in ["worker", "redrive", "completions", "shutdown-deadline"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let output = run(streamherd().args(["completions", "tcsh"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("zsh"), "{}", stderr(&output));
}

#[test]
fn the_manual_page_is_printed_or_all_are_written_into_a_folder() {
    let page = run(streamherd().arg("man"));
    assert!(page.status.success(), "{}", stderr(&page));
    let names = stdout(&page).replace('\\', "");
    assert!(names.contains("streamherd-worker(1)"), "{names}");

    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man1");
    let output = run(streamherd().args(["man", "--dir"]).arg(&into));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout.is_empty(), "{}", stdout(&output));
    assert_eq!(fs::read(into.join("streamherd.1")).unwrap(), page.stdout);
    for name in ["streamherd-worker", "streamherd-dlq-redrive", "streamherd-man"] {
        let text = fs::read_to_string(into.join(format!("{name}.1"))).unwrap();
        assert!(text.contains(&format!(".TH {name} 1")), "{text}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_a_start_up_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = run(streamherd().args(["man", "--dir"]).arg(file.path()));
    assert_eq!(output.status.code(), Some(2));
    let path = file.path().to_string_lossy().into_owned();
    assert!(stderr(&output).contains(&path), "{}", stderr(&output));
}

/// Where groff is: it reads a page as `man` does, and complains of what it doesn't know.
#[test]
fn the_pages_are_well_formed_where_groff_can_tell() {
    let folder = tempfile::tempdir().unwrap();
    run(streamherd().args(["man", "--dir"]).arg(folder.path()));
    for page in fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap().path();
        let mut groff = Command::new("groff");
        groff.args(["-K", "utf8", "-man", "-Tutf8", "-ww", "-z"]).arg(&page);
        match groff.output() {
            Ok(output) => assert_eq!(stderr(&output), "", "{}", page.display()),
            Err(e) => return eprintln!("the pages are not read by groff: {e}"),
        }
    }
}
