//! Judges ledgers that were kept: `cargo run -p streamherd-ledger --example judge FILE…` prints the figures and what is wrong,
//! and ends with 1 if anything is.

use std::error::Error;
use std::process::ExitCode;

use streamherd_ledger::{Figures, Verdict, read};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let history = read(std::env::args().skip(1))?;
    let verdict = Verdict::on(&history);
    println!("{}", serde_json::to_string_pretty(&Figures::of(&history, &verdict))?);
    print!("{}", verdict.summary());
    let well = verdict.violations.is_empty();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
