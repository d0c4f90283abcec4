//! Colours, none of which says anything that no word says.

use ratatui::style::{Color, Modifier, Style};

#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    plain: bool,
}

impl Look {
    pub(super) const fn new(plain: bool) -> Self {
        Self { plain }
    }

    fn colour(self, colour: Color) -> Style {
        if self.plain {
            Style::new()
        } else {
            Style::new().fg(colour)
        }
    }

    pub(super) fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is chosen: reversed, which needs no colour.
    pub(super) fn marked(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn warning(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub(super) fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn line(self) -> Style {
        self.colour(Color::Cyan)
    }

    /// By the word of a verdict.
    pub(super) fn verdict(self, word: &str) -> Style {
        match word {
            "OK" | "ok" | "info" | "INFO" => self.good(),
            "FAILURE" | "failure" => self.bad(),
            _ => self.warning(),
        }
    }
}
