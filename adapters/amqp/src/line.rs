//! One connection to a broker, and the deadlines on everything that is asked over it.
//!
//! The library never reconnects by itself here: a line that is lost stays lost, and the runner opens another.

use std::{
    future::Future,
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties,
    auth::AuthProvider,
    tcp::{RustlsConnector, RustlsConnectorConfig},
    types::{LongString, ShortString},
    uri::{AMQPScheme, AMQPUri},
};
use tokio::time::timeout;

use crate::{
    error::AmqpError,
    settings::{Login, Settings, Tls},
};

/// The smallest frame of the protocol (AMQP 0-9-1, 4.2.3); a limit of 0 means none.
const SMALLEST_FRAME: u32 = 4096;

/// An open connection. Dropped, it says good-bye; what is not acknowledged is delivered again.
pub(crate) struct Line {
    connection: Connection,
    socket: Socket,
    timeout: Duration,
}

/// The socket itself: the only way to end a connection whose other side says nothing any more.
#[derive(Clone, Default)]
struct Socket(Arc<OnceLock<TcpStream>>);

impl Socket {
    fn keep(&self, stream: &impl AsFd) -> io::Result<()> {
        let same = stream.as_fd().try_clone_to_owned()?;
        // A second one is never made: nothing reconnects.
        self.0.set(TcpStream::from(same)).ok();
        Ok(())
    }

    fn cut(&self) {
        if let Some(stream) = self.0.get() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

/// Cuts the socket where the handshake was given up half way: its thread would wait for the broker for ever.
struct Unfinished(Option<Socket>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.cut();
        }
    }
}

impl AuthProvider for Login {
    fn mechanism(&self) -> ShortString {
        match self {
            Self::Plain { .. } => "PLAIN".into(),
            Self::External => "EXTERNAL".into(),
        }
    }

    fn auth_starter(&self) -> Result<LongString, String> {
        Ok(match self {
            Self::Plain { user, password } => format!("\0{user}\0{password}").into(),
            Self::External => LongString::default(),
        })
    }
}

impl Line {
    /// Connects. `role` is what operators see: `vestibule broker consuming`.
    pub async fn open(settings: &Arc<Settings>, role: String) -> Result<Self, AmqpError> {
        const DOING: &str = "connecting";
        let socket = Socket::default();
        let mut unfinished = Unfinished(Some(socket.clone()));
        let properties = ConnectionProperties::default()
            .with_connection_name(role.into())
            .with_auth_provider(settings.login.clone());
        let runtime = lapin::runtime::default_runtime().map_err(|it| AmqpError::new(it, DOING, None))?;
        let (given, kept, reactor) = (Arc::clone(settings), socket.clone(), runtime.clone());
        let connect = async move |uri: AMQPUri, _| {
            let reach = async {
                let host = uri.authority.host.trim_matches(['[', ']']);
                let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
                for address in tokio::net::lookup_host((host, uri.authority.port)).await? {
                    let stream = match AsyncTcpStream::connect(&reactor, address).await {
                        Ok(stream) => stream,
                        Err(error) => {
                            failed = error;
                            continue;
                        }
                    };
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        kept.keep(plain.get_ref())?;
                    }
                    return match (&uri.scheme, &given.tls) {
                        (AMQPScheme::AMQPS, Some(tls)) => stream.into_rustls(&connector(tls)?, host).await,
                        _ => Ok(stream),
                    };
                }
                Err(failed)
            };
            let reached = timeout(given.timeout, reach).await;
            reached.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(lapin::Error::from)
        };
        let opening = Connection::connector(settings.uri.clone(), runtime, connect, properties);
        let connection = within(settings.timeout, DOING, opening).await?;
        unfinished.0 = None;
        Ok(Self { connection, socket, timeout: settings.timeout })
    }

    /// A new channel.
    pub async fn channel(&self) -> Result<Channel, AmqpError> {
        within(self.timeout, "opening a channel", self.connection.create_channel()).await
    }

    /// False once it is lost or on its way out.
    pub fn is_open(&self) -> bool {
        self.connection.status().connected()
    }

    /// True while the broker takes nothing from publishers.
    pub fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// The longest time for anything.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The longest frame that both sides take, in bytes: properties and headers of a message have to fit into one.
    pub fn longest_frame(&self) -> usize {
        let agreed = self.connection.configuration().frame_max();
        let agreed = if agreed == 0 { 128 * 1024 } else { agreed.max(SMALLEST_FRAME) };
        usize::try_from(agreed).unwrap_or(usize::MAX)
    }

    /// Ends it at once, without good-bye: for one that came to a deadline, and may hold what must not be sent later.
    pub fn cut(&self) {
        self.socket.cut();
    }
}

fn connector(tls: &Tls) -> io::Result<RustlsConnector> {
    let config = match &tls.ca {
        // Only these: a broker with a certificate of its own house is not one that any public authority vouches for.
        Some(ca) => RustlsConnectorConfig::default().with_parsable_certificates(ca.clone()),
        None => RustlsConnectorConfig::new_with_native_certs()?,
    };
    match &tls.own {
        Some((chain, key)) => config.connector_with_single_cert(chain.clone(), key.clone_key()),
        None => config.connector_with_no_client_auth(),
    }
}

/// Waits for the broker, no longer than this.
pub(crate) async fn within<T>(
    longest: Duration,
    doing: &'static str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<T, AmqpError> {
    match timeout(longest, asked).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(AmqpError::new(error, doing, None)),
        Err(_) => Err(AmqpError::Late { doing }),
    }
}

/// The same where it is about one queue or exchange.
pub(crate) async fn within_about<T>(
    longest: Duration,
    doing: &'static str,
    what: &str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<T, AmqpError> {
    match timeout(longest, asked).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(AmqpError::new(error, doing, Some(what.to_owned()))),
        Err(_) => Err(AmqpError::Late { doing }),
    }
}
