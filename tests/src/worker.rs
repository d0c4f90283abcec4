//! A worker in the test's own process.

use std::time::Duration;

use streamherd::{Builder, Client, Disowned, KeyspaceEvents, Lease, Notification, Notifications, Orphan};

use crate::{Reachable, SOON, builder, patiently};

/// A connected worker, and what it was told and has not been asked for yet.
#[derive(Debug)]
pub struct Worker {
    /// The handle.
    pub client: Client,
    notifications: Notifications,
    added: Vec<Lease>,
    expired: Vec<Orphan>,
    disowned: Vec<Disowned>,
    /// How often data loss was told.
    pub losses: usize,
    /// How the client ended, if it has.
    pub terminated: Option<String>,
}

impl Worker {
    /// Connects with the tests' settings.
    pub async fn start(at: &(impl Reachable + ?Sized)) -> Self {
        Self::with(builder(at)).await
    }

    /// Connects without keyspace notifications: recovery is the scan's.
    pub async fn deaf(at: &(impl Reachable + ?Sized)) -> Self {
        Self::with(builder(at).keyspace_events(KeyspaceEvents::Off)).await
    }

    /// Connects with settings of its own.
    pub async fn with(builder: Builder) -> Self {
        let (client, notifications) = patiently(|| builder.clone().connect()).await;
        Self::of(client, notifications)
    }

    fn of(client: Client, notifications: Notifications) -> Self {
        Self {
            client,
            notifications,
            added: Vec::new(),
            expired: Vec::new(),
            disowned: Vec::new(),
            losses: 0,
            terminated: None,
        }
    }

    /// The next stream this worker is given.
    pub async fn added(&mut self) -> Lease {
        self.expect("a stream is added", |w| {
            (!w.added.is_empty()).then(|| w.added.remove(0))
        })
        .await
    }

    /// The next `count` streams this worker is given.
    pub async fn added_many(&mut self, count: usize) -> Vec<Lease> {
        let mut leases = Vec::with_capacity(count);
        while leases.len() < count {
            leases.push(self.added().await);
        }
        leases
    }

    /// The next orphan this worker hears of.
    pub async fn expired(&mut self) -> Orphan {
        self.expect("an orphan is announced", |w| {
            (!w.expired.is_empty()).then(|| w.expired.remove(0))
        })
        .await
    }

    /// The next lease this worker loses.
    pub async fn disowned(&mut self) -> Disowned {
        self.expect("a lease is disowned", |w| {
            (!w.disowned.is_empty()).then(|| w.disowned.remove(0))
        })
        .await
    }

    /// Waits for the end of the client.
    pub async fn terminated(&mut self) -> String {
        self.expect("the client ends", |w| w.terminated.take()).await
    }

    /// Waits until data loss was told.
    pub async fn data_loss(&mut self) {
        self.expect("data loss is told", |w| (w.losses > 0).then_some(())).await;
    }

    /// Takes whatever has been told within `span`.
    pub async fn listen_for(&mut self, span: Duration) -> &Self {
        let end = tokio::time::Instant::now() + span;
        while let Ok(Some(notification)) = tokio::time::timeout_at(end, self.notifications.recv()).await {
            self.sort(notification);
        }
        self
    }

    /// Streams given and not asked for yet.
    #[must_use]
    pub fn unasked(&self) -> usize {
        self.added.len()
    }

    /// Disowned leases told and not asked for yet.
    #[must_use]
    pub fn unasked_disowned(&self) -> usize {
        self.disowned.len()
    }

    async fn expect<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Some(found) = found(self) {
                    return found;
                }
                match self.notifications.recv().await {
                    Some(notification) => self.sort(notification),
                    None => panic!("the notifications ended before {what}"),
                }
            }
        };
        let Ok(found) = tokio::time::timeout(SOON, waiting).await else {
            panic!("did not happen within {SOON:?}: {what}");
        };
        found
    }

    fn sort(&mut self, notification: Notification) {
        match notification {
            Notification::StreamAdded(lease) => self.added.push(lease),
            Notification::StreamExpired(orphan) => self.expired.push(orphan),
            Notification::StreamDisowned(lost) => self.disowned.push(lost),
            Notification::DataLoss(_) => self.losses += 1,
            Notification::Terminated(reason) => self.terminated = Some(reason.to_string()),
            other => panic!("an unknown notification: {other:?}"),
        }
    }

    /// Connects if that is possible.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn try_with(builder: Builder) -> Result<Self, streamherd::error::ConnectError> {
        let (client, notifications) = builder.connect().await?;
        Ok(Self::of(client, notifications))
    }
}
