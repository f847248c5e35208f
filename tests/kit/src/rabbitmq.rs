//! A private RabbitMQ broker: the Debian package's programmes in a directory, with a cookie and ports of their own.
//!
//! Nothing is shared with a broker of the system, and nothing outlives the process that started it, even when that is
//! killed: see [`crate::private`].

use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    private::{Watchdog, directory},
    process::free_port,
};

/// Where Debian has the programmes themselves; those on the `PATH` want to be root or the account `rabbitmq`.
const PROGRAMMES: &str = "/usr/lib/rabbitmq/bin";
/// How long a broker may take to start, or to end by itself, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const NODE: &str = "vestibule@localhost";

/// Kills the process groups whose leaders are noted.
const END: &str =
    r#"for file in "$1"/group.*; do [ -f "$file" ] && kill -KILL "-$(cat "$file")" 2>/dev/null; done"#;

/// What a broker is started with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Lines added to `rabbitmq.conf`. `{amqps}` in them stands for a free port, [`RabbitMq::tls_address`].
    pub config: String,
    /// Plugins to be enabled, e.g. `rabbitmq_auth_mechanism_ssl`.
    pub plugins: Vec<String>,
}

/// A running broker. The user `guest` with the password `guest` may do everything.
pub struct RabbitMq {
    dir: PathBuf,
    ports: Ports,
    server: Option<Child>,
    epmd: Option<Child>,
    watchdog: Option<Watchdog>,
}

#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    amqps: u16,
    distribution: u16,
    epmd: u16,
}

impl RabbitMq {
    /// Starts a broker and waits until it speaks AMQP.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&Options::default())
    }

    /// The same, with more settings.
    pub fn start_with(options: &Options) -> io::Result<Self> {
        if !Path::new(PROGRAMMES).join("rabbitmq-server").exists() {
            let what = format!("there is no {PROGRAMMES}/rabbitmq-server: apt-get install rabbitmq-server");
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        let dir = directory("vestibule-rabbitmq-", None)?;
        let watchdog = Watchdog::over(&dir, END)?;
        let ports =
            Ports { amqp: free_port()?, amqps: free_port()?, distribution: free_port()?, epmd: free_port()? };
        prepare(&dir, ports, options)?;
        let mut broker = Self { dir, ports, server: None, epmd: None, watchdog: Some(watchdog) };
        broker.epmd = Some(broker.start_epmd()?);
        broker.start_again()?;
        Ok(broker)
    }

    /// Where it listens, without TLS.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.amqp).into()
    }

    /// The port that stands for `{amqps}` in its settings.
    pub fn tls_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.amqps).into()
    }

    /// Its address as a setting, without credentials: `amqp://127.0.0.1:20000/%2f`.
    pub fn url(&self) -> String {
        format!("amqp://{}/%2f", self.address())
    }

    /// The same with the credentials of `guest`, for clients of tests.
    pub fn url_with_credentials(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read(self.dir.join("log").join(name)).unwrap_or_default();
        let logs = [read("stdout"), read("vestibule@localhost.log")].concat();
        String::from_utf8_lossy(&logs).into_owned()
    }

    /// Its resident memory in bytes; `None` where the system does not say.
    pub fn resident_memory(&self) -> Option<u64> {
        let pid = fs::read_to_string(self.dir.join("pid")).ok()?;
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).ok()?;
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    /// Starts it where it is stopped, with everything durable that it had, and waits until it speaks AMQP.
    pub fn start_again(&mut self) -> io::Result<()> {
        if self.server.is_none() {
            self.server = Some(self.start_server()?);
        }
        let start = Instant::now();
        while !speaks_amqp(self.address()) {
            let ended = self.server.as_mut().map_or(Ok(None), Child::try_wait)?;
            if ended.is_some() || start.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("the broker did not start:\n{}", self.log())));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Stops it as an operator does: what is durable is on disk, clients are told.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        signal("-TERM", &fs::read_to_string(self.dir.join("pid"))?)?;
        let start = Instant::now();
        while server.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                self.end(&mut server)?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the broker did not end by itself"));
            }
            sleep(Duration::from_millis(20));
        }
        // What it started ends a moment later.
        self.end(&mut server)
    }

    /// Kills it at once (SIGKILL), as a power cut of its machine would, but for what the system still has in memory.
    pub fn kill(&mut self) -> io::Result<()> {
        match self.server.take() {
            Some(mut server) => self.end(&mut server),
            None => Ok(()),
        }
    }

    fn end(&self, server: &mut Child) -> io::Result<()> {
        end_group(server)?;
        // Its number may soon be another's.
        fs::remove_file(self.dir.join("group.server"))
    }

    /// Stops and starts it.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Raises the memory alarm: connections that publish are blocked.
    pub fn raise_alarm(&self) -> io::Result<()> {
        self.ctl(&["set_vm_memory_high_watermark", "0.0000001"]).map(drop)
    }

    /// Clears the memory alarm.
    pub fn clear_alarm(&self) -> io::Result<()> {
        self.ctl(&["set_vm_memory_high_watermark", "absolute", "1GB"]).map(drop)
    }

    /// Runs `rabbitmqctl`, which takes a second or two, and returns what it said.
    pub fn ctl(&self, arguments: &[&str]) -> io::Result<String> {
        let Output { status, stdout, stderr } =
            self.programme("rabbitmqctl").arg("--quiet").args(arguments).stdin(Stdio::null()).output()?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&stderr);
        Err(io::Error::other(format!("rabbitmqctl {} ended with {status}: {said}", arguments.join(" "))))
    }

    fn start_epmd(&self) -> io::Result<Child> {
        // One of its own: a node would start one as a daemon that nobody ends.
        let mut command = Command::new("epmd");
        command.args(["-address", "127.0.0.1", "-port", &self.ports.epmd.to_string()]);
        self.start_group(command, "epmd")
    }

    fn start_server(&self) -> io::Result<Child> {
        let _ = fs::remove_file(self.dir.join("pid"));
        self.start_group(self.programme("rabbitmq-server"), "server")
    }

    /// Starts a programme in a process group of its own, and tells the watchdog which.
    fn start_group(&self, mut command: Command, name: &str) -> io::Result<Child> {
        let log =
            fs::File::create(self.dir.join("log").join(if name == "server" { "stdout" } else { name }))?;
        let errors = log.try_clone()?;
        let child = command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(errors).spawn()?;
        fs::write(self.dir.join(format!("group.{name}")), child.id().to_string())?;
        Ok(child)
    }

    fn programme(&self, name: &str) -> Command {
        let mut command = Command::new(Path::new(PROGRAMMES).join(name));
        command.current_dir(&self.dir).env("LC_ALL", "C.UTF-8").env("RABBITMQ_NODENAME", NODE);
        for (variable, path) in [
            ("HOME", "home"),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "advanced.config"),
            ("RABBITMQ_MNESIA_BASE", "mnesia"),
            ("RABBITMQ_MNESIA_DIR", "mnesia/node"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_PID_FILE", "pid"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins"),
            ("RABBITMQ_FEATURE_FLAGS_FILE", "feature_flags"),
            ("RABBITMQ_GENERATED_CONFIG_DIR", "generated"),
            ("RABBITMQ_SCHEMA_DIR", "schema"),
        ] {
            command.env(variable, self.dir.join(path));
        }
        let near = "-kernel inet_dist_use_interface {127,0,0,1}";
        command
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // Two schedulers that do not spin: other tests run beside it.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                format!("+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none {near}"),
            )
            .env("RABBITMQ_CTL_ERL_ARGS", format!("+S 1:1 {near}"));
        command
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill().ok();
        if let Some(mut epmd) = self.epmd.take() {
            end_group(&mut epmd).ok();
        }
        drop(self.watchdog.take());
    }
}

/// Makes the directory of a broker that never ran.
fn prepare(dir: &Path, ports: Ports, options: &Options) -> io::Result<()> {
    for name in ["home", "mnesia", "log", "generated", "schema"] {
        fs::create_dir(dir.join(name))?;
    }
    let cookie = dir.join("home/.erlang.cookie");
    let mut random = [0_u8; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    fs::write(&cookie, random.map(|byte| format!("{byte:02x}")).concat())?;
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))?;
    fs::write(dir.join("enabled_plugins"), format!("[{}].\n", options.plugins.join(",")))?;
    let more = options.config.replace("{amqps}", &ports.amqps.to_string());
    let config = format!(
        "listeners.tcp.local = 127.0.0.1:{}\nloopback_users = none\nheartbeat = 10\n\
         vm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 50MB\nlog.file.level = info\n{more}\n",
        ports.amqp,
    );
    fs::write(dir.join("rabbitmq.conf"), config)
}

/// True when a server there answers the AMQP 0-9-1 protocol header; much cheaper than to ask `rabbitmqctl`.
fn speaks_amqp(address: SocketAddr) -> bool {
    let ask = || -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        stream.read_exact(&mut [0])
    };
    ask().is_ok()
}

fn signal(name: &str, target: &str) -> io::Result<()> {
    let arguments = [OsString::from(name), "--".into(), target.trim().into()];
    let status = Command::new("kill").args(arguments).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill ended with {status}"))) }
}

/// Kills a process and everything in its group, and reaps it.
fn end_group(leader: &mut Child) -> io::Result<()> {
    // Nobody may be left in it.
    signal("-KILL", &format!("-{}", leader.id())).ok();
    leader.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_running(pid: &str) -> bool {
        // A zombie is not running: whoever started it has not looked yet.
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|it| !it.is_empty() && !it.starts_with('Z'))
    }

    #[test]
    fn a_broker_starts_is_killed_and_leaves_nothing() {
        let mut broker = RabbitMq::start().unwrap();
        let (dir, address) = (broker.dir.clone(), broker.address());
        assert!(broker.resident_memory().unwrap() > 10_000_000);
        assert!(broker.ctl(&["list_queues"]).is_ok());
        broker.kill().unwrap();
        assert!(!speaks_amqp(address));
        broker.start_again().unwrap();
        let node = fs::read_to_string(dir.join("pid")).unwrap();
        let epmd = broker.epmd.as_ref().unwrap().id().to_string();
        assert!(is_running(&node) && is_running(&epmd));
        // As if this process were killed: the watchdog is all that is left to clean up.
        drop(broker.watchdog.take());
        assert!(!is_running(&node) && !is_running(&epmd) && !dir.exists());
    }
}
