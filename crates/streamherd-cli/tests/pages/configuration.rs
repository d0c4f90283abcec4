//! Blocks that are neither commands nor programs.

use serde::Deserialize as _;
use serde_json::Value;

use crate::exceptions::LANGUAGES;
use crate::markdown::Snippet;
use crate::shell::is_shell;

pub(crate) fn check(snippet: &Snippet, language: &str) {
    let at = snippet.at();
    match language {
        // Those of programs and what they need, which are compiled, and what is run.
        "rust" | "toml" => {}
        shell if is_shell(shell) => {}
        "yaml" => {
            for document in serde_yaml_ng::Deserializer::from_str(&snippet.text) {
                Value::deserialize(document).unwrap_or_else(|e| panic!("{at}: {e}"));
            }
        }
        "json" => drop(serde_json::from_str::<Value>(&snippet.text).unwrap_or_else(|e| panic!("{at}: {e}"))),
        "nginx" => {
            // Where it passes things on to is where the dashboard listens.
            assert!(snippet.text.contains("proxy_pass http://127.0.0.1:8380/;"), "{at}");
            assert_eq!(
                snippet.text.matches('{').count(),
                snippet.text.matches('}').count(),
                "{at}"
            );
        }
        other => assert!(
            LANGUAGES.iter().any(|(known, _)| *known == other),
            "{at}: what is {other:?}?"
        ),
    }
}
