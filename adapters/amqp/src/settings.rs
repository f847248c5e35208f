//! What `vestibule.yaml` says about a connection of the kind `amqp`. What is here is valid.

use std::{fmt, time::Duration};

use lapin::uri::{AMQPScheme, AMQPUri};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use schemars::JsonSchema;
use serde::Deserialize;
use vestibule_core::{
    mapping::{
        diagnostic::Diagnostics,
        shape::{self, Word},
        syntax::Node,
    },
    ports::{ConnectionRequest, Files},
};

use crate::duration;

/// Default of `timeout` and `heartbeat`.
const TEN_SECONDS: Duration = Duration::from_secs(10);
/// What brokers propose; the smaller of both counts.
const LONGEST_FRAME: u32 = 128 * 1024;
const LONGEST: Duration = Duration::from_secs(600);

/// A broker that speaks AMQP 0-9-1.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Address without credentials: `amqp://host:5672/vhost` or `amqps://host:5671/vhost`. `/` in a virtual host is `%2f`.
    url: Word,
    /// Name of the user.
    #[serde(default)]
    user: Option<Word>,
    /// Name of the environment variable that holds the password.
    #[serde(default)]
    password: Option<Word>,
    /// File with the certificates (PEM) that sign the broker's. Without it, those that the machine trusts.
    #[serde(default)]
    ca: Option<Word>,
    /// File with our own certificate (PEM), for brokers that want one.
    #[serde(default)]
    cert: Option<Word>,
    /// File with the private key of `cert` (PEM).
    #[serde(default)]
    key: Option<Word>,
    /// `yes`: the certificate says who we are (SASL EXTERNAL); then there is no user and no password.
    #[serde(default)]
    external: Option<bool>,
    /// How often both sides say that they are there, e.g. `10s`. A dead connection is found after two to three of them.
    #[serde(default)]
    heartbeat: Option<Word>,
    /// Longest time for anything that the broker is asked for, e.g. `10s`.
    #[serde(default)]
    timeout: Option<Word>,
}

/// Settings that were checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Without credentials.
    pub uri: AMQPUri,
    pub login: Login,
    pub tls: Option<Tls>,
    pub timeout: Duration,
}

/// How we say who we are.
#[derive(Clone)]
pub(crate) enum Login {
    /// SASL PLAIN.
    Plain { user: String, password: String },
    /// SASL EXTERNAL: the certificate says it.
    External,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { user, .. } => write!(f, "Plain({user}, ***)"),
            Self::External => f.write_str("External"),
        }
    }
}

/// What TLS needs.
pub(crate) struct Tls {
    /// Who signs the broker's certificate; `None`: whom the machine trusts.
    pub ca: Option<Vec<CertificateDer<'static>>>,
    /// Our own certificate with its chain, and its key.
    pub own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls(ca: {}, own: {})", self.ca.is_some(), self.own.is_some())
    }
}

impl Settings {
    /// Reads and checks the settings; every problem is reported.
    pub fn read(request: &ConnectionRequest<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let node = request.settings;
        let file: File = shape::read(node, "amqp", diagnostics)?;
        let at = |key: &str| node.get(key).unwrap_or(node);
        let uri = address(file.url.as_str(), at("url"), diagnostics);
        let external = file.external.unwrap_or(false);
        let login = login(&file, external, node, request.secrets, diagnostics);
        let is_tls = uri.as_ref().is_none_or(|it| it.scheme == AMQPScheme::AMQPS);
        let tls = if is_tls {
            tls(&file, node, request.files, diagnostics)
        } else {
            for key in ["ca", "cert", "key", "external"] {
                if let Some((name, _)) = node.entry(key) {
                    let title = format!("`{key}` needs an `amqps` address");
                    diagnostics.push("A111", &name.span, title, "there is no TLS with `amqp:`");
                }
            }
            None
        };
        if external && is_tls && file.cert.is_none() {
            diagnostics
                .push("A112", &at("external").span, "`external` needs `cert` and `key`", "no certificate")
                .help("the broker reads the user's name from the certificate");
        }
        let time = |word: &Option<Word>, key: &str, diagnostics: &mut Diagnostics| {
            word.as_ref().map_or(Some(TEN_SECONDS), |it| time(it.as_str(), at(key), diagnostics))
        };
        let timeout = time(&file.timeout, "timeout", diagnostics);
        let heartbeat = time(&file.heartbeat, "heartbeat", diagnostics);
        if diagnostics.len() > before {
            return None;
        }
        let mut uri = uri?;
        // Whole seconds, as the protocol has them.
        // The reader of headers below us calls itself for each level: what a frame holds bounds how deep that goes.
        uri.query.frame_max = Some(LONGEST_FRAME);
        uri.query.heartbeat = u16::try_from(heartbeat?.as_secs().max(1)).ok();
        Some(Self { uri, login: login?, tls, timeout: timeout? })
    }
}

fn address(text: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<AMQPUri> {
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let problem = if authority.contains('@') {
        "credentials do not belong into an address: use `user` and `password`".into()
    } else if text.contains(['?', '#']) {
        "an address has no `?` and no `#`: heartbeat and timeout are settings of their own".into()
    } else {
        match text.trim_end_matches('/').parse::<AMQPUri>() {
            Ok(uri) if authority.is_empty() || uri.authority.host.is_empty() => "it names no host".into(),
            Ok(mut uri) => {
                // Credentials are not kept where a log of the library would show them.
                uri.authority.userinfo.username = String::new();
                uri.authority.userinfo.password = String::new();
                return Some(uri);
            }
            Err(problem) => problem,
        }
    };
    diagnostics
        .push("A111", &node.span, "the address of the broker is not usable", problem)
        .help("e.g. amqp://rabbit.acme.example:5672/claims, amqps://rabbit.acme.example/%2f");
    None
}

fn login(
    file: &File,
    external: bool,
    node: &Node,
    secrets: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Login> {
    if external {
        for key in ["user", "password"] {
            if let Some((name, _)) = node.entry(key) {
                let title = format!("`{key}` and `external` exclude each other");
                diagnostics.push("A112", &name.span, title, "the certificate says who we are");
            }
        }
        return Some(Login::External);
    }
    let (Some(user), Some(name)) = (&file.user, &file.password) else {
        diagnostics
            .push("A112", &node.span, "`amqp` needs `user` and `password`, or `external: yes`", "no login")
            .help("password: the name of an environment variable that holds it");
        return None;
    };
    let at = node.get("password").unwrap_or(node);
    let name = name.as_str();
    let is_name = !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    if !is_name {
        // What looks like a password is not repeated: this text may end up in a log.
        diagnostics
            .push("A112", &at.span, "`password` is the name of an environment variable", "not such a name")
            .help("never write a password into a file: export it, and name the variable here");
        return None;
    }
    let password = secrets(name).filter(|it| !it.is_empty() && !it.contains('\0'));
    if password.is_none() || user.as_str().is_empty() || user.as_str().contains('\0') {
        let title = format!("the environment variable `{name}` holds no password");
        diagnostics.push("A112", &at.span, title, "not set or empty");
        return None;
    }
    Some(Login::Plain { user: user.0.clone(), password: password? })
}

fn tls(file: &File, node: &Node, files: &dyn Files, diagnostics: &mut Diagnostics) -> Option<Tls> {
    let at = |key: &str| node.get(key).unwrap_or(node);
    let mut read = |word: &Option<Word>, key: &str, what: &str| {
        let path = word.as_ref()?.as_str();
        match files.read(path) {
            Ok(text) => Some(text),
            Err(error) => {
                let title = format!("the file of {what} can not be read");
                diagnostics.push("A113", &at(key).span, title, error.kind().to_string());
                None
            }
        }
    };
    let ca = read(&file.ca, "ca", "certificates");
    let cert = read(&file.cert, "cert", "our certificate");
    let key = read(&file.key, "key", "our key");
    let mut chain = |text: Option<Vec<u8>>, key: &str| {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text?).collect();
        let found = found.ok().filter(|it: &Vec<CertificateDer<'static>>| !it.is_empty());
        if found.is_none() {
            diagnostics.push("A113", &at(key).span, "there is no certificate in this file", "expected PEM");
        }
        found
    };
    let ca = chain(ca, "ca");
    let cert = chain(cert, "cert");
    let key = key.and_then(|text| {
        let key = PrivateKeyDer::from_pem_slice(&text).ok();
        if key.is_none() {
            diagnostics.push("A113", &at("key").span, "there is no private key in this file", "expected PEM");
        }
        key
    });
    if file.cert.is_some() != file.key.is_some() {
        let there = if file.cert.is_some() { "cert" } else { "key" };
        diagnostics.push("A113", &at(there).span, "`cert` and `key` belong together", "the other is missing");
    }
    Some(Tls { ca, own: cert.zip(key) })
}

fn time(text: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let read = duration::read(text).filter(|it| !it.is_zero() && *it <= LONGEST);
    if read.is_none() {
        diagnostics.push("A114", &node.span, "this is not a time", "expected 1s to 10m, e.g. `10s`");
    }
    read
}
