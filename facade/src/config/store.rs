//! Where jobs are kept.

use std::time::Duration;

use vestibule_core::mapping::{diagnostic::Diagnostics, syntax::Node};

use super::{
    codes,
    file::{PostgresFile, StoreBlock, StoreFile, TlsMode},
    quantity, secret_name, span,
};
use crate::adapters;

/// Where jobs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// A file, its path relative to the directory.
    Sqlite(String),
    /// A server.
    Postgres(Box<Postgres>),
}

/// A PostgreSQL server, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// Its host's name or address, or a directory with its socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role; `None`: `vestibule`.
    pub user: Option<String>,
    /// Name of the environment variable with its password.
    pub password: Option<String>,
    /// The schema with the tables; `None`: the store's own default.
    pub schema: Option<String>,
    /// How the connection is protected.
    pub tls: Tls,
    /// File with certificates of authorities, relative to the directory.
    pub ca: Option<String>,
    /// Connections of this process; `None`: the store's own default.
    pub connections: Option<usize>,
    /// How long a lease lasts; `None`: the store's own default.
    pub lease: Option<Duration>,
    /// Longest time for a connection or a statement; `None`: the store's own default.
    pub timeout: Option<Duration>,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// Encrypted, whoever answers.
    Require,
    /// Encrypted, and certificate and name are checked.
    Verify,
}

impl Default for StorePlace {
    fn default() -> Self {
        Self::Sqlite("data/jobs.db".into())
    }
}

/// The place that the file names; the default where it names a wrong one, so that the rest can still be checked.
pub(super) fn read(
    root: &Node,
    file: Option<StoreFile>,
    diagnostics: &mut Diagnostics,
) -> Option<StorePlace> {
    let block = match file {
        None => return Some(StorePlace::default()),
        Some(StoreFile::None(_)) => return None,
        Some(StoreFile::Place(block)) => *block,
    };
    let at = span(root, &["store"]);
    Some(match block {
        StoreBlock { sqlite: Some(path), postgres: None } => StorePlace::Sqlite(path),
        StoreBlock { sqlite: None, postgres: Some(server) } => match postgres(root, server, diagnostics) {
            Some(server) => StorePlace::Postgres(Box::new(server)),
            None => StorePlace::default(),
        },
        StoreBlock { sqlite: Some(_), postgres: Some(_) } => {
            let title = "`store` names two places";
            diagnostics.push(codes::STORE, &at, title, "jobs are kept in one of them");
            StorePlace::default()
        }
        StoreBlock { sqlite: None, postgres: None } => {
            let asked = root.get("store").is_some_and(|it| it.get("sqlite").or(it.get("postgres")).is_some());
            // An unknown key was reported already.
            if !asked && root.get("store").is_some_and(|it| it.entries().is_empty()) {
                let title = "`store` names no place";
                diagnostics.push(codes::STORE, &at, title, "expected `sqlite`, `postgres` or `none`");
            }
            StorePlace::default()
        }
    })
}

fn postgres(root: &Node, file: PostgresFile, diagnostics: &mut Diagnostics) -> Option<Postgres> {
    let mut wrong = |key: &str, title: &str, expected: &str| {
        let server = span(root, &["store", "postgres"]);
        let at = root
            .get("store")
            .and_then(|it| it.get("postgres")?.get(key))
            .map_or(server, |it| it.span.clone());
        let code = if key == "password" { codes::SECRET } else { codes::STORE };
        diagnostics.push(code, &at, title.to_owned(), expected.to_owned());
    };
    let parts = match &file.url {
        None => {
            wrong("", "`postgres` needs a `url`", "which server?");
            None
        }
        Some(text) => match server(text) {
            Some(parts) => Some(parts),
            None => {
                let expected = "expected postgres://HOST:PORT/DATABASE, without a user or a password";
                wrong("url", "`url` is not the address of a database", expected);
                None
            }
        },
    };
    if file.password.as_deref().is_some_and(|it| !secret_name(it)) {
        wrong(
            "password",
            "`password` is not the name of an environment variable",
            "expected a name like PGPASSWORD",
        );
    }
    if file.schema.as_deref().is_some_and(|it| !adapters::is_store_schema(it)) {
        let expected = "expected lower-case letters, digits and `_`, at most 40";
        wrong("schema", "`schema` is no name for a schema", expected);
    }
    let most = 64;
    let connections = file.connections.map(|it| usize::try_from(it).unwrap_or(usize::MAX));
    // One of them only reads.
    if connections.is_some_and(|it| !(2..=most).contains(&it)) {
        wrong("connections", "`connections` can not be this", "expected a number from 2 to 64");
    }
    let tls = tls_of(file.tls, parts.as_ref().is_none_or(|(host, ..)| is_here(host)));
    if tls == Tls::Verify && file.ca.is_none() {
        let expected = "expected `ca: FILE.pem`, or `tls: require` where nobody can stand between";
        wrong("", "`postgres` checks the server's certificate, and knows no authority", expected);
    }
    let mut time = |key: &str, text: Option<&String>, least: Duration| {
        let text = text?;
        let time = quantity::duration(text).filter(|it| *it >= least);
        if time.is_none() {
            let expected = format!("expected a time of at least {} s", least.as_secs().max(1));
            wrong(key, &format!("`{key}` can not be this"), &expected);
        }
        time
    };
    // The runner renews every 10 s: a shorter lease would be lost between two renewals.
    let lease = time("lease", file.lease.as_ref(), Duration::from_secs(30));
    let timeout = time("timeout", file.timeout.as_ref(), Duration::from_secs(1));
    let (host, port, database) = parts?;
    Some(Postgres {
        host,
        port,
        database,
        user: file.user,
        password: file.password,
        schema: file.schema,
        tls,
        ca: file.ca,
        connections,
        lease,
        timeout,
    })
}

/// As the file says; else nothing on this machine, and everything outside of it.
fn tls_of(said: Option<TlsMode>, is_here: bool) -> Tls {
    match said {
        Some(TlsMode::Off) => Tls::Off,
        Some(TlsMode::Require) => Tls::Require,
        Some(TlsMode::Verify) => Tls::Verify,
        None if is_here => Tls::Off,
        None => Tls::Verify,
    }
}

/// Host, port and database of an address.
fn server(text: &str) -> Option<(String, u16, String)> {
    let url = url::Url::parse(text).ok()?;
    let is_plain = matches!(url.scheme(), "postgres" | "postgresql")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let database = url.path().strip_prefix('/')?;
    let is_name = !database.is_empty()
        && database.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'-');
    let host = url.host_str().filter(|it| !it.is_empty())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (is_plain && is_name).then(|| (host.to_owned(), url.port().unwrap_or(5432), database.to_owned()))
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_without_secrets() {
        for (text, expected) in [
            ("postgres://db.acme.example/vestibule", Some(("db.acme.example", 5432, "vestibule"))),
            ("postgresql://127.0.0.1:6543/jobs", Some(("127.0.0.1", 6543, "jobs"))),
            ("postgres://[::1]:6543/jobs", Some(("::1", 6543, "jobs"))),
            ("postgres://me@db/jobs", None),
            ("postgres://me:secret@db/jobs", None),
            ("postgres://db/jobs?sslmode=disable", None),
            ("postgres://db/", None),
            ("postgres://db", None),
            ("postgres:///jobs", None),
            ("mysql://db/jobs", None),
            ("db.acme.example", None),
        ] {
            let found = server(text);
            let found =
                found.as_ref().map(|(host, port, database)| (host.as_str(), *port, database.as_str()));
            assert_eq!(found, expected, "input: {text:?}");
        }
    }
}
