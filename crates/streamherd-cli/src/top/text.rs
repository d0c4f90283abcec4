//! Text in cells of a terminal: harmless, as wide as it says, and no wider than there is room.

use ratatui::style::Style;
use ratatui::text::Span;

use crate::human::printable;

/// Letters that share a cell; more are a pile of marks that nobody means.
const MOST_IN_A_CELL: usize = 6;

/// Text that anybody may have chosen, so that it stays in its cells: besides what is not [`printable`], what terminals are
/// known to draw in other widths (joined emoji, variation selectors), and marks without a letter to stand on.
pub(super) fn shown(text: &str) -> String {
    let safe = printable(text);
    if safe.is_ascii() {
        return safe.into_owned();
    }
    let mut shown = String::with_capacity(safe.len());
    for symbol in symbols(&safe) {
        if is_settled(&symbol) {
            shown.push_str(&symbol);
        } else {
            let mut letters = symbol.chars();
            if let Some(letter) = letters.next() {
                if one(letter) > 0 {
                    shown.push(letter);
                } else {
                    shown.extend(letter.escape_unicode());
                }
            }
            shown.extend(letters.flat_map(char::escape_unicode));
        }
    }
    shown
}

/// Whether all terminals give it as many cells.
fn is_settled(symbol: &str) -> bool {
    let width = cells(symbol);
    width > 0 && symbol.chars().count() <= MOST_IN_A_CELL && symbol.chars().map(one).sum::<usize>() == width
}

fn one(c: char) -> usize {
    cells(c.encode_utf8(&mut [0; 4]))
}

fn cells(symbol: &str) -> usize {
    Span::raw(symbol).width()
}

/// The parts of a text that go into cells of their own.
fn symbols(text: &str) -> Vec<String> {
    let span = Span::raw(text);
    let symbols = span.styled_graphemes(Style::new()).map(|one| one.symbol.to_owned());
    symbols.collect()
}

/// How many cells a text takes.
pub(super) fn width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    // Not of the text as a whole: letters that could be joined are drawn each in a cell of its own.
    symbols(text).iter().map(|symbol| cells(symbol)).sum()
}

/// The beginning of a text, with … where it is too long.
pub(super) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut kept = first(symbols(text).into_iter(), room.saturating_sub(1));
    if room > 0 {
        kept.push('…');
    }
    kept
}

/// Both ends of a text: those of ids tell them apart.
pub(super) fn cut_middle(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    if room < 8 {
        return cut(text, room);
    }
    // What tells consumers of one name apart has eight letters.
    let end = (room / 2).max(8).min(room - 3);
    let mut behind: Vec<String> = Vec::new();
    let mut used = 0;
    for symbol in symbols(text).into_iter().rev() {
        used += cells(&symbol);
        if used > end {
            break;
        }
        behind.push(symbol);
    }
    behind.reverse();
    let behind = behind.concat();
    let before = first(symbols(text).into_iter(), room - 1 - width(&behind));
    format!("{before}…{behind}")
}

fn first(symbols: impl Iterator<Item = String>, room: usize) -> String {
    let (mut kept, mut used) = (String::new(), 0);
    for symbol in symbols {
        used += cells(&symbol);
        if used > room {
            break;
        }
        kept.push_str(&symbol);
    }
    kept
}

/// Exactly so many cells: cut, or with blanks behind it.
pub(super) fn fit(text: &str, room: usize) -> String {
    let mut text = cut(text, room);
    let blanks = room.saturating_sub(width(&text));
    text.extend(std::iter::repeat_n(' ', blanks));
    text
}

/// As [`fit`], with the blanks in front.
pub(super) fn fit_right(text: &str, room: usize) -> String {
    let text = cut(text, room);
    format!("{}{text}", " ".repeat(room.saturating_sub(width(&text))))
}

/// A text in lines, between words where there are any.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        let bare = width(word.trim_end());
        if !line.is_empty() && width(&line) + bare > room {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        if bare <= room {
            line.push_str(word);
            continue;
        }
        for symbol in symbols(word) {
            if width(&line) + cells(&symbol) > room {
                lines.push(std::mem::take(&mut line));
            }
            line.push_str(&symbol);
        }
    }
    if !line.trim_end().is_empty() || lines.is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Keeps letters that run from right to left from turning what stands beside them: terminals that know of directions
/// would move the cells of the next column.
pub(super) fn kept_in_place(text: &str) -> String {
    if text.contains(runs_left) {
        format!("\u{200e}{text}\u{200e}")
    } else {
        text.to_owned()
    }
}

fn runs_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_its_symbols_and_never_wider_than_its_room() {
        assert_eq!(cut("orders", 6), "orders");
        assert_eq!(cut("orders-1", 6), "order…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!((cut("ab", 1), cut("ab", 0)), ("…".to_owned(), String::new()));
        assert_eq!(fit("日本語", 4), "日… ");
        assert_eq!(fit_right("7", 3), "  7");
        assert_eq!(cut_middle("a-very-long-name.k3f9x2m1", 16), "a-very-…k3f9x2m1");
        for room in 0..30 {
            for text in [
                "a-very-long-name.k3f9x2m1",
                "日本語日本語日本語",
                "e\u{301}e\u{301}e\u{301}",
            ] {
                assert!(
                    width(&cut(text, room)) <= room && width(&cut_middle(text, room)) <= room,
                    "{text} {room}"
                );
                assert_eq!(width(&fit(text, room)), room);
            }
        }
    }

    #[test]
    fn what_could_leave_its_cells_is_written_out() {
        assert_eq!(shown("a\u{1b}[2J\n\u{202e}"), "a\\u{1b}[2J\\n\\u{202e}");
        assert_eq!(
            shown("é e\u{301} 日本 \u{5e9}"),
            "é e\u{301} 日本 \u{5e9}",
            "what is plain stays"
        );
        assert_eq!(shown("\u{301}a"), "\\u{301}a", "a mark without a letter");
        assert_eq!(
            shown("\u{2764}\u{fe0f}"),
            "\u{2764}\\u{fe0f}",
            "a width that terminals differ in"
        );
        let pile = format!("a{}", "\u{301}".repeat(40));
        assert!(shown(&pile).starts_with("a\\u{301}\\u{301}"), "a pile of marks");
    }

    #[test]
    fn a_long_text_is_wrapped_between_words_or_where_it_has_to_be() {
        assert_eq!(wrap("no answer from Redis", 10), ["no answer", "from Redis"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn letters_from_right_to_left_are_fenced_in() {
        assert_eq!(kept_in_place("\u{5e9}1"), "\u{200e}\u{5e9}1\u{200e}");
        assert_eq!(kept_in_place("é1"), "é1");
        assert_eq!(width(&kept_in_place("\u{5e9}1")), 2);
    }
}
