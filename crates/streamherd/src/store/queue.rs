use std::time::Duration;

use fred::interfaces::{ClientInterface, ClientLike, StreamsInterface};
use fred::types::{ClusterHash, CustomCommand, Value};

use super::connection::options;
use super::hello::millis;
use super::packed::Unpacker;
use super::reply::Reply;
use super::script::{Call, READ, SEIZE};
use super::{Judged, Store, StoreError};
use crate::clock::Moment;
use crate::entry::{Fields, MAX_ENTRY_BYTES, MAX_FIELDS, Poison};
use crate::id::{EntryId, Epoch, Lane, StreamId, Token};

/// An entry as Redis has it.
#[derive(Debug, Clone)]
pub(crate) struct RawEntry {
    pub(crate) id: EntryId,
    pub(crate) fields: Fields,
}

/// An entry that was read, and what has become of its lock by that.
#[derive(Debug)]
pub(crate) struct TakenEntry {
    pub(crate) id: EntryId,
    /// Without what is too large to be a lease.
    pub(crate) fields: Result<Fields, Poison>,
    pub(crate) locked: Locked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// It is a lease with this fencing token.
    Mine(Token),
    /// Its owner lives and holds the lock.
    Held,
    /// Not yet: it is to be [acquired](Store::acquire).
    Open,
}

impl RawEntry {
    pub(crate) fn open(self) -> TakenEntry {
        TakenEntry {
            id: self.id,
            fields: Ok(self.fields),
            locked: Locked::Open,
        }
    }
}

/// What a read came to.
#[derive(Debug)]
pub(crate) enum Taken {
    Entries(Vec<TakenEntry>),
    /// This consumer is to take no new work.
    Paused,
}

/// Has what a blocked read returns locked in the same breath.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seize<'a> {
    pub(crate) epoch: &'a Epoch,
    pub(crate) ttl: Duration,
    /// The last ids that this consumer knows of, of the front and the other lane.
    pub(crate) after: [StreamId; 2],
}

/// What a blocked read came to.
#[derive(Debug)]
pub(crate) struct Waited {
    pub(crate) entries: Vec<TakenEntry>,
    /// Nothing was locked before this.
    pub(crate) start: Moment,
}

impl Waited {
    /// Takes in which locks were made, `['ok', [entry, token]…, µs]`, and when, by the server's clock.
    ///
    /// A lease counts from when its lock was *sent* for, which here is a whole BLOCK too early. The server's clock was read as
    /// the wait began and as it ended, and what has passed there since has passed here. Where more has passed there, its clock
    /// was set forward, and the lock is left to be acquired; one that was set back makes the lease end too early here.
    fn seized(&mut self, clock: Reply<'_>, seized: Reply<'_>) -> Result<(), StoreError> {
        if seized.outcome()? != "ok" {
            return Ok(());
        }
        let began = clock
            .at(0)?
            .number()?
            .saturating_mul(1_000_000)
            .saturating_add(clock.at(1)?.number()?);
        let locks: Vec<_> = seized.list()?.skip(1).collect();
        let Some((ended, locks)) = locks.split_last() else {
            return Ok(());
        };
        let passed = Duration::from_micros(ended.number()?.saturating_sub(began));
        if self.start + passed > Moment::now() {
            return Ok(());
        }
        let mut locked = Vec::with_capacity(locks.len());
        for lock in locks {
            locked.push((lock.at(0)?.parsed::<EntryId>()?, Token(lock.at(1)?.number()?)));
        }
        for (id, token) in locked {
            for entry in self.entries.iter_mut().filter(|entry| entry.id == id) {
                entry.locked = Locked::Mine(token);
            }
        }
        self.start = self.start + passed;
        Ok(())
    }
}

fn command(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::FirstKey, false)
}

/// How long after its BLOCK a read may still answer; generous, as some 7.2 servers restart the timer.
const READ_SLACK: Duration = Duration::from_secs(1);

/// One call takes little more than this: about 2 ms of Redis.
const TAKE_BYTES: u64 = 256 * 1024;

impl Store {
    /// Takes what waits, at most `count` entries, the front lane before the other, into this consumer's pending entries
    /// list, and locks what nobody was given before.
    pub(crate) async fn take(&self, epoch: &Epoch, ttl: Duration, count: usize) -> Result<Judged<Taken>, StoreError> {
        let call = Call::on(&self.keys)
            .arg(epoch.arg())
            .arg(self.consumer.as_str())
            .arg(self.consumer.name())
            .number(count as u64)
            .number(TAKE_BYTES)
            .number(millis(ttl))
            .number(MAX_FIELDS as u64)
            .number(MAX_ENTRY_BYTES as u64);
        let value = self.line.run(&READ, call, self.timeout).await?;
        let reply = Reply::new(READ.name, &value);
        match reply.outcome()? {
            "ok" => {}
            "paused" => return Ok(Judged::Ok(Taken::Paused)),
            "epoch" => return Ok(Judged::EpochChanged),
            "quiet" => return Ok(Judged::Quiet(super::lease::quiet(reply)?)),
            _ => return Err(reply.unexpected("an outcome of read")),
        }
        Ok(Judged::Ok(Taken::Entries(taken(&mut Unpacker::of(reply.at(1)?)?)?)))
    }

    /// Waits for one entry in each of the lanes, and returns when there is one in any; where `seize` says so, locked.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped read still assigns what it finds. End it with [`Store::unblock`].
    pub(crate) async fn wait_for_one(
        &self,
        lanes: &[Lane],
        block: Duration,
        seize: Option<Seize<'_>>,
    ) -> Result<Waited, StoreError> {
        let connection = self.line.connection().await?;
        let timeout = block + READ_SLACK + self.timeout;
        let client = connection.client.with_options(&options(timeout));
        let keys: Vec<&str> = lanes.iter().map(|lane| self.keys.stream(*lane)).collect();
        let read = client.xreadgroup::<Value, _, _, _, _>(
            self.keys.group(),
            self.consumer.as_str(),
            Some(1),
            Some(millis(block)),
            false,
            keys,
            vec![">"; lanes.len()],
        );
        let read = connection.timed("read", read);
        let sent = Moment::now();
        let (read, seized) = match seize {
            None => (read.await, None),
            Some(seize) => {
                // One behind the other on one connection: the server answers the last as soon as the read is over.
                let (clock, read, seized) = tokio::join!(
                    biased;
                    client.custom::<Value, Value>(command("TIME"), vec![]),
                    read,
                    client.custom::<Value, Value>(command("EVALSHA"), self.seizing(seize).after(&SEIZE.loaded.1)),
                );
                (read, clock.ok().zip(seized.ok()))
            }
        };
        let value = read.inspect_err(|e| self.line.note(e))?;
        let reply = Reply::new("read", &value);
        let mut waited = Waited {
            entries: Vec::new(),
            start: sent,
        };
        if reply.is_nil() {
            return Ok(waited);
        }
        for stream in reply.list()? {
            let lane = if stream.at(0)?.text()? == self.keys.front {
                Lane::Front
            } else {
                Lane::Input
            };
            let entries = raw_entries(lane, stream.at(1)?)?;
            waited.entries.extend(entries.into_iter().map(RawEntry::open));
        }
        // Whatever is wrong with it, what is not locked is acquired by itself, or found to be locked.
        if let Some((clock, seized)) = &seized {
            waited
                .seized(Reply::new("time", clock), Reply::new(SEIZE.name, seized))
                .unwrap_or_default();
        }
        Ok(waited)
    }

    fn seizing(&self, seize: Seize<'_>) -> Call {
        let [front, input] = seize.after;
        Call::on(&self.keys)
            .arg(seize.epoch.arg())
            .arg(self.consumer.as_str())
            .arg(self.consumer.name())
            .number(millis(seize.ttl))
            .arg(front.to_string())
            .arg(input.to_string())
    }

    /// The ids of the connections of this handle, for [`Store::unblock`].
    pub(crate) fn connection_ids(&self) -> Vec<i64> {
        let open = self.line.open_connection();
        open.map_or_else(Vec::new, |open| open.client.connection_ids().into_values().collect())
    }

    /// Ends a blocked read of the connection with that id, as if its BLOCK were over.
    pub(crate) async fn unblock(&self, connection_id: i64) -> Result<(), StoreError> {
        let args = vec!["UNBLOCK".into(), connection_id.into(), "TIMEOUT".into()];
        self.line
            .command("unblock", "CLIENT", args, self.timeout)
            .await
            .map(drop)
    }

    /// Ids pending under this consumer's name in one lane, after `after`, at most `count`.
    pub(crate) async fn pending_of_mine(
        &self,
        lane: Lane,
        after: Option<StreamId>,
        count: usize,
    ) -> Result<Vec<EntryId>, StoreError> {
        let start = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let args: Vec<Value> = vec![
            self.keys.stream(lane).into(),
            self.keys.group().into(),
            start.into(),
            "+".into(),
            count.to_string().into(),
            self.consumer.as_str().into(),
        ];
        let value = self.line.command("audit", "XPENDING", args, self.timeout).await?;
        Reply::new("audit", &value)
            .list()?
            .map(|record| {
                let id = record.at(0)?.stream_id()?;
                Ok(EntryId { lane, id })
            })
            .collect()
    }

    /// The body of one entry, if it is still there.
    pub(crate) async fn body(&self, id: EntryId) -> Result<Option<RawEntry>, StoreError> {
        let text = id.id.to_string();
        let args: Vec<Value> = vec![
            self.keys.stream(id.lane).into(),
            text.as_str().into(),
            text.as_str().into(),
        ];
        let value = self.line.command("body", "XRANGE", args, self.timeout).await?;
        let Some(found) = Reply::new("body", &value).list()?.next() else {
            return Ok(None);
        };
        let (_, fields) = found.entry()?;
        Ok(Some(RawEntry { id, fields }))
    }
}

/// A list per lane of `[id, [field, value, …], token]`.
pub(super) fn taken(packed: &mut Unpacker<'_>) -> Result<Vec<TakenEntry>, StoreError> {
    let mut entries = Vec::new();
    for lane in Lane::ALL.into_iter().take(packed.list()?) {
        let count = packed.list()?;
        entries.reserve(count);
        for _ in 0..count {
            packed.list()?;
            let id = packed.parsed()?;
            let count = packed.list()? / 2;
            // As long as it has to be: it is kept for as long as the lease.
            let mut fields = Fields::with_capacity(count.min(MAX_FIELDS));
            for _ in 0..count {
                fields.push((packed.bytes()?.to_vec(), packed.bytes()?.to_vec()));
            }
            let (fields, locked) = match packed.number()? {
                -2 => (Err(too_large(&fields)), Locked::Open),
                0 => (Ok(fields), Locked::Open),
                token => {
                    let locked = u64::try_from(token).map_or(Locked::Held, |token| Locked::Mine(Token(token)));
                    (Ok(fields), locked)
                }
            };
            entries.push(TakenEntry {
                id: EntryId { lane, id },
                fields,
                locked,
            });
        }
    }
    Ok(entries)
}

/// Told by their numbers alone.
fn too_large(told: &Fields) -> Poison {
    let number = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (fields, bytes) = told
        .first()
        .map_or_else(Default::default, |(fields, bytes)| (number(fields), number(bytes)));
    Poison::too_large(fields, bytes)
}

fn raw_entries(lane: Lane, entries: Reply<'_>) -> Result<Vec<RawEntry>, StoreError> {
    entries
        .list()?
        .map(|entry| {
            let (id, fields) = entry.entry()?;
            Ok(RawEntry {
                id: EntryId { lane, id },
                fields,
            })
        })
        .collect()
}

impl StoreError {
    /// The group or the stream is gone; hello makes them again.
    pub(crate) fn is_no_group(&self) -> bool {
        self.says("NOGROUP") || self.says("stream key no longer exists")
    }
}
