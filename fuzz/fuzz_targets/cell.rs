//! A byte that chooses a type, then the text of a value as PostgreSQL writes it. Nothing may panic or be slow.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| vestibule_postgres::probe(data));
