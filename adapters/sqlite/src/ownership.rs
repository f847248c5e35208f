//! One process owns a store: who holds the lock on the file beside it.
//!
//! The lock is the system's own (`flock` on Unix): it ends with the process however that ends, and it does not keep
//! readers out of the database.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use crate::error::StoreError;

/// The lock; held for as long as this lives.
pub(crate) struct Ownership {
    _file: File,
}

impl Ownership {
    /// Takes the store at this path, or says who has it.
    pub(crate) fn take(store: &Path) -> Result<Self, StoreError> {
        let path = beside(store);
        let unwritable = |source| StoreError::Unwritable { path: path.clone(), source };
        let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&path)
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: store.to_path_buf(), owner: owner(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        let name = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())
        };
        name(&mut file).map_err(unwritable)?;
        Ok(Self { _file: file })
    }
}

/// A file that its owner alone may read: documents are stored as they came.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
