//! `streamherd doctor`: what is wrong with a server, a login or a service, and what mends it.

use std::process::ExitCode;

use streamherd::{Check, Diagnosis, Verdict};

use crate::args::{DoctorArgs, Global, Output};
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(global: &Global, options: &DoctorArgs) -> Result<ExitCode, Failure> {
    let admin = global.builder()?.connect_admin().await.map_err(Failure::start)?;
    // A server that stops answering half-way has no diagnosis, just like one that can't be reached.
    let diagnosis = admin.doctor_of(options.role.into()).await.map_err(Failure::start)?;
    admin.close().await;
    match global.output {
        Output::Json => output::json(&diagnosis)?,
        Output::Table => print(&diagnosis)?,
    }
    Ok(match diagnosis.verdict {
        Verdict::Failure => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn print(diagnosis: &Diagnosis) -> Result<(), Failure> {
    let width = diagnosis.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in &diagnosis.checks {
        let Check {
            name,
            verdict,
            found,
            meaning,
            mend,
            ..
        } = check;
        let place = place(diagnosis, check);
        output::line(&format!("{} {name:width$}  {found}{place}", mark(*verdict)))?;
        if *verdict == Verdict::Ok {
            continue;
        }
        output::line(&format!("    {meaning}"))?;
        if let Some(mend) = mend {
            output::line(&format!("    mend: {mend}"))?;
        }
    }
    let count = |verdict, one: &str, many: &str| {
        let checks = diagnosis.checks.iter().filter(|check| check.verdict == verdict);
        match checks.count() {
            1 => format!("1 {one}"),
            n => format!("{n} {many}"),
        }
    };
    output::line("")?;
    output::line(&format!(
        "{}, {}, {}",
        count(Verdict::Ok, "ok", "ok"),
        count(Verdict::Warning, "warning", "warnings"),
        count(Verdict::Failure, "failure", "failures")
    ))
}

/// Where it is so, if that is not the only place that there is.
fn place(diagnosis: &Diagnosis, check: &Check) -> String {
    let mut places = Vec::new();
    if diagnosis.servers.len() > 1 && !check.servers.is_empty() {
        // All is well wherever one looks; what is wrong is to be found.
        let all = check.verdict == Verdict::Ok && check.servers.len() == diagnosis.servers.len();
        places.push(if all {
            format!("all {} servers", check.servers.len())
        } else {
            check.servers.join(", ")
        });
    }
    if diagnosis.partitions > 1 && !check.partitions.is_empty() {
        let numbers: Vec<String> = check.partitions.iter().map(u16::to_string).collect();
        places.push(if numbers.len() == usize::from(diagnosis.partitions) {
            format!("all {} partitions", numbers.len())
        } else if let [one] = &numbers[..] {
            format!("partition {one}")
        } else {
            format!("partitions {}", numbers.join(", "))
        });
    }
    if places.is_empty() {
        return String::new();
    }
    format!("  ({})", places.join("; "))
}

const fn mark(verdict: Verdict) -> char {
    match verdict {
        Verdict::Ok => '✓',
        Verdict::Warning => '!',
        _ => '✗',
    }
}
