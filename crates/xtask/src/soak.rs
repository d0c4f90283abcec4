//! What `cargo xtask soak` is told.

use std::time::{SystemTime, UNIX_EPOCH};

/// How long the chaos suite is to run, where, and with which faults.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Soak {
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    /// The test to run; all of them where none is named.
    pub(crate) test: Option<&'static str>,
}

impl Soak {
    pub(crate) fn parse(args: &[&str]) -> Result<Self, String> {
        let mut soak = Self {
            seconds: 20 * 60,
            seed: any_seed(),
            test: None,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} wants a value"))?;
            let number = || value.parse::<u64>().map_err(|e| format!("{name} {value}: {e}"));
            match *name {
                "--minutes" => soak.seconds = 60 * number()?.max(1),
                "--seed" => soak.seed = number()?,
                "--topology" => soak.test = Some(test_of(value)?),
                _ => return Err(format!("soak knows no {name}")),
            }
        }
        Ok(soak)
    }
}

fn test_of(topology: &str) -> Result<&'static str, String> {
    match topology {
        "standalone" => Ok("nothing_is_lost_on_a_standalone_server"),
        "sentinel" => Ok("nothing_is_lost_under_sentinels"),
        "cluster" => Ok("nothing_is_lost_on_a_cluster"),
        _ => Err(format!("no topology {topology}: standalone, sentinel or cluster")),
    }
}

/// Another one each time, and short enough to be typed again.
fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| u64::from(now.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_twenty_minutes_of_everything() {
        let soak = Soak::parse(&[]).unwrap();
        assert_eq!((soak.seconds, soak.test), (1_200, None));
        let soak = Soak::parse(&["--topology", "cluster", "--seed", "7", "--minutes", "3"]).unwrap();
        let test = Some("nothing_is_lost_on_a_cluster");
        assert_eq!(
            soak,
            Soak {
                seconds: 180,
                seed: 7,
                test
            }
        );
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for args in [
            &["--minutes"][..],
            &["--minutes", "x"],
            &["--topology", "ring"],
            &["--hours", "1"],
        ] {
            assert!(Soak::parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn the_tests_are_there() {
        let chaos = include_str!("../../../tests/chaos.rs");
        for topology in ["standalone", "sentinel", "cluster"] {
            let name = test_of(topology).unwrap();
            assert!(chaos.contains(&format!("async fn {name}()")), "{name}");
        }
    }
}
