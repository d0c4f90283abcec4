//! The `streamherd` command; everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamherd_cli::run(std::env::args_os())
}
