use super::reply::Reply;
use super::script::{Call, STATUS};
use super::{Store, StoreError};

/// One consistent picture of a partition.
#[derive(Debug, Clone)]
pub(crate) struct QueueStatus {
    pub(crate) input: LaneStatus,
    pub(crate) front: LaneStatus,
    pub(crate) dead_letters: u64,
    pub(crate) delayed: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct LaneStatus {
    pub(crate) length: u64,
    pub(crate) pending: u64,
    pub(crate) consumers: Vec<ConsumerInfo>,
}

/// A consumer as the group knows it.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerInfo {
    pub(crate) name: String,
    pub(crate) pending: u64,
    /// Since its last successful read (before Redis 7.2) or its last attempt.
    pub(crate) idle_ms: u64,
}

impl Store {
    pub(crate) async fn status(&self) -> Result<QueueStatus, StoreError> {
        let call = Call::on(&self.keys);
        let value = self.connection.run(&STATUS, call, self.timeout).await?;
        let reply = Reply::new(STATUS.name, &value);
        Ok(QueueStatus {
            input: lane(reply.at(1)?)?,
            front: lane(reply.at(2)?)?,
            dead_letters: reply.at(3)?.number()?,
            delayed: reply.at(4)?.number()?,
        })
    }

    /// The server's version as it reports it; [`None`] where INFO is refused or says nothing of it.
    pub(crate) async fn server_version(&self) -> Result<Option<String>, StoreError> {
        let args = vec!["server".into()];
        let value = match self.connection.command("info", "INFO", args, self.timeout).await {
            Err(e) if e.is_denied() => return Ok(None),
            other => other?,
        };
        let text = Reply::new("info", &value).text()?;
        Ok(text
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"))
            .map(|version| version.trim().to_owned()))
    }
}

fn lane(reply: Reply<'_>) -> Result<LaneStatus, StoreError> {
    Ok(LaneStatus {
        length: reply.at(0)?.number()?,
        pending: reply.at(1)?.number()?,
        consumers: consumers(reply.at(2)?)?,
    })
}

/// What XINFO CONSUMERS says, but for consumers of other programs whose names are no text: they must not hide the rest.
pub(super) fn consumers(reply: Reply<'_>) -> Result<Vec<ConsumerInfo>, StoreError> {
    let is_readable = |consumer: &Reply<'_>| {
        consumer
            .at(1)
            .is_ok_and(|name| name.bytes().is_err() || name.text().is_ok())
    };
    reply
        .list()?
        .filter(is_readable)
        .map(|consumer| {
            let value = |name: &str| {
                let mut items = consumer.list()?;
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    if key.text()? == name {
                        return Ok(value);
                    }
                }
                Err(consumer.unexpected("a consumer's row"))
            };
            Ok(ConsumerInfo {
                name: value("name")?.text()?.to_owned(),
                pending: value("pending")?.number()?,
                idle_ms: value("idle")?.number()?,
            })
        })
        .collect()
}
