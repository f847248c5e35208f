//! Columns of a table as statements select them and rows hold them.

use vestibule_core::change::{Cell, Row};

use super::{Kind, LONGEST, Texts, cell, too_long};

/// Rows up to this size, as they are stored, are not measured value by value: even compressed they hold no text of
/// [`LONGEST`].
const SMALL: usize = 30_000;

/// Names with what the values under them are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    pub(crate) names: Vec<Box<str>>,
    pub(crate) kinds: Vec<Kind>,
}

impl Columns {
    /// The row of these values. `long`: those that were not sent because they are too long, as `3:1000000,…`: the
    /// column, counted from 1, and the bytes.
    pub fn row(&self, values: &Texts<'_>, long: Option<&str>) -> Row {
        let kinds = self.kinds.iter().chain(std::iter::repeat(&Kind::Plain));
        let pairs = self.names.iter().zip(kinds).zip(&values.0);
        let cells = pairs
            .map(|((name, kind), value)| (name.clone(), value.map_or(Cell::Null, |text| cell(text, kind))));
        let mut row = Row(cells.collect());
        for (column, bytes) in
            long.into_iter().flat_map(|it| it.split(',')).filter_map(|it| it.split_once(':'))
        {
            let column = column.parse::<usize>().ok().and_then(|it| it.checked_sub(1));
            if let Some((_, cell)) = column.and_then(|it| row.0.get_mut(it)) {
                *cell = too_long(bytes.parse().unwrap_or(usize::MAX));
            }
        }
        row
    }

    /// A row of which nothing is known, and why.
    pub fn unknown(&self, why: &str) -> Row {
        Row(self.names.iter().map(|it| (it.clone(), Cell::Unreadable(why.into()))).collect())
    }
}

/// Longest value that is asked for, where a row has so many columns: all of them together must fit.
fn longest(columns: usize) -> usize {
    LONGEST.min((128 << 20) / columns.max(1)).max(1 << 20)
}

/// Selects a column of the type `text[]` that holds a row: its values, and behind them those that are too long.
pub(crate) fn stored(column: &str) -> String {
    let most = longest(1);
    let each = format!("pg_catalog.unnest({column}) WITH ORDINALITY AS u(v, n)");
    format!(
        "CASE WHEN pg_catalog.pg_column_size({column}) <= {SMALL} OR {column} IS NULL THEN {column} ELSE \
         (SELECT pg_catalog.array_agg(CASE WHEN pg_catalog.octet_length(v) <= {most} THEN v END ORDER BY n) \
         FROM {each}) END, \
         CASE WHEN pg_catalog.pg_column_size({column}) > {SMALL} THEN \
         (SELECT pg_catalog.string_agg(n::text || ':' || pg_catalog.octet_length(v)::text, ',') FROM {each} \
         WHERE pg_catalog.octet_length(v) > {most}) END"
    )
}

/// A column of a table for [`selected`].
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    /// Its name, quoted.
    pub(crate) quoted: String,
    /// Bytes of all its values; negative where they differ.
    pub(crate) length: i16,
    /// Its type is `bytea`.
    pub(crate) is_bytes: bool,
}

/// Selects columns of a table in the same form as [`stored`].
pub(crate) fn selected(columns: &[Selected]) -> String {
    let most = longest(columns.len());
    let mut values = Vec::new();
    // Never alone: a table may have no column that can be long.
    let mut long = vec!["',', NULL".to_owned()];
    for (at, Selected { quoted, length, is_bytes }) in columns.iter().enumerate() {
        // A value of bytes must be measured before it is written out: twice as long it may not fit the server.
        let size = if *is_bytes {
            format!("2 * pg_catalog.octet_length({quoted})::bigint")
        } else {
            format!("pg_catalog.octet_length({quoted}::text)")
        };
        if *length >= 0 {
            values.push(format!("{quoted}::text"));
            continue;
        }
        let fits = format!("(pg_catalog.pg_column_size({quoted}) <= {SMALL} OR {size} <= {most})");
        values.push(format!("CASE WHEN {fits} THEN {quoted}::text END"));
        long.push(format!("CASE WHEN NOT {fits} THEN '{}:' || ({size})::text END", at + 1));
    }
    format!("ARRAY[{}]::text[], pg_catalog.concat_ws({})", values.join(", "), long.join(", "))
}
