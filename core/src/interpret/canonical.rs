//! The clean spelling of a value: what canonical JSON, findings, prompts and cache keys show.

use crate::{record::Value, record::json};

use super::{bytes, decimals, instants, iso};

/// The canonical text of a value: ISO 8601 dates, decimals with their scale, `true`/`false`, base64; a list as its
/// canonical JSON. [`super::Codec::read_clean`] reads it back.
pub fn canonical_text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Text(text) => out.push_str(text),
        Value::Int(number) => out = number.to_string(),
        Value::Decimal(number) => out = decimals::plain(*number),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        // A year outside 0..=9999 can only be computed, never read; jiff's own text shows it with its sign.
        Value::Date(date) => {
            if iso::push_date(&mut out, *date).is_none() {
                out = date.to_string();
            }
        }
        Value::Time(time) => iso::push_time(&mut out, *time),
        Value::DateTime { at, offset } => {
            if instants::push_iso(&mut out, *at, *offset).is_none() {
                out = at.to_string();
            }
        }
        Value::Bytes(content) => out = bytes::Style::Base64.write(content),
        Value::List(items) => out = json::list(items).to_string(),
    }
    out
}
