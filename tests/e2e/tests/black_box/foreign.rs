//! Foreign senders and receivers: programmes of others' libraries, started for a test and always stopped.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use vestibule_testkit::process::{Server, free_port};

use crate::{clients::tools, desk::root};

/// How long something that happens by itself may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// A Python script of the clients' folder.
pub fn python(script: &str) -> Command {
    let mut command = Command::new(tools().join("venv/bin/python"));
    command.arg(root().join("tests/e2e/clients").join(script));
    command
}

/// Runs a script with this input; what it printed, as JSON.
pub fn ask(script: &str, arguments: &[&str], input: &str) -> Value {
    let mut child = python(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("{script}: {said}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// The first value that is there, looked for again and again.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < SOON, "{what} did not happen");
        sleep(Duration::from_millis(50));
    }
}

/// What a job is, once it is in this state.
pub fn job_in_state(server: &Server, ticket: &str, state: &str) -> Value {
    let path = format!("/v1/jobs/{ticket}");
    let mut last = Value::Null;
    let began = Instant::now();
    while began.elapsed() < SOON {
        if let Ok(answer) = vestibule_testkit::http::get(server.address(), &path) {
            last = answer.json().unwrap_or_default();
            if last["state"] == state {
                return last;
            }
        }
        sleep(Duration::from_millis(50));
    }
    panic!("the job is not {state}: {last}\n{}", server.stderr());
}

/// A receiver of webhooks that checks signatures with Svix's library. Killed when dropped.
pub struct Receiver {
    child: Child,
    address: SocketAddr,
    out: PathBuf,
    _folder: TempDir,
}

impl Receiver {
    /// Starts one that refuses the first posts.
    pub fn start(secret: &str, refused: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("posts");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
        let child = python("webhook_receiver.py")
            .args([&address.port().to_string(), secret])
            .arg(&out)
            .arg(refused.to_string())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let receiver = Self { child, address, out, _folder: folder };
        eventually("the receiver's start", || TcpStream::connect(address).ok());
        receiver
    }

    /// An address of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was posted so far.
    pub fn posts(&self) -> Vec<Value> {
        lines(&self.out)
    }

    /// What was posted, once there are so many posts.
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually(&format!("post {count}"), || Some(self.posts()).filter(|it| it.len() >= count))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|it| serde_json::from_str(it).ok()).collect()
}
