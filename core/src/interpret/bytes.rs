//! Opaque bytes as text.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::SpellingError;

/// How bytes are spelt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Style {
    /// RFC 4648 with padding; line breaks and blanks inside are passed over, as XML Schema allows them.
    #[default]
    Base64,
    /// Two digits a byte, either case; written in capitals.
    Hex,
}

const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

impl Style {
    pub(super) fn compile(format: Option<&str>) -> Result<Self, SpellingError> {
        match format {
            None | Some("base64") => Ok(Self::Base64),
            Some("hex") => Ok(Self::Hex),
            Some(_) => Err(SpellingError::new("format", "bytes are spelt `base64` or `hex`")),
        }
    }

    pub(super) fn read(self, raw: &str) -> Option<Bytes> {
        match self {
            Self::Base64 if raw.contains(|it: char| it.is_ascii_whitespace()) => {
                let joined: Vec<u8> = raw.bytes().filter(|it| !it.is_ascii_whitespace()).collect();
                STANDARD.decode(joined).ok().map(Bytes::from)
            }
            Self::Base64 => STANDARD.decode(raw).ok().map(Bytes::from),
            Self::Hex => {
                let (pairs, rest) = raw.as_bytes().as_chunks::<2>();
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
                rest.is_empty().then(|| pairs.iter().map(byte).collect::<Option<Vec<u8>>>())?.map(Bytes::from)
            }
        }
    }

    pub(super) fn write(self, value: &[u8]) -> String {
        match self {
            Self::Base64 => STANDARD.encode(value),
            Self::Hex => value
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .filter_map(|digit| DIGITS.get(usize::from(digit)))
                .collect(),
        }
    }
}
