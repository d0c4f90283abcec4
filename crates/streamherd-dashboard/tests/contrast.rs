//! The page's colours, as its style sheet has them: what must be told apart can be, in light and in dark (WCAG 2.2, AA).

use std::collections::BTreeMap;

const TOKENS: &str = include_str!("../assets/tokens.css");
/// For text, and for what is told by shape or colour.
const TEXT: f64 = 4.5;
const SHAPE: f64 = 3.0;

/// Which colours stand on which.
const PAIRS: &[(&[&str], &[&str], f64)] = &[
    (&["ink", "soft"], &["ground", "surface", "raised"], TEXT),
    (
        &["accent", "warning", "failure"],
        &["surface", "ground", "raised"],
        TEXT,
    ),
    (
        &["accent"],
        &["accent-ground", "ok-ground", "warning-ground", "failure-ground"],
        TEXT,
    ),
    (
        &["ink"],
        &["ok-ground", "warning-ground", "failure-ground", "accent-ground"],
        TEXT,
    ),
    (&["ok"], &["ok-ground"], TEXT),
    (&["warning"], &["warning-ground"], TEXT),
    (&["failure"], &["failure-ground"], TEXT),
    (&["on-accent"], &["accent"], TEXT),
    (&["on-failure"], &["failure"], TEXT),
    (&["edge", "focus", "ok"], &["surface", "ground"], SHAPE),
    (
        &["series-1", "series-2", "series-3", "series-4", "series-5"],
        &["surface"],
        SHAPE,
    ),
    (&["accent"], &["raised"], SHAPE),
];

type Colour = [f64; 3];

/// Each colour in light and in dark.
fn tokens() -> BTreeMap<&'static str, [Colour; 2]> {
    let colour = |text: &str| -> Colour {
        let hex = text.trim().trim_start_matches('#');
        assert_eq!(hex.len(), 6, "{text} is not #rrggbb");
        [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0)
    };
    let lines = TOKENS.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("--")?.split_once(':')?;
        let (light, dark) = value.trim().strip_prefix("light-dark(")?.split_once(',')?;
        Some((name, [colour(light), colour(dark.trim_end().trim_end_matches(");"))]))
    });
    lines.collect()
}

fn luminance(colour: Colour) -> f64 {
    let linear = |part: f64| {
        if part <= 0.04045 {
            part / 12.92
        } else {
            ((part + 0.055) / 1.055).powf(2.4)
        }
    };
    let [r, g, b] = colour.map(linear);
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

fn contrast(a: Colour, b: Colour) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn all_that_is_read_or_told_by_colour_stands_out_in_light_and_in_dark() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    let tokens = tokens();
    let mut low = Vec::new();
    for (above, below, least) in PAIRS {
        for (above, below) in above
            .iter()
            .flat_map(|above| below.iter().map(move |below| (above, below)))
        {
            for (scheme, name) in ["light", "dark"].into_iter().enumerate() {
                let ratio = contrast(tokens[above][scheme], tokens[below][scheme]);
                if ratio < *least {
                    low.push(format!("{above} on {below}, {name}: {ratio:.2} < {least}"));
                }
            }
        }
    }
    assert!(low.is_empty(), "{low:#?}");
}

#[test]
fn no_colour_stands_outside_of_the_tokens() {
    let sheets = [
        include_str!("../assets/layout.css"),
        include_str!("../assets/parts.css"),
        include_str!("../assets/chart.css"),
    ];
    for line in sheets.iter().flat_map(|sheet| sheet.lines()) {
        let is_backdrop = line.contains("::backdrop");
        let has_colour = line.contains("rgb(") || line.contains("hsl(") || line.contains(": #");
        assert!(is_backdrop || !has_colour, "{line}");
    }
}
