//! What a step itself can break, noted for the properties to find.

/// Guarantees that were broken by a step; a state alone does not show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Broken(u8);

impl Broken {
    /// Work was taken from an owner whose lease was valid, or such an owner was told that it is lost.
    pub const OWNER: Self = Self(1);
    /// A token did not grow.
    pub const TOKEN: Self = Self(2);
    /// A rival re-queued what was re-queued already.
    pub const RIVALS: Self = Self(4);
    /// Somebody was told something else of a settlement than what became of it.
    pub const OUTCOME: Self = Self(8);

    /// Adds one.
    pub const fn note(&mut self, broken: Self) {
        self.0 |= broken.0;
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, broken: Self) -> bool {
        self.0 & broken.0 != 0
    }

    /// Whether any is.
    #[must_use]
    pub const fn any(self) -> bool {
        self.0 != 0
    }
}
