//! Where a slot's reader is, as it is kept between its lives.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Lsn(pub(super) u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl Lsn {
    /// Reads `16/B374D848`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('/')?;
        let part = |it: &str| u32::from_str_radix(it, 16).ok();
        Some(Self(u64::from(part(high)?) << 32 | u64::from(part(low)?)))
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| serde::de::Error::custom("not a place in a log"))
    }
}

/// What is kept: of which server, which slot, and how far everything is durable here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The cluster's own number, which a copy shares and a new cluster does not.
    pub(super) system: String,
    pub(super) timeline: String,
    pub(super) slot: String,
    /// The end of the last transaction that is durable here whole.
    pub(super) lsn: Lsn,
    /// What the table looked like: names of columns with the numbers of their types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<(Box<str>, u32)>,
    /// The reading of rows that are there already, while it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reading: Option<Reading>,
}

/// What a position may be long, in bytes.
const LONGEST: usize = 60 << 10;

impl Position {
    /// As it is kept. What a very wide table looks like is left out: then a change of it is only seen while we are there.
    pub(super) fn text(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        if text.len() <= LONGEST {
            return text;
        }
        serde_json::to_string(&Self { columns: Vec::new(), ..self.clone() }).unwrap_or_default()
    }
}

/// How far the rows of a range were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reading {
    /// Names this reading in the keys of its documents.
    pub(super) run: Uuid,
    /// The key of the last row that is durable here; `None`: no row is.
    pub(super) after: Option<Vec<String>>,
    /// Where the range begins and ends; `None`: no end.
    pub(super) from: Option<Vec<String>>,
    pub(super) to: Option<Vec<String>>,
    /// The request in our table of signals; `None`: the first reading of all rows.
    pub(super) signal: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_the_server_writes_it() {
        for (text, place) in [
            ("0/0", Some(0)),
            ("16/B374D848", Some(0x16_B374_D848)),
            ("FFFFFFFF/FFFFFFFF", Some(u64::MAX)),
            ("1", None),
            ("1/100000000", None),
            ("/1", None),
            ("x/1", None),
        ] {
            assert_eq!(Lsn::read(text), place.map(Lsn), "{text}");
            if let Some(place) = place {
                assert_eq!(Lsn(place).to_string(), text);
            }
        }
    }
}
