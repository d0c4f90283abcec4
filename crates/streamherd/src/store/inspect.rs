use super::reply::Reply;
use super::script::{Call, DELAYED, FIND, KICK, LEASES, STATUS};
use super::{Store, StoreError};
use crate::entry::{MAX_ENTRY_BYTES, MAX_FIELDS};
use crate::id::{EntryId, Lane, Reference, StreamId, Token};
use crate::name::name_of;

/// One consistent picture of a partition.
#[derive(Debug)]
pub(crate) struct Picture {
    /// Unix ms by the clock of Redis.
    pub(crate) now_ms: u64,
    /// Whether anything but a pause was ever written.
    pub(crate) used: bool,
    pub(crate) dead_letters: u64,
    pub(crate) delayed: u64,
    pub(crate) next_due_ms: Option<u64>,
    /// Who is paused, and since when (zero where another program wrote something else); the service has no name.
    pub(crate) pauses: Vec<(String, u64)>,
    /// Consumer, when it was last seen and what it said of itself.
    pub(crate) rows: Vec<(String, u64, String)>,
    pub(crate) input: LanePicture,
    pub(crate) front: LanePicture,
}

#[derive(Debug)]
pub(crate) struct LanePicture {
    pub(crate) length: u64,
    pub(crate) pending: u64,
    /// When the first entry that nobody was given was added.
    pub(crate) head_ms: Option<u64>,
    pub(crate) consumers: Vec<ConsumerInfo>,
    /// How many entries were ever added, where Redis says so.
    pub(crate) added: Option<u64>,
}

/// A consumer as the group knows it.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerInfo {
    pub(crate) name: String,
    pub(crate) pending: u64,
    /// Since its last successful read (before Redis 7.2) or its last attempt.
    pub(crate) idle_ms: u64,
}

/// A page of one lane's pending entries.
#[derive(Debug)]
pub(crate) struct LeasePage {
    pub(crate) now_ms: u64,
    pub(crate) entries: Vec<SeenLease>,
    /// Where to go on, if there is more.
    pub(crate) cursor: Option<String>,
}

#[derive(Debug)]
pub(crate) struct SeenLease {
    pub(crate) id: EntryId,
    pub(crate) name: Name,
    pub(crate) consumer: String,
    pub(crate) idle_ms: u64,
    /// How long the lock lives; zero without one.
    pub(crate) remaining_ms: u64,
    /// Of a lock that the consumer has set.
    pub(crate) token: Option<Token>,
    pub(crate) first_seen_ms: u64,
    pub(crate) attempt: u32,
    pub(crate) failures: u32,
    pub(crate) abandonments: u32,
    /// When its owner last said how far it has come (Unix ms by the clock of Redis), and what.
    pub(crate) progress: Option<(u64, String)>,
}

/// A page of what is delayed.
#[derive(Debug)]
pub(crate) struct DelayedPage {
    pub(crate) now_ms: u64,
    pub(crate) entries: Vec<SeenDelayed>,
    /// How many to pass over to go on, if there is more.
    pub(crate) next: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct SeenDelayed {
    /// Another program's has an id of its own kind.
    pub(crate) id: String,
    pub(crate) due_ms: u64,
    pub(crate) name: Name,
    pub(crate) attempt: u32,
    pub(crate) failures: u32,
    pub(crate) abandonments: u32,
}

/// Which of the pending entries are looked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// [`None`]: anybody's.
    pub(crate) consumer: Option<&'a str>,
    /// Whether they have a lock; [`None`]: either.
    pub(crate) locked: Option<bool>,
}

/// What an entry is called, as far as its beginning tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Known(String),
    /// The beginning of its JSON doesn't say; all of it might.
    Beyond,
    /// Its body is gone.
    Gone,
}

/// Where [`Store::find`] looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Lane(Lane),
    Delayed,
}

/// What became of an entry that an operator put back.
#[derive(Debug)]
pub(crate) enum Kicked {
    /// No worker has been given it yet.
    Queued(EntryId),
    /// It was delayed.
    Due(EntryId),
    Requeued(EntryId),
    Held {
        consumer: String,
        remaining_ms: u64,
    },
    Absent,
    TooLarge(EntryId),
}

/// What a server says that it is.
#[derive(Debug)]
pub(crate) struct ServerKind {
    pub(crate) version: String,
    /// `standalone`, `cluster` or `sentinel`.
    pub(crate) mode: String,
}

impl Store {
    pub(crate) async fn status(&self) -> Result<Picture, StoreError> {
        let call = Call::on(&self.keys);
        let value = self.line.run(&STATUS, call, self.timeout).await?;
        let reply = Reply::new(STATUS.name, &value);
        let pause = |pause: Reply<'_>| Ok((lossy(pause.at(0)?)?, pause.at(1)?.number().unwrap_or_default()));
        Ok(Picture {
            now_ms: reply.at(1)?.number()?,
            used: reply.at(2)?.number()? > 0,
            dead_letters: reply.at(3)?.number()?,
            delayed: reply.at(4)?.number()?,
            next_due_ms: reply.at(5)?.number().ok(),
            pauses: reply.at(6)?.list()?.map(pause).collect::<Result<_, StoreError>>()?,
            rows: rows(reply.at(7)?)?,
            input: lane(reply.at(8)?)?,
            front: lane(reply.at(9)?)?,
        })
    }

    /// A page of what is pending in a lane: about 2 ms of Redis. It may be empty and not the last one where only some are
    /// wanted.
    pub(crate) async fn leases(
        &self,
        lane: Lane,
        wanted: Wanted<'_>,
        cursor: Option<&str>,
        most: usize,
    ) -> Result<LeasePage, StoreError> {
        let state = match wanted.locked {
            None => "",
            Some(true) => "leased",
            Some(false) => "orphan",
        };
        let call = Call::on(&self.keys)
            .arg(lane.as_str())
            .arg(cursor.unwrap_or("-"))
            .number(most as u64)
            .arg(self.keys.lock_prefix())
            .arg(wanted.consumer.unwrap_or_default())
            .arg(state);
        let value = self.line.run(&LEASES, call, self.timeout).await?;
        let reply = Reply::new(LEASES.name, &value);
        let entries = reply.at(3)?.list()?.map(|entry| {
            let id = entry.at(0)?.stream_id()?;
            let origin = entry.at(8)?.parsed().unwrap_or(id);
            let counter = |index| Ok::<u32, StoreError>(u32::try_from(entry.at(index)?.number()?).unwrap_or(u32::MAX));
            Ok(SeenLease {
                id: EntryId { lane, id },
                name: name(entry.at(5)?, entry.at(6)?)?,
                consumer: lossy(entry.at(1)?)?,
                idle_ms: entry.at(2)?.number()?,
                remaining_ms: entry.at(3)?.number()?,
                token: entry.at(4)?.number().ok().map(Token),
                first_seen_ms: entry.at(7)?.number().unwrap_or(origin.ms),
                attempt: counter(9)?,
                failures: counter(10)?,
                abandonments: counter(11)?,
                progress: progress(entry.at(12)?)?,
            })
        });
        Ok(LeasePage {
            entries: entries.collect::<Result<_, StoreError>>()?,
            now_ms: reply.at(2)?.number()?,
            cursor: cursor_of(reply.at(1)?)?,
        })
    }

    /// A page of what is delayed, the next one due first: about 2 ms of Redis.
    pub(crate) async fn delayed(&self, skip: u64, most: usize) -> Result<DelayedPage, StoreError> {
        let call = Call::on(&self.keys).number(skip).number(most as u64);
        let value = self.line.run(&DELAYED, call, self.timeout).await?;
        let reply = Reply::new(DELAYED.name, &value);
        let entries = reply.at(3)?.list()?.map(|entry| {
            let counter = |index| Ok::<u32, StoreError>(u32::try_from(entry.at(index)?.number()?).unwrap_or(u32::MAX));
            Ok(SeenDelayed {
                id: lossy(entry.at(0)?)?,
                // Another program may have used any number.
                due_ms: entry.at(1)?.number().unwrap_or_default(),
                name: name(entry.at(2)?, entry.at(3)?)?,
                attempt: counter(4)?,
                failures: counter(5)?,
                abandonments: counter(6)?,
            })
        });
        Ok(DelayedPage {
            entries: entries.collect::<Result<_, StoreError>>()?,
            now_ms: reply.at(2)?.number()?,
            next: cursor_of(reply.at(1)?)?.and_then(|skip| skip.parse().ok()),
        })
    }

    /// A page of the entries in a place, whoever has them.
    pub(crate) async fn find(
        &self,
        place: Place,
        cursor: Option<&str>,
        most: usize,
    ) -> Result<(Vec<(Reference, Name)>, Option<String>), StoreError> {
        let (word, start) = match place {
            Place::Lane(lane) => (lane.as_str(), "-"),
            Place::Delayed => ("delayed", "0"),
        };
        let call = Call::on(&self.keys)
            .arg(word)
            .arg(cursor.unwrap_or(start))
            .number(most as u64);
        let value = self.line.run(&FIND, call, self.timeout).await?;
        let reply = Reply::new(FIND.name, &value);
        let mut found = Vec::new();
        for entry in reply.at(2)?.list()? {
            // Another program's member of the delayed ones has an id of its own kind, or none.
            if let Ok(reference) = entry.at(0)?.parsed() {
                found.push((reference, name(entry.at(1)?, entry.at(2)?)?));
            }
        }
        Ok((found, cursor_of(reply.at(1)?)?))
    }

    /// Puts the entry that a name stands for, or this one, at the front of the queue; with `force` also from under its
    /// owner. Repeating it finds where the entry is by then.
    pub(crate) async fn kick(
        &self,
        stream: &str,
        reference: Option<Reference>,
        force: bool,
    ) -> Result<Kicked, StoreError> {
        let call = Call::on(&self.keys)
            .arg(stream)
            .arg(reference.map(|reference| reference.to_string()).unwrap_or_default())
            .arg(if force { "1" } else { "0" })
            .arg(self.keys.lock_prefix())
            .number(MAX_FIELDS as u64)
            .number(MAX_ENTRY_BYTES as u64);
        let value = self.line.run(&KICK, call, self.timeout).await?;
        let reply = Reply::new(KICK.name, &value);
        Ok(match reply.outcome()? {
            "queued" => Kicked::Queued(reply.at(1)?.parsed()?),
            "due" => Kicked::Due(reply.at(1)?.parsed()?),
            "requeued" => Kicked::Requeued(reply.at(1)?.parsed()?),
            "held" => Kicked::Held {
                consumer: lossy(reply.at(1)?)?,
                remaining_ms: reply.at(2)?.number()?,
            },
            "absent" => Kicked::Absent,
            "too_large" => Kicked::TooLarge(reply.at(1)?.parsed()?),
            _ => return Err(reply.unexpected("an outcome of kick")),
        })
    }

    /// What the server says that it is; [`None`] where INFO is refused or says nothing of its version.
    pub(crate) async fn server_kind(&self) -> Result<Option<ServerKind>, StoreError> {
        let args = vec!["server".into()];
        let value = match self.line.command("info", "INFO", args, self.timeout).await {
            Err(e) if e.is_denied() => return Ok(None),
            other => other?,
        };
        let text = Reply::new("info", &value).text()?;
        let said = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().to_owned())
        };
        let mode = said("redis_mode").or_else(|| said("server_mode")).unwrap_or_default();
        Ok(said("redis_version").map(|version| ServerKind { version, mode }))
    }
}

fn lane(reply: Reply<'_>) -> Result<LanePicture, StoreError> {
    Ok(LanePicture {
        length: reply.at(0)?.number()?,
        pending: reply.at(1)?.number()?,
        head_ms: reply.at(2)?.parsed().ok().map(|id: StreamId| id.ms),
        consumers: consumers(reply.at(3)?)?,
        added: reply.at(4)?.number().ok(),
    })
}

/// Rows of the registry: consumer, when it was last seen and what it says of itself. One that somebody else wrote is a
/// consumer never seen.
pub(super) fn rows(reply: Reply<'_>) -> Result<Vec<(String, u64, String)>, StoreError> {
    let row = |row: Reply<'_>| {
        let text = row.at(1)?.text().unwrap_or_default();
        let (seen, about) = text.split_once(' ').unwrap_or_default();
        Ok((lossy(row.at(0)?)?, seen.parse().unwrap_or_default(), about.to_owned()))
    };
    reply.list()?.map(row).collect()
}

/// What XINFO CONSUMERS says.
pub(super) fn consumers(reply: Reply<'_>) -> Result<Vec<ConsumerInfo>, StoreError> {
    reply
        .list()?
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
                name: lossy(value("name")?)?,
                pending: value("pending")?.number()?,
                idle_ms: value("idle")?.number()?,
            })
        })
        .collect()
}

fn name(kind: Reply<'_>, said: Reply<'_>) -> Result<Name, StoreError> {
    Ok(match kind.text()? {
        "name" => Name::Known(lossy(said)?),
        "json" => name_of(said.bytes()?).map_or(Name::Beyond, Name::Known),
        _ => Name::Gone,
    })
}

/// Empty where nothing was said; what another program has put there is nothing either.
fn progress(reply: Reply<'_>) -> Result<Option<(u64, String)>, StoreError> {
    let said = lossy(reply)?;
    let parts = said.split_once(' ');
    Ok(parts.and_then(|(at, said)| Some((at.parse().ok()?, said.to_owned()))))
}

/// What other programs have named may be no text.
pub(super) fn lossy(reply: Reply<'_>) -> Result<String, StoreError> {
    Ok(String::from_utf8_lossy(reply.bytes()?).into_owned())
}

/// Empty after the last page.
fn cursor_of(reply: Reply<'_>) -> Result<Option<String>, StoreError> {
    let cursor = reply.text()?;
    Ok((!cursor.is_empty()).then(|| cursor.to_owned()))
}
