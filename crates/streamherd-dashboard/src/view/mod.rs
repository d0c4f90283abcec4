//! Lists and letters: one look at Redis for all who ask for the same at about the same time.

mod query;

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use streamherd::error::StoreError;
use streamherd::{Admin, Cursor, DeadLetter, DeadLetterPage, DelayedPage, LeasePage, LetterId};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::query::{LetterQuery, PendingQuery};

/// For so long a look is good for whoever asks for the same.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// What is kept of each kind, in bytes or so.
const MOST_KEPT: u64 = 16 * 1024 * 1024;
/// How many looks are under way at one time; further ones wait for their turn.
const AT_ONCE: usize = 4;
/// How long a look may take, its turn included.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many rows a page has at most.
pub const MOST_ROWS: usize = 200;

/// Why a view shows nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// Redis did not answer, or refused.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// It did not answer in time, or too many looks are under way.
    #[error("Redis did not answer within {} s", PATIENCE.as_secs())]
    TooSlow,
}

/// What of a service is looked at as somebody asks for it. Cheap to clone; clones share what they saw.
///
/// However many ask for the same, Redis is asked once a second, and for a bounded part at a time.
#[derive(Debug, Clone)]
pub struct Views {
    admin: Admin,
    turn: Arc<Semaphore>,
    pending: Cache<PendingQuery, Arc<LeasePage>>,
    delayed: Cache<(Option<Cursor>, usize), Arc<DelayedPage>>,
    letters: Cache<LetterQuery, Arc<DeadLetterPage>>,
    letter: Cache<LetterId, Option<Arc<DeadLetter>>>,
}

impl Views {
    /// Views of this service. Looks at nothing yet.
    #[must_use]
    pub fn new(admin: Admin) -> Self {
        Self {
            admin,
            turn: Arc::new(Semaphore::new(AT_ONCE)),
            pending: cache(|page: &Arc<LeasePage>| page.leases.len() * 1_024),
            delayed: cache(|page: &Arc<DelayedPage>| page.delayed.len() * 1_024),
            letters: cache(|page: &Arc<DeadLetterPage>| {
                page.dead_letters.iter().map(|letter| 512 + errors(letter)).sum()
            }),
            letter: cache(|letter: &Option<Arc<DeadLetter>>| {
                letter
                    .as_ref()
                    .map_or(64, |letter| 512 + errors(letter) + 2 * letter.bytes)
            }),
        }
    }

    /// Some of the streams that are pending at a consumer.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn pending(&self, query: PendingQuery) -> Result<Arc<LeasePage>, ViewError> {
        let (asked, limit) = (query.clone(), query.limit.clamp(1, MOST_ROWS));
        let look = async {
            let page = self.admin.lease_page(&asked.wanted, asked.after.as_ref(), limit);
            Ok(Arc::new(page.await?))
        };
        self.shared(&self.pending, query, look).await
    }

    /// Some of the streams that wait for a time.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn delayed(&self, after: Option<Cursor>, limit: usize) -> Result<Arc<DelayedPage>, ViewError> {
        let limit = limit.clamp(1, MOST_ROWS);
        let key = (after.clone(), limit);
        let look = async { Ok(Arc::new(self.admin.delayed_page(after.as_ref(), limit).await?)) };
        self.shared(&self.delayed, key, look).await
    }

    /// Some of the dead letters, without their fields, which can be large.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn dead_letters(&self, query: LetterQuery) -> Result<Arc<DeadLetterPage>, ViewError> {
        let (filter, limit) = (query.filter(), query.limit.clamp(1, MOST_ROWS));
        self.shared(&self.letters, query, async {
            let mut page = self.admin.dead_letter_page(filter, limit).await?;
            page.dead_letters
                .iter_mut()
                .for_each(|letter| letter.fields = Vec::new());
            Ok(Arc::new(page))
        })
        .await
    }

    /// A dead letter with all it has, if it is there.
    ///
    /// # Errors
    /// Redis did not answer, or refused.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn dead_letter(&self, id: LetterId) -> Result<Option<Arc<DeadLetter>>, ViewError> {
        let look = async { Ok(self.admin.dead_letter(id).await?.map(Arc::new)) };
        self.shared(&self.letter, id, look).await
    }

    /// Has what is asked for next be looked at anew: something was changed.
    pub fn forget(&self) {
        self.pending.invalidate_all();
        self.delayed.invalidate_all();
        self.letters.invalidate_all();
        self.letter.invalidate_all();
    }

    async fn shared<K, V>(
        &self,
        cache: &Cache<K, V>,
        key: K,
        look: impl Future<Output = Result<V, StoreError>>,
    ) -> Result<V, ViewError>
    where
        K: std::hash::Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let in_turn = async {
            // Never closed.
            let _turn = self.turn.acquire().await;
            look.await
        };
        match timeout(PATIENCE, cache.try_get_with(key, in_turn)).await {
            Ok(seen) => Ok(seen?),
            Err(_) => Err(ViewError::TooSlow),
        }
    }
}

fn cache<K, V>(bytes: fn(&V) -> usize) -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder()
        .time_to_live(GOOD_FOR)
        .max_capacity(MOST_KEPT)
        .weigher(move |_, seen| u32::try_from(64 + bytes(seen)).unwrap_or(u32::MAX))
        .build()
}

fn errors(letter: &DeadLetter) -> usize {
    letter.error.as_ref().map_or(0, String::len) + letter.stream.as_ref().map_or(0, String::len)
}
