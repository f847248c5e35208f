//! What `vestibule.yaml` says about a connection of the kind `postgres`. What is here is valid.

use std::{fmt, time::Duration};

use rustls::ClientConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use vestibule_core::{
    mapping::{
        diagnostic::Diagnostics,
        shape::{self, OneOrMany, Word},
        syntax::Node,
    },
    ports::ConnectionRequest,
};

use super::quantity;
use crate::{
    settings::{Password, Tls},
    tls,
};

/// Default of `timeout`.
const TEN_SECONDS: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// Most hosts of one connection.
const HOSTS: usize = 16;

/// A PostgreSQL database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// Name or address of the server; a list: tried in turn. `name:port` where one has a port of its own.
    host: OneOrMany,
    /// Port; 5432 when left out.
    #[serde(default)]
    port: Option<Word>,
    /// The database.
    database: Word,
    /// The role that Vestibule works as.
    user: Word,
    /// Name of the environment variable that holds the password.
    #[serde(default)]
    password: Option<Word>,
    /// `off`: not encrypted (the default on this machine alone); `require`: encrypted, whoever answers; `verify` (the
    /// default): the certificate and the name in it are checked.
    #[serde(default)]
    tls: Option<Word>,
    /// File with the certificates (PEM) that sign the server's.
    #[serde(default)]
    ca: Option<Word>,
    /// Longest time for a connection to be made and for one answer, e.g. `10s`.
    #[serde(default)]
    timeout: Option<Word>,
    /// `primary` (the default): a server that can be written to; `any`: a standby will do.
    #[serde(default)]
    target: Option<Word>,
}

/// Settings that were checked.
pub(crate) struct Settings {
    /// The connection's name in `vestibule.yaml`.
    pub name: String,
    /// Where it may be, in the order to try.
    pub hosts: Vec<Host>,
    pub database: String,
    pub user: String,
    pub password: Option<Password>,
    pub tls: Tls,
    /// The rules of encryption, for clients of our own.
    pub client: ClientConfig,
    pub timeout: Duration,
    pub target: Target,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub name: String,
    pub port: u16,
}

/// Which server will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// One that can be written to.
    Primary,
    /// Any that answers.
    Any,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, hosts, database, user, tls, timeout, target, .. } = self;
        write!(f, "Settings({name}: {hosts:?} {database} {user} {tls:?} {timeout:?} {target:?})")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl Settings {
    /// Reads and checks the settings; every problem is reported.
    pub fn read(request: &ConnectionRequest<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let node = request.settings;
        let file: File = shape::read(node, "postgres", diagnostics)?;
        let at = |key: &str| node.get(key).unwrap_or(node);
        let port = port(file.port.as_ref(), at("port"), diagnostics);
        let hosts = hosts(&file.host, port, at("host"), diagnostics);
        for (key, word) in [("database", &file.database), ("user", &file.user)] {
            if word.as_str().is_empty() || word.as_str().contains('\0') {
                let title = format!("`{key}` is not a name");
                diagnostics.push("D101", &at(key).span, title, "empty, or with a NUL character");
            }
        }
        let password = password(&file, node, request.secrets, diagnostics);
        let tls = tls_word(&file, at("tls"), diagnostics);
        let client = client(&file, tls, request, diagnostics);
        let timeout = file.timeout.as_ref().map_or(Some(TEN_SECONDS), |it| {
            let read = quantity::duration(it.as_str()).filter(|it| !it.is_zero() && *it <= LONGEST);
            if read.is_none() {
                let span = &at("timeout").span;
                diagnostics.push("D104", span, "this is not a time", "expected 1s to 10m, e.g. `10s`");
            }
            read
        });
        let target = match file.target.as_ref().map(Word::as_str) {
            None | Some("primary") => Target::Primary,
            Some("any") => Target::Any,
            Some(_) => {
                let span = &at("target").span;
                diagnostics.push("D101", span, "`target` is `primary` or `any`", "neither of them");
                Target::Any
            }
        };
        if diagnostics.len() > before {
            return None;
        }
        Some(Self {
            name: request.name.to_owned(),
            hosts,
            database: file.database.0,
            user: file.user.0,
            password,
            tls,
            client: client?,
            timeout: timeout?,
            target,
        })
    }

    /// For messages: hosts, ports and database.
    pub fn place(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        format!("{}/{}", hosts.join(","), self.database)
    }
}

fn port(word: Option<&Word>, at: &Node, diagnostics: &mut Diagnostics) -> u16 {
    let Some(word) = word else { return 5432 };
    match word.as_str().parse::<u16>() {
        Ok(port) if port > 0 => port,
        _ => {
            diagnostics.push("D101", &at.span, "this is not a port", "expected 1 to 65535, e.g. 5432");
            5432
        }
    }
}

fn hosts(words: &OneOrMany, port: u16, at: &Node, diagnostics: &mut Diagnostics) -> Vec<Host> {
    let words = words.as_slice();
    if words.is_empty() || words.len() > HOSTS {
        let title = format!("`host` names one to {HOSTS} servers");
        diagnostics.push("D101", &at.span, title, format!("{} of them", words.len()));
    }
    let mut found = Vec::new();
    for word in words.iter().take(HOSTS) {
        let text = word.as_str();
        // An IPv6 address has several colons, a name with a port has one.
        let (name, own) = match text.split_once(':') {
            Some((name, own)) if !own.contains(':') => (name, own.parse::<u16>().ok().filter(|it| *it > 0)),
            _ => (text, Some(port)),
        };
        let is_host = !name.is_empty()
            && !name.contains(|it: char| it.is_whitespace() || it.is_control() || "/@?".contains(it));
        match own.filter(|_| is_host) {
            Some(port) => found.push(Host { name: name.to_owned(), port }),
            None => {
                diagnostics
                    .push("D101", &at.span, "this is not a server's name", "expected a name or an address, or name:port")
                    .help("no URL and no credentials: `database`, `user` and `password` are settings of their own");
            }
        }
    }
    found
}

fn password(
    file: &File,
    node: &Node,
    secrets: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Password> {
    // Without one: trust, or peer, as pg_hba.conf says.
    let name = file.password.as_ref()?.as_str();
    let span = &node.get("password").unwrap_or(node).span;
    if name.is_empty() || !name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_') {
        // What looks like a password is not repeated: this text may end up in a log.
        diagnostics
            .push("D102", span, "`password` is the name of an environment variable", "not such a name")
            .help("never write a password into a file: export it, and name the variable here");
        return None;
    }
    let found = secrets(name).filter(|it| !it.is_empty() && !it.contains('\0'));
    if found.is_none() {
        let title = format!("the environment variable `{name}` holds no password");
        diagnostics.push("D102", span, title, "not set or empty");
    }
    found.map(Password::new)
}

fn tls_word(file: &File, at: &Node, diagnostics: &mut Diagnostics) -> Tls {
    match file.tls.as_ref().map(Word::as_str) {
        Some("off") => Tls::Off,
        Some("require") => Tls::Require,
        Some("verify") => Tls::Verify,
        // Nothing on this machine, and everything outside of it.
        None if file.ca.is_none() && file.host.as_slice().iter().all(|it| is_here(it.as_str())) => Tls::Off,
        None => Tls::Verify,
        Some(_) => {
            diagnostics.push("D103", &at.span, "`tls` is `off`, `require` or `verify`", "none of them");
            Tls::Off
        }
    }
}

fn is_here(host: &str) -> bool {
    let name = if host.matches(':').count() == 1 { host.split(':').next().unwrap_or(host) } else { host };
    name == "localhost" || name == "::1" || name.starts_with("127.")
}

fn client(
    file: &File,
    tls: Tls,
    request: &ConnectionRequest<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<ClientConfig> {
    let at = |key: &str| request.settings.get(key).unwrap_or(request.settings);
    let pem = match &file.ca {
        None => None,
        Some(path) => match request.files.read(path.as_str()) {
            Ok(pem) => Some(pem),
            Err(error) => {
                let title = "the file of certificates can not be read";
                diagnostics.push("D103", &at("ca").span, title, error.kind().to_string());
                return None;
            }
        },
    };
    if tls == Tls::Verify && pem.is_none() {
        let help =
            "the PEM file of the authority that signed the server's certificate, beside vestibule.yaml";
        diagnostics.push("D103", &at("tls").span, "`tls: verify` needs `ca`", "who signs?").help(help);
        return None;
    }
    match tls::rules(tls, pem.as_deref()) {
        Ok(client) => Some(client),
        Err(_) => {
            let title = "there is no certificate in this file";
            diagnostics.push("D103", &at("ca").span, title, "expected PEM");
            None
        }
    }
}
