use super::reply::Reply;
use super::script::{Call, STATUS};
use super::{Store, StoreError};

/// One consistent picture of a partition.
#[derive(Debug, Clone)]
pub(crate) struct QueueStatus {
    pub(crate) input: LaneStatus,
    pub(crate) front: LaneStatus,
    pub(crate) dead_letters: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct LaneStatus {
    pub(crate) length: u64,
    pub(crate) pending: u64,
    /// Name, pending entries, milliseconds since its last successful read (before Redis 7.2) or its last attempt.
    pub(crate) consumers: Vec<(String, u64, u64)>,
}

impl Store {
    pub(crate) async fn status(&self) -> Result<QueueStatus, StoreError> {
        let call = Call::default()
            .key(&self.keys.input)
            .key(&self.keys.front)
            .key(&self.keys.dlq);
        let value = self.connection.run(&STATUS, call, self.timeout).await?;
        let reply = Reply::new(STATUS.name, &value);
        Ok(QueueStatus {
            input: lane(reply.at(1)?)?,
            front: lane(reply.at(2)?)?,
            dead_letters: reply.at(3)?.number()?,
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
    let mut consumers = Vec::new();
    for consumer in reply.at(2)?.list()? {
        let value = |name: &str| {
            let mut items = consumer.list()?;
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                if key.text()? == name {
                    return Ok(value);
                }
            }
            Err(consumer.unexpected("a consumer's row"))
        };
        consumers.push((
            value("name")?.text()?.to_owned(),
            value("pending")?.number()?,
            value("idle")?.number()?,
        ));
    }
    Ok(LaneStatus {
        length: reply.at(0)?.number()?,
        pending: reply.at(1)?.number()?,
        consumers,
    })
}
