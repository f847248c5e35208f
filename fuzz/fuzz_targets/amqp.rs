//! Two bytes of length, the properties of a message as the wire has them, its body. Nothing may panic or be slow, and what
//! is sent on fits its room.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let at = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (wire, body) = rest.split_at(at);
    if let Some((length, room)) = vestibule_amqp::probe(wire, body) {
        assert!(length <= room, "{length} bytes of headers in a room of {room}");
    }
});
