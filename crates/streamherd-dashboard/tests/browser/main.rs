//! The page in a real browser: a headless Chromium, driven by its chromedriver, against a real Redis with real workers.
//!
//! Needs `chromium` and `chromedriver` on the `PATH` (Debian: packages `chromium` and `chromium-driver`), or named by
//! `STREAMHERD_CHROMIUM` and `STREAMHERD_CHROMEDRIVER`. Screenshots go to `target/dashboard-screenshots/`.

mod away;
mod browser;
mod devtools;
mod driver;
mod hostile;
mod keyboard;
mod letters;
mod life;
mod looks;
mod mounted;
mod stage;
mod steering;
mod words;
