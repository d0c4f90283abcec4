//! What every load has to show, whatever happened to its servers.

use streamherd_ledger::{History, Verdict, Violation};

use super::loss::{Loss, Snapshot, blame};

/// How many acknowledged submits a failover lost, and what else is wrong with a history, in words: nothing, if it is well.
pub(crate) fn holds(history: &History, snapshots: &[Snapshot]) -> (usize, String) {
    let mut verdict = Verdict::on(history);
    let found = verdict.violations.len();
    let excused = |violation: &Violation| match violation {
        Violation::Lost(submit) => blame(submit, snapshots) == Loss::Replication,
        _ => false,
    };
    verdict.violations.retain(|violation| !excused(violation));
    (found - verdict.violations.len(), verdict.summary())
}
