//! A message of `pgoutput`. Nothing may panic, and no more is found in it than its bytes can hold.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(found) = vestibule_postgres::probe_pgoutput(data) {
        assert!(found <= data.len(), "{found} values in {} bytes", data.len());
    }
});
