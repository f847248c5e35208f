//! One connection: made within a deadline, driven by whoever works on it, with statements that are prepared once.

use std::{
    collections::HashMap,
    fs,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::try_join_all;
use tokio::time::timeout;
use tokio_postgres::{
    AsyncMessage, Client, Config, Row, Socket, Statement, config::SslMode, tls::MakeTlsConnect, types::ToSql,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    error::{StoreError, Trouble},
    settings::{Settings, Tls},
    tls,
};

/// How to connect; the same for all connections of a store.
pub(crate) struct Way {
    config: Config,
    tls: MakeRustlsConnect,
    pub(crate) schema: Arc<str>,
    pub(crate) timeout: Duration,
    pub(crate) place: String,
}

type Driver = Pin<Box<dyn Future<Output = Trouble> + Send>>;

/// A connection that is made. It moves only while its driver is polled.
pub(crate) struct Link {
    pub(crate) session: Session,
    driver: Driver,
}

/// What statements are run on.
pub(crate) struct Session {
    pub(crate) client: Client,
    schema: Arc<str>,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

impl Way {
    pub(crate) fn new(settings: &Settings) -> Result<Self, StoreError> {
        let name = &settings.schema;
        if !crate::is_schema_name(name) {
            let text =
                format!("{name:?} is no name for a schema: lower-case letters, digits and _, at most 40");
            return Err(StoreError::Setting(text));
        }
        let mut config = Config::new();
        config
            .host(&settings.host)
            .port(settings.port)
            .dbname(&settings.database)
            .user(&settings.user)
            .application_name("vestibule")
            .connect_timeout(settings.timeout)
            .tcp_user_timeout(settings.timeout)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .ssl_mode(if settings.tls == Tls::Off { SslMode::Disable } else { SslMode::Require });
        if let Some(password) = &settings.password {
            config.password(password.reveal());
        }
        let authorities =
            match &settings.ca {
                Some(path) => Some(fs::read(path).map_err(|source| StoreError::Authorities {
                    path: path.clone(),
                    source: source.into(),
                })?),
                None => None,
            };
        let tls = tls::client(settings, authorities.as_deref())?;
        let place = format!("{}:{}/{}", settings.host, settings.port, settings.database);
        let schema = settings.schema.as_str().into();
        Ok(Self { config, tls: MakeRustlsConnect::new(tls), schema, timeout: settings.timeout, place })
    }

    /// Connects. Messages that the server sends by itself go to `heard`.
    pub(crate) async fn connect(
        &self,
        heard: impl FnMut(AsyncMessage) + Send + 'static,
    ) -> Result<Link, Trouble> {
        let connecting = timeout(self.timeout, self.config.connect(self.tls.clone()));
        let (client, connection) = connecting.await.map_err(|_| Trouble::Slow(self.timeout))??;
        let session = Session { client, schema: Arc::clone(&self.schema), prepared: Mutex::default() };
        Ok(Link { session, driver: Box::pin(drive::<MakeRustlsConnect>(connection, heard)) })
    }
}

/// A statement for this schema, whose name may be a word of SQL.
pub(crate) fn written(sql: &str, schema: &str) -> String {
    sql.replace("{s}", &format!("\"{schema}\"")).replace("{channel}", &format!("\"{schema}_work\""))
}

async fn drive<T: MakeTlsConnect<Socket>>(
    mut connection: tokio_postgres::Connection<Socket, T::Stream>,
    mut heard: impl FnMut(AsyncMessage) + Send,
) -> Trouble {
    loop {
        match std::future::poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(message)) => heard(message),
            Some(Err(error)) => return error.into(),
            None => return Trouble::Connection("it was closed".into()),
        }
    }
}

impl Link {
    /// Runs this on the connection for at most so long. After an error that is fatal the link is to be dropped.
    pub(crate) async fn run<'a, T, F: Future<Output = Result<T, Trouble>>>(
        &'a mut self,
        limit: Duration,
        work: impl FnOnce(&'a Session) -> F,
    ) -> Result<T, Trouble> {
        let Self { session, driver } = self;
        tokio::select! {
            biased;
            done = timeout(limit, work(session)) => done.unwrap_or(Err(Trouble::Slow(limit))),
            ended = driver => Err(ended),
        }
    }

    /// Drives the connection until it ends. Cancel-safe: the connection keeps its own state.
    pub(crate) async fn ended(&mut self) -> Trouble {
        (&mut self.driver).await
    }
}

impl Session {
    /// Prepares these at once.
    pub(crate) async fn prepare_all(&self, all: &[&'static str]) -> Result<(), Trouble> {
        try_join_all(all.iter().map(|sql| self.statement(sql))).await.map(drop)
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, Trouble> {
        let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(&self.text(sql)).await?;
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, statement.clone());
        Ok(statement)
    }

    /// The statement with the schema in its places.
    pub(crate) fn text(&self, sql: &str) -> String {
        written(sql, &self.schema)
    }

    pub(crate) async fn query(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Trouble> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    pub(crate) async fn query_opt(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Trouble> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    pub(crate) async fn execute(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Trouble> {
        let statement = self.statement(sql).await?;
        Ok(self.client.execute(&statement, values).await?)
    }
}
