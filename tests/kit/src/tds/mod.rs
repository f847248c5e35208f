//! A double of SQL Server: it speaks TDS 7.4 as tiberius needs it, and a function of the test answers.
//!
//! It is no database. It shows what an adapter says and lets it read what a server of that kind would send: every type
//! of column, errors by their number, connections that break at any byte or fall silent. What a real server makes of a
//! statement it can not show.
//!
//! ```no_run
//! # use vestibule_testkit::tds::{Answer, Column, TdsServer, Type};
//! let server = TdsServer::start(|_| vec![Answer::rows([Column::new("id", Type::Int)], [[7.into()]])])?;
//! let port = server.port(); // tiberius: config.host("127.0.0.1"), config.port(port), EncryptionLevel::NotSupported
//! # Ok::<(), std::io::Error>(())
//! ```

mod answer;
mod browser;
mod column;
mod outbox;
mod param;
mod request;
mod script;
mod session;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use self::tls::Identity;
pub use self::{
    answer::Answer,
    browser::Browser,
    column::{Column, LATIN1, Type, Value},
    outbox::{OutboxWorld, Trouble, Written},
    request::{Kind, Login, Param, Request},
    script::Script,
};

/// What the server says about TLS before the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// It can not: the client has to do without (tiberius: `EncryptionLevel::NotSupported`).
    #[default]
    NotSupported,
    /// The login alone is encrypted, unless the client wants more: a server as it is installed.
    Login,
    /// Everything is (`Force Encryption`).
    Required,
}

/// How a server behaves before its handler is asked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// TLS.
    pub encryption: Encryption,
    /// User and password that are let in; everybody where this is empty.
    pub accounts: Vec<(String, String)>,
    /// Where clients are sent on to after their login, as the listener of an availability group does.
    pub route: Option<(String, u16)>,
    /// The address that it listens at; 127.0.0.1 where there is none. Another one of the loopback network has a
    /// [`Browser`] of its own.
    pub ip: Option<Ipv4Addr>,
    /// The size of its packets; 4,096 where this is 0.
    pub packet: usize,
}

/// What answers requests. A closure does; a world that must know when a connection ends implements it.
pub trait Handler: Send + Sync + 'static {
    /// What the request is answered with; nothing is a statement that returns nothing.
    fn answer(&self, request: &Request) -> Vec<Answer>;

    /// The connection of this number is over, and so is its transaction.
    fn ended(&self, connection: u64) {
        let _ = connection;
    }
}

impl<F: Fn(&Request) -> Vec<Answer> + Send + Sync + 'static> Handler for F {
    fn answer(&self, request: &Request) -> Vec<Answer> {
        self(request)
    }
}

impl<H: Handler> Handler for Arc<H> {
    fn answer(&self, request: &Request) -> Vec<Answer> {
        self.as_ref().answer(request)
    }

    fn ended(&self, connection: u64) {
        self.as_ref().ended(connection);
    }
}

/// A running server on this machine. Ends when dropped.
pub struct TdsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<dyn Handler>,
    options: Options,
    identity: Option<Identity>,
    requests: Mutex<Vec<Request>>,
    logins: Mutex<Vec<Login>>,
    faults: Mutex<Vec<String>>,
    open: Mutex<HashMap<u64, TcpStream>>,
    connections: AtomicU64,
    transactions: AtomicU64,
    down: AtomicBool,
    ended: AtomicBool,
}

impl TdsServer {
    /// A server without TLS that lets everybody in.
    pub fn start(handler: impl Fn(&Request) -> Vec<Answer> + Send + Sync + 'static) -> io::Result<Self> {
        Self::with(Options::default(), handler)
    }

    /// A server that behaves like this.
    pub fn with(options: Options, handler: impl Handler) -> io::Result<Self> {
        let listener = TcpListener::bind((options.ip.unwrap_or(Ipv4Addr::LOCALHOST), 0))?;
        let address = listener.local_addr()?;
        let identity = (options.encryption != Encryption::NotSupported).then(Identity::make).transpose()?;
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            identity,
            options,
            requests: Mutex::default(),
            logins: Mutex::default(),
            faults: Mutex::default(),
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
            down: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::Builder::new().name("tds".into()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                if !serving.down.load(Ordering::SeqCst) {
                    let shared = Arc::clone(&serving);
                    std::thread::Builder::new().name("tds".into()).spawn(move || shared.serve(stream)).ok();
                }
            }
        })?;
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What `VESTIBULE_TDS_URL` would be for it.
    pub fn url(&self) -> String {
        format!("sqlserver://sa:secret@{}/master", self.address)
    }

    /// The certificate of the authority that signed the server's own, for `localhost`; none without encryption.
    pub fn authority(&self) -> Option<PathBuf> {
        self.shared.identity.as_ref().map(Identity::authority)
    }

    /// Every request so far, in the order in which they were read.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// Every login so far, the refused ones too.
    pub fn logins(&self) -> Vec<Login> {
        lock(&self.shared.logins).clone()
    }

    /// What clients sent that this server can not read, and what its handler answered that can not be written. A test
    /// that passes leaves none.
    pub fn faults(&self) -> Vec<String> {
        lock(&self.shared.faults).clone()
    }

    /// Cuts every connection that is open now.
    pub fn sever(&self) {
        for stream in lock(&self.shared.open).values() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Cuts every connection, and new ones too until [`up`](Self::up).
    pub fn down(&self) {
        self.shared.down.store(true, Ordering::SeqCst);
        self.sever();
    }

    /// Takes connections again.
    pub fn up(&self) {
        self.shared.down.store(false, Ordering::SeqCst);
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        lock(&self.shared.open).len()
    }
}

impl Drop for TdsServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.sever();
        // Wakes the thread that waits for connections.
        TcpStream::connect(self.address).ok();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
