//! A row that is too large to be held: its long values are dropped while they arrive, the rest is kept.
//!
//! What comes out is the same message with [`TOO_LONG`] in place of each value that does not fit, so that the row becomes
//! a finding instead of the end of the process.

use super::pgoutput::TOO_LONG;

/// What all values of one row may have together.
const ROOM: usize = 12 << 20;
/// The longest single value.
const LONGEST: usize = 8 << 20;

/// Reads the payload of one message bit by bit.
pub(super) struct Condenser {
    /// Bytes of the message that have not come yet.
    left: usize,
    out: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The message's kind and its relation: five bytes.
    Head,
    /// The mark of a tuple.
    Mark,
    /// The number of a tuple's columns.
    Count,
    /// The kind of a value; so many are left.
    Kind(u16),
    /// The length of a value; so many are left with it.
    Length(u16),
    /// A value that is kept.
    Keep { bytes: usize, left: u16 },
    /// A value that is dropped.
    Drop { bytes: usize, left: u16 },
    /// Something that this can not make smaller.
    Refused,
}

impl Condenser {
    /// For a message of this length. The first byte fed is the message's kind.
    pub(super) fn new(length: usize) -> Self {
        Self { left: length, out: Vec::new(), state: State::Head }
    }

    /// Takes what belongs to the message; says how many bytes that were.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> usize {
        let mine = bytes.get(..self.left.min(bytes.len())).unwrap_or_default();
        let mut rest = mine;
        while !rest.is_empty() {
            let used = self.step(rest);
            rest = rest.get(used..).unwrap_or_default();
            if used == 0 && mine.len() < self.left {
                break;
            }
            if used == 0 {
                // All of it is here, and it breaks off.
                self.state = State::Refused;
            }
        }
        let used = mine.len() - rest.len();
        self.left -= used;
        used
    }

    /// True when the whole message has come.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The message, smaller; `None`: it could not be made so.
    pub(super) fn into_message(self) -> Option<Vec<u8>> {
        (!matches!(self.state, State::Refused)).then_some(self.out)
    }

    /// One step; 0: more bytes are needed to make it.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match self.state {
            State::Head => self.fixed::<5>(bytes, |[kind, ..]| {
                if matches!(kind, b'I' | b'U' | b'D') { State::Mark } else { State::Refused }
            }),
            State::Mark => self.fixed::<1>(bytes, |_| State::Count),
            State::Count => self.fixed::<2>(bytes, |it| next(u16::from_be_bytes(it))),
            State::Kind(left) => match bytes.first() {
                // Its mark is written when its length is known.
                Some(b't') => {
                    self.state = State::Length(left);
                    1
                }
                Some(b'n' | b'u') => self.fixed::<1>(bytes, |_| next(left.saturating_sub(1))),
                _ => {
                    self.state = State::Refused;
                    1
                }
            },
            State::Length(left) => self.length(bytes, left),
            State::Keep { bytes: wanted, left } => {
                let taken = bytes.get(..wanted.min(bytes.len())).unwrap_or_default();
                self.out.extend_from_slice(taken);
                let bytes = wanted - taken.len();
                self.state = if bytes == 0 { next(left) } else { State::Keep { bytes, left } };
                taken.len()
            }
            State::Drop { bytes: unwanted, left } => {
                let used = unwanted.min(bytes.len());
                let bytes = unwanted - used;
                self.state = if bytes == 0 { next(left) } else { State::Drop { bytes, left } };
                used
            }
            State::Refused => bytes.len(),
        }
    }

    fn fixed<const N: usize>(&mut self, bytes: &[u8], then: impl FnOnce([u8; N]) -> State) -> usize {
        let Some(taken) = bytes.first_chunk::<N>() else { return 0 };
        self.out.extend_from_slice(taken);
        self.state = then(*taken);
        N
    }

    fn length(&mut self, bytes: &[u8], left: u16) -> usize {
        let Some(taken) = bytes.first_chunk::<4>() else { return 0 };
        let length = usize::try_from(u32::from_be_bytes(*taken)).unwrap_or(usize::MAX);
        let left = left.saturating_sub(1);
        let fits = length <= LONGEST && self.out.len().saturating_add(length) <= ROOM;
        if fits {
            self.out.push(b't');
            self.out.extend_from_slice(taken);
        } else {
            self.out.push(TOO_LONG);
        }
        self.state = match (fits, length) {
            (_, 0) => next(left),
            (true, bytes) => State::Keep { bytes, left },
            (false, bytes) => State::Drop { bytes, left },
        };
        4
    }
}

/// The next value, or after the last one the next tuple.
fn next(left: u16) -> State {
    if left == 0 { State::Mark } else { State::Kind(left) }
}
