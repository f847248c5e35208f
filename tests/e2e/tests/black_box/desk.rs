//! A claim desk of its own for every test: the quickstart copied to a private folder, and the binary that serves it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use tempfile::TempDir;
use vestibule_testkit::{
    http::{self, Response},
    process::Server,
};

pub const SOAP: &str = "/soap/ClaimService";

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The binary under test: `VESTIBULE_BIN`, else built once from this tree.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("VESTIBULE_BIN") {
            return PathBuf::from(given);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "vestibule", "--message-format=json"])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let messages = String::from_utf8(built.stdout).unwrap();
        messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|it| it["target"]["name"] == "vestibule")
            .find_map(|it| it["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the executable")
    })
}

/// A private copy of a sample.
pub struct Desk {
    pub folder: TempDir,
}

impl Desk {
    pub fn quickstart() -> Self {
        Self::of("quickstart")
    }

    /// A folder with nothing in it.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn of(sample: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&root().join("samples").join(sample), folder.path());
        fs::remove_dir_all(folder.path().join("data")).ok();
        Self { folder }
    }

    /// Replaces text in a file of the desk; it must be there.
    pub fn edit(&self, file: &str, from: &str, to: &str) -> &Self {
        let path = self.folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(path, text.replace(from, to)).unwrap();
        self
    }

    pub fn request(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("requests").join(name)).unwrap()
    }

    pub fn serve(&self) -> Server {
        self.serve_with(|_| {})
    }

    pub fn serve_with(&self, more: impl FnOnce(&mut Command)) -> Server {
        Server::start(binary(), Duration::from_secs(20), |command, address| {
            command.arg("serve").arg(self.folder.path()).arg("--listen").arg(address.to_string());
            more(command);
        })
        .unwrap_or_else(|failed| panic!("{failed}"))
    }

    /// Runs a command of the binary in the desk's folder.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(binary()).args(arguments).current_dir(self.folder.path()).output().unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A SOAP 1.1 call.
pub fn call(server: &Server, body: &str) -> Response {
    call_with(server, body, &[])
}

pub fn call_with(server: &Server, body: &str, headers: &[(&str, &str)]) -> Response {
    let mut all = vec![("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", "\"\"")];
    all.extend(headers);
    http::post(server.address(), SOAP, &all, body.as_bytes()).unwrap()
}

/// The text of the first element with this local name; `None` where there is none.
pub fn element(xml: &str, name: &str) -> Option<String> {
    all_elements(xml, name).into_iter().next()
}

/// The texts of all elements with this local name, by string search: replies are ours and well-formed.
pub fn all_elements(xml: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let Some(end) = rest.find('>') else { break };
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        let qualified = tag.split([' ', '/']).next().unwrap_or_default();
        let local = qualified.rsplit(':').next().unwrap_or_default();
        if local == name && !tag.starts_with('/') && !tag.ends_with('/') {
            let close = format!("</{qualified}>");
            found.push(after.split(&close).next().unwrap_or_default().to_owned());
        }
        rest = after;
    }
    found
}
