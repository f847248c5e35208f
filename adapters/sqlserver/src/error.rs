//! What goes wrong between us and a server: classified by the server's error number, where that is still known.

use std::time::Duration;

use vestibule_core::fault::{Fault, FaultCode, Recovery};

/// What SQL Server or the way to it did. Holds no value of any statement: of the server's words only those of errors that
/// speak of names and settings alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The server refused.
    #[error("SQL Server refused with error {number}{}", said.as_deref().map(|it| format!(": {it}")).unwrap_or_default())]
    Refused {
        /// Its number.
        number: u32,
        /// Its severity; from 20 on the connection is gone.
        class: u8,
        /// Its words, where they name objects alone.
        said: Option<String>,
    },
    /// The connection could not be made or is lost.
    #[error("no connection to SQL Server: {0}")]
    Connection(String),
    /// It took too long; the connection is of no use any more.
    #[error("SQL Server did not answer within {0:?}")]
    Slow(Duration),
    /// A value is not what it must be.
    #[error("an answer of SQL Server could not be read: {0}")]
    Value(&'static str),
    /// It can not go on without a person: what is missing, and what to do.
    #[error("{0}")]
    Stopped(String),
    /// It can not be now; later it may.
    #[error("{0}")]
    Busy(String),
    /// What we keep ourselves could not be read or written.
    #[error("a position could not be kept")]
    Position(#[source] Fault),
}

/// Errors whose texts hold names of objects, columns and settings, never values.
const SPEAKS_OF_NAMES: [u32; 24] = [
    201, 207, 208, 229, 230, 262, 297, 300, 916, 927, 1222, 2812, 3701, 4060, 4902, 15151, 15247, 15562,
    22105, 22106, 22117, 22905, 22911, 22985,
];

/// Errors of our own scripts (`THROW`): their texts are ours.
pub(crate) const OURS: std::ops::RangeInclusive<u32> = 51_210..=51_219;

impl From<tiberius::error::Error> for Trouble {
    fn from(error: tiberius::error::Error) -> Self {
        use tiberius::error::Error;
        match error {
            Error::Server(refusal) => {
                let number = refusal.code();
                let is_safe = SPEAKS_OF_NAMES.contains(&number) || OURS.contains(&number);
                let said = is_safe
                    .then(|| refusal.message().chars().filter(|it| !it.is_control()).take(400).collect());
                Self::Refused { number, class: refusal.class(), said }
            }
            Error::Io { message, .. } => Self::Connection(message),
            Error::Tls(text) => Self::Connection(format!("TLS: {text}")),
            Error::Routing { .. } => Self::Connection("it sends us elsewhere without end".into()),
            Error::Protocol(_) => Self::Connection("an answer is not of the protocol".into()),
            Error::Utf8 | Error::Utf16 | Error::Encoding(_) => Self::Value("a text is in no known encoding"),
            _ => Self::Value("a value is of another type"),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

impl Trouble {
    /// The server's error number.
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Refused { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// True where the connection is of no use any more.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Slow(_) | Self::Value(_) => true,
            Self::Refused { class, .. } => *class >= 20,
            Self::Stopped(_) | Self::Busy(_) | Self::Position(_) => false,
        }
    }

    /// What may be done, and a text that is safe for callers.
    fn class(&self) -> (Recovery, &'static str) {
        const UNREACHABLE: &str = "the database can not be reached now";
        let (number, class) = match self {
            Self::Refused { number, class, .. } => (*number, *class),
            Self::Connection(_) => return (Recovery::Retry, UNREACHABLE),
            Self::Slow(_) => return (Recovery::Retry, "the database did not answer in time"),
            Self::Value(_) => return (Recovery::GiveUp, "a value does not fit"),
            Self::Stopped(_) => return (Recovery::GiveUp, "the source has stopped"),
            Self::Busy(_) => return (Recovery::Retry, "the database is busy"),
            Self::Position(_) => return (Recovery::Retry, "a position could not be kept"),
        };
        match number {
            // Victim of a deadlock, lock time-out, snapshot conflict; in-memory tables' conflicts.
            1205 | 1222 | 3960 | 3961 | 41_302 | 41_305 | 41_325 | 41_839 => {
                (Recovery::Retry, "the database is busy")
            }
            // Disk, log or memory full, too many workers.
            701 | 802 | 845 | 1101 | 1105 | 3958 | 3966 | 5149 | 8645 | 8651 | 9002 | 10_928 | 10_929 => {
                (Recovery::Retry, "the database has no room or no memory now")
            }
            // Starting, stopping, failing over, Azure moving a database.
            233
            | 615
            | 617
            | 921
            | 922
            | 924
            | 926
            | 927
            | 945
            | 946
            | 952
            | 976
            | 978
            | 979
            | 982
            | 983
            | 1204
            | 4014
            | 4060
            | 4221
            | 6005
            | 10_053
            | 10_054
            | 10_060
            | 17_142
            | 17_809
            | 18_401
            | 40_143
            | 40_166
            | 40_197
            | 40_501
            | 40_540
            | 40_613
            | 42_108
            | 42_109
            | 49_918..=49_920 => (Recovery::Retry, UNREACHABLE),
            // A secondary replica or a database that is set so: it may be the primary again.
            3906 | 3908 => (Recovery::Retry, "the database is read-only now"),
            18_452 | 18_456 | 18_470 | 18_486..=18_488 => {
                (Recovery::GiveUp, "the database does not let us in")
            }
            229 | 230 | 262 | 297 | 300 | 371 | 916 | 15_247 => {
                (Recovery::GiveUp, "the database does not permit this to our user")
            }
            201 | 207 | 208 | 2812 | 4902 | 8144 | 8146 | 15_151 => {
                (Recovery::GiveUp, "a table, column or procedure is not there")
            }
            220 | 232 | 241 | 242 | 244 | 245 | 248 | 257 | 295 | 296 | 515 | 517 | 529 | 2628 | 8114
            | 8115 | 8152 | 9420 | 13_609 => (Recovery::GiveUp, "a value does not fit its column"),
            547 | 2601 | 2627 => (Recovery::GiveUp, "a constraint of the database refuses this"),
            _ if class >= 17 => (Recovery::Retry, UNREACHABLE),
            _ => (Recovery::GiveUp, "the database refused"),
        }
    }

    /// What may be done about it.
    pub fn recovery(&self) -> Recovery {
        self.class().0
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let (recovery, text) = trouble.class();
        let message = match &trouble {
            Trouble::Stopped(text) | Trouble::Busy(text) => text.clone(),
            Trouble::Refused { number, said: Some(said), .. } => format!("{text} (error {number}: {said})"),
            Trouble::Refused { number, .. } => format!("{text} (error {number})"),
            _ => text.to_owned(),
        };
        Self::new(FaultCode::Unavailable, message).recovery(recovery).because(trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(number: u32, class: u8) -> Trouble {
        Trouble::Refused { number, class, said: None }
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_given_up() {
        for (number, class, expected) in [
            (1205, 13, Recovery::Retry),
            (1222, 16, Recovery::Retry),
            (40_613, 17, Recovery::Retry),
            (9002, 17, Recovery::Retry),
            (18_456, 14, Recovery::GiveUp),
            (208, 16, Recovery::GiveUp),
            (207, 16, Recovery::GiveUp),
            (229, 14, Recovery::GiveUp),
            (2627, 14, Recovery::GiveUp),
            (60_000, 16, Recovery::GiveUp),
            (60_000, 21, Recovery::Retry),
        ] {
            assert_eq!(refused(number, class).recovery(), expected, "error {number} of class {class}");
        }
        assert!(refused(60_000, 20).is_fatal() && !refused(1205, 13).is_fatal());
        assert!(Trouble::Slow(Duration::from_secs(1)).is_fatal());
    }

    #[test]
    fn a_fault_says_the_number_and_no_value() {
        let fault = Fault::from(refused(2627, 14));
        assert_eq!(fault.message, "a constraint of the database refuses this (error 2627)");
    }
}
