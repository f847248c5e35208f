//! One connection to a database of others: made within a deadline, driven by whoever works on it.

use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::timeout;
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, SimpleQueryMessage, Socket,
    config::{SslMode, TargetSessionAttrs},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::{Host, Settings, Target};
use crate::{
    error::Trouble,
    settings::{Password, Tls},
};

/// The settings that make PostgreSQL spell a value in one way, whatever the server, the role and the database say. The
/// trigger functions and the log have the same.
pub(crate) const SPELLING: [(&str, &str); 8] = [
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "iso_8601"),
    ("extra_float_digits", "1"),
    ("lc_monetary", "C"),
    ("timezone", "UTC"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    ("standard_conforming_strings", "on"),
];
/// A server ends what nobody waits for any more.
const LEAST_STATEMENT: Duration = Duration::from_secs(60);

type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// A connection that is made. It moves only while something is run on it, or while [`Line::ended`] or
/// [`Line::heard`] is awaited.
pub(crate) struct Line {
    client: Client,
    wire: Wire,
    /// A notification came that nobody was told of.
    heard: bool,
    version: u32,
}

/// What a session is for.
#[derive(Clone, Copy)]
enum Manner<'a> {
    /// It reads: values are spelt in one way, and names without a schema are the catalogue's.
    Reading,
    /// It writes: triggers of the application see the settings that they know.
    Writing,
    /// Another user's, who runs scripts.
    As(&'a str, Option<&'a str>),
}

impl Line {
    /// Connects to the first host that answers in time and will do. Values are spelt as [`SPELLING`] says; names without a
    /// schema are those of the catalogue alone.
    pub async fn open(settings: &Arc<Settings>, role: &str) -> Result<Self, Trouble> {
        Self::open_as(settings, role, Manner::Reading).await
    }

    /// Connects for statements that fire the application's triggers: `search_path` and spelling are those of our role.
    pub async fn open_for_writing(settings: &Arc<Settings>, role: &str) -> Result<Self, Trouble> {
        Self::open_as(settings, role, Manner::Writing).await
    }

    /// Connects as another user: a DBA.
    pub async fn open_for(
        settings: &Arc<Settings>,
        role: &str,
        user: &str,
        password: Option<&str>,
    ) -> Result<Self, Trouble> {
        Self::open_as(settings, role, Manner::As(user, password)).await
    }

    async fn open_as(settings: &Arc<Settings>, role: &str, manner: Manner<'_>) -> Result<Self, Trouble> {
        let mut trouble = Trouble::Connection("no host is named".into());
        for host in &settings.hosts {
            match timeout(settings.timeout, Self::to(settings, host, role, manner)).await {
                Ok(Ok(line)) => return Ok(line),
                Ok(Err(error)) => trouble = error,
                Err(_) => trouble = Trouble::Slow(settings.timeout),
            }
        }
        Err(trouble)
    }

    async fn to(settings: &Settings, host: &Host, role: &str, manner: Manner<'_>) -> Result<Self, Trouble> {
        let config = config(settings, host, role, manner);
        let tls = MakeRustlsConnect::new(settings.client.clone());
        let (client, wire) = config.connect(tls).await?;
        let mut line = Self { client, wire, heard: false, version: 0 };
        let start = start(settings, manner);
        let answer =
            line.run(settings.timeout, |client| async move { Ok(client.simple_query(&start).await?) });
        let rows = answer.await?;
        let number = rows.iter().find_map(|it| match it {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse::<u32>().ok(),
            _ => None,
        });
        line.version = number.unwrap_or_default() / 10_000;
        Ok(line)
    }

    /// The server's major version: 15.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Runs this on the connection for at most so long. After an error for which [`Trouble::is_fatal`] says so the line is
    /// to be dropped; after one that stopped in the middle of a transaction, too.
    pub async fn run<'a, T, F: Future<Output = Result<T, Trouble>>>(
        &'a mut self,
        limit: Duration,
        work: impl FnOnce(&'a Client) -> F,
    ) -> Result<T, Trouble> {
        let Self { client, wire, heard, .. } = self;
        let drive = std::future::poll_fn(move |context| {
            loop {
                match poll(wire, context) {
                    Poll::Ready(Ok(())) => *heard = true,
                    Poll::Ready(Err(trouble)) => return Poll::Ready(trouble),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        tokio::select! {
            biased;
            done = timeout(limit, work(client)) => done.unwrap_or(Err(Trouble::Slow(limit))),
            ended = drive => Err(ended),
        }
    }

    /// Waits for a notification (`LISTEN`) at most so long; true: one came, perhaps while something was run. Cancel-safe:
    /// a notification that came stays known until this says so.
    pub async fn heard(&mut self, limit: Duration) -> Result<bool, Trouble> {
        if !self.heard {
            let wire = &mut self.wire;
            match timeout(limit, std::future::poll_fn(|context| poll(wire, context))).await {
                Err(_) => return Ok(false),
                Ok(Err(trouble)) => return Err(trouble),
                Ok(Ok(())) => {}
            }
        }
        self.heard = false;
        Ok(true)
    }

    /// Drives the connection until it ends. Cancel-safe: the connection keeps its own state.
    pub async fn ended(&mut self) -> Trouble {
        loop {
            let wire = &mut self.wire;
            match std::future::poll_fn(|context| poll(wire, context)).await {
                Ok(()) => self.heard = true,
                Err(trouble) => return trouble,
            }
        }
    }
}

/// Ready with `Ok` at a notification, with `Err` at the end of the connection.
fn poll(wire: &mut Wire, context: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
    loop {
        match wire.poll_message(context) {
            Poll::Ready(Some(Ok(AsyncMessage::Notification(_)))) => return Poll::Ready(Ok(())),
            // What a notice says may quote values: it is for nobody.
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
            Poll::Ready(None) => return Poll::Ready(Err(Trouble::Connection("it was closed".into()))),
            Poll::Pending => return Poll::Pending,
        }
    }
}

fn config(settings: &Settings, host: &Host, role: &str, manner: Manner<'_>) -> Config {
    let mut config = Config::new();
    // PostgreSQL cuts a longer one with a notice for each connection.
    let name = format!("vestibule {role}");
    let name: String = name.chars().map(|it| if it.is_ascii_graphic() { it } else { ' ' }).take(63).collect();
    config
        .host(&host.name)
        .port(host.port)
        .dbname(&settings.database)
        .application_name(&name)
        .connect_timeout(settings.timeout)
        .tcp_user_timeout(settings.timeout)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(15))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .ssl_mode(if settings.tls == Tls::Off { SslMode::Disable } else { SslMode::Require })
        .target_session_attrs(match settings.target {
            Target::Primary => TargetSessionAttrs::ReadWrite,
            Target::Any => TargetSessionAttrs::Any,
        });
    let (user, password) = match manner {
        Manner::As(user, password) => (user, password),
        _ => (&*settings.user, settings.password.as_ref().map(Password::reveal)),
    };
    config.user(user);
    if let Some(password) = password {
        config.password(password);
    }
    config
}

/// The first words of a session.
fn start(settings: &Settings, manner: Manner<'_>) -> String {
    let mut text = String::from("SET client_min_messages = 'warning'; ");
    if let Manner::Reading = manner {
        for (name, value) in SPELLING {
            text.push_str(&format!("SET {name} = '{value}'; "));
        }
        text.push_str("SET search_path = pg_catalog, pg_temp; ");
    }
    if !matches!(manner, Manner::As(..)) {
        let longest = settings.timeout.max(LEAST_STATEMENT).as_millis();
        text.push_str(&format!("SET statement_timeout = {longest}; "));
    }
    text.push_str("SELECT pg_catalog.current_setting('server_version_num')");
    text
}
