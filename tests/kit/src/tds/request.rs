//! What a client says: who it is, and what it wants.

use std::io;

use super::{
    column::Value,
    param::read,
    wire::{ATTENTION, BATCH, Message, RPC, Reader, TRANSACTION, broken, text},
};

/// What a client said of itself when it logged in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The name of the account.
    pub user: String,
    /// Its password, in clear.
    pub password: String,
    /// The database that was asked for; empty for the account's own.
    pub database: String,
    /// The application's name.
    pub application: String,
    /// The name of the client's machine.
    pub host: String,
    /// The name that the client has for the server.
    pub server: String,
    /// `ApplicationIntent=ReadOnly`.
    pub read_only: bool,
    /// Whether the login came over TLS.
    pub encrypted: bool,
}

/// How a statement came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A batch of statements without parameters (`simple_query`).
    Batch,
    /// `sp_executesql`: a statement with parameters (`query`, `execute`).
    Rpc,
    /// A procedure that is called by its name; `sql` is the name.
    Procedure,
    /// A request to the transaction manager; `sql` says which in words.
    Transaction,
}

/// A parameter of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// As it was sent: `@P1`.
    pub name: String,
    /// Whether its value is wanted back.
    pub output: bool,
    /// Its value.
    pub value: Value,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// How it came.
    pub kind: Kind,
    /// The text of the statement, or the name of the procedure.
    pub sql: String,
    /// The parameters in their order, without the declaration that `sp_executesql` has.
    pub params: Vec<Param>,
    /// Who asks.
    pub login: Login,
    /// Numbers the connections of a server from 1.
    pub connection: u64,
}

impl Request {
    /// The value of a parameter, counted from 0; NULL where there is none.
    pub fn value(&self, index: usize) -> &Value {
        self.params.get(index).map_or(&Value::Null, |it| &it.value)
    }
}

impl Login {
    pub(super) fn parse(payload: &[u8]) -> io::Result<Self> {
        let mut fixed = Reader::new(payload);
        fixed.take(26)?;
        let read_only = fixed.u8()? & 0x20 != 0;
        fixed.take(9)?;
        let mut field = || -> io::Result<&[u8]> {
            let (offset, units) = (usize::from(fixed.u16()?), usize::from(fixed.u16()?));
            payload
                .get(offset..offset + units * 2)
                .ok_or_else(|| broken("a login whose fields lie outside of it"))
        };
        let host = text(field()?);
        let user = text(field()?);
        let hidden = field()?.iter().map(|it| (it ^ 0xa5).rotate_left(4)).collect::<Vec<u8>>();
        let application = text(field()?);
        let server = text(field()?);
        field().unwrap_or_default();
        let _library = field()?;
        let _language = field()?;
        let database = text(field()?);
        let password = text(&hidden);
        Ok(Self { user, password, database, application, host, server, read_only, encrypted: false })
    }
}

/// A message as a request; none for attention.
pub(super) fn parse(message: &Message, login: &Login, connection: u64) -> io::Result<Option<Request>> {
    if message.kind == ATTENTION {
        return Ok(None);
    }
    let mut reader = Reader::new(&message.payload);
    let headers = usize::try_from(reader.u32()?).unwrap_or_default();
    reader.take(headers.saturating_sub(4))?;
    let (kind, sql, params) = match message.kind {
        BATCH => (Kind::Batch, text(reader.take(message.payload.len() - headers.max(4))?), Vec::new()),
        RPC => rpc(&mut reader)?,
        TRANSACTION => (Kind::Transaction, transaction(reader.u16()?)?.into(), Vec::new()),
        other => return Err(broken(&format!("a message of kind 0x{other:02x}"))),
    };
    Ok(Some(Request { kind, sql, params, login: login.clone(), connection }))
}

fn transaction(number: u16) -> io::Result<&'static str> {
    match number {
        5 => Ok("BEGIN TRANSACTION"),
        7 => Ok("COMMIT TRANSACTION"),
        8 => Ok("ROLLBACK TRANSACTION"),
        9 => Ok("SAVE TRANSACTION"),
        other => Err(broken(&format!("request {other} to the transaction manager"))),
    }
}

fn rpc(reader: &mut Reader<'_>) -> io::Result<(Kind, String, Vec<Param>)> {
    let length = reader.u16()?;
    let (executes, mut sql) = if length == u16::MAX {
        match reader.u16()? {
            10 => (true, String::new()),
            other => return Err(broken(&format!("a call of the system procedure {other}"))),
        }
    } else {
        let name = reader.units(length.into())?;
        (name.eq_ignore_ascii_case("sp_executesql"), name)
    };
    reader.u16()?;
    let mut params = Vec::new();
    while !reader.is_empty() {
        let length = reader.u8()?;
        let name = reader.units(length.into())?;
        let output = reader.u8()? & 1 != 0;
        params.push(Param { name, output, value: read(reader)? });
    }
    if !executes {
        return Ok((Kind::Procedure, sql, params));
    }
    let mut rest = params.into_iter();
    let statement = rest.next().ok_or_else(|| broken("sp_executesql without a statement"))?;
    sql = statement.value.text().ok_or_else(|| broken("sp_executesql without a statement"))?.into();
    // The declaration of the parameters.
    rest.next();
    Ok((Kind::Rpc, sql, rest.collect()))
}
