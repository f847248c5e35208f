//! Columns and values: how each type of SQL Server is described and written, and how a parameter is read.

use std::io;

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Time},
};

use super::wire::{broken, short_text, utf16};

/// A type of SQL Server, with the length or scale that is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// `bit`
    Bit,
    /// `tinyint`
    TinyInt,
    /// `smallint`
    SmallInt,
    /// `int`
    Int,
    /// `bigint`
    BigInt,
    /// `real`
    Real,
    /// `float`
    Float,
    /// `decimal(precision, scale)`
    Decimal(u8, u8),
    /// `money`
    Money,
    /// `smallmoney`
    SmallMoney,
    /// `date`
    Date,
    /// `time(scale)`
    Time(u8),
    /// `datetime2(scale)`
    DateTime2(u8),
    /// `datetimeoffset(scale)`
    DateTimeOffset(u8),
    /// `datetime`
    DateTime,
    /// `smalldatetime`
    SmallDateTime,
    /// `char(bytes)`
    Char(u16),
    /// `varchar(bytes)`
    VarChar(u16),
    /// `varchar(max)`
    VarCharMax,
    /// `nchar(units)`
    NChar(u16),
    /// `nvarchar(units)`
    NVarChar(u16),
    /// `nvarchar(max)`
    NVarCharMax,
    /// `text`
    Text,
    /// `ntext`
    NText,
    /// `image`
    Image,
    /// `binary(bytes)`; `binary(8)` is also what a `rowversion` looks like
    Binary(u16),
    /// `varbinary(bytes)`
    VarBinary(u16),
    /// `varbinary(max)`
    VarBinaryMax,
    /// `uniqueidentifier`
    Guid,
    /// `xml`
    Xml,
}

/// `Latin1_General_CI_AS` with code page 1252: what columns have that name no collation.
pub const LATIN1: [u8; 5] = [0x09, 0x04, 0xd0, 0x00, 0x34];

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name; empty for an expression without one.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// Whether it may be NULL: decides between `int` and `intn` and the like.
    pub nullable: bool,
    /// The collation of character types, as five bytes of the protocol.
    pub collation: [u8; 5],
}

impl Column {
    /// A column that may be NULL.
    pub fn new(name: &str, kind: Type) -> Self {
        Self { name: name.into(), kind, nullable: true, collation: LATIN1 }
    }

    /// The same column, declared NOT NULL.
    #[must_use]
    pub fn not_null(self) -> Self {
        Self { nullable: false, ..self }
    }

    /// The same column with this collation.
    #[must_use]
    pub fn collated(self, collation: [u8; 5]) -> Self {
        Self { collation, ..self }
    }
}

/// A value of a row, or of a parameter.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    Null,
    /// `bit`
    Bit(bool),
    /// A whole number of any width.
    Int(i64),
    /// `float` and `real`
    Float(f64),
    /// `decimal`, and `money` with scale 4: units of 10^-scale.
    Decimal(i128, u8),
    /// Character data; in `varchar` only what Latin-1 has, other code pages are given as bytes.
    Text(String),
    /// Binary data, or the bytes of a `varchar` in its own code page, or of an `nvarchar` that is no valid UTF-16.
    Bytes(Vec<u8>),
    /// `uniqueidentifier`, in the order in which it is printed.
    Guid([u8; 16]),
    /// `date`
    Date(Date),
    /// `time`
    Time(Time),
    /// `datetime2`, `datetime`, `smalldatetime`
    DateTime(DateTime),
    /// `datetimeoffset`: the local time and its minutes east of UTC.
    Offset(DateTime, i16),
}

macro_rules! from {
    ($($source:ty => |$it:ident| $value:expr),* $(,)?) => {
        $(impl From<$source> for Value {
            fn from($it: $source) -> Self {
                $value
            }
        })*
    };
}

from! {
    &str => |it| Self::Text(it.into()),
    String => |it| Self::Text(it),
    i32 => |it| Self::Int(it.into()),
    i64 => |it| Self::Int(it),
    f64 => |it| Self::Float(it),
    bool => |it| Self::Bit(it),
    Vec<u8> => |it| Self::Bytes(it),
    &[u8] => |it| Self::Bytes(it.to_vec()),
    Date => |it| Self::Date(it),
    Time => |it| Self::Time(it),
    DateTime => |it| Self::DateTime(it),
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Value {
    /// The text of character data.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// A whole number; a bit counts as 0 or 1.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bit(bit) => Some(i64::from(*bit)),
            _ => None,
        }
    }

    /// The bytes of binary data.
    pub fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

/// How long a value is told to be: by its type, by one byte, by two, in pieces, or with a pointer to text before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Fixed,
    Byte,
    Word,
    Pieces,
    Pointer,
}

const UNKNOWN: u64 = 0xffff_ffff_ffff_fffe;
const PIECE: usize = 8_000;

impl Column {
    /// What COLMETADATA says of it.
    pub(super) fn describe(&self, out: &mut Vec<u8>) {
        out.extend(0_u32.to_le_bytes());
        out.extend([if self.nullable { 0x09 } else { 0x08 }, 0]);
        self.type_info(out);
        if matches!(self.kind, Type::Text | Type::NText | Type::Image) {
            out.push(1);
            out.extend(super::wire::long_text("legacy"));
        }
        out.extend(short_text(&self.name));
    }

    /// TYPE_INFO.
    pub(super) fn type_info(&self, out: &mut Vec<u8>) {
        let fixed = !self.nullable;
        match self.kind {
            Type::Bit if fixed => out.push(0x32),
            Type::TinyInt if fixed => out.push(0x30),
            Type::SmallInt if fixed => out.push(0x34),
            Type::Int if fixed => out.push(0x38),
            Type::BigInt if fixed => out.push(0x7f),
            Type::Real if fixed => out.push(0x3b),
            Type::Float if fixed => out.push(0x3e),
            Type::Money if fixed => out.push(0x3c),
            Type::SmallMoney if fixed => out.push(0x7a),
            Type::DateTime if fixed => out.push(0x3d),
            Type::SmallDateTime if fixed => out.push(0x3a),
            Type::Bit => out.extend([0x68, 1]),
            Type::TinyInt => out.extend([0x26, 1]),
            Type::SmallInt => out.extend([0x26, 2]),
            Type::Int => out.extend([0x26, 4]),
            Type::BigInt => out.extend([0x26, 8]),
            Type::Real => out.extend([0x6d, 4]),
            Type::Float => out.extend([0x6d, 8]),
            Type::Money => out.extend([0x6e, 8]),
            Type::SmallMoney => out.extend([0x6e, 4]),
            Type::DateTime => out.extend([0x6f, 8]),
            Type::SmallDateTime => out.extend([0x6f, 4]),
            Type::Decimal(precision, scale) => out.extend([0x6a, magnitude(precision) + 1, precision, scale]),
            Type::Date => out.push(0x28),
            Type::Time(scale) => out.extend([0x29, scale]),
            Type::DateTime2(scale) => out.extend([0x2a, scale]),
            Type::DateTimeOffset(scale) => out.extend([0x2b, scale]),
            Type::Guid => out.extend([0x24, 16]),
            Type::Xml => out.extend([0xf1, 0]),
            _ => self.sized(out),
        }
    }

    fn sized(&self, out: &mut Vec<u8>) {
        let (token, length) = match self.kind {
            Type::Char(bytes) => (0xaf, bytes),
            Type::VarChar(bytes) => (0xa7, bytes),
            Type::VarCharMax => (0xa7, u16::MAX),
            Type::NChar(units) => (0xef, units.saturating_mul(2)),
            Type::NVarChar(units) => (0xe7, units.saturating_mul(2)),
            Type::NVarCharMax => (0xe7, u16::MAX),
            Type::Binary(bytes) => (0xad, bytes),
            Type::VarBinary(bytes) => (0xa5, bytes),
            Type::VarBinaryMax => (0xa5, u16::MAX),
            Type::Text => (0x23, 0),
            Type::NText => (0x63, 0),
            _ => (0x22, 0),
        };
        out.push(token);
        if self.framing() == Framing::Pointer {
            out.extend(0x7fff_ffff_u32.to_le_bytes());
        } else {
            out.extend(length.to_le_bytes());
        }
        if !matches!(self.kind, Type::Binary(_) | Type::VarBinary(_) | Type::VarBinaryMax | Type::Image) {
            out.extend(self.collation);
        }
    }

    fn framing(&self) -> Framing {
        match self.kind {
            Type::Bit | Type::TinyInt | Type::SmallInt | Type::Int | Type::BigInt => self.fixed_or_byte(),
            Type::Real | Type::Float | Type::Money | Type::SmallMoney => self.fixed_or_byte(),
            Type::DateTime | Type::SmallDateTime => self.fixed_or_byte(),
            Type::Decimal(..) | Type::Date | Type::Time(_) | Type::Guid => Framing::Byte,
            Type::DateTime2(_) | Type::DateTimeOffset(_) => Framing::Byte,
            Type::Char(_) | Type::VarChar(_) | Type::NChar(_) | Type::NVarChar(_) => Framing::Word,
            Type::Binary(_) | Type::VarBinary(_) => Framing::Word,
            Type::VarCharMax | Type::NVarCharMax | Type::VarBinaryMax | Type::Xml => Framing::Pieces,
            Type::Text | Type::NText | Type::Image => Framing::Pointer,
        }
    }

    fn fixed_or_byte(&self) -> Framing {
        if self.nullable { Framing::Byte } else { Framing::Fixed }
    }

    /// Writes a value of this column as a ROW has it.
    pub(super) fn write(&self, value: &Value, out: &mut Vec<u8>) -> io::Result<()> {
        if *value == Value::Null {
            match self.framing() {
                Framing::Fixed => return Err(self.unfit(value)),
                Framing::Byte | Framing::Pointer => out.push(0),
                Framing::Word => out.extend(u16::MAX.to_le_bytes()),
                Framing::Pieces => out.extend(u64::MAX.to_le_bytes()),
            }
            return Ok(());
        }
        let bytes = self.bytes(value)?;
        match self.framing() {
            Framing::Fixed => {}
            Framing::Byte => out.push(u8::try_from(bytes.len()).map_err(|_| self.unfit(value))?),
            Framing::Word => {
                let length = u16::try_from(bytes.len()).ok().filter(|it| *it <= 8_000);
                out.extend(length.ok_or_else(|| self.unfit(value))?.to_le_bytes());
            }
            Framing::Pieces => {
                out.extend(UNKNOWN.to_le_bytes());
                for piece in bytes.chunks(PIECE) {
                    out.extend(u32::try_from(piece.len()).map_err(|_| self.unfit(value))?.to_le_bytes());
                    out.extend(piece);
                }
                out.extend(0_u32.to_le_bytes());
                return Ok(());
            }
            Framing::Pointer => {
                out.push(16);
                out.extend([0; 24]);
                out.extend(u32::try_from(bytes.len()).map_err(|_| self.unfit(value))?.to_le_bytes());
            }
        }
        out.extend(bytes);
        Ok(())
    }

    fn bytes(&self, value: &Value) -> io::Result<Vec<u8>> {
        let unfit = || self.unfit(value);
        let instant = |value: &Value| match value {
            Value::DateTime(it) | Value::Offset(it, _) => Some(*it),
            Value::Date(it) => Some(it.to_datetime(Time::midnight())),
            _ => None,
        };
        let bytes = match (self.kind, value) {
            (Type::Bit | Type::TinyInt, it) => {
                vec![u8::try_from(it.int().ok_or_else(unfit)?).map_err(|_| unfit())?]
            }
            (Type::SmallInt, Value::Int(it)) => {
                i16::try_from(*it).map_err(|_| unfit())?.to_le_bytes().to_vec()
            }
            (Type::Int, Value::Int(it)) => i32::try_from(*it).map_err(|_| unfit())?.to_le_bytes().to_vec(),
            (Type::BigInt, Value::Int(it)) => it.to_le_bytes().to_vec(),
            #[allow(clippy::cast_possible_truncation, reason = "a real has this precision")]
            (Type::Real, Value::Float(it)) => (*it as f32).to_le_bytes().to_vec(),
            (Type::Float, Value::Float(it)) => it.to_le_bytes().to_vec(),
            (Type::Decimal(precision, scale), it) => decimal(it, precision, scale).ok_or_else(unfit)?,
            (Type::Money, it) => {
                let units = i64::try_from(scaled(it, 4).ok_or_else(unfit)?).map_err(|_| unfit())?;
                let [a, b, c, d, e, f, g, h] = units.to_le_bytes();
                vec![e, f, g, h, a, b, c, d]
            }
            (Type::SmallMoney, it) => {
                i32::try_from(scaled(it, 4).ok_or_else(unfit)?).map_err(|_| unfit())?.to_le_bytes().to_vec()
            }
            (Type::Date, it) => days(instant(it).ok_or_else(unfit)?.date()),
            (Type::Time(scale), Value::Time(it)) => ticks(*it, scale),
            (Type::DateTime2(scale), it) => {
                let at = instant(it).ok_or_else(unfit)?;
                [ticks(at.time(), scale), days(at.date())].concat()
            }
            (Type::DateTimeOffset(scale), Value::Offset(local, minutes)) => {
                let at = local.saturating_sub(i64::from(*minutes).minutes());
                [ticks(at.time(), scale), days(at.date()), minutes.to_le_bytes().to_vec()].concat()
            }
            (Type::DateTime, it) => legacy(instant(it).ok_or_else(unfit)?).ok_or_else(unfit)?,
            (Type::SmallDateTime, it) => minutes(instant(it).ok_or_else(unfit)?).ok_or_else(unfit)?,
            (Type::Guid, Value::Guid(printed)) => swapped(*printed).to_vec(),
            (Type::SmallInt | Type::Int | Type::BigInt | Type::Real | Type::Float, _) => return Err(unfit()),
            (Type::Time(_) | Type::DateTimeOffset(_) | Type::Guid, _) => return Err(unfit()),
            (_, Value::Bytes(bytes)) => bytes.clone(),
            (
                Type::NChar(_) | Type::NVarChar(_) | Type::NVarCharMax | Type::NText | Type::Xml,
                Value::Text(it),
            ) => utf16(it),
            (Type::Char(_) | Type::VarChar(_) | Type::VarCharMax | Type::Text, Value::Text(it)) => {
                it.chars().map(u8::try_from).collect::<Result<_, _>>().map_err(|_| unfit())?
            }
            _ => return Err(unfit()),
        };
        Ok(self.padded(bytes))
    }

    fn padded(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self.kind {
            Type::Char(length) if bytes.len() < length.into() => bytes.resize(length.into(), b' '),
            Type::Binary(length) if bytes.len() < length.into() => bytes.resize(length.into(), 0),
            Type::NChar(units) => {
                while bytes.len() < usize::from(units) * 2 {
                    bytes.extend([b' ', 0]);
                }
            }
            _ => {}
        }
        bytes
    }

    fn unfit(&self, value: &Value) -> io::Error {
        broken(&format!(
            "the handler of the test put {value:?} into column `{}` of type {:?}",
            self.name, self.kind
        ))
    }
}

fn magnitude(precision: u8) -> u8 {
    match precision {
        0..=9 => 4,
        10..=19 => 8,
        20..=28 => 12,
        _ => 16,
    }
}

/// The units of 10^-scale; none where digits would be lost.
fn scaled(value: &Value, scale: u8) -> Option<i128> {
    let (units, from) = match value {
        Value::Decimal(units, from) => (*units, *from),
        Value::Int(whole) => (i128::from(*whole), 0),
        _ => return None,
    };
    if from <= scale {
        return units.checked_mul(10_i128.checked_pow(u32::from(scale - from))?);
    }
    let divisor = 10_i128.checked_pow(u32::from(from - scale))?;
    (units % divisor == 0).then_some(units / divisor)
}

fn decimal(value: &Value, precision: u8, scale: u8) -> Option<Vec<u8>> {
    let units = scaled(value, scale)?;
    let length = usize::from(magnitude(precision));
    let digits = units.unsigned_abs().to_le_bytes();
    let (kept, lost) = digits.split_at_checked(length)?;
    let mut out = vec![u8::from(units >= 0)];
    out.extend(kept);
    lost.iter().all(|it| *it == 0).then_some(out)
}

fn since(start: Date, date: Date) -> i32 {
    start.until(date).map(|it| it.get_days()).unwrap_or_default()
}

/// Three bytes: days since the first of January of year one.
fn days(date: Date) -> Vec<u8> {
    let [a, b, c, _] = since(Date::constant(1, 1, 1), date).to_le_bytes();
    vec![a, b, c]
}

fn nanoseconds(time: Time) -> u64 {
    let seconds = i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    u64::try_from(seconds * 1_000_000_000 + i64::from(time.subsec_nanosecond())).unwrap_or_default()
}

fn time_length(scale: u8) -> usize {
    match scale {
        0..=2 => 3,
        3 | 4 => 4,
        _ => 5,
    }
}

fn ticks(time: Time, scale: u8) -> Vec<u8> {
    let ticks = nanoseconds(time) / 10_u64.pow(u32::from(9_u8.saturating_sub(scale)));
    ticks.to_le_bytes().into_iter().take(time_length(scale)).collect()
}

fn legacy(at: DateTime) -> Option<Vec<u8>> {
    let fractions = u32::try_from((nanoseconds(at.time()) * 3 + 5_000_000) / 10_000_000).ok()?;
    Some([since(Date::constant(1900, 1, 1), at.date()).to_le_bytes(), fractions.to_le_bytes()].concat())
}

fn minutes(at: DateTime) -> Option<Vec<u8>> {
    let days = u16::try_from(since(Date::constant(1900, 1, 1), at.date())).ok()?;
    let minutes = u16::from(at.hour().unsigned_abs()) * 60 + u16::from(at.minute().unsigned_abs());
    Some([days.to_le_bytes(), minutes.to_le_bytes()].concat())
}

/// The first three groups of a GUID are little-endian on the wire.
pub(super) fn swapped([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [u8; 16]) -> [u8; 16] {
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}
