//! TLS inside of PRELOGIN: the handshake travels in packets, what follows does not.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS12,
};
use tempfile::TempDir;

use super::wire::{PRELOGIN, broken, packets, read_message};

/// A certificate for `localhost`, and the authority that signed it.
pub(super) struct Identity {
    directory: TempDir,
    config: Arc<ServerConfig>,
}

impl Identity {
    pub(super) fn make() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let steps = "set -e; umask 077
            new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
            $new -x509 -days 2 -subj /CN=kit -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem
            $new -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout server.key -out server.csr
            openssl x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy \\
                -out server.pem";
        let made = Command::new("/bin/sh").args(["-c", steps]).current_dir(directory.path()).output()?;
        if !made.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        let certificate =
            CertificateDer::from_pem_file(directory.path().join("server.pem")).map_err(io::Error::other)?;
        let key =
            PrivateKeyDer::from_pem_file(directory.path().join("server.key")).map_err(io::Error::other)?;
        // 1.2, as servers of these years have it: nothing of the handshake comes after the client's last word.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS12])
            .and_then(|it| it.with_no_client_auth().with_single_cert(vec![certificate], key))
            .map_err(io::Error::other)?;
        Ok(Self { directory, config: Arc::new(config) })
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub(super) fn accept(&self, stream: TcpStream) -> io::Result<StreamOwned<ServerConnection, Envelope>> {
        let mut connection = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        let mut envelope = Envelope { stream, sealed: true, incoming: Vec::new(), outgoing: Vec::new() };
        while connection.is_handshaking() {
            connection.complete_io(&mut envelope)?;
        }
        envelope.flush()?;
        envelope.sealed = false;
        Ok(StreamOwned::new(connection, envelope))
    }
}

/// Puts what is written into packets of PRELOGIN and takes what is read out of them, as long as it is sealed.
pub(super) struct Envelope {
    stream: TcpStream,
    sealed: bool,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Read for Envelope {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            if !self.sealed {
                return self.stream.read(buffer);
            }
            self.flush()?;
            match read_message(&mut self.stream)? {
                None => return Ok(0),
                Some(message) if message.kind == PRELOGIN => self.incoming = message.payload,
                Some(_) => return Err(broken("a TLS handshake outside of PRELOGIN")),
            }
        }
        let count = self.incoming.as_slice().read(buffer)?;
        self.incoming.drain(..count);
        Ok(count)
    }
}

impl Write for Envelope {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.sealed {
            return self.stream.write(bytes);
        }
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flight = std::mem::take(&mut self.outgoing);
        if !flight.is_empty() {
            self.stream.write_all(&packets(PRELOGIN, &flight, 4_096, true))?;
        }
        self.stream.flush()
    }
}
