//! Parameters: how the type and the value of each are read.

use std::io;

use jiff::{
    ToSpan,
    civil::{Date, Time},
};

use super::{
    column::{Value, swapped},
    wire::{Reader, broken, text},
};

/// Reads TYPE_INFO and the value after it, as a parameter has them.
pub(super) fn read(reader: &mut Reader<'_>) -> io::Result<Value> {
    let token = reader.u8()?;
    match token {
        0x1f => Ok(Value::Null),
        0x28 => byte(reader, 0x28, 0),
        0x29..=0x2b => {
            let scale = reader.u8()?;
            byte(reader, token, scale)
        }
        0x24 | 0x26 | 0x68 | 0x6d | 0x6e | 0x6f => {
            reader.u8()?;
            byte(reader, token, 0)
        }
        0x6a | 0x6c => {
            let [_, _, scale] = reader.array()?;
            byte(reader, token, scale)
        }
        0xa5 | 0xad => {
            let length = reader.u16()?;
            Ok(word(reader, length)?.map_or(Value::Null, Value::Bytes))
        }
        0xa7 | 0xaf | 0xe7 | 0xef => {
            let length = reader.u16()?;
            reader.take(5)?;
            let wide = token >= 0xe0;
            let read = |it: Vec<u8>| if wide { text(&it) } else { it.into_iter().map(char::from).collect() };
            Ok(word(reader, length)?.map_or(Value::Null, |it| Value::Text(read(it))))
        }
        0xf1 => {
            if reader.u8()? != 0 {
                return Err(broken("a parameter of typed XML"));
            }
            Ok(pieces(reader)?.map_or(Value::Null, |it| Value::Text(text(&it))))
        }
        other => Err(broken(&format!("a parameter of type 0x{other:02x}"))),
    }
}

fn word(reader: &mut Reader<'_>, declared: u16) -> io::Result<Option<Vec<u8>>> {
    if declared == u16::MAX {
        return pieces(reader);
    }
    match reader.u16()? {
        u16::MAX => Ok(None),
        length => Ok(Some(reader.take(length.into())?.to_vec())),
    }
}

fn pieces(reader: &mut Reader<'_>) -> io::Result<Option<Vec<u8>>> {
    if reader.u64()? == u64::MAX {
        return Ok(None);
    }
    let mut all = Vec::new();
    loop {
        let length = reader.u32()?;
        if length == 0 {
            return Ok(Some(all));
        }
        all.extend(reader.take(usize::try_from(length).map_err(|_| broken("a piece that is too long"))?)?);
    }
}

/// A value whose length is one byte.
fn byte(reader: &mut Reader<'_>, token: u8, scale: u8) -> io::Result<Value> {
    let length = usize::from(reader.u8()?);
    let bytes = reader.take(length)?;
    if length == 0 {
        return Ok(Value::Null);
    }
    let mut it = Reader::new(bytes);
    let time_at = |units: u64, scale: u8| {
        let nanoseconds =
            i64::try_from(units.saturating_mul(10_u64.pow(u32::from(9 - scale.min(9))))).unwrap_or_default();
        Time::midnight().saturating_add(nanoseconds.nanoseconds())
    };
    let date_at =
        |days: u64| Date::constant(1, 1, 1).saturating_add(i64::try_from(days).unwrap_or_default().days());
    Ok(match (token, length) {
        (0x26, 1) => Value::Int(it.u8()?.into()),
        (0x26, 2) => Value::Int(i16::from_le_bytes(it.array()?).into()),
        (0x26, 4) => Value::Int(i32::from_le_bytes(it.array()?).into()),
        (0x26, 8) => Value::Int(i64::from_le_bytes(it.array()?)),
        (0x68, 1) => Value::Bit(it.u8()? != 0),
        (0x6d, 4) => Value::Float(f32::from_le_bytes(it.array()?).into()),
        (0x6d, 8) => Value::Float(f64::from_le_bytes(it.array()?)),
        (0x6e, 4) => Value::Decimal(i32::from_le_bytes(it.array()?).into(), 4),
        (0x6e, 8) => {
            let [e, f, g, h, a, b, c, d] = it.array()?;
            Value::Decimal(i64::from_le_bytes([a, b, c, d, e, f, g, h]).into(), 4)
        }
        (0x6a | 0x6c, _) => {
            let positive = it.u8()? != 0;
            let units = i128::try_from(number(it.take(length - 1)?))
                .map_err(|_| broken("a decimal that is too large"))?;
            Value::Decimal(if positive { units } else { -units }, scale)
        }
        (0x24, 16) => Value::Guid(swapped(it.array()?)),
        (0x28, 3) => Value::Date(date_at(narrow(it.take(3)?))),
        (0x29, _) => Value::Time(time_at(narrow(bytes), scale)),
        (0x2a, 4..) => {
            let time = time_at(narrow(it.take(length - 3)?), scale);
            Value::DateTime(date_at(narrow(it.take(3)?)).to_datetime(time))
        }
        (0x2b, 6..) => {
            let time = time_at(narrow(it.take(length - 5)?), scale);
            let utc = date_at(narrow(it.take(3)?)).to_datetime(time);
            let offset = i16::from_le_bytes(it.array()?);
            Value::Offset(utc.saturating_add(i64::from(offset).minutes()), offset)
        }
        (0x6f, 8) => {
            let days = i32::from_le_bytes(it.array()?);
            let nanoseconds = (u64::from(it.u32()?) * 10_000_000 / 3).min(86_399_999_999_999);
            let date = Date::constant(1900, 1, 1).saturating_add(i64::from(days).days());
            Value::DateTime(date.to_datetime(time_at(nanoseconds, 9)))
        }
        (0x6f, 4) => {
            let date = Date::constant(1900, 1, 1).saturating_add(i64::from(it.u16()?).days());
            Value::DateTime(date.to_datetime(time_at(u64::from(it.u16()?) * 60, 0)))
        }
        _ => return Err(broken(&format!("a parameter of type 0x{token:02x} and length {length}"))),
    })
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().rev().take(16).fold(0, |sum, it| (sum << 8) | u128::from(*it))
}

fn narrow(bytes: &[u8]) -> u64 {
    u64::try_from(number(bytes)).unwrap_or(u64::MAX)
}
