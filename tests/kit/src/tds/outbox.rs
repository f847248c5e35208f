//! An outbox in memory behind the double: what `capture: trigger` of adapters/sqlserver drains and deletes, without a
//! database. It knows those statements by their words; any other is an error, and kept as a mistake.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use super::{Answer, Column, Handler, Request, Type, Value, lock};

/// A row that a trigger wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `i`, `u`, `d` or `s`.
    pub op: char,
    /// The old row in the adapter's spelling: `t7;n;` is 7 and NULL.
    pub before: Option<String>,
    /// The new row.
    pub after: Option<String>,
}

/// What goes wrong with the next statement whose text has these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is cut before it does anything.
    Before,
    /// It is done, and the connection is cut before that is said.
    After,
    /// It is done, and the connection is cut within the answer.
    Within(usize),
    /// It is the victim of a deadlock, and nothing is done.
    Deadlock,
    /// There is no answer.
    Silence,
}

/// The outbox of one flow. Clones are the same one.
#[derive(Clone)]
pub struct OutboxWorld {
    state: Arc<Mutex<State>>,
}

struct State {
    relation: String,
    columns: Vec<(String, String)>,
    clock: i64,
    rows: BTreeMap<i64, Written>,
    /// Row versions that transactions of the application hold: what they wrote nobody sees yet.
    open: HashMap<u64, Vec<(i64, Written)>>,
    transactions: u64,
    /// Who holds the lock of the flow.
    drainer: Option<u64>,
    /// Rows that a transaction of ours has deleted and not yet committed, by connection.
    undo: HashMap<u64, Vec<(i64, Written)>>,
    troubles: Vec<(String, Trouble)>,
    mistakes: Vec<String>,
}

impl OutboxWorld {
    /// An empty outbox of this table, with its columns and their types.
    pub fn new(relation: &str, columns: &[(&str, &str)]) -> Self {
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
        let state = State {
            relation: relation.into(),
            columns,
            clock: 2_000,
            rows: BTreeMap::new(),
            open: HashMap::new(),
            transactions: 0,
            drainer: None,
            undo: HashMap::new(),
            troubles: Vec::new(),
            mistakes: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The application writes and commits. Returns the row version.
    pub fn write(&self, written: Written) -> i64 {
        let transaction = self.begin();
        let version = self.write_in(transaction, written);
        self.commit(transaction);
        version
    }

    /// A transaction of the application.
    pub fn begin(&self) -> u64 {
        let mut state = lock(&self.state);
        state.transactions += 1;
        let number = state.transactions;
        state.open.insert(number, Vec::new());
        number
    }

    /// Writes in this transaction: the row has its version now, and is there after the commit.
    pub fn write_in(&self, transaction: u64, written: Written) -> i64 {
        let mut state = lock(&self.state);
        state.clock += 1;
        let version = state.clock;
        state.open.entry(transaction).or_default().push((version, written));
        version
    }

    /// Commits it.
    pub fn commit(&self, transaction: u64) {
        let mut state = lock(&self.state);
        let written = state.open.remove(&transaction).unwrap_or_default();
        state.rows.extend(written);
    }

    /// Rolls it back: its row versions are never seen.
    pub fn roll_back(&self, transaction: u64) {
        lock(&self.state).open.remove(&transaction);
    }

    /// The next statement with these words, in whatever case, meets this.
    pub fn trouble(&self, words: &str, trouble: Trouble) {
        lock(&self.state).troubles.push((words.to_lowercase(), trouble));
    }

    /// The row versions that are committed and not deleted.
    pub fn left(&self) -> Vec<i64> {
        lock(&self.state).rows.keys().copied().collect()
    }

    /// Statements that it does not know.
    pub fn mistakes(&self) -> Vec<String> {
        lock(&self.state).mistakes.clone()
    }
}

impl Handler for OutboxWorld {
    fn answer(&self, request: &Request) -> Vec<Answer> {
        let mut state = lock(&self.state);
        let sql = request.sql.to_lowercase();
        let met = state
            .troubles
            .iter()
            .position(|(words, _)| sql.contains(words))
            .map(|at| state.troubles.remove(at).1);
        match met {
            None => state.run(&sql, request),
            Some(Trouble::Before) => vec![Answer::Drop],
            Some(Trouble::Deadlock) => vec![Answer::deadlock()],
            Some(Trouble::Silence) => vec![Answer::Hang],
            Some(Trouble::After) => {
                state.run(&sql, request);
                vec![Answer::Drop]
            }
            Some(Trouble::Within(bytes)) => {
                let mut answers = state.run(&sql, request);
                answers.push(Answer::Cut(bytes));
                answers
            }
        }
    }

    fn ended(&self, connection: u64) {
        let mut state = lock(&self.state);
        let undone = state.undo.remove(&connection).unwrap_or_default();
        state.rows.extend(undone);
        if state.drainer == Some(connection) {
            state.drainer = None;
        }
    }
}

impl State {
    fn run(&mut self, sql: &str, request: &Request) -> Vec<Answer> {
        let connection = request.connection;
        if sql.starts_with("begin tran") {
            self.undo.insert(connection, Vec::new());
            return Vec::new();
        }
        if sql.starts_with("commit") {
            self.undo.remove(&connection);
            return Vec::new();
        }
        if sql.starts_with("set nocount") {
            return Vec::new();
        }
        if sql.contains("sp_getapplock") {
            let is_mine = *self.drainer.get_or_insert(connection) == connection;
            return one(Type::Int, if is_mine { 0 } else { -1 }.into());
        }
        if sql.contains("service_broker_guid") {
            return one(Type::NVarChar(36), "6F9619FF-8B86-D011-B42D-00C04FC964FF".into());
        }
        if sql.contains("min_active_rowversion") {
            return self.drain(sql, request.value(0).int().unwrap_or_default());
        }
        if sql.starts_with("delete from") {
            return self.forget(sql, connection);
        }
        if sql.contains("from_key") {
            let columns = [Column::new("id", Type::BigInt)];
            let keys = ["from_key", "to_key", "at_key"].map(|it| Column::new(it, Type::NVarCharMax));
            return vec![Answer::Rows {
                columns: columns.into_iter().chain(keys).collect(),
                rows: Vec::new(),
            }];
        }
        if sql.contains("count_big") {
            return one(Type::BigInt, i64::try_from(self.rows.len()).unwrap_or(i64::MAX).into());
        }
        if sql.contains("[captured]") {
            return self.captured();
        }
        if sql.contains("object_id(") {
            return one(Type::Int, 1.into());
        }
        self.mistakes.push(request.sql.clone());
        vec![Answer::error(50_000, "the outbox in memory does not know this statement")]
    }

    fn captured(&self) -> Vec<Answer> {
        let columns = [
            Column::new("id", Type::Int).not_null(),
            Column::new("relation", Type::NVarChar(260)),
            Column::new("name", Type::NVarChar(128)),
            Column::new("kind", Type::NVarChar(128)),
        ];
        let row = |(name, kind): &(String, String)| {
            [1.into(), self.relation.clone().into(), name.clone().into(), kind.clone().into()]
        };
        vec![Answer::rows(columns, self.columns.iter().map(row))]
    }

    /// Rows after this version, below the lowest that a transaction under way holds.
    fn drain(&self, sql: &str, after: i64) -> Vec<Answer> {
        let most = sql
            .split("top (")
            .nth(1)
            .and_then(|it| it.split(')').next())
            .and_then(|it| it.trim().parse().ok());
        let until = self.open.values().flatten().map(|(version, _)| *version).min().unwrap_or(i64::MAX);
        let columns = [
            Column::new("", Type::BigInt),
            Column::new("capture", Type::Int).not_null(),
            Column::new("op", Type::Char(1)).not_null(),
            Column::new("", Type::NVarChar(31)),
            Column::new("before", Type::NVarCharMax),
            Column::new("after", Type::NVarCharMax),
        ];
        let visible = self.rows.range(after.saturating_add(1)..).take_while(|(version, _)| **version < until);
        let row = |(version, it): (&i64, &Written)| -> [Value; 6] {
            let op = it.op.to_string().into();
            let at = "2024-02-29T12:00:00.123Z".into();
            [(*version).into(), 1.into(), op, at, it.before.clone().into(), it.after.clone().into()]
        };
        vec![Answer::rows(columns, visible.take(most.unwrap_or(usize::MAX)).map(row))]
    }

    fn forget(&mut self, sql: &str, connection: u64) -> Vec<Answer> {
        let named = sql.split("rv in (").nth(1).unwrap_or_default();
        let hexadecimal = |it: &str| {
            let digits: String =
                it.trim().strip_prefix("0x")?.chars().take_while(char::is_ascii_hexdigit).collect();
            i64::from_str_radix(&digits, 16).ok()
        };
        let gone: Vec<_> =
            named.split(',').filter_map(hexadecimal).filter_map(|it| self.rows.remove_entry(&it)).collect();
        let affected = u64::try_from(gone.len()).unwrap_or_default();
        if let Some(undo) = self.undo.get_mut(&connection) {
            undo.extend(gone);
        }
        vec![Answer::Done { affected }]
    }
}

fn one(kind: Type, value: Value) -> Vec<Answer> {
    vec![Answer::rows([Column::new("", kind)], [[value]])]
}
