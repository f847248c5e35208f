//! Which files belong together: the layout of a directory that can be served.

use std::path::{Path, PathBuf};

use crate::config;

/// Ending of a mapping's file name.
const MAPPING: &str = ".map.yaml";
/// More mappings than this in one directory are refused.
const MOST_MAPPINGS: usize = 1000;

/// A directory with its configuration and its mappings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The directory itself: no file outside of it is read.
    pub root: PathBuf,
    /// Its `vestibule.yaml`, where it has one.
    pub config: Option<PathBuf>,
    /// Its mappings, by name.
    pub mappings: Vec<PathBuf>,
    /// True where some of its mappings were left out.
    pub is_part: bool,
}

impl Directory {
    /// The directory at this path, with the mappings of its `mappings` folder; of itself, where it has no such folder.
    pub fn at(root: &Path) -> std::io::Result<Self> {
        let folder = Some(root.join("mappings")).filter(|it| it.is_dir()).unwrap_or_else(|| root.to_owned());
        let mut mappings = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if is_mapping(&path) {
                mappings.push(path);
            }
            if mappings.len() > MOST_MAPPINGS {
                let why = format!("it has more than {MOST_MAPPINGS} mappings");
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
            }
        }
        mappings.sort();
        Ok(Self { root: root.to_owned(), config: config_of(root), mappings, is_part: false })
    }

    /// The directory that this file belongs to, with all its mappings: the file's folder, or the one above where
    /// that has the configuration.
    pub fn around(file: &Path) -> std::io::Result<Self> {
        let root = root_around(file);
        let mut directory = Self::at(&root)?;
        if is_mapping(file) && !directory.mappings.iter().any(|it| same_file(it, file)) {
            directory.mappings.push(file.to_owned());
        }
        Ok(directory)
    }

    /// The same directory with this mapping alone.
    #[must_use]
    pub fn with_only(mut self, mapping: &Path) -> Self {
        self.mappings = vec![mapping.to_owned()];
        self.is_part = true;
        self
    }
}

/// True for the name of a mapping.
pub fn is_mapping(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(MAPPING))
}

/// True when both paths lead to one file.
pub fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn root_around(file: &Path) -> PathBuf {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if config_of(&folder).is_some() {
        return folder;
    }
    let is_mappings =
        folder.canonicalize().is_ok_and(|it| it.file_name().is_some_and(|name| name == "mappings"));
    root_of(&folder, is_mappings)
}

/// The folder itself, or the one above a `mappings` folder.
fn root_of(folder: &Path, is_mappings: bool) -> PathBuf {
    match folder.parent() {
        _ if folder.as_os_str().is_empty() => PathBuf::from("."),
        _ if !is_mappings => folder.to_owned(),
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) if folder.file_name().is_some() => PathBuf::from("."),
        _ => folder.join(".."),
    }
}

fn config_of(root: &Path) -> Option<PathBuf> {
    Some(root.join(config::FILE_NAME)).filter(|it| it.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn mappings_are_found_by_their_ending_and_sorted() {
        let root =
            world(&["vestibule.yaml", "mappings/b.map.yaml", "mappings/a.map.yaml", "mappings/a.test.yaml"]);
        let found = Directory::at(root.path()).unwrap();
        let folder = root.path().join("mappings");
        assert_eq!(found.mappings, [folder.join("a.map.yaml"), folder.join("b.map.yaml")]);
        assert!(found.config.is_some());
    }

    #[test]
    fn a_relative_mapping_is_named_without_detours() {
        for (file, expected) in
            [("mappings/a.map.yaml", "."), ("desk/mappings/a.map.yaml", "desk"), ("a.map.yaml", ".")]
        {
            let beside = Path::new(file).parent().unwrap();
            assert_eq!(root_of(beside, beside.ends_with("mappings")), Path::new(expected), "input: {file}");
        }
    }

    #[test]
    fn a_mapping_belongs_to_the_directory_whose_mappings_folder_it_lies_in() {
        let root = world(&["desk/vestibule.yaml", "desk/mappings/a.map.yaml", "loose/b.map.yaml"]);
        for (file, expected) in [("desk/mappings/a.map.yaml", "desk"), ("loose/b.map.yaml", "loose")] {
            let found = Directory::around(&root.path().join(file)).unwrap();
            assert_eq!(found.root, root.path().join(expected), "input: {file}");
            assert_eq!(found.mappings, [root.path().join(file)], "input: {file}");
        }
    }
}
