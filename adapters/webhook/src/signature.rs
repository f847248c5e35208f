//! Signatures: HMAC (RFC 2104) with the hashes that senders of webhooks use, compared in constant time.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};

/// A shared secret. Never shown.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// The text's own bytes. `None`: empty.
    pub fn plain(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.as_bytes().into()))
    }

    /// A secret as Standard Webhooks write it: Base64, with or without `whsec_` before it. `None`: it is not.
    pub fn standard(text: &str) -> Option<Self> {
        let text = text.trim();
        let coded = text.strip_prefix("whsec_").unwrap_or(text);
        let bytes = STANDARD.decode(coded).ok().filter(|it| !it.is_empty())?;
        Some(Self(bytes.into()))
    }
}

/// The hash under an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// SHA-1: still no way to forge an HMAC, and all that some senders know.
    Sha1,
}

impl Algorithm {
    /// The algorithm of this word.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            "sha1" => Some(Self::Sha1),
            _ => None,
        }
    }

    /// Whether one of `given` is the signature of `parts`, one after the other, under one of `secrets`. The parts are
    /// hashed once for each secret, however many signatures are given; nothing ends early.
    pub fn verifies(self, secrets: &[Secret], parts: &[&[u8]], given: &[Vec<u8>]) -> bool {
        let under = |secret: &Secret| match self {
            Self::Sha256 => is_of::<Hmac<sha2::Sha256>>(secret, parts, given),
            Self::Sha512 => is_of::<Hmac<sha2::Sha512>>(secret, parts, given),
            Self::Sha1 => is_of::<Hmac<sha1::Sha1>>(secret, parts, given),
        };
        secrets.iter().fold(false, |found, secret| found | under(secret))
    }

    /// The signature of `parts`, one after the other.
    pub fn sign(self, secret: &Secret, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256 => signed::<Hmac<sha2::Sha256>>(secret, parts),
            Self::Sha512 => signed::<Hmac<sha2::Sha512>>(secret, parts),
            Self::Sha1 => signed::<Hmac<sha1::Sha1>>(secret, parts),
        }
    }
}

/// An HMAC takes a key of any length: `None` never happens.
fn over<M: Mac + KeyInit>(secret: &Secret, parts: &[&[u8]]) -> Option<M> {
    let mut mac = <M as KeyInit>::new_from_slice(&secret.0).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}

fn is_of<M: Mac + KeyInit + Clone>(secret: &Secret, parts: &[&[u8]], given: &[Vec<u8>]) -> bool {
    let Some(mac) = over::<M>(secret, parts) else { return false };
    given.iter().fold(false, |found, it| found | mac.clone().verify_slice(it).is_ok())
}

fn signed<M: Mac + KeyInit>(secret: &Secret, parts: &[&[u8]]) -> Vec<u8> {
    over::<M>(secret, parts).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
}

/// The signature headers of Standard Webhooks for a message: `v1,` and Base64.
pub fn standard(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> String {
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    format!("v1,{}", STANDARD.encode(Algorithm::Sha256.sign(secret, &parts)))
}

/// Bytes written as hexadecimal digits, in any case of letters.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let bytes = text.as_bytes();
    if bytes.is_empty() || !bytes.len().is_multiple_of(2) || bytes.len() > LONGEST {
        return None;
    }
    bytes
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        })
        .collect()
}

/// Bytes written in Base64.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    if text.len() > LONGEST {
        return None;
    }
    STANDARD.decode(text).ok()
}

/// Longest signature as text: that of SHA-512 in hexadecimal digits has 128.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 (SHA-256, SHA-512) and RFC 2202 (SHA-1), test case 2.
    #[test]
    fn the_vectors_of_the_standards_hold() {
        let secret = Secret::plain("Jefe").unwrap();
        for (algorithm, hex) in [
            (Algorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                Algorithm::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
            (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        ] {
            let given = from_hex(hex).unwrap();
            assert_eq!(algorithm.sign(&secret, &[b"what do ya want ", b"for nothing?"]), given);
            let other = Secret::plain("other").unwrap();
            let both = [other.clone(), secret.clone()];
            assert!(algorithm.verifies(&both, &[b"what do ya want for nothing?"], &[vec![1], given.clone()]));
            assert!(!algorithm.verifies(
                &[other],
                &[b"what do ya want for nothing?"],
                std::slice::from_ref(&given)
            ));
            assert!(!algorithm.verifies(
                &both,
                &[b"what do ya want for nothing!"],
                std::slice::from_ref(&given)
            ));
            assert!(!algorithm.verifies(&both, &[b"what do ya want for nothing?"], &[given[1..].to_vec()]));
            assert!(!algorithm.verifies(&both, &[b"what do ya want for nothing?"], &[]));
        }
    }

    #[test]
    fn secrets_are_read_as_their_senders_write_them_and_never_shown() {
        assert!(Secret::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_some());
        assert!(Secret::standard("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").is_some());
        for wrong in ["", "whsec_", "whsec_!", "not base 64"] {
            assert!(Secret::standard(wrong).is_none(), "input: {wrong:?}");
        }
        assert!(Secret::plain(" ").is_none());
        assert_eq!(format!("{:?}", Secret::plain("hush")), "Some(Secret(***))");
    }

    #[test]
    fn digits_are_read_strictly() {
        for (text, expected) in
            [("00fF", Some(vec![0, 255])), ("", None), ("0", None), ("0g", None), ("é0", None)]
        {
            assert_eq!(from_hex(text), expected, "input: {text:?}");
        }
        assert_eq!(from_hex(&"0".repeat(1000)), None);
    }
}
