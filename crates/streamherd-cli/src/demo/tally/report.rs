//! The tally as people read it.

use std::fmt;
use std::time::Duration;

use super::Tally;
use super::aftermath::Aftermath;
use super::recovery::Recovery;

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String, remark: &str| {
            writeln!(f, "{}", format!("{name:<14}{value:<10}{remark}").trim_end())
        };
        row("submitted", self.submitted.to_string(), "")?;
        row("done", self.done.to_string(), "")?;
        row(
            "re-queued",
            self.requeued.to_string(),
            "started again by another worker",
        )?;
        if self.restart.is_some() {
            row("run again", self.run_again.to_string(), "started more than once")?;
        }
        let causes = self.duplicates_by_cause.iter();
        let mut causes = causes.map(|(cause, count)| format!("{count} {cause}"));
        let duplicates = self.duplicates.to_string();
        row("duplicates", duplicates, &causes.next().unwrap_or_default())?;
        for cause in causes {
            row("", String::new(), &cause)?;
        }
        let late = "no worker said done; of them Redis may have those left";
        row(
            "lost",
            self.lost.to_string(),
            if self.lost > 0 && self.left > 0 { late } else { "" },
        )?;
        if self.left > 0 {
            row("left", self.left.to_string(), "still queued, delayed or pending")?;
        }
        let overlapping = match self.overlapping {
            0 => "none".to_owned(),
            n => n.to_string(),
        };
        row("overlapping", overlapping, "streams with two valid leases at one time")?;
        for violation in &self.violations {
            row("violation", String::new(), violation)?;
        }
        row("dead letters", self.dead_letters.to_string(), "")?;
        row("killed", self.killed.worker.clone(), &self.killed.to_string())?;
        row("stopped", self.stopped.worker.clone(), &self.stopped.to_string())?;
        if self.data_losses > 0 || self.restart.is_some() {
            let (what, when) = self.restart.as_ref().map(Aftermath::describe).unwrap_or_default();
            row("data losses", self.data_losses.to_string(), &what)?;
            row("", String::new(), &when)?;
        }
        if self.unclean_exits > 0 {
            row(
                "unclean exits",
                self.unclean_exits.to_string(),
                "workers that did not end with 0",
            )?;
        }
        row("took", format!("{:.1} s", self.seconds), "")
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in the middle of {}; {} re-assigned", self.held, self.reassigned)?;
        if let (Some(first), Some(last)) = (self.first_ms, self.last_ms) {
            write!(f, " after {:.2} to {:.2} s", seconds(first), seconds(last))?;
        }
        Ok(())
    }
}

impl Aftermath {
    /// What became of what was held, and when.
    fn describe(&self) -> (String, String) {
        let what = format!("in the middle of {}; {} went on", self.held, self.went_on);
        let mut when = format!("away {:.2} s", seconds(self.away_ms));
        if let Some(noticed) = self.noticed_ms {
            when += &format!("; noticed in {:.2} s", seconds(noticed));
        }
        if let Some(resumed) = self.resumed_ms {
            when += &format!("; new work in {:.2} s", seconds(resumed));
        }
        (what, when)
    }
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}
