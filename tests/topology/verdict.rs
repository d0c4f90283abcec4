//! What every load has to show, whatever happened to its servers.

use std::fmt::Debug;

use super::ledger::{Loss, Record, Snapshot, Submit, blame};

/// Fails unless every acknowledged submit ended, no stream had two valid leases at one time, and the tokens tell the
/// order. Submits that a failover lost are excused by `snapshots`, and returned.
#[track_caller]
pub(crate) fn holds<'a>(record: &'a Record, snapshots: &[Snapshot]) -> Vec<&'a Submit> {
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
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    excused
}

fn problem<T: Debug>(problems: &mut Vec<String>, what: &str, found: &[T]) {
    if !found.is_empty() {
        let some: Vec<String> = found.iter().take(5).map(|one| format!("  {one:?}")).collect();
        problems.push(format!("{} x {what}:\n{}", found.len(), some.join("\n")));
    }
}
