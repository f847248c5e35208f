//! What private servers share: a directory of their own, an account that is not root, and an end that nothing escapes.
//!
//! A test process may panic, be killed by its runner, or keep its servers in statics that are never dropped. So the
//! end of a private server is the work of a small shell that waits on a pipe from the test process: however that
//! process ends, the pipe closes, and the shell stops the server and removes its directory.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A private server could not be made or reached; the text says what to do about it.
#[derive(Debug)]
pub struct Unavailable(pub String);

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

impl From<io::Error> for Unavailable {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Runs a shell script when it is dropped or when this process ends in whatever way, then removes the directory.
pub struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// The script is for `sh`; `$1` is the directory. It has to end what runs in there, and to end itself.
    pub fn over(directory: &Path, script: &str) -> io::Result<Self> {
        // The signals that end a test run from a terminal must not end the one who cleans up after it.
        let whole = format!("trap '' INT TERM HUP QUIT\ncat >/dev/null\n{script}\ncd /\nrm -rf -- \"$1\"\n");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &whole, "watchdog"]).arg(directory).process_group(0);
        // None of the test's own streams: who reads those must not wait for this process.
        let shell = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { shell })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().ok();
    }
}

/// A new directory under the system's own for temporary files that this account can write. Nobody removes it but a
/// [`Watchdog`].
pub fn directory(prefix: &str, account: Option<&Account>) -> io::Result<PathBuf> {
    let path = tempfile::Builder::new().prefix(prefix).tempdir()?.keep();
    if let Some(account) = account {
        chown(&path, Some(account.user), Some(account.group))?;
    }
    Ok(path)
}

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub user: u32,
    /// The number of its group.
    pub group: u32,
}

impl Account {
    /// The account that a server shall run as: the first of these that exists when we are root, `None` when we are
    /// not and it runs as we do.
    pub fn to_drop_to(names: &[&str]) -> Result<Option<Self>, Unavailable> {
        if !is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd")?;
        let found = names.iter().find_map(|name| accounts.lines().find_map(|line| Self::parse(line, name)));
        let missing = || Unavailable(format!("we are root, and there is no account {}", names.join(" or ")));
        found.ok_or_else(missing).map(Some)
    }

    fn parse(line: &str, name: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [found, _, user, group, ..] = fields.as_slice() else { return None };
        (*found == name).then_some(())?;
        Some(Self { name: name.to_owned(), user: user.parse().ok()?, group: group.parse().ok()? })
    }
}

/// A command that runs as this account, in its home directory of `home`.
pub fn command(program: &Path, account: Option<&Account>, home: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
    command.current_dir(home).env("HOME", home).stdin(Stdio::null());
    command
}

/// Sends a signal by its name (`TERM`, `KILL`, `STOP`, `CONT`) to processes; those that are gone are no error.
pub fn signal(name: &str, processes: &[u32]) -> io::Result<()> {
    for process in processes {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}")).arg(process.to_string()).stderr(Stdio::null());
        let status = kill.status()?;
        if !status.success() && Path::new("/proc").join(process.to_string()).exists() {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                format!("kill -{name} {process} failed"),
            ));
        }
    }
    Ok(())
}

/// This process and all that it started, directly or not, itself first.
pub fn family(process: u32) -> Vec<u32> {
    let parent = |entry: fs::DirEntry| {
        let child: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything; what follows it does not.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()?;
        Some((child, parent))
    };
    let pairs: Vec<(u32, u32)> =
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(parent).collect();
    let mut family = vec![process];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    family
}

/// True for the account that may become any other.
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let user = status.lines().find_map(|it| it.strip_prefix("Uid:"));
    user.and_then(|it| it.split_whitespace().nth(1)).is_some_and(|effective| effective == "0")
}

#[cfg(test)]
mod tests {
    use std::{thread::sleep, time::Duration};

    use super::*;

    #[test]
    fn the_watchdog_cleans_up_when_it_is_dropped() {
        let place = directory("vestibule-kit-", None).unwrap();
        fs::write(place.join("file"), "").unwrap();
        let mark = place.with_extension("mark");
        let script = format!("ls \"$1\" >{}", mark.display());
        drop(Watchdog::over(&place, &script).unwrap());
        assert!(!place.exists());
        assert_eq!(fs::read_to_string(&mark).unwrap().trim(), "file");
        fs::remove_file(mark).unwrap();
    }

    #[test]
    fn the_watchdog_cleans_up_when_its_owner_is_killed() {
        // A shell plays the test process: the watchdog's pipe is held by it alone.
        let place = directory("vestibule-kit-", None).unwrap();
        let mut watchdog = Watchdog::over(&place, "").unwrap();
        let pipe = watchdog.shell.stdin.take().unwrap();
        let mut owner = Command::new("/bin/sleep").arg("60").stdout(pipe).spawn().unwrap();
        assert!(place.exists());
        owner.kill().unwrap();
        owner.wait().unwrap();
        let gone = (0..500).any(|_| {
            sleep(Duration::from_millis(10));
            !place.exists()
        });
        assert!(gone, "{} is left", place.display());
    }

    #[test]
    fn a_family_is_a_process_and_what_it_started() {
        let mut shell = Command::new("/bin/sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let two = (0..500).any(|_| {
            sleep(Duration::from_millis(10));
            family(shell.id()).len() == 2
        });
        let all = family(shell.id());
        signal("KILL", &all).unwrap();
        shell.wait().unwrap();
        assert!(two, "{all:?}");
        signal("TERM", &all).unwrap();
    }
}
