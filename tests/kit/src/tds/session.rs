//! One connection, from its first byte to its last.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::Ordering,
    thread::sleep,
};

use super::{
    Encryption, Shared,
    answer::{After, Response, refused, response, stopped, welcome},
    lock,
    request::{Login, parse},
    wire::{ATTENTION, LOGIN, PRELOGIN, RESPONSE, Reader, broken, packets, read_message},
};

impl Shared {
    pub(super) fn serve(&self, stream: TcpStream) {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(other) = stream.try_clone() {
            lock(&self.open).insert(connection, other);
        }
        // Whoever wanted it down while this one came in must not be passed by.
        if self.down.load(Ordering::SeqCst) || self.ended.load(Ordering::SeqCst) {
            stream.shutdown(Shutdown::Both).ok();
        }
        if let Err(cause) = self.talk(&stream, connection)
            && cause.kind() == io::ErrorKind::InvalidData
        {
            lock(&self.faults).push(cause.to_string());
        }
        stream.shutdown(Shutdown::Both).ok();
        self.handler.ended(connection);
        lock(&self.open).remove(&connection);
    }

    fn talk(&self, mut stream: &TcpStream, connection: u64) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let Some(first) = read_message(&mut stream)? else { return Ok(()) };
        if first.kind != PRELOGIN {
            return Err(broken("a connection that does not begin with PRELOGIN"));
        }
        let (said, tls) = self.options.encryption.reply(wanted(&first.payload)?);
        stream.write_all(&packets(RESPONSE, &prelogin(said), 4_096, true))?;
        let Some(identity) = self.identity.as_ref().filter(|_| tls != Tls::Nothing) else {
            let Some(login) = self.login(&mut stream, false)? else { return Ok(()) };
            return self.converse(&mut stream, &login, connection);
        };
        let mut secret = identity.accept(stream.try_clone()?)?;
        let Some(login) = self.login(&mut secret, true)? else { return Ok(()) };
        match tls {
            Tls::Everything => self.converse(&mut secret, &login, connection),
            _ => self.converse(&mut stream, &login, connection),
        }
    }

    fn login(&self, stream: &mut (impl Read + Write), encrypted: bool) -> io::Result<Option<Login>> {
        let Some(message) = read_message(stream)? else { return Ok(None) };
        if message.kind != LOGIN {
            return Err(broken("PRELOGIN that no login follows"));
        }
        let login = Login { encrypted, ..Login::parse(&message.payload)? };
        lock(&self.logins).push(login.clone());
        Ok(Some(login))
    }

    fn converse(&self, stream: &mut (impl Read + Write), login: &Login, connection: u64) -> io::Result<()> {
        let size = if self.options.packet == 0 { 4_096 } else { self.options.packet };
        if let Some(refusal) = self.refusal(login) {
            return stream.write_all(&packets(RESPONSE, &refusal, 4_096, true));
        }
        let route = self.options.route.as_ref().map(|(host, port)| (host.as_str(), *port));
        stream.write_all(&packets(RESPONSE, &welcome(&login.database, size, route), 4_096, true))?;
        stream.flush()?;
        while let Some(message) = read_message(stream)? {
            let Some(request) = parse(&message, login, connection)? else {
                stream.write_all(&packets(RESPONSE, &stopped(), size, true))?;
                stream.flush()?;
                continue;
            };
            lock(&self.requests).push(request.clone());
            let answers = self.handler.answer(&request);
            let number = self.transactions.fetch_add(1, Ordering::SeqCst) + 1;
            if !send(stream, response(&request, &answers, number)?, size)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn refusal(&self, login: &Login) -> Option<Vec<u8>> {
        let accounts = &self.options.accounts;
        let known = |(user, password): &(String, String)| *user == login.user && *password == login.password;
        (!accounts.is_empty() && !accounts.iter().any(known))
            .then(|| refused(18_456, &format!("Login failed for user '{}'.", login.user)))
    }
}

/// What is encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    Nothing,
    Login,
    Everything,
}

const OFF: u8 = 0;
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

impl Encryption {
    /// The server's word to the client's, and what comes of them.
    fn reply(self, client: u8) -> (u8, Tls) {
        match (self, client) {
            (Self::NotSupported, _) | (Self::Login, NOT_SUPPORTED) => (NOT_SUPPORTED, Tls::Nothing),
            (Self::Login, OFF) => (OFF, Tls::Login),
            (Self::Login, _) => (ON, Tls::Everything),
            (Self::Required, _) => (REQUIRED, Tls::Everything),
        }
    }
}

/// What the client says of encryption before the login.
fn wanted(payload: &[u8]) -> io::Result<u8> {
    let mut table = Reader::new(payload);
    loop {
        match table.u8()? {
            0xff => return Ok(OFF),
            1 => {
                let offset = usize::from(u16::from_be_bytes(table.array()?));
                return payload
                    .get(offset)
                    .copied()
                    .ok_or_else(|| broken("PRELOGIN whose values lie outside of it"));
            }
            _ => drop(table.take(4)?),
        }
    }
}

/// Returns whether the connection goes on.
fn send(stream: &mut (impl Read + Write), response: Response, size: usize) -> io::Result<bool> {
    let count = response.parts.len();
    for (number, (tokens, pause)) in response.parts.into_iter().enumerate() {
        let last = number + 1 == count;
        let ends = last && matches!(response.after, After::Stay | After::CloseAt(_));
        if !tokens.is_empty() || ends {
            let mut wire = packets(RESPONSE, &tokens, size, ends);
            if let (After::CloseAt(bytes), true) = (response.after, last) {
                wire.truncate(bytes);
            }
            stream.write_all(&wire)?;
            stream.flush()?;
        }
        sleep(pause);
    }
    match response.after {
        After::Stay => Ok(true),
        After::Close | After::CloseAt(_) => Ok(false),
        After::Hang => match read_message(stream)? {
            Some(message) if message.kind == ATTENTION => {
                stream.write_all(&packets(RESPONSE, &stopped(), size, true))?;
                stream.flush()?;
                Ok(true)
            }
            _ => Ok(false),
        },
    }
}

/// Version 16, and what there is of encryption.
fn prelogin(encryption: u8) -> Vec<u8> {
    let options: [(u8, &[u8]); 5] =
        [(0, &[16, 0, 0x10, 0x40, 0, 0]), (1, &[encryption]), (2, &[0]), (3, &[]), (4, &[0])];
    let mut offset = options.len() * 5 + 1;
    let (mut table, mut data) = (Vec::new(), Vec::<u8>::new());
    for (token, value) in options {
        table.push(token);
        table.extend(u16::try_from(offset).unwrap_or_default().to_be_bytes());
        table.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
        data.extend(value);
        offset += value.len();
    }
    table.push(0xff);
    table.extend(data);
    table
}
