//! What `vestibule.yaml` says about a connection of the kind `sqlserver`. What is here is valid.

use std::{fmt, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use schemars::JsonSchema;
use serde::Deserialize;
use vestibule_core::{
    mapping::{
        diagnostic::Diagnostics,
        shape::{self, Word},
        syntax::Node,
    },
    ports::ConnectionRequest,
};

use crate::{duration, quote};

const TEN_SECONDS: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// The name that we have in the server's lists of sessions.
const APPLICATION: &str = "vestibule";

/// A database of SQL Server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Name or address of the server, or of an availability group's listener: all its addresses are tried.
    host: Word,
    /// Port, 1433 when it is left out. Not together with `instance`.
    #[serde(default)]
    port: Option<u16>,
    /// Named instance; its port is asked of the SQL Browser (UDP 1434).
    #[serde(default)]
    instance: Option<Word>,
    /// The database.
    database: Word,
    /// Name of the login (SQL Server authentication).
    user: Word,
    /// Name of the environment variable that holds the password.
    password: Word,
    /// `yes` (default): everything is encrypted. `login`: the login alone, for servers that can not do more.
    /// `no`: nothing, for old servers on a trusted network.
    #[serde(default)]
    encrypt: Option<Word>,
    /// `yes`: any certificate of the server is taken. Only on a network that you trust.
    #[serde(default)]
    trust: Option<bool>,
    /// File with the certificates (PEM) that sign the server's, besides those that the machine trusts.
    #[serde(default)]
    ca: Option<Word>,
    /// Longest time for one statement and for connecting, e.g. `10s`.
    #[serde(default)]
    timeout: Option<Word>,
    /// The name that we have in the server's lists of sessions (`APP_NAME()`).
    #[serde(default)]
    application: Option<Word>,
}

/// What of the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encrypt {
    /// Everything.
    Yes,
    /// The login alone.
    Login,
    /// Nothing.
    No,
}

/// A password that no log shows.
#[derive(Clone)]
pub(crate) struct Password(String);

impl Password {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Settings that were checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub host: String,
    pub port: u16,
    pub instance: Option<String>,
    pub database: String,
    pub user: String,
    pub password: Password,
    pub encrypt: Encrypt,
    pub trust: bool,
    /// PEM.
    pub ca: Option<Vec<u8>>,
    pub timeout: Duration,
    pub application: String,
}

impl Settings {
    /// Reads and checks the settings; every problem is reported.
    pub fn read(request: &ConnectionRequest<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let node = request.settings;
        let file: File = shape::read(node, "sqlserver", diagnostics)?;
        let at = |key: &str| node.get(key).unwrap_or(node);
        for (key, word) in [("host", &file.host), ("database", &file.database), ("user", &file.user)] {
            if !quote::is_name(word.as_str()) {
                let title = format!("`{key}` is not usable");
                diagnostics.push(
                    "D121",
                    &at(key).span,
                    title,
                    "1 to 128 characters, none of them a control character",
                );
            }
        }
        if let (Some(_), Some((name, _))) = (&file.port, node.entry("instance")) {
            diagnostics
                .push(
                    "D121",
                    &name.span,
                    "`port` and `instance` exclude each other",
                    "the SQL Browser knows its port",
                )
                .help("with a fixed port leave `instance` out: that works where UDP 1434 is closed, too");
        }
        let encrypt = encrypt(&file, node, diagnostics);
        let trust = file.trust.unwrap_or(false);
        let ca = ca(&file, node, request, trust, diagnostics);
        let password = password(&file, node, request.secrets, diagnostics);
        let timeout = match &file.timeout {
            None => Some(TEN_SECONDS),
            Some(word) => time(word.as_str(), at("timeout"), diagnostics),
        };
        let application = file.application.as_ref().map_or(APPLICATION, Word::as_str).to_owned();
        if !quote::is_name(&application) {
            diagnostics.push(
                "D121",
                &at("application").span,
                "`application` is not usable",
                "1 to 128 characters",
            );
        }
        if diagnostics.len() > before {
            return None;
        }
        Some(Self {
            host: file.host.0,
            port: file.port.unwrap_or(1433),
            instance: file.instance.map(|it| it.0),
            database: file.database.0,
            user: file.user.0,
            password: password?,
            encrypt: encrypt?,
            trust,
            ca,
            timeout: timeout?,
            application,
        })
    }
}

fn encrypt(file: &File, node: &Node, diagnostics: &mut Diagnostics) -> Option<Encrypt> {
    match file.encrypt.as_ref().map_or("yes", Word::as_str) {
        "yes" | "true" => Some(Encrypt::Yes),
        "login" => Some(Encrypt::Login),
        "no" | "false" => Some(Encrypt::No),
        _ => {
            let at = node.get("encrypt").unwrap_or(node);
            diagnostics.push("D124", &at.span, "`encrypt` is `yes`, `login` or `no`", "none of these");
            None
        }
    }
}

fn ca(
    file: &File,
    node: &Node,
    request: &ConnectionRequest<'_>,
    trust: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<u8>> {
    let path = file.ca.as_ref()?.as_str();
    let at = node.get("ca").unwrap_or(node);
    if trust {
        diagnostics.push(
            "D124",
            &at.span,
            "`ca` and `trust: yes` exclude each other",
            "any certificate is taken",
        );
        return None;
    }
    let Ok(text) = request.files.read(path) else {
        diagnostics.push("D124", &at.span, "the file of certificates can not be read", "expected PEM");
        return None;
    };
    let found: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&text).collect();
    if !found.is_ok_and(|it| !it.is_empty()) {
        diagnostics.push("D124", &at.span, "there is no certificate in this file", "expected PEM");
        return None;
    }
    Some(text)
}

fn password(
    file: &File,
    node: &Node,
    secrets: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Password> {
    let at = node.get("password").unwrap_or(node);
    let name = file.password.as_str();
    let is_name = !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    if !is_name {
        // What looks like a password is not repeated: this text may end up in a log.
        diagnostics
            .push("D122", &at.span, "`password` is the name of an environment variable", "not such a name")
            .help("never write a password into a file: export it, and name the variable here");
        return None;
    }
    let found = secrets(name).filter(|it| !it.is_empty());
    if found.is_none() {
        let title = format!("the environment variable `{name}` holds no password");
        diagnostics.push("D122", &at.span, title, "not set or empty");
    }
    found.map(Password::new)
}

fn time(text: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let read = duration::read(text).filter(|it| !it.is_zero() && *it <= LONGEST);
    if read.is_none() {
        diagnostics.push("D123", &node.span, "this is not a time", "expected 1s to 10m, e.g. `10s`");
    }
    read
}
