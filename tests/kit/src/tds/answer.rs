//! What the server says, in the tokens of the protocol.

use std::{io, time::Duration};

use super::{
    column::{Column, Value},
    request::{Kind, Request},
    wire::{broken, long_text, short_text},
};

/// A piece of what a request is answered with.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// A result with its rows.
    Rows {
        /// The columns.
        columns: Vec<Column>,
        /// Each with a value for every column.
        rows: Vec<Vec<Value>>,
    },
    /// A statement without a result; `affected` rows.
    Done {
        /// How many rows it changed.
        affected: u64,
    },
    /// The statement failed.
    Error {
        /// What `ERROR_NUMBER()` is.
        number: u32,
        /// The severity; 20 and more end the connection.
        class: u8,
        /// The text.
        message: String,
    },
    /// What `PRINT` says.
    Info {
        /// The text.
        message: String,
    },
    /// The value of an output parameter.
    Output {
        /// The parameter's name and type.
        column: Column,
        /// Its value.
        value: Value,
    },
    /// Nothing more for this long; what stands before it is on its way already.
    Wait(Duration),
    /// The connection is cut, after what stands before it.
    Drop,
    /// The connection is cut after this many bytes of what stands before it, and of all of it if it is less.
    Cut(usize),
    /// Nothing more until the client gives up, by attention or by closing the connection.
    Hang,
}

impl Answer {
    /// A result; each row is a list of values.
    pub fn rows<const N: usize>(columns: [Column; N], rows: impl IntoIterator<Item = [Value; N]>) -> Self {
        Self::Rows { columns: columns.into(), rows: rows.into_iter().map(Vec::from).collect() }
    }

    /// An error of severity 16.
    pub fn error(number: u32, message: &str) -> Self {
        Self::Error { number, class: 16, message: message.into() }
    }

    /// The error of the one who was chosen as a victim: 1205.
    pub fn deadlock() -> Self {
        let message = "Transaction (Process ID 51) was deadlocked on lock resources with another process and has been \
                       chosen as the deadlock victim. Rerun the transaction.";
        Self::Error { number: 1205, class: 13, message: message.into() }
    }
}

const MORE: u16 = 0x01;
const FAILED: u16 = 0x02;
const COUNT: u16 = 0x10;
const ATTENTION: u16 = 0x20;

/// What happens to the connection once the tokens are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Stay,
    Close,
    CloseAt(usize),
    Hang,
}

/// A response in the order in which it is sent: tokens, and pauses between them.
pub(super) struct Response {
    pub(super) parts: Vec<(Vec<u8>, Duration)>,
    pub(super) after: After,
}

/// The tokens of an answer; `transaction` numbers the one that a statement begins.
pub(super) fn response(request: &Request, answers: &[Answer], transaction: u64) -> io::Result<Response> {
    let batch = matches!(request.kind, Kind::Batch | Kind::Transaction);
    let mut parts = Vec::new();
    let (mut out, mut after, mut failed) = (Vec::new(), After::Stay, false);
    // Where the flags of the last DONE stand in `out`.
    let mut last = None;
    for answer in answers {
        match answer {
            Answer::Rows { columns, rows } => {
                result(&mut out, columns, rows)?;
                let count = u64::try_from(rows.len()).unwrap_or_default();
                last = Some(done(&mut out, if batch { 0xfd } else { 0xff }, MORE | COUNT, count));
            }
            Answer::Done { affected } => {
                last = Some(done(&mut out, if batch { 0xfd } else { 0xff }, MORE | COUNT, *affected));
            }
            Answer::Error { number, class, message } => {
                said(&mut out, 0xaa, *number, *class, message);
                failed = true;
                last = batch.then(|| done(&mut out, 0xfd, MORE | FAILED, 0));
                if *class >= 20 {
                    after = After::Close;
                }
            }
            Answer::Info { message } => said(&mut out, 0xab, 0, 0, message),
            Answer::Output { column, value } => output(&mut out, column, value)?,
            Answer::Wait(pause) => {
                parts.push((std::mem::take(&mut out), *pause));
                last = None;
            }
            Answer::Drop => after = After::Close,
            Answer::Cut(bytes) => after = After::CloseAt(*bytes),
            Answer::Hang => after = After::Hang,
        }
        if !matches!(after, After::Stay) {
            break;
        }
    }
    if !failed && let Some(change) = change(request, transaction) {
        out.splice(0..0, change.iter().copied());
        last = last.map(|it| it + change.len());
    }
    if matches!(after, After::Stay | After::CloseAt(_)) {
        finish(&mut out, batch, last, failed);
    }
    parts.push((out, Duration::ZERO));
    Ok(Response { parts, after })
}

/// The last DONE says that it is the last.
fn finish(out: &mut Vec<u8>, batch: bool, last: Option<usize>, failed: bool) {
    if batch {
        match last.and_then(|it| out.get_mut(it)) {
            Some(flags) => *flags &= !0x01,
            None => drop(done(out, 0xfd, if failed { FAILED } else { 0 }, 0)),
        }
    } else {
        if !failed {
            out.push(0x79);
            out.extend(0_i32.to_le_bytes());
        }
        done(out, 0xfe, if failed { FAILED } else { 0 }, 0);
    }
}

fn result(out: &mut Vec<u8>, columns: &[Column], rows: &[Vec<Value>]) -> io::Result<()> {
    out.push(0x81);
    out.extend(u16::try_from(columns.len()).map_err(|_| broken("too many columns"))?.to_le_bytes());
    for column in columns {
        column.describe(out);
    }
    for row in rows {
        if row.len() != columns.len() {
            let (has, wants) = (row.len(), columns.len());
            return Err(broken(&format!(
                "the handler of the test gave a row of {has} values for {wants} columns"
            )));
        }
        let nulls = row.iter().filter(|it| **it == Value::Null).count();
        // As the server does it: a bitmap of NULLs where it is shorter than they are.
        let bitmap = nulls > columns.len().div_ceil(8);
        out.push(if bitmap { 0xd2 } else { 0xd1 });
        if bitmap {
            for eight in row.chunks(8) {
                let bits = eight.iter().enumerate().filter(|(_, it)| **it == Value::Null);
                out.push(bits.fold(0, |byte, (bit, _)| byte | 1 << bit));
            }
        }
        for (column, value) in columns.iter().zip(row).filter(|(_, it)| !bitmap || **it != Value::Null) {
            column.write(value, out)?;
        }
    }
    Ok(())
}

fn output(out: &mut Vec<u8>, column: &Column, value: &Value) -> io::Result<()> {
    out.extend([0xac, 0, 0]);
    out.extend(short_text(&column.name));
    out.extend([1, 0, 0, 0, 0, 0x09, 0]);
    column.type_info(out);
    column.write(value, out)
}

/// Returns where the flags stand.
pub(super) fn done(out: &mut Vec<u8>, token: u8, flags: u16, count: u64) -> usize {
    out.push(token);
    let at = out.len();
    out.extend(flags.to_le_bytes());
    out.extend([0, 0]);
    out.extend(count.to_le_bytes());
    at
}

/// The acknowledgement of attention.
pub(super) fn stopped() -> Vec<u8> {
    let mut out = Vec::new();
    done(&mut out, 0xfd, ATTENTION, 0);
    out
}

/// A login that is refused, with this error.
pub(super) fn refused(number: u32, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    said(&mut out, 0xaa, number, 14, message);
    done(&mut out, 0xfd, FAILED, 0);
    out
}

fn said(out: &mut Vec<u8>, token: u8, number: u32, class: u8, message: &str) {
    let mut body = number.to_le_bytes().to_vec();
    body.extend([1, class]);
    body.extend(long_text(message));
    body.extend(short_text("double"));
    body.extend(short_text(""));
    body.extend(1_u32.to_le_bytes());
    token_of(out, token, &body);
}

fn token_of(out: &mut Vec<u8>, token: u8, body: &[u8]) {
    out.push(token);
    out.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(body);
}

/// A login that is accepted.
pub(super) fn welcome(database: &str, packet: usize, route: Option<(&str, u16)>) -> Vec<u8> {
    let mut out = Vec::new();
    let named = |kind: u8, new: &str, old: &str| [vec![kind], short_text(new), short_text(old)].concat();
    token_of(&mut out, 0xe3, &named(1, if database.is_empty() { "master" } else { database }, "master"));
    let [a, b, c, d, e] = super::column::LATIN1;
    token_of(&mut out, 0xe3, &[7, 5, a, b, c, d, e, 0]);
    let mut ack = vec![1, 0x74, 0, 0, 4];
    ack.extend(short_text("Microsoft SQL Server"));
    ack.extend([16, 0, 0x10, 0x40]);
    token_of(&mut out, 0xad, &ack);
    token_of(&mut out, 0xe3, &named(4, &packet.to_string(), "4096"));
    if let Some((host, port)) = route {
        let target = [&[0][..], &port.to_le_bytes(), &long_text(host)].concat();
        let length = u16::try_from(target.len()).unwrap_or_default().to_le_bytes();
        token_of(&mut out, 0xe3, &[&[20][..], &length, &target, &[0, 0]].concat());
    }
    done(&mut out, 0xfd, 0, 0);
    out
}

/// What a statement that begins or ends a transaction changes for its connection.
fn change(request: &Request, transaction: u64) -> Option<Vec<u8>> {
    let words: String =
        request.sql.split_whitespace().take(2).collect::<Vec<_>>().join(" ").to_ascii_uppercase();
    let number = transaction.to_le_bytes();
    let body = if words.starts_with("BEGIN TRAN") {
        [&[8, 8][..], &number, &[0]].concat()
    } else if words.starts_with("COMMIT") {
        [&[9, 0, 8][..], &number].concat()
    } else if words.starts_with("ROLLBACK") || words.starts_with("IF @@TRANCOUNT") {
        [&[10, 0, 8][..], &number].concat()
    } else {
        return None;
    };
    let mut out = Vec::new();
    token_of(&mut out, 0xe3, &body);
    Some(out)
}
