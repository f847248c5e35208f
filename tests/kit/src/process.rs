//! A server under test, as a process of its own: started on a free port, always stopped.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::http;

/// A running server. Killed and reaped when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    _logs: TempDir,
}

/// Why a server did not start.
#[derive(Debug)]
pub struct NotStarted {
    /// What happened.
    pub cause: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl std::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server did not start: {}\n{}", self.cause, self.stderr)
    }
}

impl std::error::Error for NotStarted {}

impl Server {
    /// Starts the binary with what `arguments` adds for the address it shall listen on, and waits until `GET /readyz`
    /// says 200. Standard error is kept; standard output is not.
    pub fn start(
        binary: &Path,
        patience: Duration,
        arguments: impl FnOnce(&mut Command, SocketAddr),
    ) -> Result<Self, NotStarted> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().map_err(not_started)?));
        let mut server = Self::spawn(binary, address, arguments).map_err(not_started)?;
        let start = Instant::now();
        let cause = loop {
            match server.child.try_wait() {
                Ok(Some(status)) => break format!("it ended with {status}"),
                Ok(None) => {}
                Err(error) => break format!("it can not be waited for: {error}"),
            }
            if http::get(address, "/readyz").is_ok_and(|it| it.status == 200) {
                return Ok(server);
            }
            if start.elapsed() > patience {
                break format!("not ready after {patience:?}");
            }
            sleep(Duration::from_millis(5));
        };
        Err(NotStarted { cause, stderr: server.stderr() })
    }

    fn spawn(
        binary: &Path,
        address: SocketAddr,
        arguments: impl FnOnce(&mut Command, SocketAddr),
    ) -> io::Result<Self> {
        let logs = tempfile::tempdir()?;
        let log = logs.path().join("stderr");
        let mut command = Command::new(binary);
        arguments(&mut command, address);
        // A file, not a pipe: nobody has to read it for the server to go on.
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?).spawn()?;
        Ok(Self { child, address, log, _logs: logs })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        std::fs::read(&self.log).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default()
    }

    /// Asks it to stop (SIGTERM) and goes on.
    pub fn terminate(&self) -> io::Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill ended with {status}"))) }
    }

    /// Waits until it has ended; kills it when that takes too long, which is an error.
    pub fn wait(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > patience {
                self.kill()?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not end by itself"));
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Ends it at once (SIGKILL) and reaps it. An ended one stays ended.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Its resident memory in bytes; `None` where the system does not say.
    pub fn resident_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        kib.checked_mul(1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

/// A port of 127.0.0.1 that nothing listens on, below those that the system gives to outgoing connections. Tests of
/// one process get different ones.
pub fn free_port() -> io::Result<u16> {
    const FIRST: u16 = 20_000;
    const MANY: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that test at the same time start at different places.
    let base = u16::try_from(std::process::id() % u32::from(MANY)).unwrap_or(0);
    for _ in 0..MANY {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % MANY;
        let port = FIRST + (base + step) % MANY;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port between 20000 and 32000"))
}

fn not_started(error: io::Error) -> NotStarted {
    NotStarted { cause: error.to_string(), stderr: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that listens to nothing stands for a server.
    fn shell(script: &str) -> Result<Server, NotStarted> {
        Server::start(Path::new("/bin/sh"), Duration::from_millis(300), |command, _| {
            command.args(["-c", script]);
        })
    }

    #[test]
    fn a_server_that_ends_says_why() {
        let failed = shell("echo no configuration >&2; exit 2").err().unwrap();
        assert!(failed.cause.contains("2"), "{failed}");
        assert_eq!(failed.stderr.trim(), "no configuration");
    }

    #[test]
    fn a_server_that_is_never_ready_is_stopped() {
        let failed = shell("echo $$ >&2; exec sleep 60").err().unwrap();
        assert!(failed.cause.contains("not ready"), "{failed}");
        let pid = failed.stderr.trim();
        assert!(!Path::new("/proc").join(pid).exists(), "process {pid} still runs");
    }

    #[test]
    fn signals_reach_the_server() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
        let start = || {
            Server::spawn(Path::new("/bin/sleep"), address, |command, _| {
                command.arg("60");
            })
        };
        let mut server = start().unwrap();
        assert!(server.resident_memory().unwrap() > 0);
        server.terminate().unwrap();
        let ended = server.wait(Duration::from_secs(10)).unwrap();
        assert_eq!(ended.code(), None, "ended by a signal");
        let mut server = start().unwrap();
        assert_eq!(server.wait(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        server.kill().unwrap();
    }

    #[test]
    fn free_ports_are_different() {
        assert_ne!(free_port().unwrap(), free_port().unwrap());
    }
}
