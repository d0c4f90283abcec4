//! What each key means where.

use streamherd::DeadLetterReason;

use super::{Effect, Key, load};
use crate::top::action::Action;
use crate::top::facts;
use crate::top::list::moved;
use crate::top::model::{Marked, Model, Over, View};

/// Longer text is no name of anything.
const MOST_TYPED: usize = 1_024;

pub(super) fn pressed(model: &mut Model, key: Key) -> Vec<Effect> {
    if key == Key::Leave {
        return vec![Effect::Leave];
    }
    model.note = None;
    match model.over.take() {
        None => in_view(model, key),
        Some(Over::Prompt(text)) => typed(model, text, key),
        Some(Over::Ask(action)) => answered(model, action, key),
        // It can't be taken back, and its outcome is to be seen.
        Some(Over::Acting(action)) => {
            model.over = Some(Over::Acting(action));
            Vec::new()
        }
        Some(Over::Inspect(open)) => {
            model.over = Some(Over::Inspect(open));
            inspecting(model, key)
        }
        // Any key closes them.
        Some(Over::Help | Over::Told(_)) => Vec::new(),
    }
}

fn in_view(model: &mut Model, key: Key) -> Vec<Effect> {
    match key {
        Key::Char('q') | Key::Esc => vec![Effect::Leave],
        Key::Char(number @ '1'..='6') => {
            let place = (number as usize).saturating_sub('1' as usize);
            go_to(model, View::default().turned(place))
        }
        Key::Tab => go_to(model, model.view.turned(1)),
        Key::BackTab => go_to(model, model.view.turned(View::ALL.len() - 1)),
        Key::Up | Key::Char('k') => step(model, -1),
        Key::Down | Key::Char('j') => step(model, 1),
        Key::Home | Key::Char('g') => step(model, isize::MIN),
        Key::End | Key::Char('G') => step(model, isize::MAX),
        Key::PageDown => turn(model, true),
        Key::PageUp => turn(model, false),
        Key::Enter => inspect(model),
        Key::Char('?' | 'h') => over(model, Over::Help),
        Key::Char('f') => filter(model),
        Key::Char('/') => prompt(model),
        Key::Char(letter @ ('r' | 'a' | 'p')) => ask(model, letter),
        _ => Vec::new(),
    }
}

fn over(model: &mut Model, over: Over) -> Vec<Effect> {
    model.over = Some(over);
    Vec::new()
}

fn go_to(model: &mut Model, view: View) -> Vec<Effect> {
    if model.view == view {
        return Vec::new();
    }
    model.view = view;
    load(model)
}

fn step(model: &mut Model, by: isize) -> Vec<Effect> {
    match model.view {
        View::Overview => {}
        View::Consumers => {
            let place = moved(model.consumer_place(), by, model.consumers().len());
            model.mark_consumer(place);
        }
        View::Leases => model.leases.move_by(by),
        View::Delayed => model.delayed.move_by(by),
        View::Letters => model.letters.move_by(by),
        View::Partitions => model.partition = moved(model.partition, by, model.picture.partitions.len()),
    }
    Vec::new()
}

fn turn(model: &mut Model, on: bool) -> Vec<Effect> {
    let room = isize::try_from(model.room()).unwrap_or(1);
    let turned = match (model.view, on) {
        (View::Leases, true) => model.leases.forward(),
        (View::Leases, false) => model.leases.back(),
        (View::Delayed, true) => model.delayed.forward(),
        (View::Delayed, false) => model.delayed.back(),
        (View::Letters, true) => model.letters.forward(),
        (View::Letters, false) => model.letters.back(),
        _ => return step(model, if on { room } else { -room }),
    };
    if turned {
        return load(model);
    }
    step(model, if on { isize::MAX } else { isize::MIN })
}

fn inspect(model: &mut Model) -> Vec<Effect> {
    let Some(open) = facts::of(model) else {
        return Vec::new();
    };
    let read = match model.marked() {
        Some(Marked::Letter(letter)) => vec![Effect::Read(letter.id)],
        _ => Vec::new(),
    };
    model.over = Some(Over::Inspect(open));
    read
}

/// The next of the few things that a view is filtered by.
fn filter(model: &mut Model) -> Vec<Effect> {
    match model.view {
        View::Leases => {
            model.filters.orphans = !model.filters.orphans;
            model.leases = Default::default();
        }
        View::Letters => {
            let all = DeadLetterReason::ALL;
            model.filters.reason = match model.filters.reason {
                None => all.first().copied(),
                Some(reason) => {
                    let at = all.iter().position(|one| *one == reason);
                    at.and_then(|at| all.get(at + 1)).copied()
                }
            };
            model.letters = Default::default();
        }
        View::Overview | View::Consumers | View::Delayed | View::Partitions => {
            return note(
                model,
                "Leases (3) and dead letters (5) have a filter; / finds consumers (2).",
            );
        }
    }
    load(model)
}

fn note(model: &mut Model, text: &str) -> Vec<Effect> {
    model.note = Some(text.to_owned());
    Vec::new()
}

fn prompt(model: &mut Model) -> Vec<Effect> {
    let text = match model.view {
        View::Consumers => model.filters.consumers.clone(),
        View::Leases => model.filters.owner.clone(),
        View::Letters => model.filters.stream.clone(),
        View::Overview | View::Delayed | View::Partitions => {
            return note(
                model,
                "Consumers (2), leases (3) and dead letters (5) can be looked for.",
            );
        }
    };
    over(model, Over::Prompt(text))
}

fn typed(model: &mut Model, mut text: String, key: Key) -> Vec<Effect> {
    match key {
        Key::Esc => return Vec::new(),
        Key::Enter => return look_for(model, text),
        Key::Backspace => drop(text.pop()),
        Key::Char(c) if text.len() + c.len_utf8() <= MOST_TYPED => text.push(c),
        _ => {}
    }
    over(model, Over::Prompt(text))
}

/// As far as there is room. Names of one line are meant, with whatever is in them.
pub(super) fn pasted(model: &mut Model, text: &str) {
    if let Some(Over::Prompt(typed)) = &mut model.over {
        let line = text.trim_end_matches(['\r', '\n']).chars();
        for c in line {
            if typed.len() + c.len_utf8() <= MOST_TYPED {
                typed.push(c);
            }
        }
    }
}

fn look_for(model: &mut Model, text: String) -> Vec<Effect> {
    match model.view {
        View::Consumers => {
            model.filters.consumers = text;
            model.consumer = (0, None);
        }
        View::Leases => {
            model.filters.owner = text;
            model.leases = Default::default();
        }
        View::Letters => {
            model.filters.stream = text;
            model.letters = Default::default();
        }
        View::Overview | View::Delayed | View::Partitions => {}
    }
    load(model)
}

fn ask(model: &mut Model, letter: char) -> Vec<Effect> {
    if model.read_only {
        return note(model, "Read-only: started with --read-only, nothing can be changed.");
    }
    let action = match letter {
        'r' => Action::redrive(model.subject()),
        'a' => Action::requeue(model.subject()),
        _ => Action::pause(model),
    };
    match action {
        Ok(action) => over(model, Over::Ask(action)),
        Err(why) => note(model, why),
    }
}

/// Only a plain yes is one.
fn answered(model: &mut Model, action: Action, key: Key) -> Vec<Effect> {
    match key {
        Key::Char('y' | 'Y') => {
            model.over = Some(Over::Acting(action.clone()));
            vec![Effect::Act(action)]
        }
        Key::Char('n' | 'N' | 'q') | Key::Esc => note(model, "Nothing was changed."),
        _ => over(model, Over::Ask(action)),
    }
}

fn inspecting(model: &mut Model, key: Key) -> Vec<Effect> {
    let room = model.room();
    let by = match key {
        Key::Up | Key::Char('k') => -1,
        Key::Down | Key::Char('j') => 1,
        Key::PageUp => -isize::try_from(room).unwrap_or(1),
        Key::PageDown => isize::try_from(room).unwrap_or(1),
        Key::Home | Key::Char('g') => isize::MIN,
        Key::End | Key::Char('G') => isize::MAX,
        Key::Char(letter @ ('r' | 'a' | 'p')) => {
            let effects = ask(model, letter);
            return effects;
        }
        Key::Char('l') => return leases_of(model),
        Key::Esc | Key::Enter | Key::Char('q') => {
            model.over = None;
            return Vec::new();
        }
        _ => return Vec::new(),
    };
    let lines = facts::height(model);
    if let Some(Over::Inspect(open)) = &mut model.over {
        open.scroll = moved(open.scroll, by, lines.saturating_sub(room).saturating_add(1));
    }
    Vec::new()
}

/// From a consumer to what it holds.
fn leases_of(model: &mut Model) -> Vec<Effect> {
    let Some(Marked::Consumer(row)) = model.subject() else {
        return Vec::new();
    };
    model.filters.owner = row.consumer.clone();
    model.filters.orphans = false;
    model.over = None;
    model.leases = Default::default();
    model.view = View::Leases;
    load(model)
}
