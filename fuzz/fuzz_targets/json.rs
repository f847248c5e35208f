#![no_main]
//! Foreign bytes to the strict JSON reader. What serde_json refuses, it must refuse.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if vestibule_json::read(bytes, &Default::default()).is_ok() {
        // A byte order mark is passed over; serde_json knows none.
        let bare = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let oracle: Result<serde_json::Value, _> = serde_json::from_slice(bare);
        assert!(oracle.is_ok() || oracle.is_err_and(|it| it.to_string().contains("number out of range")));
    }
});
