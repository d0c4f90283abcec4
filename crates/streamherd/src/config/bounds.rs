//! The bounds of one setting.

use std::time::Duration;

use crate::error::SettingError;

/// # Errors
/// It is out of bounds.
pub(crate) fn within(
    setting: &'static str,
    value: Duration,
    low: Duration,
    high: Duration,
) -> Result<(), SettingError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(SettingError::new(
        setting,
        show(value),
        format!("it must be from {} to {}", show(low), show(high)),
        show(if value < low { low } else { high }),
    ))
}

/// # Errors
/// It is out of bounds.
pub(crate) fn range<T: Copy + PartialOrd + std::fmt::Display>(
    setting: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), SettingError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(SettingError::new(
        setting,
        value.to_string(),
        format!("it must be from {low} to {high}"),
        if value < low { low.to_string() } else { high.to_string() },
    ))
}

pub(super) fn show(span: Duration) -> String {
    format!("{span:?}")
}
