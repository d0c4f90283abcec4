//! A list of which a page at a time is known. Pure.

use std::time::Duration;

use super::rows::Row;

/// One page of rows, one of them marked, and how to get to the next page and back.
#[derive(Debug, Clone)]
pub(super) struct List<R> {
    pub(super) rows: Vec<R>,
    pub(super) marked: usize,
    /// Where this page began, and those before it; the first began at the beginning.
    began: Vec<String>,
    /// Where the next one begins.
    next: Option<String>,
    /// When the page was seen, on the clock of the model.
    pub(super) seen: Option<Duration>,
    /// Why there is no newer one.
    pub(super) error: Option<String>,
}

impl<R> Default for List<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            marked: 0,
            began: Vec::new(),
            next: None,
            seen: None,
            error: None,
        }
    }
}

impl<R: Row> List<R> {
    /// Where the page begins; [`None`] at the beginning.
    pub(super) fn after(&self) -> Option<String> {
        self.began.last().cloned()
    }

    pub(super) fn marked(&self) -> Option<&R> {
        self.rows.get(self.marked)
    }

    /// The page as it is now. What was marked stays so, if it is still there.
    pub(super) fn show(&mut self, rows: Vec<R>, next: Option<String>, now: Duration) {
        let key = self.marked().map(Row::key);
        self.marked = place_of(&rows, key.as_deref(), self.marked);
        (self.rows, self.next) = (rows, next);
        (self.seen, self.error) = (Some(now), None);
    }

    pub(super) fn failed(&mut self, error: String) {
        self.error = Some(error);
    }

    pub(super) fn move_by(&mut self, rows: isize) {
        self.marked = moved(self.marked, rows, self.rows.len());
    }

    pub(super) const fn has_next(&self) -> bool {
        self.next.is_some()
    }

    /// The number of the page, from 1.
    pub(super) const fn page(&self) -> usize {
        self.began.len() + 1
    }

    /// Turns to the next page, of which nothing is known yet. False if there is none.
    pub(super) fn forward(&mut self) -> bool {
        let Some(next) = self.next.take() else {
            return false;
        };
        self.began.push(next);
        self.blank();
        true
    }

    /// Turns back. False on the first page.
    pub(super) fn back(&mut self) -> bool {
        let turned = self.began.pop().is_some();
        if turned {
            self.blank();
        }
        turned
    }

    fn blank(&mut self) {
        (self.rows, self.next) = (Vec::new(), None);
        (self.marked, self.seen) = (0, None);
    }
}

/// Where the row is that was marked; else the same place, as far as there is one.
pub(super) fn place_of<R: Row>(rows: &[R], key: Option<&str>, place: usize) -> usize {
    let found = key.and_then(|key| rows.iter().position(|row| row.key() == key));
    found.unwrap_or_else(|| place.min(rows.len().saturating_sub(1)))
}

/// Another place of so many.
pub(super) fn moved(place: usize, by: isize, of: usize) -> usize {
    place.saturating_add_signed(by).min(of.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::rows::DelayedRow;

    fn rows(ids: &[&str]) -> Vec<DelayedRow> {
        let row = |id: &&str| DelayedRow {
            id: (*id).to_owned(),
            ..DelayedRow::default()
        };
        ids.iter().map(row).collect()
    }

    fn marked(list: &List<DelayedRow>) -> Option<&str> {
        list.marked().map(|row| row.id.as_str())
    }

    #[test]
    fn the_mark_follows_its_row_and_stays_in_place_when_that_is_gone() {
        let mut list = List::default();
        list.show(rows(&["a", "b", "c"]), None, Duration::ZERO);
        list.move_by(1);
        list.show(rows(&["new", "a", "b"]), None, Duration::ZERO);
        assert_eq!(marked(&list), Some("b"));
        list.show(rows(&["x"]), None, Duration::ZERO);
        assert_eq!(marked(&list), Some("x"));
        list.show(rows(&[]), None, Duration::ZERO);
        assert_eq!(marked(&list), None);
        list.move_by(-5);
        assert_eq!(list.marked, 0);
    }

    #[test]
    fn pages_are_turned_forth_and_back_to_the_beginning() {
        let mut list = List::default();
        list.show(rows(&["a"]), Some("1".to_owned()), Duration::ZERO);
        assert!(list.forward() && list.rows.is_empty());
        assert_eq!((list.after(), list.page()), (Some("1".to_owned()), 2));
        list.show(rows(&["b"]), None, Duration::ZERO);
        assert!(!list.forward(), "the last");
        assert!(list.back());
        assert_eq!((list.after(), list.page(), list.back()), (None, 1, false));
    }
}
