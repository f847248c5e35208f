//! A private PostgreSQL from the server programs of this machine, gone with this process however it ends.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);

/// Waits until the pipe from the demonstration closes, then ends the server of the directory `$1` and removes it: a
/// process that is killed can not clean up after itself.
const WATCH: &str = r#"trap '' INT TERM HUP QUIT
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
    kill -INT "$pid" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -e "$1/data/postmaster.pid" ] || break
        sleep 0.1
    done
    kill -QUIT "$pid" 2>/dev/null
fi
cd /
rm -rf -- "$1"
"#;

/// A running server on 127.0.0.1 that asks nobody for a password. Stopped and removed when dropped.
pub struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
    account: Option<(u32, u32)>,
    port: u16,
    server: Option<Child>,
    watch: Child,
}

impl Cluster {
    /// Starts one; the text of a failure says what to do about it.
    pub fn start(port: Option<u16>) -> Result<Self, String> {
        let binaries = binaries()?;
        let account = account()?;
        let directory = env::temp_dir().join(format!("vestibule-demo-{}", std::process::id()));
        let said = |cause: std::io::Error| format!("{}: {cause}", directory.display());
        fs::DirBuilder::new().mode(0o711).create(&directory).map_err(said)?;
        if let Some((user, group)) = account {
            chown(&directory, Some(user), Some(group)).map_err(said)?;
        }
        let mut watch = Command::new("/bin/sh");
        watch.args(["-c", WATCH, "watch"]).arg(&directory).process_group(0);
        let watch = watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let watch = watch.map_err(said)?;
        let port = match port {
            Some(port) => port,
            None => free_port().map_err(said)?,
        };
        let mut cluster = Self { directory, binaries, account, port, server: None, watch };
        cluster.make()?;
        cluster.up()?;
        Ok(cluster)
    }

    /// Its directory, which goes with it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// One of PostgreSQL's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Runs statements as this user, the first failure is the last.
    pub fn psql(&self, user: &str, database: &str, statements: &str) -> Result<(), String> {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", user, "-d", database]);
        psql.args(["-p", &self.port.to_string(), "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut running = psql.stderr(Stdio::piped()).spawn().map_err(|cause| format!("psql: {cause}"))?;
        if let Some(mut input) = running.stdin.take() {
            // One that ended early says why.
            std::io::Write::write_all(&mut input, statements.as_bytes()).ok();
        }
        succeeded("psql", running.wait_with_output())
    }

    fn make(&self) -> Result<(), String> {
        let data = self.directory.join("data");
        let mut initdb = self.command("initdb");
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C"]);
        succeeded("initdb", initdb.args(["--no-sync", "--no-instructions"]).output())?;
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nwal_level = logical\n\
             max_slot_wal_keep_size = '1GB'\nshared_buffers = '32MB'\n",
            self.port
        );
        let file = data.join("postgresql.conf");
        let known = fs::read_to_string(&file).map_err(|cause| format!("{}: {cause}", file.display()))?;
        fs::write(&file, known + &settings).map_err(|cause| format!("{}: {cause}", file.display()))
    }

    fn up(&mut self) -> Result<(), String> {
        let log = self.directory.join("data/server.log");
        let file = fs::File::create(&log).map_err(|cause| format!("{}: {cause}", log.display()))?;
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.directory.join("data")).stdout(Stdio::null()).stderr(file);
        // A Ctrl-C is for us: the server ends after the last answer.
        let server = postgres.process_group(0).spawn().map_err(|cause| format!("postgres: {cause}"))?;
        let server = self.server.insert(server);
        let start = Instant::now();
        loop {
            let ended = server.try_wait().map_err(|cause| format!("postgres: {cause}"))?;
            if ended.is_some() || start.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("PostgreSQL does not start:\n{}", said.trim_end()));
            }
            let mut probe = Command::new(self.binaries.join("pg_isready"));
            probe.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if probe.status().is_ok_and(|it| it.success()) {
                return Ok(());
            }
            sleep(GLANCE);
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        // The machine's own settings are for other servers.
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command
            .current_dir(&self.directory)
            .env("HOME", &self.directory)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        if let Some(server) = &mut self.server {
            server.wait().ok();
        }
        self.watch.wait().ok();
    }
}

/// `VESTIBULE_POSTGRES_BIN`, else the newest that Debian installed, else `PATH`.
fn binaries() -> Result<PathBuf, String> {
    let chosen = env::var_os("VESTIBULE_POSTGRES_BIN").map(PathBuf::from);
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<(u32, PathBuf)> = versions
        .filter_map(|it| Some((it.file_name().to_str()?.parse().ok()?, it.path().join("bin"))))
        .collect();
    installed.sort_by(|one, other| other.cmp(one));
    let path = env::var_os("PATH").unwrap_or_default();
    let places = chosen.into_iter().chain(installed.into_iter().map(|(_, path)| path));
    let found = places.chain(env::split_paths(&path)).find(|it| {
        ["initdb", "postgres", "psql", "pg_isready"].iter().all(|program| it.join(program).is_file())
    });
    found.ok_or_else(|| {
        "there is no PostgreSQL server on this machine: install the Debian package `postgresql`, or name the directory \
         of initdb in VESTIBULE_POSTGRES_BIN"
            .into()
    })
}

/// Whom the server runs as; none: as we do. It refuses to run as root.
fn account() -> Result<Option<(u32, u32)>, String> {
    let own = fs::metadata("/proc/self").map_err(|cause| format!("/proc/self: {cause}"))?;
    if own.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").map_err(|cause| format!("/etc/passwd: {cause}"))?;
    let numbers = |name: &str| {
        let line = accounts.lines().find(|it| it.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = numbers("postgres").or_else(|| numbers("nobody"));
    found
        .map(Some)
        .ok_or_else(|| "PostgreSQL does not run as root, and there is no account postgres or nobody".into())
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn succeeded(what: &str, output: std::io::Result<Output>) -> Result<(), String> {
    let output = output.map_err(|cause| format!("{what}: {cause}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
