//! A connection that speaks the replication protocol: startup, log-in, plain queries, and the stream of a slot.
//!
//! Nothing here runs by itself: bytes move while a method is awaited, and every method has a deadline. What
//! [`Wire::fill`] received stays in the buffer when its future is dropped.

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_postgres::error::SqlState;

use super::{bytes::Reader, oversize::Condenser};
use crate::error::Trouble;

/// What is read at once, where there is as much.
const READ: usize = 256 << 10;
/// The longest message of a conversation, and of a stream before it is condensed.
const LONGEST: usize = 16 << 20;
/// The longest message before somebody has logged in.
const LONGEST_STRANGER: usize = 64 << 10;
/// The most rows that a plain query may answer with.
const MOST_ROWS: usize = 10_000;

/// Bytes in both directions.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// One connection.
pub(super) struct Wire {
    pipe: Box<dyn Pipe>,
    buffer: BytesMut,
    outgoing: BytesMut,
    /// A message that is too large to be held, while it comes.
    oversize: Option<Condenser>,
    /// That message when it is here, made smaller.
    condensed: Option<Vec<u8>>,
    /// The longest time for an answer.
    limit: Duration,
}

/// What the stream of a slot says.
#[derive(Debug, PartialEq)]
pub(super) enum Word<'a> {
    /// A message of the output plugin.
    Data { start: u64, payload: &'a [u8] },
    /// The server is there, and its log this far.
    Keepalive { end: u64, reply: bool },
}

/// The first message of the buffer.
struct Frame {
    tag: u8,
    /// Bytes of it with its head.
    length: usize,
}

impl Wire {
    /// A connection on which nothing was said yet.
    pub(super) fn new(pipe: Box<dyn Pipe>, limit: Duration) -> Self {
        Self {
            pipe,
            buffer: BytesMut::with_capacity(8 << 10),
            outgoing: BytesMut::new(),
            oversize: None,
            condensed: None,
            limit,
        }
    }

    /// What is to be sent with the next [`Wire::flush`].
    pub(super) fn outgoing(&mut self) -> &mut BytesMut {
        &mut self.outgoing
    }

    /// Sends everything. Cancel-safe: what was not sent is sent by the next call.
    pub(super) async fn flush(&mut self) -> Result<(), Trouble> {
        let Self { pipe, outgoing, limit, .. } = self;
        let sending = async {
            while !outgoing.is_empty() {
                if pipe.write_buf(outgoing).await? == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
            pipe.flush().await
        };
        timeout(*limit, sending).await.map_err(|_| Trouble::Slow(*limit))?.map_err(lost)
    }

    /// Receives some more bytes; waits until there are any. Cancel-safe.
    pub(super) async fn fill(&mut self) -> Result<(), Trouble> {
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * READ {
            // One large message is no reason to hold its room for ever.
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(READ);
        let count = self.pipe.read_buf(&mut self.buffer).await.map_err(lost)?;
        if count == 0 { Err(Trouble::Connection("it was closed".into())) } else { Ok(()) }
    }

    /// Answers to one message while nobody has logged in: its tag and body.
    pub(super) async fn stranger(&mut self) -> Result<(u8, Vec<u8>), Trouble> {
        let limit = self.limit;
        let waiting = timeout(limit, self.message(LONGEST_STRANGER));
        waiting.await.map_err(|_| Trouble::Slow(limit))?
    }

    async fn message(&mut self, longest: usize) -> Result<(u8, Vec<u8>), Trouble> {
        loop {
            if let Some(frame) = self.frame()? {
                if frame.length > longest {
                    return Err(broken("an answer is too long"));
                }
                if let Some(whole) = self.buffer.get(5..frame.length) {
                    let body = whole.to_vec();
                    self.buffer.advance(frame.length);
                    return Ok((frame.tag, body));
                }
            }
            self.fill().await?;
        }
    }

    fn frame(&self) -> Result<Option<Frame>, Trouble> {
        let mut from = Reader::new(&self.buffer);
        let (Some(tag), Some(length)) = (from.u8(), from.length()) else { return Ok(None) };
        match length.checked_add(1) {
            Some(length) if (5..=1 << 31).contains(&length) => Ok(Some(Frame { tag, length })),
            _ => Err(broken("a message has an impossible length")),
        }
    }

    /// Runs one plain query; the rows of its last answer, as text.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Trouble> {
        self.query_patiently(sql, self.limit).await
    }

    /// The same for what may take so long.
    pub(super) async fn query_patiently(
        &mut self,
        sql: &str,
        limit: Duration,
    ) -> Result<Vec<Vec<Option<String>>>, Trouble> {
        frontend::query(sql, &mut self.outgoing).map_err(lost)?;
        self.flush().await?;
        timeout(limit, self.answer()).await.map_err(|_| Trouble::Slow(limit))?
    }

    async fn answer(&mut self) -> Result<Vec<Vec<Option<String>>>, Trouble> {
        let (mut rows, mut trouble) = (Vec::new(), None);
        loop {
            let (tag, body) = self.message(LONGEST).await?;
            match tag {
                b'D' if rows.len() >= MOST_ROWS => return Err(broken("an answer has too many rows")),
                b'D' => rows.push(row(&body).ok_or_else(|| broken("a row breaks off"))?),
                b'E' => trouble = trouble.or(Some(refusal(&body))),
                b'Z' => return trouble.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    /// Begins the stream of a slot by this command. After it only [`Wire::word`] and [`Wire::fill`] make sense.
    pub(super) async fn stream(&mut self, command: &str) -> Result<(), Trouble> {
        frontend::query(command, &mut self.outgoing).map_err(lost)?;
        self.flush().await?;
        let limit = self.limit;
        let beginning = async {
            loop {
                let (tag, body) = self.message(LONGEST).await?;
                match tag {
                    b'W' => return Ok(()),
                    b'E' => return Err(refusal(&body)),
                    b'C' | b'Z' => return Err(broken("the stream ended before it began")),
                    _ => {}
                }
            }
        };
        timeout(limit, beginning).await.map_err(|_| Trouble::Slow(limit))?
    }

    /// Makes ready the next word that is in the buffer, whole; false: more must be received. Then [`Wire::word`] says it
    /// until [`Wire::advance`].
    pub(super) fn is_ready(&mut self) -> Result<bool, Trouble> {
        loop {
            if self.condensed.is_some() {
                return Ok(true);
            }
            if let Some(condenser) = &mut self.oversize {
                let used = condenser.feed(&self.buffer);
                self.buffer.advance(used);
                if !condenser.is_done() {
                    return Ok(false);
                }
                let condensed = self.oversize.take().and_then(Condenser::into_message);
                self.condensed = Some(condensed.ok_or_else(|| broken("a message is too long"))?);
                continue;
            }
            let Some(frame) = self.frame()? else { return Ok(false) };
            if frame.length > LONGEST {
                // Tag, length, kind, start, end and clock of what the message is wrapped in.
                let Some(head) = self.buffer.get(5..30) else { return Ok(false) };
                if frame.tag != b'd' || head.first() != Some(&b'w') {
                    return Err(broken("a message is too long"));
                }
                self.buffer.advance(30);
                self.oversize = Some(Condenser::new(frame.length.saturating_sub(30)));
                continue;
            }
            let Some(body) = self.buffer.get(5..frame.length) else { return Ok(false) };
            match frame.tag {
                b'd' => return Ok(true),
                b'E' => return Err(refusal(body)),
                b'c' | b'C' | b'Z' => return Err(Trouble::Connection("the server ended the stream".into())),
                _ => self.buffer.advance(frame.length),
            }
        }
    }

    /// The word that [`Wire::is_ready`] found.
    pub(super) fn word(&self) -> Result<Word<'_>, Trouble> {
        if let Some(payload) = &self.condensed {
            return Ok(Word::Data { start: 0, payload });
        }
        let frame = self.frame()?;
        let body = frame.and_then(|it| self.buffer.get(5..it.length)).unwrap_or_default();
        word(body).ok_or_else(|| broken("a word of the stream is none"))
    }

    /// Leaves that word behind.
    pub(super) fn advance(&mut self) {
        if self.condensed.take().is_none()
            && let Ok(Some(frame)) = self.frame()
        {
            self.buffer.advance(frame.length.min(self.buffer.len()));
        }
    }

    /// Puts a report of where we are into what is sent next.
    pub(super) fn report(&mut self, received: u64, durable: u64, clock: i64) {
        let mut body = [0u8; 39];
        let parts = [
            &b"d"[..],
            &38u32.to_be_bytes()[..],
            b"r",
            &received.to_be_bytes(),
            &durable.to_be_bytes(),
            &durable.to_be_bytes(),
            &clock.to_be_bytes(),
            b"\0",
        ];
        let bytes = parts.iter().flat_map(|it| it.iter());
        body.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.outgoing.extend_from_slice(&body);
    }
}

fn word(body: &[u8]) -> Option<Word<'_>> {
    let mut from = Reader::new(body);
    match from.u8()? {
        b'w' => {
            let start = from.u64()?;
            from.take(16)?;
            Some(Word::Data { start, payload: from.rest() })
        }
        b'k' => {
            let end = from.u64()?;
            from.take(8)?;
            Some(Word::Keepalive { end, reply: from.u8()? == 1 })
        }
        _ => None,
    }
}

fn row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let mut from = Reader::new(body);
    let count = from.u16()?;
    let mut values = Vec::new();
    for _ in 0..count {
        let length = from.u32()?;
        values.push(if length == u32::MAX {
            None
        } else {
            let text = from.take(usize::try_from(length).ok()?)?;
            Some(String::from_utf8_lossy(text).into_owned())
        });
    }
    Some(values)
}

/// What the server refused with.
pub(super) fn refusal(body: &[u8]) -> Trouble {
    let (mut from, mut code, mut message) = (Reader::new(body), "", "");
    while let Some(kind) = from.u8().filter(|it| *it != 0) {
        let Some(text) = from.text() else { break };
        match kind {
            b'C' => code = text,
            b'M' => message = text,
            _ => {}
        }
    }
    Trouble::refused(SqlState::from_code(code), message)
}

pub(super) fn lost(error: io::Error) -> Trouble {
    Trouble::Connection(error.to_string())
}

/// Something that no server of PostgreSQL says.
pub(super) fn broken(what: &str) -> Trouble {
    Trouble::Connection(what.to_owned())
}
