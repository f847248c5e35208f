//! Every problem of every file, in one place.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use vestibule_core::mapping::diagnostic::{Diagnostic, Diagnostics, SourceFile};

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
        self.files.push(Examined {
            path: path.display().to_string(),
            text,
            diagnostics: Diagnostics::default(),
        });
        id
    }

    /// The text of a file that was read.
    pub fn text(&self, file: FileId) -> Option<&str> {
        self.files.get(file.0).map(|it| it.text.as_str())
    }

    /// Adds what was found in a file. What is known already is not repeated: a model that serves three flows is
    /// judged three times, and a decision table may be named by several files.
    pub fn extend(&mut self, file: FileId, mut found: Diagnostics) {
        let folder = self.files.get(file.0).and_then(|it| Path::new(&it.path).parent());
        for source in found.all.iter_mut().filter_map(|it| it.file.as_mut()) {
            // A table is named relative to the file that names it; a person starts from where they stand.
            let path = folder.map_or_else(|| source.path.clone().into(), |folder| folder.join(&source.path));
            *source = Arc::new(SourceFile { path: path.display().to_string(), text: source.text.clone() });
        }
        found.all.retain(|new| {
            !self.files.iter().enumerate().any(|(position, known)| {
                let here = position == file.0;
                known.diagnostics.all.iter().any(|old| (here && old == new) || is_same_elsewhere(old, new))
            })
        });
        if let Some(file) = self.files.get_mut(file.0) {
            file.diagnostics.extend(found);
        }
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

/// True for one problem of a file that two files name, whatever paths they name it by.
fn is_same_elsewhere(old: &Diagnostic, new: &Diagnostic) -> bool {
    match (&old.file, &new.file) {
        (Some(one), Some(other)) => {
            one.text == other.text && old.span == new.span && old.code == new.code && old.title == new.title
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(title: &str, file: Option<&str>) -> Diagnostics {
        let mut found = Diagnostics::default();
        let file = file.map(|path| Arc::new(SourceFile { path: path.into(), text: "a: b\n".into() }));
        found.push("C001", &(0..1), title, "here").file = file;
        found
    }

    #[test]
    fn one_problem_is_reported_once_however_often_it_is_found() {
        let mut report = Report::default();
        let one = report.add(Path::new("vestibule.yaml"), "x: y\n".into());
        let other = report.add(Path::new("a.map.yaml"), "x: y\n".into());
        report.extend(one, problem("wrong", None));
        report.extend(one, problem("wrong", None));
        assert_eq!(report.errors(), 1);
        report.extend(other, problem("wrong", None));
        assert_eq!(report.errors(), 2, "the same words in another file are another problem");
        report.extend(one, problem("wrong", Some("mappings/t.rules.yaml")));
        report.extend(other, problem("wrong", Some("t.rules.yaml")));
        assert_eq!(report.errors(), 3, "one table by two paths is one table");
        assert_eq!(report.files(), 2);
    }

    #[test]
    fn a_problem_without_a_place_counts_and_names_its_file() {
        let mut report = Report::default();
        report.add_loose(Path::new("gone.map.yaml"), "C006", "the file can not be read: not found");
        assert_eq!((report.files(), report.errors()), (1, 1));
        assert_eq!(
            report.render(false),
            "error[C006]: the file can not be read: not found\n --> gone.map.yaml\n\n"
        );
    }
}
