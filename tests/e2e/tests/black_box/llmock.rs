//! A real OpenAI-compatible server, npm `@copilotkit/aimock`, and what it says that it was asked. See
//! `tests/e2e/aimock/README.md` for its cases.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use vestibule_testkit::{http, process::free_port};

use crate::{clients::tools, desk::root};

/// A running model server. Killed and reaped when dropped.
pub struct Llmock {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    _logs: TempDir,
}

impl Llmock {
    /// Starts it on a free port with the fixtures of this repository; `--strict`, so that a prompt without a case is
    /// an error and not some answer.
    pub fn start() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
        let logs = tempfile::tempdir().unwrap();
        let log = logs.path().join("llmock");
        let output = File::create(&log).unwrap();
        let child = Command::new(tools().join("bin/llmock"))
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &address.port().to_string(),
                "--strict",
                "--log-level",
                "debug",
                "-f",
            ])
            .arg(root().join("tests/e2e/aimock/fixtures"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut server = Self { child, address, log, _logs: logs };
        let began = Instant::now();
        while !http::get(address, "/ready").is_ok_and(|it| it.status == 200) {
            let ended = server.child.try_wait().unwrap();
            let is_late = began.elapsed() > Duration::from_secs(20);
            assert!(ended.is_none() && !is_late, "llmock is not ready ({ended:?}): {}", server.log());
            sleep(Duration::from_millis(10));
        }
        server
    }

    /// The base address, as a client is given it.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How many requests it has matched with this case so far. Counted in its log: its journal leaves out those whose
    /// client had gone when the answer was due.
    pub fn asked(&self, case: &str) -> usize {
        let phrase = format!("userMessage(\"vestibule-case {case}\")");
        self.log().lines().filter(|line| line.contains("Fixture matched") && line.contains(&phrase)).count()
    }

    /// Every request that was answered, whole: path, headers, body.
    pub fn journal(&self) -> Vec<Value> {
        let response = http::get(self.address, "/__aimock/journal").unwrap();
        let Value::Array(entries) = response.json().unwrap() else { panic!("no list: {}", response.text()) };
        entries
    }
}

impl Drop for Llmock {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
