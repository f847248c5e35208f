//! What `return` wrote: legacy places with their text, not yet in any format.

/// The reply before it is rendered: a tree whose order is the mapping's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// In the mapping's order. Places that share leading steps are one element.
    pub items: Vec<WrittenItem>,
}

/// One written place.
#[derive(Debug, Clone, PartialEq)]
pub enum WrittenItem {
    /// A value.
    Value {
        /// Index of the `Write` in the plan's list at this level.
        write: usize,
        /// Legacy text.
        text: Box<str>,
        /// What a JSON document may write it as.
        hint: Hint,
    },
    /// A repeated place: one `Written` for each item.
    Each {
        /// Index of the `Write` in the plan's list at this level.
        write: usize,
        /// The items.
        items: Vec<Written>,
    },
}

/// What kind of text it is, for formats that distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Text, dates, decimals: a string.
    Text,
    /// A whole number written without a legacy format.
    Number,
    /// `true` or `false` written without a legacy format.
    Boolean,
}
