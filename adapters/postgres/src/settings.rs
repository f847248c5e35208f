//! What an operator may choose.

use std::{fmt, path::PathBuf, time::Duration};

/// Settings of the store. Durability is not among the choices.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Host's name or address, or the directory of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Its password, where it has one.
    pub password: Option<Password>,
    /// The schema that holds the tables: a lower-case name.
    pub schema: String,
    /// How the connections are protected.
    pub tls: Tls,
    /// PEM file with the certificates of authorities; needed for [`Tls::Verify`].
    pub ca: Option<PathBuf>,
    /// Connections of this process besides the one that listens: at least 2, one of them only reads.
    pub connections: usize,
    /// How long a lease lasts that is neither renewed nor ended.
    pub lease: Duration,
    /// Longest time for a connection to be made, and for a group of changes or a reading. Then it is a fault that may
    /// be retried.
    pub timeout: Duration,
    /// Transactions that are open for longer than this are warned of.
    pub held: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: 5432,
            database: "vestibule".into(),
            user: "vestibule".into(),
            password: None,
            schema: "vestibule".into(),
            tls: Tls::Off,
            ca: None,
            connections: 4,
            lease: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            held: Duration::from_secs(300),
        }
    }
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// Encrypted, whoever answers.
    Require,
    /// Encrypted; certificate and name are checked against [`Settings::ca`].
    Verify,
}

/// A password. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Keeps this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
