//! The peer of the store: SQLite with the same settings, one table with a unique key, and one thread that commits once
//! for all who wait. It keeps a document and nothing else.

use std::{path::Path, sync::mpsc, thread::JoinHandle};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

/// Most inserts of one commit.
const GROUP: usize = 256;

struct Insert {
    key: String,
    bytes: Vec<u8>,
    done: oneshot::Sender<()>,
}

/// A handle for callers.
#[derive(Clone)]
pub struct Raw(mpsc::SyncSender<Insert>);

impl Raw {
    /// Opens an empty table in this file.
    pub fn open(path: &Path) -> (Self, JoinHandle<()>) {
        let (sender, inserts) = mpsc::sync_channel::<Insert>(1024);
        let db = Connection::open(path).expect("a database");
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE raw (seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, bytes BLOB NOT NULL)",
        )
        .expect("a table");
        let writer = std::thread::spawn(move || {
            while let Ok(first) = inserts.recv() {
                let group: Vec<Insert> =
                    std::iter::once(first).chain(inserts.try_iter().take(GROUP - 1)).collect();
                db.execute_batch("BEGIN IMMEDIATE").expect("a transaction");
                for insert in &group {
                    db.prepare_cached("INSERT INTO raw (key, bytes) VALUES (?1, ?2)")
                        .and_then(|mut it| it.execute(params![insert.key, insert.bytes]))
                        .expect("an insert");
                }
                db.execute_batch("COMMIT").expect("a commit");
                group.into_iter().for_each(|it| it.done.send(()).unwrap_or(()));
            }
        });
        (Self(sender), writer)
    }

    /// Ends when the document is durable.
    pub async fn insert(&self, key: String, bytes: Vec<u8>) {
        let (done, durable) = oneshot::channel();
        self.0.send(Insert { key, bytes, done }).expect("the writer lives");
        durable.await.expect("the writer answers");
    }
}
