//! One connection: made within a deadline, used for one statement at a time, and of no use after a time-out.

use std::time::Duration;

use tiberius::{AuthMethod, Client, Config, EncryptionLevel, Row, SqlBrowser, ToSql};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::{
    error::Trouble,
    settings::{Encrypt, Settings},
};

/// How often a server may send us elsewhere (Azure's gateway, a read-only route).
const ROUTES: usize = 3;

/// What holds for every session: dates are read the same way whatever the login's language is, an error ends its
/// transaction, and of two in a deadlock it is not the application that loses.
const SESSION: &str = "SET NOCOUNT ON; SET XACT_ABORT ON; SET LANGUAGE us_english; SET DATEFORMAT ymd; \
SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON; \
SET NUMERIC_ROUNDABORT OFF; SET DEADLOCK_PRIORITY LOW; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET TEXTSIZE 2147483647;";

/// A session with the server.
pub(crate) struct Line {
    client: Client<Compat<TcpStream>>,
    limit: Duration,
    is_broken: bool,
}

impl Line {
    /// Connects and logs in. `role`: what the session is for, in the server's list of sessions.
    pub async fn open(settings: &Settings, role: &str) -> Result<Self, Trouble> {
        let until = Instant::now() + settings.timeout;
        let slow = |_| Trouble::Slow(settings.timeout);
        let client = timeout_at(until, connect(settings, role)).await.map_err(slow)??;
        let mut line = Self { client, limit: settings.timeout, is_broken: false };
        line.batch(SESSION).await?;
        Ok(line)
    }

    /// The rows of the first result of this statement, with these values as `@P1`, `@P2`, …
    pub async fn rows(&mut self, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Row>, Trouble> {
        self.usable()?;
        let asked = async { self.client.query(sql, values).await?.into_first_result().await };
        let done = tokio::time::timeout(self.limit, asked).await;
        self.judge(done)
    }

    /// The rows of the last result that has any.
    pub async fn last(&mut self, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Row>, Trouble> {
        let results = self.results(sql, values).await?;
        Ok(results.into_iter().rev().find(|it| !it.is_empty()).unwrap_or_default())
    }

    /// The rows of all results.
    pub async fn results(&mut self, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Vec<Row>>, Trouble> {
        self.usable()?;
        let asked = async { self.client.query(sql, values).await?.into_results().await };
        let done = tokio::time::timeout(self.limit, asked).await;
        self.judge(done)
    }

    /// Runs a text of ours without values; its first rows.
    pub async fn batch(&mut self, sql: &str) -> Result<Vec<Row>, Trouble> {
        self.usable()?;
        let asked = async { self.client.simple_query(sql).await?.into_results().await };
        let done = tokio::time::timeout(self.limit, asked).await;
        let results = self.judge(done)?;
        Ok(results.into_iter().find(|it| !it.is_empty()).unwrap_or_default())
    }

    /// A longer limit for statements that are known to take their time: an installation.
    pub fn patient(mut self, limit: Duration) -> Self {
        self.limit = self.limit.max(limit);
        self
    }

    fn usable(&mut self) -> Result<(), Trouble> {
        if self.is_broken {
            return Err(Trouble::Connection("it was given up after a time-out or an error".into()));
        }
        // Whoever drops a statement half way leaves its answer on the line: only a statement that ended mends this.
        self.is_broken = true;
        Ok(())
    }

    fn judge<T>(
        &mut self,
        done: Result<Result<T, tiberius::error::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, Trouble> {
        let done = match done {
            Ok(done) => done.map_err(Trouble::from),
            Err(_) => Err(Trouble::Slow(self.limit)),
        };
        self.is_broken = done.as_ref().is_err_and(Trouble::is_fatal);
        done
    }
}

async fn connect(settings: &Settings, role: &str) -> Result<Client<Compat<TcpStream>>, Trouble> {
    let mut config = config(settings, role);
    // All addresses of the name are tried: those of a listener in several subnets, too.
    let mut tcp = TcpStream::connect_named(&config).await?;
    for _ in 0..ROUTES {
        tcp.set_nodelay(true)?;
        match Client::connect(config.clone(), tcp.compat_write()).await {
            Ok(client) => return Ok(client),
            Err(tiberius::error::Error::Routing { host, port }) => {
                config.host(&host);
                config.port(port);
                tcp = TcpStream::connect((host.as_str(), port)).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Trouble::Connection("it sends us elsewhere without end".into()))
}

fn config(settings: &Settings, role: &str) -> Config {
    let mut config = Config::new();
    config.host(&settings.host);
    match &settings.instance {
        Some(instance) => config.instance_name(instance),
        None => config.port(settings.port),
    }
    config.database(&settings.database);
    config.authentication(AuthMethod::sql_server(&settings.user, settings.password.reveal()));
    config.application_name(format!("{} {role}", settings.application).chars().take(128).collect::<String>());
    config.multi_subnet_failover(true);
    config.encryption(match settings.encrypt {
        Encrypt::Yes => EncryptionLevel::Required,
        Encrypt::Login => EncryptionLevel::Off,
        Encrypt::No => EncryptionLevel::NotSupported,
    });
    if settings.trust {
        config.trust_cert();
    } else if let Some(pem) = &settings.ca {
        config.trust_cert_ca_bundle(pem.clone());
    }
    // Our own limits hold: after one the connection is dropped, which the driver's would not do.
    config.command_timeout(None);
    config.handshake_timeout(None);
    config
}

/// A text of a row; `None`: NULL.
pub(crate) fn text(row: &Row, place: usize) -> Result<Option<&str>, Trouble> {
    Ok(row.try_get::<&str, _>(place)?)
}

/// A number of a row; `None`: NULL.
pub(crate) fn number(row: &Row, place: usize) -> Result<Option<i64>, Trouble> {
    if let Ok(found) = row.try_get::<i64, _>(place) {
        return Ok(found);
    }
    Ok(row.try_get::<i32, _>(place)?.map(i64::from))
}

/// A text that must be there.
pub(crate) fn some_text(row: &Row, place: usize) -> Result<&str, Trouble> {
    text(row, place)?.ok_or(Trouble::Value("a text is missing"))
}

/// A number that must be there.
pub(crate) fn some_number(row: &Row, place: usize) -> Result<i64, Trouble> {
    number(row, place)?.ok_or(Trouble::Value("a number is missing"))
}
