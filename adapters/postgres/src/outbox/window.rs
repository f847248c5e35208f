//! Which rows of the outbox come next.
//!
//! A window holds what one snapshot of the database sees and the one before did not see. Inside a window rows come by
//! their number: two transactions that touch one row wait for each other at its lock, and take their numbers under it. A
//! transaction that commits late is in a later window, whatever its numbers: none is skipped, and none waits for it.

/// A snapshot as `txid_current_snapshot` says it: `xmin:xmax:in,progress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) text: String,
    xmin: u64,
    xmax: u64,
}

impl Seen {
    /// One that sees nothing.
    pub fn nothing() -> Self {
        Self { text: "1:1:".into(), xmin: 1, xmax: 1 }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let mut number = || parts.next()?.parse().ok();
        Some(Self { xmin: number()?, xmax: number()?, text: text.to_owned() })
    }
}

/// What is handed over at the moment.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) until: Seen,
    /// The last row that was read.
    pub(super) after: i64,
    /// Rows that were read.
    pub(super) rows: usize,
}

/// Where the drain is.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Everything that this snapshot sees was read.
    pub(super) seen: Seen,
    pub(super) window: Option<Window>,
    /// No row up to this number will ever be in a window: its transaction is over, and was read.
    pub(super) floor: i64,
    /// A snapshot with the highest number that it saw.
    mark: Option<(u64, i64)>,
}

impl Cursor {
    pub fn new() -> Self {
        Self { seen: Seen::nothing(), window: None, floor: 0, mark: None }
    }

    /// Begins a window up to what this snapshot sees. `highest`: the highest number that it sees.
    pub fn begin(&mut self, until: Seen, highest: Option<i64>) {
        if let (None, Some(highest)) = (self.mark, highest) {
            // Whoever has a lower number had its transaction before this moment.
            self.mark = Some((until.xmax, highest));
        }
        self.window = Some(Window { until, after: self.floor, rows: 0 });
    }

    /// Everything in the window was read; how many rows it had.
    pub fn end(&mut self) -> usize {
        let Some(window) = self.window.take() else { return 0 };
        if let Some((xmax, highest)) = self.mark
            && window.until.xmin >= xmax
        {
            self.floor = self.floor.max(highest);
            self.mark = None;
        }
        self.seen = window.until;
        window.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Seen {
        Seen::parse(text).unwrap()
    }

    #[test]
    fn the_floor_rises_only_over_transactions_that_are_over() {
        let mut cursor = Cursor::new();
        // 7 is open while row 100 is seen: its own rows may have lower numbers.
        cursor.begin(seen("7:10:7"), Some(100));
        cursor.end();
        assert_eq!(cursor.floor, 0);
        cursor.begin(seen("7:12:7,9"), Some(120));
        cursor.end();
        assert_eq!(cursor.floor, 0);
        // 9 was open at the mark's moment or began after it; all below 10 are over.
        cursor.begin(seen("10:14:"), Some(140));
        assert_eq!(cursor.window.as_ref().unwrap().after, 0);
        cursor.end();
        assert_eq!(cursor.floor, 100);
        cursor.begin(seen("14:14:"), None);
        assert_eq!(cursor.window.as_ref().unwrap().after, 100);
    }

    #[test]
    fn only_snapshots_are_read_as_snapshots() {
        assert!(Seen::parse("12:17:13,15").is_some());
        for text in ["", "12", "12:", "a:b:", "12:-1:"] {
            assert!(Seen::parse(text).is_none(), "input: {text:?}");
        }
    }
}
