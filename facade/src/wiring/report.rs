//! Every problem of every file, in one place.

use std::path::Path;

use serde_json::{Value, json};
use vestibule_core::mapping::diagnostic::{Diagnostic, Diagnostics};

/// Names a file of a [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(usize);

/// The files that were read, with what is wrong in them.
#[derive(Debug, Default)]
pub struct Report {
    files: Vec<Examined>,
    /// Problems that no file has a place for, e.g. that a file is not there.
    loose: Vec<Loose>,
}

#[derive(Debug)]
struct Examined {
    path: String,
    text: String,
    diagnostics: Diagnostics,
}

#[derive(Debug)]
struct Loose {
    path: String,
    code: &'static str,
    message: String,
}

impl Report {
    /// Adds a file that was read.
    pub fn add(&mut self, path: &Path, text: String) -> FileId {
        let id = FileId(self.files.len());
        self.files.push(Examined { path: path.display().to_string(), text, diagnostics: Diagnostics::default() });
        id
    }

    /// Adds what was found in a file. What is known already is not repeated: a model that serves three flows is
    /// judged three times.
    pub fn extend(&mut self, file: FileId, found: Diagnostics) {
        let Some(file) = self.files.get_mut(file.0) else { return };
        if file.diagnostics.is_empty() {
            file.diagnostics = found;
            return;
        }
        let new: Vec<Diagnostic> =
            found.all.into_iter().filter(|it| !file.diagnostics.all.contains(it)).collect();
        file.diagnostics.all.extend(new);
    }

    /// Adds a problem of a file that has no place in it.
    pub fn add_loose(&mut self, path: &Path, code: &'static str, message: impl Into<String>) {
        self.loose.push(Loose { path: path.display().to_string(), code, message: message.into() });
    }

    /// Number of files that were read or should have been.
    pub fn files(&self) -> usize {
        let unread = self.loose.iter().filter(|it| !self.files.iter().any(|file| file.path == it.path));
        self.files.len() + unread.count()
    }

    /// Number of problems.
    pub fn errors(&self) -> usize {
        self.loose.len() + self.files.iter().map(|file| file.diagnostics.len()).sum::<usize>()
    }

    /// True when nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.errors() == 0
    }

    /// For people: each problem with its line and a caret, files in the order they were read.
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for file in &self.files {
            if !file.diagnostics.is_empty() {
                out.push_str(&file.diagnostics.render(&file.path, &file.text, color));
            }
        }
        for Loose { path, code, message } in &self.loose {
            out.push_str(&format!("error[{code}]: {message}\n --> {path}\n\n"));
        }
        out
    }

    /// For machines: one object a problem.
    pub fn to_json(&self) -> Vec<Value> {
        let mut out = Vec::new();
        for file in &self.files {
            match file.diagnostics.to_json(&file.path, &file.text) {
                Value::Array(all) => out.extend(all),
                other => out.push(other),
            }
        }
        let loose = self.loose.iter();
        out.extend(loose.map(|it| json!({ "path": it.path, "code": it.code, "title": it.message })));
        out
    }
}
