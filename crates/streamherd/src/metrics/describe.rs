//! What each metric means.

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use super::queue;

/// Tells the installed recorder what the metrics mean. Done at each start, as a recorder may be installed late.
pub(crate) fn describe() {
    queue::describe();
    describe_histogram!(
        "streamherd_store_seconds",
        Unit::Seconds,
        "Time from sending a command to Redis to its answer, by operation"
    );
    describe_counter!(
        "streamherd_store_errors_total",
        "Commands that Redis refused or did not answer, by operation and kind"
    );
    describe_counter!(
        "streamherd_submitted_total",
        "Submits, by outcome: new, coalesced, not_durable, maybe (sent, not answered), refused, invalid"
    );
    describe_counter!(
        "streamherd_resubmitted_total",
        "Streams that a producer kept, Redis had lost and were submitted again, by outcome: new, coalesced"
    );
    describe_gauge!(
        "streamherd_kept_streams",
        "Streams that producers keep to submit them again if Redis loses them"
    );
    describe_counter!(
        "streamherd_kept_dropped_total",
        "Streams that a producer keeps no longer because there were more than it may keep"
    );
    describe_counter!("streamherd_read_total", "Entries read from the queue, by lane");
    describe_counter!(
        "streamherd_acquired_total",
        "Entries whose lock was asked for, by outcome"
    );
    describe_counter!(
        "streamherd_adopted_total",
        "Entries found pending under the own name whose read had lost its answer"
    );
    describe_counter!("streamherd_renewed_total", "Lease renewals, by outcome");
    describe_counter!("streamherd_disowned_total", "Leases lost, by reason");
    describe_counter!(
        "streamherd_restored_total",
        "Leases told to a server that may have lost writes, by outcome: kept, written (its entry was gone), settled, lost, failed"
    );
    describe_counter!("streamherd_settled_total", "Settlements, by operation and outcome");
    describe_histogram!(
        "streamherd_lease_seconds",
        Unit::Seconds,
        "Time a lease was held until its owner settled it"
    );
    describe_histogram!(
        "streamherd_orphan_idle_seconds",
        Unit::Seconds,
        "Time since an orphan was handed out, when it was re-queued"
    );
    describe_counter!(
        "streamherd_requeued_total",
        "Orphans looked at, by who looked (scan, claim) and outcome"
    );
    describe_counter!(
        "streamherd_dead_lettered_total",
        "Entries sent to the dead-letter stream, by reason"
    );
    describe_counter!(
        "streamherd_dlq_trimmed_total",
        "Dead letters lost to the length limit of their stream"
    );
    describe_counter!(
        "streamherd_vanished_total",
        "Pending entries whose body another program had deleted"
    );
    describe_counter!(
        "streamherd_generations_total",
        "Times that Redis may have lost its last writes: failovers, restarts, clocks that jumped"
    );
    describe_counter!(
        "streamherd_data_losses_total",
        "Times that Redis came back without the service's data or group"
    );
    describe_counter!(
        "streamherd_breaker_changes_total",
        "Changes of the breakers of masters, by the new state: open, half_open, closed"
    );
    describe_gauge!("streamherd_masters_away", "Masters that are not asked as they are away");
    describe_counter!(
        "streamherd_scans_total",
        "Scans, by outcome: ok, gated (another worker scans), failed"
    );
    describe_histogram!(
        "streamherd_scan_cost_seconds",
        Unit::Seconds,
        "Time of Redis that one scan took"
    );
    describe_counter!("streamherd_promoted_total", "Delayed entries that were due and queued");
    describe_counter!(
        "streamherd_stranded_total",
        "Entries brought back that another program had stranded"
    );
    describe_counter!("streamherd_consumers_reaped_total", "Names of dead consumers removed");
    describe_gauge!("streamherd_paused", "1 while this worker is to take no new work");
    describe_counter!(
        "streamherd_subscriptions_total",
        "Subscriptions to one server's expired locks, by outcome: ok, refused, failed (tried again)"
    );
    describe_counter!(
        "streamherd_lock_expired_events_total",
        "Notifications of expired locks received"
    );
    describe_counter!(
        "streamherd_hints_dropped_total",
        "Notifications dropped, by where; the scan finds the same orphans"
    );
    describe_counter!(
        "streamherd_handled_total",
        "Handlers that ended, by outcome: done, retry, dead_letter, release, error, panic, stopped (at a shutdown), lost \
         (with the lease)"
    );
    describe_histogram!(
        "streamherd_handler_seconds",
        Unit::Seconds,
        "Time a handler ran, by outcome"
    );
    describe_counter!("streamherd_handler_panics_total", "Handlers that panicked");
    describe_gauge!("streamherd_handlers_running", "Handlers that run");
    describe_gauge!("streamherd_leases_held", "Streams held, settling or being handed back");
    describe_gauge!("streamherd_slots_free", "Streams this worker could take in addition");
}
