//! Addresses as text.

use std::fmt::{self, Write};

use super::{Address, Axis, Path, Pick, Step};
use crate::document::AttributeKind;

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::Before(path) => write!(f, "before {path}"),
            Self::Meta(meta) => write!(f, "meta {}", meta.word()),
            Self::Attribute(AttributeKind::Header, name) => write!(f, "header {name}"),
            Self::Attribute(AttributeKind::Property, name) => write!(f, "property {name}"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.absolute {
            f.write_char('/')?;
        }
        for (at, step) in self.steps.iter().enumerate() {
            match (at, step.axis) {
                (_, Axis::Descendant) => f.write_str("//")?,
                (0, _) => {}
                _ => f.write_char('/')?,
            }
            step.fmt(f)?;
        }
        Ok(())
    }
}

/// The step without what joins it to the step before: `Line(2)`, `@id`, `..`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.axis {
            Axis::Parent => return f.write_str(".."),
            Axis::Current => return f.write_char('.'),
            Axis::Attribute => f.write_char('@')?,
            Axis::Child | Axis::Descendant => {}
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "{{{namespace}}}")?;
        }
        if &*self.name == "*" {
            f.write_char('*')?
        } else {
            write_name(f, &self.name)?
        }
        self.picks.iter().try_for_each(|pick| pick.fmt(f))
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        match self {
            Self::Nth(nth) => write!(f, "{nth}")?,
            Self::Last => f.write_str("last")?,
            Self::Attribute(name, value) => {
                f.write_char('@')?;
                write_name(f, name)?;
                f.write_char('=')?;
                write_value(f, value)?;
            }
            Self::Child(name, value) => {
                write_name(f, name)?;
                f.write_char('=')?;
                write_value(f, value)?;
            }
        }
        f.write_char(')')
    }
}

/// Writes a name so that it reads back as this name: in quotes where it has a character with a meaning.
pub(crate) fn write_name(f: &mut impl Write, name: &str) -> fmt::Result {
    let plain = !name.is_empty() && name != "*" && !name.starts_with('.') && name.chars().all(is_plain);
    if plain { f.write_str(name) } else { write_quoted(f, name) }
}

fn write_value(f: &mut impl Write, value: &str) -> fmt::Result {
    let plain = !value.is_empty()
        && value.trim() == value
        && !value.starts_with('=')
        && !value.contains(['\'', '"', '(', ')', '[', ']']);
    if plain { f.write_str(value) } else { write_quoted(f, value) }
}

fn write_quoted(f: &mut impl Write, text: &str) -> fmt::Result {
    f.write_char('\'')?;
    for (at, part) in text.split('\'').enumerate() {
        if at > 0 {
            f.write_str("''")?;
        }
        f.write_str(part)?;
    }
    f.write_char('\'')
}

/// True for characters that stand in a name without quotes.
pub(super) fn is_plain(it: char) -> bool {
    !it.is_whitespace() && !it.is_control() && !"/()[]{}@=:'\"*|,".contains(it)
}
