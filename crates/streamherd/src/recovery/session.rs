//! Which store this is: its epoch, its clock, and until when it hands out nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;
use crate::config::Settings;
use crate::error::ConnectError;
use crate::id::Epoch;
use crate::store::{Greeting, Hello, HelloRefusal, Store, StoreError};

/// The epoch that this client works under in one partition, and what else hello has told.
#[derive(Debug)]
pub(crate) struct Session(Mutex<State>);

#[derive(Debug, Clone)]
struct State {
    epoch: Epoch,
    /// The number of that epoch. It grows, as a lease is compared by it with the last one under which the store had it.
    era: u64,
    /// The last number that was drawn.
    drawn: u64,
    /// And how often the data was gone under a new one.
    losses: u64,
    clock: ServerClock,
    quiet_until: Moment,
}

/// The answer to a hello that is not taken over yet.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) epoch: Epoch,
    pub(crate) news: News,
    quiet_until: Moment,
    clock: ServerClock,
}

/// What is new since the last hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Nothing,
    /// The data is still there, but the last writes may not be: a failover, a restart from a snapshot, a clock that jumped.
    Generation,
    /// The data is gone.
    Loss,
}

/// What the server's clock said, at some moment between the question and the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ServerClock {
    us: u64,
    asked: Moment,
    came: Moment,
}

/// A clock that is further off than this has jumped; one that is set right in small steps has not.
const JUMP: Duration = Duration::from_millis(500);

impl ServerClock {
    /// Whether an answer that was asked for at `asked` and came at `came` can't be from a clock that ran on evenly.
    fn has_jumped(self, asked: Moment, came: Moment, us: u64) -> bool {
        let earliest = self
            .us
            .saturating_add(micros(self.came.until(asked)))
            .saturating_sub(micros(JUMP));
        us < earliest || us > self.latest(came)
    }

    /// The latest time that it may show at `moment`.
    fn latest(self, moment: Moment) -> u64 {
        self.us.saturating_add(micros(self.asked.until(moment) + JUMP))
    }
}

impl Session {
    /// The first hello.
    ///
    /// # Errors
    /// What makes this service impossible here.
    pub(crate) async fn open(store: &Store, partition: u16, settings: &Settings) -> Result<Self, ConnectError> {
        let scans = !settings.recovery.scan_interval.is_zero();
        let greeting = Greeting {
            lock_ttl: settings.lock_ttl,
            min_idle: scans.then_some(settings.min_idle),
            partitions: settings.partitions_in(partition),
            known: None,
            jumped: false,
        };
        let asked = Moment::now();
        let answer = store.hello(greeting).await?;
        let came = Moment::now();
        match answer {
            Ok(hello) => Ok(Self(Mutex::new(State {
                epoch: hello.epoch,
                era: 0,
                drawn: 0,
                losses: 0,
                clock: ServerClock {
                    us: hello.now_us,
                    asked,
                    came,
                },
                quiet_until: came + hello.quiet,
            }))),
            Err(HelloRefusal::WrongType { key, found, expected }) => {
                Err(ConnectError::WrongType { key, found, expected })
            }
            Err(HelloRefusal::FleetTtl { largest }) => Err(ConnectError::FleetTtl {
                largest,
                min_idle: settings.min_idle,
            }),
            Err(HelloRefusal::Partitions { stored }) => Err(settings.other_partitions(stored)),
        }
    }

    /// The epoch, and its number among those that this process has seen.
    pub(crate) fn current(&self) -> (Epoch, u64) {
        let state = self.state();
        (state.epoch.clone(), state.era)
    }

    /// For how long this partition hands out nothing, as far as is known.
    pub(crate) fn quiet_left(&self) -> Duration {
        Moment::now().until(self.state().quiet_until)
    }

    /// The store has said so.
    pub(crate) fn quiet_for(&self, span: Duration) {
        let mut state = self.state();
        state.quiet_until = state.quiet_until.max(Moment::now() + span);
    }

    /// The latest time, in microseconds, that the server's clock may show to a call that is answered within `patience`.
    pub(crate) fn latest_us(&self, patience: Duration) -> u64 {
        self.state().clock.latest(Moment::now() + patience)
    }

    /// Asks the store again. A running worker does not stop because a newcomer uses a larger `lock_ttl`: the locks protect
    /// that one's streams.
    ///
    /// # Errors
    /// Redis did not answer, or the service has become impossible.
    pub(crate) async fn hello(&self, store: &Store, partition: u16, settings: &Settings) -> Result<Heard, StoreError> {
        let before = self.state().clone();
        let mut jumped = false;
        loop {
            let asked = Moment::now();
            let greeting = Greeting {
                lock_ttl: settings.lock_ttl,
                min_idle: None,
                partitions: settings.partitions_in(partition),
                known: Some(&before.epoch),
                jumped,
            };
            let hello = match store.hello(greeting).await? {
                Ok(hello) => hello,
                Err(refusal) => return Err(StoreError::hello_refused(&format!("{refusal:?}"))),
            };
            let came = Moment::now();
            // All locks expire at once where it went ahead, and live on where it went back. Another server has another
            // clock, and is a new generation anyway.
            if !jumped && hello.epoch == before.epoch && before.clock.has_jumped(asked, came, hello.now_us) {
                jumped = true;
                continue;
            }
            return Ok(heard(&before.epoch, hello, asked, came));
        }
    }

    /// A number for an epoch that was heard of, under which what is held is restored before it is adopted.
    ///
    /// Never one that was drawn before. Interleaving: a loss, and a part of what is held is restored under the new epoch; Redis
    /// is gone again before the rest is, for longer than those leases live, and comes back empty. They are not restored a second
    /// time then, and if this epoch had the number of that one, the settler would take the store to know them.
    pub(crate) fn draw_era(&self) -> u64 {
        let mut state = self.state();
        state.drawn += 1;
        state.drawn
    }

    /// Works under what was heard from now on. Returns how often the data was lost so far.
    pub(crate) fn adopt(&self, heard: Heard) -> u64 {
        let mut state = self.state();
        if heard.news != News::Nothing {
            state.era = state.drawn;
        }
        state.losses += u64::from(heard.news == News::Loss);
        state.epoch = heard.epoch;
        state.clock = heard.clock;
        state.quiet_until = heard.quiet_until;
        state.losses
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn heard(known: &Epoch, hello: Hello, asked: Moment, came: Moment) -> Heard {
    Heard {
        news: match () {
            () if hello.epoch == *known => News::Nothing,
            () if hello.epoch.id() == known.id() => News::Generation,
            () => News::Loss,
        },
        epoch: hello.epoch,
        quiet_until: came + hello.quiet,
        clock: ServerClock {
            us: hello.now_us,
            asked,
            came,
        },
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::default() + Duration::from_millis(ms)
    }

    proptest! {
        #[test]
        fn an_even_clock_never_jumps_however_late_its_answers(
            start in 1_000_000_u64..1 << 50, first in (0_u64..5_000, 0_u64..5_000), gap in 0_u64..100_000, then in (0_u64..5_000, 0_u64..5_000)
        ) {
            // The server looked at its clock after the way there, each time.
            let clock = ServerClock { us: start + first.0 * 1_000, asked: at(0), came: at(first.0 + first.1) };
            let asked = first.0 + first.1 + gap;
            let said = start + (asked + then.0) * 1_000;
            prop_assert!(!clock.has_jumped(at(asked), at(asked + then.0 + then.1), said));
        }

        #[test]
        fn a_jump_beyond_the_bound_is_noticed(gap in 0_u64..100_000, way in 0_u64..200, jump in 501_u64..1_000_000) {
            let clock = ServerClock { us: 1 << 50, asked: at(0), came: at(0) };
            let (asked, came) = (at(gap), at(gap + way));
            prop_assert!(clock.has_jumped(asked, came, (1 << 50) + (gap + way + jump) * 1_000));
            prop_assert!(clock.has_jumped(asked, came, (1_u64 << 50).saturating_add(gap * 1_000).saturating_sub(jump * 1_000)));
        }
    }

    #[test]
    fn another_generation_is_no_loss_and_another_id_is() {
        let known = Epoch("abc.1".to_owned());
        let news = |epoch: &str| {
            let hello = Hello {
                epoch: Epoch(epoch.to_owned()),
                quiet: Duration::ZERO,
                now_us: 0,
            };
            heard(&known, hello, at(0), at(0)).news
        };
        assert_eq!(news("abc.1"), News::Nothing);
        assert_eq!(news("abc.2"), News::Generation);
        assert_eq!(news("abd.1"), News::Loss);
        assert_eq!(
            news("abc"),
            News::Generation,
            "an epoch of an earlier version has no generation"
        );
    }
}
