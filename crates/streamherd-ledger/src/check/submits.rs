//! What became of what was submitted.

use std::collections::BTreeMap;

use super::{Runs, Violation};
use crate::history::{Held, History, Submit};
use crate::line::{Answer, End};

/// The acknowledged submits that nobody finished, and how many others were finished by somebody who never learned what
/// Redis said.
pub(super) fn unfinished<'a>(history: &'a History, runs: &Runs<'_>) -> (Vec<&'a Submit>, usize) {
    let mut died_settling = 0;
    let mut lost = Vec::new();
    for submit in history.submits.iter().filter(|submit| submit.acknowledged().is_some()) {
        let leases = runs.of_stream.get(&*submit.stream).map_or(&[][..], |leases| leases);
        // A run that was handed out before the submit was asked for began without knowing of it.
        let first = leases.partition_point(|held| held.handed_out < submit.asked);
        let later = &leases[first..];
        if later
            .iter()
            .any(|held| held.ended.is_some_and(|(_, end)| end.is_final()))
        {
            continue;
        }
        // Redis may have taken the last thing that a worker asked for. Had it not, somebody else would have been
        // handed the stream, as a history is taken when nothing is left.
        if later.last().is_some_and(|held| may_be_over(history, held)) {
            died_settling += 1;
        } else {
            lost.push(submit);
        }
    }
    (lost, died_settling)
}

fn may_be_over(history: &History, held: &Held) -> bool {
    let Some((asked, how)) = held.asked else {
        return false;
    };
    let killed = || {
        let mut faults = history.faults.iter();
        faults.any(|fault| fault.is_fatal() && fault.hits(held) && fault.until >= asked)
    };
    how.is_final()
        && match held.ended {
            None => killed(),
            // Whether there was a reason for that is judged by itself.
            Some((_, end)) => end == End::Unknown,
        }
}

/// Submits that were said to be certainly not queued, and were: the first answers to a name that nobody else submits
/// were refusals, and then it was there already.
pub(super) fn wrongly_refused(history: &History) -> Vec<Violation> {
    let mut of_stream: BTreeMap<_, Vec<&Submit>> = BTreeMap::new();
    for submit in &history.submits {
        of_stream.entry(&submit.stream).or_default().push(submit);
    }
    let mut wrong = Vec::new();
    for submits in of_stream.into_values() {
        let is_one = submits
            .iter()
            .all(|submit| (&submit.producer, submit.number) == (&submits[0].producer, submits[0].number));
        let unsure = submits.iter().any(|submit| submit.answer == Answer::Maybe);
        let coalesced = submits
            .iter()
            .any(|submit| matches!(submit.answer, Answer::Coalesced(_)));
        if is_one && !unsure && coalesced {
            let whys = history
                .refusals
                .iter()
                .filter(|(number, _)| *number == submits[0].number);
            let whys = whys.map(|(_, why)| why.clone()).collect();
            wrong.push(Violation::WronglyRefused(submits[0].clone(), whys));
        }
    }
    wrong
}
