//! From an address to a connection that is logged in for replication.

use std::{net::IpAddr, sync::Arc};

use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::frontend,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    bytes::Reader,
    wire::{Pipe, Wire, broken, lost, refusal},
};
use crate::{
    database::{Settings, line::SPELLING, settings::Target},
    error::Trouble,
    settings::Tls,
};

/// The code of a request for encryption.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Where to connect, and as whom.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) settings: Arc<Settings>,
    /// How connections are encrypted; `None`: not at all.
    tls: Option<Arc<ClientConfig>>,
    role: String,
}

impl Door {
    pub(super) fn new(settings: &Arc<Settings>, role: String) -> Self {
        let tls = (settings.tls != Tls::Off).then(|| Arc::new(settings.client.clone()));
        Self { settings: Arc::clone(settings), tls, role }
    }

    /// A connection to the first host that lets us in and will do.
    pub(super) async fn open(&self) -> Result<Wire, Trouble> {
        let (mut last, limit) = (broken("no host is named"), self.settings.timeout);
        for host in &self.settings.hosts {
            match timeout(limit, self.enter(&host.name, host.port)).await {
                Ok(Ok(wire)) => return Ok(wire),
                Ok(Err(trouble)) => last = trouble,
                Err(_) => last = Trouble::Slow(limit),
            }
        }
        Err(last)
    }

    async fn enter(&self, host: &str, port: u16) -> Result<Wire, Trouble> {
        let is_local = host.starts_with('/');
        let pipe: Box<dyn Pipe> = if is_local {
            Box::new(UnixStream::connect(format!("{host}/.s.PGSQL.{port}")).await.map_err(lost)?)
        } else {
            let stream = TcpStream::connect((host, port)).await.map_err(lost)?;
            stream.set_nodelay(true).map_err(lost)?;
            match &self.tls {
                Some(tls) => Box::new(encrypt(stream, host, tls).await?),
                None => Box::new(stream),
            }
        };
        let is_private = is_local || self.tls.is_some();
        let mut wire = Wire::new(pipe, self.settings.timeout);
        let parameters = [
            ("user", self.settings.user.as_str()),
            ("database", &self.settings.database),
            ("replication", "database"),
            ("application_name", &self.role),
            ("client_encoding", "UTF8"),
        ];
        let parameters = parameters.into_iter().chain(SPELLING);
        frontend::startup_message(parameters, wire.outgoing()).map_err(lost)?;
        wire.flush().await?;
        self.prove(&mut wire, is_private).await?;
        loop {
            match wire.stranger().await? {
                (b'E', body) => return Err(refusal(&body)),
                (b'Z', _) => break,
                _ => {}
            }
        }
        if self.settings.target == Target::Primary {
            let answer = wire.query("SELECT pg_catalog.pg_is_in_recovery()").await?;
            if answer.first().and_then(|it| it.first()) != Some(&Some("f".to_owned())) {
                return Err(Trouble::Connection("this server is a standby".into()));
            }
        }
        Ok(wire)
    }

    /// Answers what the server asks until it says that this is enough.
    async fn prove(&self, wire: &mut Wire, is_private: bool) -> Result<(), Trouble> {
        let mut scram = None;
        loop {
            let (tag, body) = wire.stranger().await?;
            if tag == b'E' {
                return Err(refusal(&body));
            }
            if tag != b'R' {
                continue;
            }
            let mut from = Reader::new(&body);
            match from.u32() {
                Some(0) if scram.as_ref().is_some_and(|(_, is_over)| !is_over) => {
                    return Err(broken("the server did not prove who it is"));
                }
                Some(0) => return Ok(()),
                Some(3) if !is_private => return Err(broken("the server asks for the password in clear")),
                Some(3) => frontend::password_message(self.password()?, wire.outgoing()).map_err(lost)?,
                Some(5) => {
                    let salt = from.rest().try_into().map_err(|_| broken("an answer breaks off"))?;
                    let hash = md5_hash(self.settings.user.as_bytes(), self.password()?, salt);
                    frontend::password_message(hash.as_bytes(), wire.outgoing()).map_err(lost)?;
                }
                Some(10) => {
                    let offered = std::iter::from_fn(|| from.text()).any(|it| it == SCRAM_SHA_256);
                    if !offered {
                        return Err(broken("the server offers no way to log in that we know"));
                    }
                    let new = ScramSha256::new(self.password()?, ChannelBinding::unsupported());
                    frontend::sasl_initial_response(SCRAM_SHA_256, new.message(), wire.outgoing())
                        .map_err(lost)?;
                    scram = Some((new, false));
                }
                Some(11) => {
                    let (scram, _) = scram.as_mut().ok_or_else(|| broken("an answer without a question"))?;
                    scram.update(from.rest()).map_err(lost)?;
                    frontend::sasl_response(scram.message(), wire.outgoing()).map_err(lost)?;
                }
                Some(12) => {
                    let (scram, is_over) =
                        scram.as_mut().ok_or_else(|| broken("an answer without a question"))?;
                    scram.finish(from.rest()).map_err(lost)?;
                    *is_over = true;
                    continue;
                }
                _ => return Err(broken("the server asks for a way to log in that we do not know")),
            }
            wire.flush().await?;
        }
    }

    fn password(&self) -> Result<&[u8], Trouble> {
        let known = self.settings.password.as_ref().map(|it| it.reveal().as_bytes());
        known.ok_or_else(|| broken("the server asks for a password, and none is configured"))
    }
}

async fn encrypt(
    mut stream: TcpStream,
    host: &str,
    tls: &Arc<ClientConfig>,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Trouble> {
    stream.write_all(&REQUEST).await.map_err(lost)?;
    // One byte and no more: what came behind it in clear would be taken for what came encrypted.
    let mut answer = [0u8; 1];
    stream.read_exact(&mut answer).await.map_err(lost)?;
    if answer != *b"S" {
        return Err(broken("the server does not speak TLS"));
    }
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(|_| broken("TLS: the host is no name"))?,
    };
    TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(lost)
}
