//! A series of numbers as a line of blocks. Pure.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last points of a series, the newest on the right: of as many as share a cell the largest. What is not known is a
/// gap; zero is a blank line's place.
pub(super) fn spark(points: &[Option<f64>], cells: usize) -> String {
    if cells == 0 || points.is_empty() {
        return String::new();
    }
    let each = points.len().div_ceil(cells);
    // Cells begin at multiples, so that they don't change with each new point.
    let over = points.len() % each;
    let (first, rest) = points.split_at(over.min(points.len()));
    let head = (!first.is_empty()).then_some(first);
    let largest = |points: &[Option<f64>]| points.iter().flatten().copied().reduce(f64::max);
    let values: Vec<Option<f64>> = head.into_iter().chain(rest.chunks(each)).map(largest).collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let block = |value: &Option<f64>| match value {
        None => ' ',
        Some(value) if most > 0.0 && value.is_finite() => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
            let step = (value.max(0.0) / most * 7.0).round() as usize;
            BLOCKS.get(step).copied().unwrap_or('█')
        }
        Some(_) => '▁',
    };
    let from = values.len().saturating_sub(cells);
    values.iter().skip(from).map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_on_the_right_and_what_is_not_known_is_a_gap() {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(spark(&some(&[0.0, 7.0, 3.0]), 10), "▁█▄");
        assert_eq!(spark(&[Some(1.0), None, Some(1.0)], 10), "█ █");
        assert_eq!(spark(&some(&[0.0, 0.0]), 10), "▁▁");
        assert_eq!(
            spark(&some(&[1.0, 2.0, 8.0, 4.0]), 2),
            "▃█",
            "the largest of those that share a cell"
        );
        assert_eq!((spark(&[], 5), spark(&some(&[1.0]), 0)), (String::new(), String::new()));
        assert!(spark(&some(&[1.0; 720]), 40).chars().count() <= 40);
        assert!(spark(&some(&[1.0; 719]), 40).chars().count() <= 40);
    }
}
