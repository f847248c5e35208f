//! The first line is a header, as Content-Type and as signature; the rest is the body. Nothing may panic or be slow.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|it| *it == b'\n').unwrap_or(data.len());
    let (head, body) = data.split_at(end);
    let Ok(head) = std::str::from_utf8(head) else { return };
    vestibule_webhook::probe(head, &Bytes::copy_from_slice(body.get(1..).unwrap_or_default()));
});
