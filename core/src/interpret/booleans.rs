//! Yes and no.

use super::SpellingError;

/// How yes and no are spelt.
#[derive(Debug, Clone, Default)]
pub(super) enum Style {
    /// `true` or `1`, `false` or `0`; in any case of letters. Written as `true` and `false`.
    #[default]
    Words,
    /// `Y/N`, `J/N`, `X/ `: one spelling each, exactly. A blank or empty side stands for nothing at all.
    Pair { yes: Box<str>, no: Box<str> },
}

impl Style {
    pub(super) fn compile(format: Option<&str>) -> Result<Self, SpellingError> {
        let Some(format) = format else { return Ok(Self::Words) };
        let wrong = |title: &str| {
            Err(SpellingError::new("format", title).help("yes, a slash, no: `Y/N`, `J/N`, `01/00`, `X/`"))
        };
        match format.split_once('/') {
            None => wrong("the format of a bool has a slash"),
            Some((_, no)) if no.contains('/') => wrong("the format of a bool has one slash"),
            Some((yes, no)) if yes.trim() == no.trim() => wrong("yes and no are spelt alike"),
            Some((yes, no)) => Ok(Self::Pair { yes: yes.into(), no: no.into() }),
        }
    }

    /// True where blank text means yes or no.
    pub(super) fn has_blank_side(&self) -> bool {
        matches!(self, Self::Pair { yes, no } if yes.trim().is_empty() || no.trim().is_empty())
    }

    /// `raw` has no blanks around it.
    pub(super) fn read(&self, raw: &str) -> Option<bool> {
        match self {
            Self::Words => match raw {
                "1" => Some(true),
                "0" => Some(false),
                _ if raw.eq_ignore_ascii_case("true") => Some(true),
                _ if raw.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            },
            Self::Pair { yes, .. } if yes.trim() == raw => Some(true),
            Self::Pair { no, .. } if no.trim() == raw => Some(false),
            Self::Pair { .. } => None,
        }
    }

    pub(super) fn write(&self, value: bool) -> String {
        match self {
            Self::Words => value.to_string(),
            Self::Pair { yes, no } => String::from(if value { &**yes } else { no }),
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Words => "true or false".to_owned(),
            Self::Pair { yes, no } => format!("`{yes}` for yes or `{no}` for no"),
        }
    }
}

/// As mappings and answers spell it: `true`, `yes`, `1`, and their opposites.
pub(super) fn read_clean(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => Style::Words.read(text),
    }
}
