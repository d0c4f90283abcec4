//! What is said of how far leases have come, until Redis has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Held, Phase};
use crate::clock::Moment;
use crate::id::{EntryId, Token};
use crate::progress::Progress;
use crate::store::{Store, StoreError};

/// Entries per call: about 1 ms of Redis.
const MOST_PER_CALL: usize = 400;
/// How long Redis keeps what nobody repeats, at least; it is twice a lock's life where that is longer, and so outlasts
/// every lease that its owner can still renew.
const KEEP: Duration = Duration::from_secs(120);

/// The reports of a partition. Nothing in it costs anything where nobody reports.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    known: Mutex<HashMap<Token, Report>>,
    /// When all of it was last told to Redis to be kept.
    told: Mutex<Option<Moment>>,
}

#[derive(Debug)]
struct Report {
    held: Arc<Held>,
    progress: Progress,
    /// Redis has this one.
    told: bool,
    /// As which entry Redis has it, or an earlier one.
    written: Option<EntryId>,
}

/// What Redis is to be told of an entry, or to forget.
type News = (Token, EntryId, Option<Progress>);

impl Reports {
    pub(crate) fn report(&self, held: &Arc<Held>, progress: Progress) {
        let mut known = self.known();
        let report = known.entry(held.token).or_insert_with(|| Report {
            held: Arc::clone(held),
            progress: Progress::default(),
            told: false,
            written: None,
        });
        report.told &= report.progress == progress;
        report.progress = progress;
    }

    /// Redis may have lost what it was told.
    pub(crate) fn tell_again(&self) {
        self.known().values_mut().for_each(|report| report.told = false);
    }

    /// Tells Redis what is new, and lets it forget what has ended. What is reported meanwhile is left for the next call: one
    /// that went on until nothing is new would not end while handlers report faster than Redis answers, and the heartbeat
    /// waits for it.
    ///
    /// # Errors
    /// Redis did not answer; what was not told is told by the next call.
    pub(crate) async fn tell(&self, store: &Store, lock_ttl: Duration) -> Result<(), StoreError> {
        let keep = KEEP.max(lock_ttl * 2);
        let news = self.news();
        if news.is_empty() && self.is_to_be_kept(keep) {
            store.tell_progress(keep, &[], &[]).await?;
            self.told_now(&[]);
        }
        for part in news.chunks(MOST_PER_CALL) {
            let (mut forget, mut said) = (Vec::new(), Vec::new());
            for (_, id, progress) in part {
                match progress {
                    None => forget.push(*id),
                    Some(progress) => said.push((*id, progress.encode())),
                }
            }
            store.tell_progress(keep, &forget, &said).await?;
            self.told_now(part);
        }
        Ok(())
    }

    /// Whether there is something in Redis that would go by itself soon.
    fn is_to_be_kept(&self, keep: Duration) -> bool {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        !self.known().is_empty() && told.is_none_or(|told| told.elapsed() > keep / 4)
    }

    fn news(&self) -> Vec<News> {
        let mut news = Vec::new();
        self.known().retain(|token, report| {
            // The entry has another name where it was written anew.
            let (over, id) = (report.held.is_over(), report.held.id());
            match report.written {
                // Nobody ever heard of it.
                None if over => return false,
                Some(written) if over || written != id => news.push((*token, written, None)),
                Some(_) if report.told => {}
                _ => news.push((*token, id, Some(report.progress.clone()))),
            }
            true
        });
        news
    }

    fn told_now(&self, news: &[News]) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Moment::now());
        let mut known = self.known();
        for (token, id, progress) in news {
            let Some(report) = known.get_mut(token) else { continue };
            match progress {
                None => report.written = None,
                Some(progress) => {
                    report.written = Some(*id);
                    // What was reported meanwhile is still to be told.
                    report.told = report.progress == *progress;
                }
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Token, Report>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Its owner has nothing more to say of it.
    fn is_over(&self) -> bool {
        self.phase() != Phase::Held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::id::{Lane, StreamId};

    fn id(seq: u64) -> EntryId {
        EntryId {
            lane: Lane::Input,
            id: StreamId { ms: 1, seq },
        }
    }

    fn held(seq: u64) -> Arc<Held> {
        let fields = vec![(b"lbs-input".to_vec(), br#"{"DataStreamName":"a"}"#.to_vec())];
        let entry = Entry::parse(id(seq), fields).unwrap_or_else(|_| panic!("an entry"));
        Arc::new(Held::new(entry, Token(seq), 1, Moment::now(), Moment::NEVER))
    }

    fn told(reports: &Reports) -> (Vec<u64>, Vec<(u64, String)>) {
        let news = reports.news();
        let (mut forget, mut said) = (Vec::new(), Vec::new());
        for (_, id, progress) in &news {
            match progress {
                None => forget.push(id.id.seq),
                Some(progress) => said.push((id.id.seq, progress.text().to_owned())),
            }
        }
        reports.told_now(&news);
        (forget, said)
    }

    fn says(seq: u64, text: &str) -> (Vec<u64>, Vec<(u64, String)>) {
        (vec![], vec![(seq, text.to_owned())])
    }

    #[test]
    fn only_the_last_report_is_told_and_only_once() {
        let (reports, held) = (Reports::default(), held(1));
        reports.report(&held, Progress::said("a"));
        reports.report(&held, Progress::said("b"));
        assert_eq!(told(&reports), says(1, "b"));
        reports.report(&held, Progress::said("b"));
        assert_eq!(told(&reports), (vec![], vec![]));
        reports.tell_again();
        assert_eq!(told(&reports), says(1, "b"));
    }

    #[test]
    fn what_was_reported_during_a_call_is_told_by_the_next() {
        let (reports, held) = (Reports::default(), held(1));
        reports.report(&held, Progress::said("a"));
        let news = reports.news();
        reports.report(&held, Progress::said("b"));
        reports.told_now(&news);
        assert_eq!(told(&reports), says(1, "b"));
    }

    #[test]
    fn what_ends_is_forgotten_even_if_its_last_report_was_never_told() {
        let (reports, one, other) = (Reports::default(), held(1), held(2));
        reports.report(&one, Progress::said("a"));
        assert_eq!(told(&reports), says(1, "a"));
        reports.report(&one, Progress::said("b"));
        reports.report(&other, Progress::said("never told"));
        for held in [&one, &other] {
            assert!(held.begin_settling(Moment::now()).is_ok());
        }
        assert_eq!(told(&reports), (vec![1], vec![]));
        assert_eq!(told(&reports), (vec![], vec![]));
        assert!(reports.known().is_empty());
    }

    #[test]
    fn an_entry_that_was_written_anew_is_told_under_its_new_name() {
        let (reports, held) = (Reports::default(), held(1));
        reports.report(&held, Progress::said("a"));
        assert_eq!(told(&reports), says(1, "a"));
        held.state().id = id(2);
        assert_eq!(told(&reports), (vec![1], vec![]));
        assert_eq!(told(&reports), says(2, "a"));
    }
}
