//! Promises to sources: where they were is known after a restart.

use vestibule_core::ports::{LONGEST_POSITION, LONGEST_POSITION_NAME};

use super::{Kept, Store, refused, same};

async fn kept(store: &Store, name: &str, expected: Option<&str>, what: &str) -> Kept {
    same(store.position(name).await?.as_deref(), expected, what)
}

pub(super) async fn the_newest_position_of_each_source_is_kept_as_it_came(store: Store) -> Kept {
    // Names that differ by case, a space or an accent are different sources.
    let names = ["log orders", "log Orders", "log orders ", "log ordérs", "l%", "it's \"quoted\""];
    for name in names {
        kept(&store, name, None, "what was never kept").await?;
    }
    for round in 0..3 {
        for (number, name) in names.iter().enumerate() {
            let text = format!(" {{\"lsn\":\"0/{round}{number}\"}}\r\n\u{1f409}'\\ \n");
            store.keep_position(name, text).await?;
        }
        for (number, name) in names.iter().enumerate() {
            let text = format!(" {{\"lsn\":\"0/{round}{number}\"}}\r\n\u{1f409}'\\ \n");
            kept(&store, name, Some(&text), name).await?;
        }
    }
    store.keep_position(names[0], String::new()).await?;
    kept(&store, names[0], Some(""), "an empty one is not none").await?;
    kept(&store, "log", None, "the start of a name").await
}

pub(super) async fn a_position_that_is_too_long_is_refused_and_the_old_one_stays(store: Store) -> Kept {
    let (name, longest) = ("n".repeat(LONGEST_POSITION_NAME), "é".repeat(LONGEST_POSITION / 2));
    store.keep_position(&name, longest.clone()).await?;
    kept(&store, &name, Some(&longest), "the longest").await?;
    let longer = format!("{longest}x");
    refused(store.keep_position(&name, longer).await, "a longer text")?;
    refused(store.keep_position(&name, "a\0b".into()).await, "a zero character")?;
    refused(store.keep_position(&format!("{name}n"), "x".into()).await, "a longer name")?;
    refused(store.keep_position("", "x".into()).await, "an empty name")?;
    refused(store.keep_position("a\0b", "x".into()).await, "a zero character in a name")?;
    kept(&store, "a\0b", None, "under that name").await?;
    kept(&store, &name, Some(&longest), "what was there").await
}

pub(super) async fn what_one_keeps_the_other_finds(one: Store, other: Store) -> Kept {
    for (number, (writer, reader)) in [(&one, &other), (&other, &one)].into_iter().enumerate() {
        let text = format!("{number}");
        writer.keep_position("log orders", text.clone()).await?;
        kept(reader, "log orders", Some(&text), "what the other process kept").await?;
    }
    Ok(())
}
