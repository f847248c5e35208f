//! A private PostgreSQL: Debian's binaries, a cluster of its own, gone when the tests are.
//!
//! ```no_run
//! # use vestibule_testkit::postgres::Postgres;
//! let url = Postgres::shared()?.database()?;          // one cluster a test binary, a database a test
//! let mine = Postgres::start(&["fsync=on"])?;         // a cluster that may be killed
//! mine.kill()?;
//! mine.up()?;
//! # Ok::<(), vestibule_testkit::private::Unavailable>(())
//! ```

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    private::{Account, Unavailable, Watchdog, command, directory, family, signal},
    process::free_port,
};

const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(20);
/// Ends the server of the directory `$1`: without its shared memory and its files it is of no use to anybody.
const END: &str = r#"
stop() { pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) || return 0
    [ -n "$pid" ] && kill -CONT "$pid" 2>/dev/null && kill "-$2" "$pid" 2>/dev/null; }
stop "$1" QUIT
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -e "$1/data/postmaster.pid" ] || break; sleep 0.1; done
stop "$1" KILL
"#;

/// A cluster on 127.0.0.1, without passwords for every role that is not a member of a role `secrets`. Stopped and removed when it is dropped, and when this process ends in whatever way.
pub struct Postgres {
    directory: PathBuf,
    binaries: PathBuf,
    account: Option<Account>,
    port: u16,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
    // Dropped last: it removes the directory.
    _watchdog: Watchdog,
}

impl Postgres {
    /// The cluster of this test binary, started when it is first asked for. Not for tests that stop it.
    pub fn shared() -> Result<&'static Self, Unavailable> {
        static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| Self::start(&[]).map_err(|error| error.0));
        started.as_ref().map_err(|cause| Unavailable(cause.clone()))
    }

    /// A cluster with these settings besides its own, each `name=value`. Unless one says `fsync=on`, it does not wait
    /// for the disk: that loses nothing while the machine stays up, whatever is killed.
    pub fn start(settings: &[&str]) -> Result<Self, Unavailable> {
        Self::start_after(settings, |_| Ok(()))
    }

    /// A cluster that also takes encrypted connections, as `localhost`; the certificate of its authority is the file
    /// `ca.pem` in its directory.
    pub fn encrypted() -> Result<Self, Unavailable> {
        let files = ["ssl=on", "ssl_cert_file='../server.pem'", "ssl_key_file='../server.key'"];
        Self::start_after(&files, Self::certify)
    }

    fn certify(&self) -> Result<(), Unavailable> {
        let steps = "set -e; umask 077
            new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
            $new -x509 -days 2 -subj /CN=kit -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem
            $new -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout server.key -out server.csr
            openssl x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy \\
                -out server.pem";
        let mut shell = command(Path::new("/bin/sh"), self.account.as_ref(), &self.directory);
        succeeded("openssl", shell.args(["-c", steps]).output()?).map(drop)
    }

    fn start_after(
        settings: &[&str],
        prepare: impl FnOnce(&Self) -> Result<(), Unavailable>,
    ) -> Result<Self, Unavailable> {
        let binaries = binaries()?;
        let account = Account::to_drop_to(&["postgres", "nobody"])?;
        let directory = directory("vestibule-postgres-", account.as_ref())?;
        let watchdog = Watchdog::over(&directory, END)?;
        let cluster = Self {
            port: free_port()?,
            directory,
            binaries,
            account,
            server: Mutex::new(None),
            databases: AtomicU32::new(0),
            _watchdog: watchdog,
        };
        cluster.make(settings)?;
        prepare(&cluster)?;
        cluster.up()?;
        Ok(cluster)
    }

    fn make(&self, settings: &[&str]) -> Result<(), Unavailable> {
        let data = self.directory.join("data");
        let mut initdb = self.command("initdb");
        initdb.arg("-D").arg(&data);
        initdb.args([
            "-U",
            "postgres",
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]);
        succeeded("initdb", initdb.output()?)?;
        let directory = self.directory.display();
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{directory}'\n\
             fsync = off\nfull_page_writes = off\nshared_buffers = '64MB'\nmax_connections = 200\n\
             wal_level = logical\nmax_prepared_transactions = 10\npassword_encryption = 'scram-sha-256'\n",
            self.port
        );
        for setting in settings {
            text.push_str(setting);
            text.push('\n');
        }
        OpenOptions::new().append(true).open(data.join("postgresql.conf"))?.write_all(text.as_bytes())?;
        let rules = "host all +secrets 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n";
        fs::write(data.join("pg_hba.conf"), rules)?;
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The directory of the cluster; its log is `log` in it, its data directory `data`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The URL of a new, empty database, for the superuser `postgres`.
    pub fn database(&self) -> Result<String, Unavailable> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    /// The URL of this database, for the superuser `postgres`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements by `psql` in this database, or in that of this URL; what they print, without headers.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, Unavailable> {
        let database = database.rsplit_once('/').map_or(database, |(_, name)| name);
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.arg("-d").arg(self.url(database)).arg("-c").arg(statements);
        Ok(succeeded("psql", psql.output()?)?.trim().to_owned())
    }

    /// Runs statements by `psql` beside what goes on here, each in a transaction of its own; ended when it is dropped.
    pub fn sql_beside(&self, database: &str, statements: &str) -> Result<Beside, Unavailable> {
        let database = database.rsplit_once('/').map_or(database, |(_, name)| name);
        let mut psql = self.command("psql");
        psql.args(["-X", "-q"]).arg("-d").arg(self.url(database));
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(statements.as_bytes())?;
        }
        Ok(Beside(child))
    }

    /// Starts it and waits until it takes connections. A running one stays as it is.
    pub fn up(&self) -> Result<(), Unavailable> {
        let mut server = self.server();
        let start = Instant::now();
        loop {
            let mut running = match server.take() {
                Some(running) => running,
                None => self.spawn()?,
            };
            while running.try_wait()?.is_none() {
                if self.takes_connections()? {
                    *server = Some(running);
                    return Ok(());
                }
                if start.elapsed() > PATIENCE {
                    running.kill()?;
                    running.wait()?;
                    return Err(Unavailable(format!(
                        "PostgreSQL is not ready after {PATIENCE:?}\n{}",
                        self.log()
                    )));
                }
                sleep(GLANCE);
            }
            // The processes of one that was killed may still hold its memory.
            if start.elapsed() > PATIENCE / 4 {
                return Err(Unavailable(format!("PostgreSQL does not start\n{}", self.log())));
            }
            sleep(GLANCE * 5);
        }
    }

    /// Stops it: connections are ended, everything is written (SIGINT, "fast").
    pub fn stop(&self) -> Result<(), Unavailable> {
        self.end("INT")
    }

    /// Kills it and all its processes at once (SIGKILL).
    pub fn kill(&self) -> Result<(), Unavailable> {
        self.end("KILL")
    }

    /// Stops all its processes where they are (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) -> Result<(), Unavailable> {
        Ok(signal("STOP", &self.processes())?)
    }

    /// They go on.
    pub fn resume(&self) -> Result<(), Unavailable> {
        Ok(signal("CONT", &self.processes())?)
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read(self.directory.join("log"))
            .map(|it| String::from_utf8_lossy(&it).into_owned())
            .unwrap_or_default()
    }

    fn processes(&self) -> Vec<u32> {
        self.server().as_ref().map(|it| family(it.id())).unwrap_or_default()
    }

    fn end(&self, how: &str) -> Result<(), Unavailable> {
        let mut server = self.server();
        let Some(mut running) = server.take() else { return Ok(()) };
        let all = family(running.id());
        let targets = if how == "KILL" { all.as_slice() } else { all.get(..1).unwrap_or_default() };
        signal("CONT", &all)?;
        signal(how, targets)?;
        running.wait()?;
        Ok(())
    }

    fn spawn(&self) -> Result<Child, Unavailable> {
        let log = File::options().create(true).append(true).open(self.directory.join("log"))?;
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.directory.join("data"));
        Ok(postgres.stdout(Stdio::null()).stderr(log).spawn()?)
    }

    fn takes_connections(&self) -> Result<bool, Unavailable> {
        let mut probe = self.command("pg_isready");
        let status = probe.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status()?;
        Ok(status.success())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = command(&self.binaries.join(program), self.account.as_ref(), &self.directory);
        // The machine's own settings are for other servers.
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C");
        command
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A `psql` that runs.
pub struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

/// Where the server's programs are: `VESTIBULE_POSTGRES_BIN`, else the newest that Debian installed, else `PATH`.
fn binaries() -> Result<PathBuf, Unavailable> {
    let chosen = env::var_os("VESTIBULE_POSTGRES_BIN").map(PathBuf::from);
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<(u32, PathBuf)> = versions
        .filter_map(|it| Some((it.file_name().to_str()?.parse().ok()?, it.path().join("bin"))))
        .collect();
    installed.sort_by(|one, other| other.cmp(one));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places =
        chosen.into_iter().chain(installed.into_iter().map(|(_, path)| path)).chain(env::split_paths(&path));
    places.find(|it| it.join("initdb").is_file() && it.join("postgres").is_file()).ok_or_else(|| {
        Unavailable(
            "there is no PostgreSQL server here: install the Debian package `postgresql` (tests/run does), or name \
             the directory of initdb in VESTIBULE_POSTGRES_BIN"
                .into(),
        )
    })
}

fn succeeded(what: &str, output: Output) -> Result<String, Unavailable> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Unavailable(format!("{what} ended with {}: {}", output.status, said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_made_killed_started_again_and_removed() {
        let cluster = Postgres::start(&[]).unwrap();
        let url = cluster.database().unwrap();
        cluster.sql(&url, "CREATE TABLE kept AS SELECT 7 AS number").unwrap();
        for end in [Postgres::kill, Postgres::stop] {
            end(&cluster).unwrap();
            assert!(cluster.sql(&url, "SELECT 1").is_err());
            cluster.up().unwrap();
            assert_eq!(cluster.sql(&url, "SELECT number FROM kept").unwrap(), "7");
        }
        let processes = cluster.processes();
        let directory = cluster.directory().to_owned();
        assert!(processes.len() > 3, "{processes:?}");
        drop(cluster);
        let alive = |it: &u32| Path::new("/proc").join(it.to_string()).exists();
        assert_eq!(processes.into_iter().filter(alive).count(), 0);
        assert!(!directory.exists());
    }

    #[test]
    fn a_paused_cluster_says_nothing_and_goes_on() {
        let cluster = Postgres::start(&[]).unwrap();
        cluster.pause().unwrap();
        assert!(!cluster.takes_connections().unwrap());
        cluster.resume().unwrap();
        assert_eq!(cluster.sql("postgres", "SELECT 1").unwrap(), "1");
    }

    #[test]
    fn every_database_is_new() {
        let shared = Postgres::shared().unwrap();
        let (one, other) = (shared.database().unwrap(), shared.database().unwrap());
        assert_ne!(one, other);
        assert!(shared.sql(&one, "not a statement").is_err());
    }
}
