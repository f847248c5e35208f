//! Files beside a mapping or a configuration: inside the directory, of a bounded size, and nothing else.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Error, ErrorKind, Read},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex},
};

use vestibule_core::ports::Files;

/// Longest file that is read.
pub const LONGEST: u64 = 16 << 20;

/// The files of a directory, as the files of one of its folders name them.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The directory, canonical: nothing outside of it is read.
    root: PathBuf,
    /// The folder of the naming file, relative to the root.
    base: PathBuf,
    used: Used,
}

/// The files that were read, by their canonical paths.
#[derive(Debug, Clone, Default)]
pub struct Used(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Used {
    /// True when this file was read.
    pub fn has(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        self.0.lock().is_ok_and(|used| used.contains(&path))
    }

    /// How many were read.
    pub fn count(&self) -> usize {
        self.0.lock().map_or(0, |used| used.len())
    }

    fn add(&self, path: &Path) {
        if let Ok(mut used) = self.0.lock() {
            used.insert(path.to_owned());
        }
    }
}

impl Folder {
    /// The files that are named relative to `base`, a folder inside `root`. What is read is noted in `used`.
    pub fn new(root: &Path, base: &Path, used: &Used) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        let base = base.canonicalize()?;
        let base = base
            .strip_prefix(&root)
            .map_err(|_| Error::new(ErrorKind::PermissionDenied, "it lies outside the directory"))?
            .to_owned();
        Ok(Self { root, base, used: used.clone() })
    }

    fn resolve(&self, path: &str) -> std::io::Result<PathBuf> {
        let refused = |why: &str| Err(Error::new(ErrorKind::PermissionDenied, why.to_owned()));
        let mut inside = self.base.clone();
        for component in Path::new(path).components() {
            match component {
                Component::Normal(name) => inside.push(name),
                Component::CurDir => {}
                Component::ParentDir if inside.pop() => {}
                Component::ParentDir => return refused("the path leaves the directory"),
                Component::RootDir | Component::Prefix(_) => {
                    return refused("the path is absolute; name files relative to the file that names them");
                }
            }
        }
        let real = self.root.join(inside).canonicalize()?;
        if real.starts_with(&self.root) { Ok(real) } else { refused("a link leads out of the directory") }
    }
}

impl Files for Folder {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        let path = self.resolve(path)?;
        self.used.add(&path);
        read_bounded(&path)
    }
}

/// The content of a file, refused when it is not a plain file or is longer than [`LONGEST`].
pub fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    // A pipe or a device would be waited for without end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    // The length may change while it is read, so the bound is on what is read, not on what was announced.
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= LONGEST) {
        Ok(bytes)
    } else {
        Err(Error::new(ErrorKind::FileTooLarge, format!("it is longer than {} MiB", LONGEST >> 20)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (tempfile::TempDir, Folder) {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("desk");
        std::fs::create_dir_all(root.join("mappings/prompts")).unwrap();
        std::fs::write(outer.path().join("secret.txt"), "secret").unwrap();
        std::fs::write(root.join("vestibule.yaml"), "root").unwrap();
        std::fs::write(root.join("mappings/a.wsdl"), "contract").unwrap();
        std::fs::write(root.join("mappings/prompts/p.md"), "prompt").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("../../secret.txt", root.join("mappings/link.txt")).unwrap();
        let folder = Folder::new(&root, &root.join("mappings"), &Used::default()).unwrap();
        (outer, folder)
    }

    #[test]
    fn what_lies_in_the_directory_is_read_relative_to_the_naming_file() {
        let (_outer, folder) = world();
        for (path, expected) in [
            ("a.wsdl", "contract"),
            ("./prompts/p.md", "prompt"),
            ("prompts/../a.wsdl", "contract"),
            ("../vestibule.yaml", "root"),
            ("../mappings/a.wsdl", "contract"),
        ] {
            assert_eq!(folder.read(path).unwrap(), expected.as_bytes(), "input: {path}");
        }
    }

    #[test]
    fn nothing_outside_the_directory_is_ever_read() {
        let (outer, folder) = world();
        let absolute = outer.path().join("secret.txt");
        for path in [
            "../../secret.txt",
            "../../desk/../secret.txt",
            "prompts/../../../secret.txt",
            "/etc/hostname",
            absolute.to_str().unwrap(),
            "link.txt",
        ] {
            let error = folder.read(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "input: {path}");
        }
    }

    #[test]
    fn folders_and_what_is_not_there_are_errors() {
        let (_outer, folder) = world();
        for (path, expected) in [
            ("prompts", ErrorKind::InvalidInput),
            ("", ErrorKind::InvalidInput),
            ("none.md", ErrorKind::NotFound),
            ("a.wsdl/../../vestibule.yaml/x", ErrorKind::NotADirectory),
        ] {
            assert_eq!(folder.read(path).unwrap_err().kind(), expected, "input: {path:?}");
        }
    }

    #[test]
    fn a_file_over_the_bound_is_refused() {
        let (_outer, folder) = world();
        let path = folder.root.join("mappings/big.bin");
        let file = File::create(&path).unwrap();
        file.set_len(LONGEST).unwrap();
        assert!(folder.read("big.bin").is_ok());
        file.set_len(LONGEST + 1).unwrap();
        assert_eq!(folder.read("big.bin").unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
