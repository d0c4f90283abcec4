//! Dead letters as other tests need them.

use streamherd::{Admin, DeadLetter, DeadLetterFilter, DeadLetterRun, HandledLetter};

use crate::{Proxied, Reachable, Redis, Truth, builder, by_partition, patiently};

/// Writes dead letters as a worker leaves them, over a raw connection and in one step: one per name, with counters and
/// provenance. Their names are not coalesced.
pub fn bury(redis: &Redis, names: &[String], reason: &str) {
    let add = "for i = 2, #ARGV do redis.call('XADD', KEYS[1], '*', 'lbs-input', ARGV[i], '_retry_count', 7, \
               '_sh_failures', 5, '_sh_abandonments', 2, '_sh_origin', '5-' .. i, '_sh_first_seen', 5, '_sh_reason', \
               ARGV[1], '_sh_error', 'it broke', '_sh_consumer', 'w.12345678', '_sh_last_id', '6-1', '_sh_at', \
               redis.call('TIME')[1] .. '000') end";
    for partition in by_partition(redis, names) {
        let mut truth = Truth::at(redis, partition[0]);
        for some in partition.chunks(1_000) {
            let words = ["EVAL", add, "1", "T:dlq", reason].map(str::to_owned).into_iter();
            truth
                .call(&words.chain(some.iter().map(|name| input(name))).collect::<Vec<_>>())
                .ok();
        }
    }
}

/// The `lbs-input` of a stream without info.
#[must_use]
pub fn input(name: &str) -> String {
    serde_json::json!({ "DataStreamName": name, "Info": null }).to_string()
}

/// The stream that an entry is for.
#[must_use]
pub fn name_of(fields: &[(String, String)]) -> String {
    let input: serde_json::Value = serde_json::from_str(crate::field(fields, "lbs-input")).expect("it is JSON");
    input["DataStreamName"].as_str().expect("it names a stream").to_owned()
}

/// An admin with the tests' settings.
pub async fn admin(at: &(impl Reachable + ?Sized)) -> Admin {
    patiently(|| builder(at).connect_admin()).await
}

/// Has every server and the proxy before them know the script that lists. Otherwise a server's first call of it is counted
/// twice where another server's call has told the proxy its name already: as what is not known, and with its text.
pub async fn make_known(proxy: &Proxied) {
    list(&admin(proxy).await, DeadLetterFilter::default()).await;
}

/// All outcomes of a run.
pub async fn outcomes(mut run: DeadLetterRun) -> Vec<HandledLetter> {
    let mut all = Vec::new();
    while let Some(handled) = run.next().await.expect("Redis answers") {
        all.push(handled);
    }
    all
}

/// The words of all outcomes of redriving what a filter means.
pub async fn redrive(admin: &Admin, filter: DeadLetterFilter) -> Vec<&'static str> {
    let handled = outcomes(admin.redrive(filter)).await;
    handled.iter().map(|one| one.outcome.as_str()).collect()
}

/// All letters that a filter means.
pub async fn list(admin: &Admin, filter: DeadLetterFilter) -> Vec<DeadLetter> {
    let mut letters = admin.dead_letters(filter);
    let mut found = Vec::new();
    while let Some(letter) = letters.next().await.expect("Redis answers") {
        found.push(letter);
    }
    found
}

/// The streams that letters are of.
#[must_use]
pub fn streams(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().filter_map(|letter| letter.stream.as_deref()).collect()
}
