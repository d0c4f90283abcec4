//! How values on the command line are read.

use std::time::Duration;

use serde_json::value::RawValue;

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("expected a time like 500ms, 10s, 2m or 1h, or a number of milliseconds".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a number before the unit".to_owned())?;
    // A year is for ever, and stays within what clocks can add.
    const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
    Ok(Duration::from_millis(number.saturating_mul(unit_ms).min(YEAR_MS)))
}

/// A count of things to be shown.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected 1 or more".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a number".to_owned()),
    }
}

pub(crate) fn json(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_milliseconds_unless_they_have_a_unit() {
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("6000"), Ok(Duration::from_secs(6)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("3h"), Ok(Duration::from_secs(10_800)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for text in ["", "s", "-1s", "1.5s", "10 s", "10w", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
