//! Headers: what senders wrote, as text, and what we write, within the size of a frame.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use serde_json::Value;
use vestibule_core::job::Remark;

pub(crate) const TICKET: &str = "x-vestibule-ticket";
pub(crate) const FLOW: &str = "x-vestibule-flow";
pub(crate) const VERSION: &str = "x-vestibule-version";
pub(crate) const OUTCOME: &str = "x-vestibule-outcome";
pub(crate) const ANSWERED_BY: &str = "x-vestibule-answered-by";
pub(crate) const FAULT: &str = "x-vestibule-fault";
pub(crate) const CAUSE: &str = "x-vestibule-cause";
pub(crate) const FINDINGS: &str = "x-vestibule-findings";
pub(crate) const FINDINGS_LEFT_OUT: &str = "x-vestibule-findings-left-out";
pub(crate) const HEADERS_LEFT_OUT: &str = "x-vestibule-headers-left-out";
pub(crate) const ATTEMPT: &str = "x-vestibule-attempt";
pub(crate) const USER_ID: &str = "x-vestibule-user-id";
const OURS: &str = "x-vestibule-";

/// Longest list of findings in a header, in bytes.
const LONGEST_FINDINGS: usize = 16 * 1024;
/// Longest text of a cause, in bytes.
const LONGEST_CAUSE: usize = 1024;
/// Deepest nesting of a header's value that is read.
const DEEPEST: usize = 32;

/// What the broker writes itself, or acts upon: never written again. With an old `x-death` the broker would take a retry
/// for a circle and drop the message; with `CC` it would send copies to wherever the sender once sent some.
fn is_brokers(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "cc" | "bcc" | "x-death" | "x-delivery-count" | "x-delay")
        || name.starts_with("x-first-death-")
        || name.starts_with("x-last-death-")
}

/// Headers that are about to be sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Headers(BTreeMap<String, AMQPValue>);

impl Headers {
    /// Those of a message that is sent on: all but what is the broker's.
    pub fn carried_on(table: &FieldTable) -> Self {
        let kept = table.inner().iter().filter(|(name, _)| !is_brokers(name.as_str()));
        Self(kept.map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect())
    }

    pub fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.put(name, AMQPValue::LongString(text.into()))
    }

    /// The text under exactly this name.
    pub fn get_text(&self, name: &str) -> Option<String> {
        match self.0.get(name) {
            Some(AMQPValue::LongString(text)) => Some(text.to_string()),
            _ => None,
        }
    }

    pub fn number(&mut self, name: &str, number: u32) -> &mut Self {
        self.put(name, AMQPValue::LongLongInt(i64::from(number)))
    }

    /// Replaces one of this name, however that is written.
    fn put(&mut self, name: &str, value: AMQPValue) -> &mut Self {
        self.0.retain(|it, _| !it.eq_ignore_ascii_case(name));
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Why something was refused or given up. The fault's code stands at the front of the cause.
    pub fn refusal(&mut self, cause: &str, findings: &[Remark]) -> &mut Self {
        let code = cause.split(':').next().unwrap_or_default();
        let is_code = code.len() == 4 && code.starts_with('V');
        self.text(FAULT, if is_code { code } else { "V013" });
        self.text(CAUSE, cause.get(..cause.floor_char_boundary(LONGEST_CAUSE)).unwrap_or_default());
        self.findings(findings)
    }

    /// Findings as JSON, as many as fit; how many do not is said.
    pub fn findings(&mut self, findings: &[Remark]) -> &mut Self {
        if findings.is_empty() {
            return self;
        }
        let mut text = String::from("[");
        let mut written: usize = 0;
        for finding in findings {
            let Ok(one) = serde_json::to_string(finding) else { continue };
            if text.len() + one.len() + 2 > LONGEST_FINDINGS {
                break;
            }
            if written > 0 {
                text.push(',');
            }
            text.push_str(&one);
            written += 1;
        }
        text.push(']');
        let left_out = u32::try_from(findings.len() - written).unwrap_or(u32::MAX);
        if left_out > 0 {
            self.number(FINDINGS_LEFT_OUT, left_out);
        }
        self.text(FINDINGS, &text)
    }

    /// The table, at most so many bytes long: the largest that are not ours are left out first, and how many is said.
    pub fn into_table(mut self, room: usize) -> FieldTable {
        let mut left_out = 0_u32;
        let length = |all: &BTreeMap<String, AMQPValue>| -> usize {
            all.iter().map(|(name, value)| name.len() + 1 + size(value)).sum()
        };
        let room = room.saturating_sub(HEADERS_LEFT_OUT.len() + 16);
        let mut now = length(&self.0);
        if now > room {
            let mut others: Vec<(usize, String)> = self.0.iter().map(|(k, v)| (size(v), k.clone())).collect();
            // Ours last, then by size.
            others.sort_by_key(|(size, name)| (name.starts_with(OURS), std::cmp::Reverse(*size)));
            for (size, name) in others {
                if now <= room {
                    break;
                }
                self.0.remove(&name);
                now = now.saturating_sub(name.len() + 1 + size);
                left_out += 1;
            }
        }
        if left_out > 0 {
            self.number(HEADERS_LEFT_OUT, left_out);
        }
        let mut table = FieldTable::default();
        for (name, value) in self.0 {
            if let Ok(name) = ShortString::try_new(name) {
                table.insert(name, value);
            }
        }
        table
    }
}

/// Bytes of the entries of a table.
pub(crate) fn length(table: &FieldTable) -> usize {
    table.inner().iter().map(|(name, it)| 1 + name.as_str().len() + size(it)).sum()
}

/// Bytes of a value in a table, its type included.
fn size(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::Void => 0,
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::LongString(text) => 4 + text.len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.len(),
        AMQPValue::FieldArray(items) => 4 + items.as_slice().iter().map(size).sum::<usize>(),
        AMQPValue::FieldTable(table) => 4 + length(table),
    }
}

/// A header of this name, however it is written.
pub(crate) fn find<'t>(table: &'t FieldTable, name: &str) -> Option<&'t AMQPValue> {
    let exact = table.inner().get(name);
    exact.or_else(|| {
        table.inner().iter().find(|(it, _)| it.as_str().eq_ignore_ascii_case(name)).map(|(_, v)| v)
    })
}

/// A count that a broker or we wrote; 0 where it is none.
pub(crate) fn count(value: Option<&AMQPValue>) -> u32 {
    let number = match value {
        Some(AMQPValue::LongLongInt(it)) => *it,
        Some(AMQPValue::LongInt(it)) => i64::from(*it),
        Some(AMQPValue::LongUInt(it)) => i64::from(*it),
        Some(AMQPValue::ShortInt(it)) => i64::from(*it),
        Some(AMQPValue::ShortUInt(it)) => i64::from(*it),
        Some(AMQPValue::ShortShortInt(it)) => i64::from(*it),
        Some(AMQPValue::ShortShortUInt(it)) => i64::from(*it),
        _ => 0,
    };
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// How often the broker says that it passed this message on as a dead letter (`x-death`).
pub(crate) fn deaths(table: &FieldTable) -> u32 {
    let Some(AMQPValue::FieldArray(deaths)) = find(table, "x-death") else { return 0 };
    let each = deaths.as_slice().iter().map(|death| match death {
        AMQPValue::FieldTable(death) => count(death.inner().get("count")),
        _ => 0,
    });
    each.fold(0, u32::saturating_add)
}

/// A value as text; tables and lists as JSON. `None` where there is nothing.
pub(crate) fn text_of(value: &AMQPValue) -> Option<String> {
    Some(match json(value, 0) {
        Value::Null => return None,
        Value::String(text) => text,
        other => other.to_string(),
    })
}

fn json(value: &AMQPValue, depth: usize) -> Value {
    match value {
        AMQPValue::Boolean(it) => Value::Bool(*it),
        AMQPValue::ShortShortInt(it) => Value::from(*it),
        AMQPValue::ShortShortUInt(it) => Value::from(*it),
        AMQPValue::ShortInt(it) => Value::from(*it),
        AMQPValue::ShortUInt(it) => Value::from(*it),
        AMQPValue::LongInt(it) => Value::from(*it),
        AMQPValue::LongUInt(it) => Value::from(*it),
        AMQPValue::LongLongInt(it) => Value::from(*it),
        AMQPValue::Float(it) => Value::String(it.to_string()),
        AMQPValue::Double(it) => Value::String(it.to_string()),
        AMQPValue::DecimalValue(it) => Value::String(decimal(it.value, it.scale)),
        AMQPValue::ShortString(it) => Value::String(it.to_string()),
        AMQPValue::LongString(it) => Value::String(decoded(it)),
        AMQPValue::Timestamp(it) => instant(*it).map_or(Value::from(*it), |it| Value::String(it.to_string())),
        AMQPValue::ByteArray(it) => {
            Value::String(it.as_slice().iter().map(|byte| format!("{byte:02x}")).collect())
        }
        AMQPValue::Void => Value::Null,
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) if depth >= DEEPEST => Value::Null,
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(|it| json(it, depth + 1)).collect(),
        AMQPValue::FieldTable(table) => {
            table.inner().iter().map(|(name, it)| (name.to_string(), json(it, depth + 1))).collect()
        }
    }
}

/// A long string is bytes; legacy senders put there what their machine writes.
fn decoded(text: &LongString) -> String {
    std::str::from_utf8(text.as_bytes()).map_or_else(
        |_| encoding_rs::WINDOWS_1252.decode_without_bom_handling(text.as_bytes()).0.into_owned(),
        str::to_owned,
    )
}

/// Seconds since 1970, where that is a time; some senders write milliseconds.
pub(crate) fn instant(seconds: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(seconds).ok()?;
    Timestamp::from_second(seconds).ok()
}

fn decimal(value: u32, scale: u8) -> String {
    let digits = format!("{value:0>width$}", width = usize::from(scale) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(scale));
    if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
}
