//! The `streamherd` command, where a lesson says `cargo run -p streamherd-cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamherd_cli::run(std::env::args_os())
}
