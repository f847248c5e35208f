//! A row of the outbox as a change.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use tokio_postgres::{Client, Row};
use vestibule_core::change::{Change, Op};

use crate::{
    cell::{Columns, Texts, kinds_of_names},
    error::Trouble,
};

/// What the triggers wrote under one number: columns of one table at one time.
pub(super) struct Captured {
    columns: Columns,
    key: Vec<Box<str>>,
}

/// Reads what these numbers mean.
pub(super) async fn captured(
    client: &Client,
    statement: &str,
    ids: &[i32],
) -> Result<HashMap<i32, Arc<Captured>>, Trouble> {
    let mut found = HashMap::new();
    for row in client.query(statement, &[&ids]).await? {
        let names: Vec<String> = row.try_get(1)?;
        let types: Vec<String> = row.try_get(2)?;
        let key: Option<Vec<String>> = row.try_get(3)?;
        let kinds = kinds_of_names(client, &types).await?;
        let columns = Columns { names: names.into_iter().map(Into::into).collect(), kinds };
        let key = key.unwrap_or_default().into_iter().map(Into::into).collect();
        found.insert(row.try_get(0)?, Arc::new(Captured { columns, key }));
    }
    Ok(found)
}

/// The number of the row, and what it says.
pub(super) fn read(
    row: &Row,
    captured: &HashMap<i32, Arc<Captured>>,
    table: &str,
) -> Result<(i64, Change), Trouble> {
    let id: i64 = row.try_get(0)?;
    let number: i32 = row.try_get(3)?;
    let unknown =
        || Trouble::Value(format!("row {id} of the outbox is of capture {number}, which is not there"));
    let it = captured.get(&number).ok_or_else(unknown)?;
    let letter = u8::try_from(row.try_get::<_, i8>(4)?).unwrap_or_default();
    let rows = |values: usize| -> Result<_, Trouble> {
        let texts: Option<Texts<'_>> = row.try_get(values)?;
        let long: Option<&str> = row.try_get(values + 1)?;
        Ok(texts.map(|texts| it.columns.row(&texts, long)))
    };
    let (before, after) = (rows(5)?, rows(7)?);
    let note: Option<&str> = row.try_get(9)?;
    let note = note.unwrap_or_default();
    let (op, before, after) = match letter {
        b'i' => (Op::Insert, before, after),
        b'u' => (Op::Update, before, after),
        b'd' => (Op::Delete, before, after),
        b't' => (Op::Truncate, before, after),
        // Nothing of it is known: whatever a mapping reads of it is a finding.
        _ => {
            let (op, why) = lost(letter, note);
            (op, Some(it.columns.unknown(&why)), Some(it.columns.unknown(&why)))
        }
    };
    let at: Option<Timestamp> = row.try_get(2).ok();
    let txid: i64 = row.try_get(1)?;
    let change = Change {
        op,
        table: table.into(),
        at,
        position: id.to_string().into(),
        txid: Some(txid.to_string().into()),
        key: it.key.clone(),
        after,
        before,
    };
    Ok((id, change))
}

/// What is said of changes that are not in the outbox.
fn lost(letter: u8, note: &str) -> (Op, String) {
    let op = Op::WORDS.into_iter().find(|(_, word)| note.to_ascii_lowercase().contains(word));
    let op = op.map_or(Op::Update, |(op, _)| op);
    // Only its own words are shown: what a note of another hand quotes is not known.
    let plain =
        note.len() <= 60 && note.bytes().all(|it| it.is_ascii_alphanumeric() || b" :_-".contains(&it));
    let note = if plain { note } else { "" };
    match letter {
        b'o' => (op, format!("{note} changes were dropped here: the outbox was full")),
        b'x' => (op, format!("a change was not captured: the trigger failed ({note}); read the table again")),
        _ => (op, "a row of the outbox of a kind that is not known".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_said_in_own_words_alone() {
        for (letter, note, op, has) in [
            (b'o', "12", Op::Update, "12 changes were dropped"),
            (b'x', "DELETE 42703", Op::Delete, "(DELETE 42703)"),
            (b'x', "value 'Ann Smith' is wrong", Op::Update, "()"),
            (b'?', "", Op::Update, "not known"),
        ] {
            let (found, why) = lost(letter, note);
            assert_eq!(found, op, "input: {note:?}");
            assert!(why.contains(has), "{why}");
        }
    }
}
