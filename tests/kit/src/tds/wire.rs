//! Bytes of the protocol: little-endian numbers, UTF-16 text, packets of a message.

use std::io::{self, Read};

/// Bytes of a packet's header.
pub(super) const HEADER: usize = 8;
/// The kinds of packet that are met here.
pub(super) const BATCH: u8 = 0x01;
pub(super) const RPC: u8 = 0x03;
pub(super) const RESPONSE: u8 = 0x04;
pub(super) const ATTENTION: u8 = 0x06;
pub(super) const TRANSACTION: u8 = 0x0e;
pub(super) const LOGIN: u8 = 0x10;
pub(super) const PRELOGIN: u8 = 0x12;
const LAST: u8 = 0x01;
const LONGEST: usize = 256 << 20;

pub(super) fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("TDS: {what}"))
}

/// What one side sent up to the mark that its message ends.
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) payload: Vec<u8>,
}

/// The next message; none where the other side closed the connection between two.
pub(super) fn read_message(stream: &mut impl Read) -> io::Result<Option<Message>> {
    let mut payload = Vec::new();
    loop {
        let mut header = [0_u8; HEADER];
        match stream.read_exact(&mut header) {
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof && payload.is_empty() => {
                return Ok(None);
            }
            read => read?,
        }
        let [kind, status, high, low, ..] = header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body =
            length.checked_sub(HEADER).ok_or_else(|| broken("a packet that is shorter than its header"))?;
        let start = payload.len();
        if start + body > LONGEST {
            return Err(broken("a message that is too long"));
        }
        payload.resize(start + body, 0);
        stream.read_exact(payload.get_mut(start..).unwrap_or_default())?;
        if status & LAST != 0 {
            return Ok(Some(Message { kind, payload }));
        }
    }
}

/// A message in packets of at most `size` bytes; the last one says so only where `ends`.
pub(super) fn packets(kind: u8, payload: &[u8], size: usize, ends: bool) -> Vec<u8> {
    let room = size.saturating_sub(HEADER).max(1);
    let mut wire = Vec::with_capacity(payload.len() + HEADER * (payload.len() / room + 1));
    let count = payload.len().div_ceil(room).max(1);
    for number in 0..count {
        let start = number * room;
        let piece = payload.get(start..payload.len().min(start + room)).unwrap_or_default();
        let length = u16::try_from(piece.len() + HEADER).unwrap_or(u16::MAX);
        let status = if ends && number + 1 == count { LAST } else { 0 };
        let id = u8::try_from(number % 256).unwrap_or_default().wrapping_add(1);
        wire.extend([kind, status]);
        wire.extend(length.to_be_bytes());
        wire.extend([0, 51, id, 0]);
        wire.extend(piece);
    }
    wire
}

/// Reads a message from its start.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| broken("a message that ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| broken("a message that ends too early"))
    }

    pub(super) fn u8(&mut self) -> io::Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> io::Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn units(&mut self, count: usize) -> io::Result<String> {
        Ok(text(self.take(count * 2)?))
    }
}

/// UTF-16 bytes as text; what is no text becomes U+FFFD.
pub(super) fn text(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|it| u16::from_le_bytes(*it)).collect();
    String::from_utf16_lossy(&units)
}

/// Text in UTF-16, low byte first.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Text with its count of units in one byte; longer text is cut.
pub(super) fn short_text(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().take(255).collect();
    let mut out = vec![u8::try_from(units.len()).unwrap_or_default()];
    out.extend(units.into_iter().flat_map(u16::to_le_bytes));
    out
}

/// Text with its count of units in two bytes; longer text is cut.
pub(super) fn long_text(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().take(30_000).collect();
    let mut out = u16::try_from(units.len()).unwrap_or_default().to_le_bytes().to_vec();
    out.extend(units.into_iter().flat_map(u16::to_le_bytes));
    out
}
