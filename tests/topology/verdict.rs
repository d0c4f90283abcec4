//! What every load has to show, whatever happened to its servers.

use std::fmt::Debug;

use super::ledger::{Loss, Record, Snapshot, blame};

/// How many acknowledged submits a failover lost, and whatever else is wrong: nothing, if every acknowledged submit
/// ended, no stream had two valid leases at one time, and the tokens tell the order.
pub(crate) fn holds(record: &Record, snapshots: &[Snapshot]) -> (usize, Vec<String>) {
    let (excused, ours): (Vec<_>, Vec<_>) = record
        .unfinished()
        .into_iter()
        .partition(|submit| blame(submit, snapshots) == Loss::Replication);
    let mut problems = Vec::new();
    problem(&mut problems, "acknowledged, and neither done nor dead-lettered", &ours);
    problem(
        &mut problems,
        "two valid leases of one stream at one time",
        &record.overlapping(),
    );
    problem(
        &mut problems,
        "tokens that don't tell the order",
        &record.tokens_out_of_order(),
    );
    problem(
        &mut problems,
        "settled after another had it",
        &record.settled_too_late(),
    );
    problem(&mut problems, "leases that never ended", &record.open());
    problem(
        &mut problems,
        "settlements whose outcome was not waited for",
        &record.unknown,
    );
    let wrongly: Vec<_> = record.wrongly_refused();
    let whys = |number: usize| record.refusals.iter().filter(move |(refused, _)| *refused == number);
    let wrongly: Vec<_> = wrongly
        .into_iter()
        .map(|submit| (submit, whys(submit.number).collect::<Vec<_>>()))
        .collect();
    problem(
        &mut problems,
        "submits that were queued, though certainly refused",
        &wrongly,
    );
    (excused.len(), problems)
}

fn problem<T: Debug>(problems: &mut Vec<String>, what: &str, found: &[T]) {
    if !found.is_empty() {
        let some: Vec<String> = found.iter().take(5).map(|one| format!("  {one:?}")).collect();
        problems.push(format!("{} x {what}:\n{}", found.len(), some.join("\n")));
    }
}
