//! What coalescing means, without Redis: the work queue of a Kubernetes controller, with delays.
//!
//! A name is absent, or exists once: queued, delayed or held. A wish (a submit) that comes meanwhile is remembered as one
//! more run after this one, unless the run that waits will do. Other entries of the same name (what foreign programs add)
//! are runs of their own.

mod stream;
mod tests;

use std::collections::BTreeMap;

/// Milliseconds by the clock of Redis; whatever is not after the present is now.
pub(super) type Ms = u64;

/// That a stream be worked on, with this info, not before that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) info: u8,
    pub(super) due: Ms,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Queued,
    Delayed(Ms),
    Held,
    /// Its body is there and nobody is given it: acknowledged by another program.
    Stranded,
    /// Its body was deleted by another program.
    Deleted,
}

/// A name that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) info: u8,
    pub(super) place: Place,
    pub(super) wanted: Option<Wish>,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    /// A failed attempt, repeated after that many milliseconds.
    Retry(Ms),
    Release,
    DeadLetter,
    /// Its worker died.
    Crash,
}

/// A run that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) name: char,
    number: u64,
    pub(super) coalesced: bool,
}

/// What a store is to look like: per name the stream, and all other entries, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Picture {
    pub(super) streams: BTreeMap<char, Stream>,
    pub(super) others: Vec<(char, u8, Place)>,
    pub(super) dead: usize,
    /// Locks of runs that nobody has ended.
    pub(super) locks: usize,
}

impl Picture {
    /// With wishes that are due all alike.
    #[must_use]
    pub(super) fn at(mut self, now: Ms) -> Self {
        for stream in self.streams.values_mut() {
            if let Some(wanted) = &mut stream.wanted {
                wanted.due = wanted.due.max(now);
            }
        }
        self.others.sort_unstable();
        self
    }
}

/// A service's names, and what its producers were promised.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: Ms,
    streams: BTreeMap<char, (Stream, u64)>,
    others: Vec<(char, u8, Place, u64)>,
    /// Wishes that no run has served yet, and all infos that were wished for from then on.
    unserved: Vec<(char, Vec<u8>)>,
    runs: u64,
    locks: usize,
    pub(super) dead: usize,
}

impl Model {
    pub(super) fn at(now: Ms) -> Self {
        Self { now, ..Self::default() }
    }

    /// Wishes for a run. True if that put the name on the queue.
    pub(super) fn submit(&mut self, name: char, wish: Wish) -> bool {
        self.promise(name, wish.info);
        let now = self.now;
        match self.streams.get_mut(&name) {
            Some((stream, number)) => {
                let new = stream.place == Place::Deleted;
                if new {
                    *number = 0;
                }
                *stream = stream.wish(now, wish);
                new
            }
            None => {
                self.streams.insert(name, (Stream::waiting(now, wish), 0));
                true
            }
        }
    }

    fn promise(&mut self, name: char, info: u8) {
        self.unserved.push((name, Vec::new()));
        for (_, infos) in self.unserved.iter_mut().filter(|(of, _)| *of == name) {
            infos.push(info);
        }
    }

    /// An entry of its own.
    pub(super) fn add(&mut self, name: char, info: u8) {
        self.others.push((name, info, Place::Queued, 0));
    }

    /// Whether anything can be given to a worker.
    pub(super) fn any_queued(&self) -> bool {
        self.streams.values().any(|(s, _)| s.place == Place::Queued)
            || self.others.iter().any(|other| other.2 == Place::Queued)
    }

    /// A worker is given an entry.
    pub(super) fn start(&mut self, name: char, info: u8, coalesced: bool) -> Run {
        self.runs += 1;
        self.locks += 1;
        let number = self.runs;
        if coalesced {
            let Some((stream, of)) = self.streams.get_mut(&name) else {
                panic!("{name} was handed out and is not there")
            };
            assert_eq!(
                (stream.place, stream.info),
                (Place::Queued, info),
                "{name} was handed out"
            );
            stream.place = Place::Held;
            *of = number;
            self.unserved
                .retain(|(of, infos)| *of != name || !infos.contains(&info));
        } else {
            let found = self
                .others
                .iter_mut()
                .find(|o| (o.0, o.1, o.2) == (name, info, Place::Queued));
            let other = found.unwrap_or_else(|| panic!("another {name} was handed out and is not there"));
            (other.2, other.3) = (Place::Held, number);
        }
        Run {
            name,
            number,
            coalesced,
        }
    }

    /// A run is over. False where there was nothing to end any more: then the settlement finds its entry gone.
    pub(super) fn end(&mut self, run: Run, end: End) -> bool {
        self.locks -= 1;
        let now = self.now;
        let waits = match end {
            End::Retry(delay) if delay > 0 => now + delay,
            _ => 0,
        };
        if !run.coalesced {
            let at = self.others.iter().position(|other| other.3 == run.number);
            let at = at.expect("another program deletes no entry of its own here");
            if matches!(end, End::Done | End::DeadLetter) {
                self.others.remove(at);
                self.dead += usize::from(end == End::DeadLetter);
            } else {
                let place = if waits > now {
                    Place::Delayed(waits)
                } else {
                    Place::Queued
                };
                (self.others[at].2, self.others[at].3) = (place, 0);
            }
            return true;
        }
        let Some((stream, number)) = self.streams.get(&run.name).copied() else {
            return false;
        };
        if number != run.number {
            return false;
        }
        let there = stream.place == Place::Held;
        let next = match end {
            // Only a sweep can find out whose it was.
            End::Crash if !there => Some(stream),
            End::Done | End::DeadLetter => stream.ended(now),
            _ if !there => stream.ended(now),
            End::Retry(_) | End::Release | End::Crash => Some(stream.again(now, waits)),
        };
        self.dead += usize::from(there && end == End::DeadLetter);
        match next {
            Some(stream) => drop(self.streams.insert(run.name, (stream, 0))),
            None => drop(self.streams.remove(&run.name)),
        }
        there
    }

    /// Another program acknowledges a held entry whose worker is dead.
    pub(super) fn strand(&mut self, run: Run) -> bool {
        match self.streams.get_mut(&run.name) {
            Some((stream, number)) if run.coalesced && *number == run.number && stream.place == Place::Held => {
                stream.place = Place::Stranded;
                *number = 0;
                self.locks -= 1;
                true
            }
            _ => false,
        }
    }

    /// Another program deletes what stands for a name, and with it what that would have served; not what is wanted after it.
    pub(super) fn delete(&mut self, name: char) -> Option<Place> {
        let (stream, _) = self.streams.get_mut(&name)?;
        if stream.place == Place::Deleted {
            return None;
        }
        let was = std::mem::replace(&mut stream.place, Place::Deleted);
        let wanted = stream.wanted;
        self.unserved.retain(|(of, _)| *of != name);
        if let Some(wanted) = wanted {
            self.promise(name, wanted.info);
        }
        Some(was)
    }

    /// What other programs stranded or deleted is tidied up.
    pub(super) fn sweep(&mut self) {
        let now = self.now;
        self.streams = std::mem::take(&mut self.streams)
            .into_iter()
            .filter_map(|(name, (stream, number))| {
                Some(match stream.place {
                    Place::Deleted => (name, (stream.ended(now)?, 0)),
                    Place::Stranded => (name, (stream.again(now, 0), 0)),
                    _ => (name, (stream, number)),
                })
            })
            .collect();
    }

    /// Whether a sweep would do anything.
    pub(super) fn is_untidy(&self) -> bool {
        let untidy = |place| matches!(place, Place::Deleted | Place::Stranded);
        self.streams.values().any(|(stream, _)| untidy(stream.place))
    }

    /// What is due is queued.
    pub(super) fn promote(&mut self) {
        let now = self.now;
        let places = self.streams.values_mut().map(|(stream, _)| &mut stream.place);
        for place in places.chain(self.others.iter_mut().map(|other| &mut other.2)) {
            if matches!(place, Place::Delayed(due) if *due <= now) {
                *place = Place::Queued;
            }
        }
    }

    /// What a name waits for has come.
    pub(super) fn bring_forward(&mut self, name: char) {
        if let Some((stream, _)) = self.streams.get_mut(&name)
            && matches!(stream.place, Place::Delayed(_))
        {
            stream.place = Place::Queued;
        }
    }

    /// What the others wait for has come.
    pub(super) fn bring_others_forward(&mut self) {
        for (_, _, place, _) in &mut self.others {
            if matches!(place, Place::Delayed(_)) {
                *place = Place::Queued;
            }
        }
    }

    /// Whether there is nothing at all.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.others.is_empty()
    }

    /// The last time that anything waits for.
    pub(super) fn latest_due(&self) -> Ms {
        let delayed = |place| match place {
            Place::Delayed(due) => due,
            _ => 0,
        };
        let streams = self.streams.values().map(|(stream, _)| {
            let wanted = stream.wanted.map_or(0, |wanted| wanted.due);
            delayed(stream.place).max(wanted)
        });
        streams
            .chain(self.others.iter().map(|other| delayed(other.2)))
            .max()
            .unwrap_or(0)
    }

    pub(super) fn stream(&self, name: char) -> Option<Stream> {
        self.streams.get(&name).map(|(stream, _)| *stream)
    }

    pub(super) fn picture(&self) -> Picture {
        Picture {
            streams: self
                .streams
                .iter()
                .map(|(name, (stream, _))| (*name, *stream))
                .collect(),
            others: self.others.iter().map(|o| (o.0, o.1, o.2)).collect(),
            dead: self.dead,
            locks: self.locks,
        }
        .at(self.now)
    }

    /// At the end: no wish may be left that no run has served.
    pub(super) fn assert_served(&self) {
        assert!(self.unserved.is_empty(), "no run served {:?}", self.unserved);
    }
}
