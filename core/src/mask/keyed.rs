//! A keyed one-way hash: HMAC-SHA-256 (RFC 2104), shortened.

use sha2::{Digest, Sha256};

const BLOCK: usize = 64;

/// Sixteen hexadecimal digits of the value's HMAC. Without the key, short values can not be found by trying them all.
pub(super) fn hash(key: &[u8; 32], text: &str) -> String {
    let digest = hmac(key, text.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA-256 with a key of at most one block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| -> Vec<u8> {
        key.iter().copied().chain(std::iter::repeat(0)).take(BLOCK).map(|byte| byte ^ with).collect()
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hmac_agrees_with_rfc_4231() {
        let hex = |digest: [u8; 32]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for (key, message, expected) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ] {
            assert_eq!(hex(hmac(key, message)), expected);
        }
    }

    #[test]
    fn a_hash_depends_on_key_and_value() {
        assert_eq!(hash(&[1; 32], "Ana"), hash(&[1; 32], "Ana"));
        assert_ne!(hash(&[1; 32], "Ana"), hash(&[2; 32], "Ana"));
        assert_ne!(hash(&[1; 32], "Ana"), hash(&[1; 32], "Eva"));
        assert_eq!(hash(&[1; 32], "Ana").len(), 16);
    }
}
