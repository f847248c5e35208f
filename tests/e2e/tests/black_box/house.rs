//! The rules of ARCHITECTURE.md, enforced: who may depend on whom, who may spawn, which licences, how large a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().unwrap()
}

/// Crates of the workspace that this package depends on, not counting dev-dependencies.
fn inner_dependencies(metadata: &Metadata, package: &cargo_metadata::Package) -> Vec<String> {
    let members: Vec<&str> = metadata.workspace_packages().iter().map(|it| it.name.as_str()).collect();
    package
        .dependencies
        .iter()
        .filter(|it| it.kind != DependencyKind::Development && members.contains(&it.name.as_str()))
        .map(|it| it.name.clone())
        .collect()
}

/// Rust sources below a folder, with their path from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {folder}");
    found
}

#[test]
fn core_depends_on_no_crate_of_the_workspace_and_adapters_on_core_alone() {
    let metadata = metadata();
    let mut adapters = 0;
    for package in metadata.workspace_packages() {
        let folder = package
            .manifest_path
            .parent()
            .unwrap()
            .strip_prefix(root().to_str().unwrap())
            .unwrap()
            .to_string();
        let inner = inner_dependencies(&metadata, package);
        if folder == "core" {
            assert_eq!(inner, Vec::<String>::new(), "core imports no workspace crate");
        } else if folder.starts_with("adapters/") {
            adapters += 1;
            assert_eq!(inner, ["vestibule-core"], "{folder} may import core alone");
        } else if folder == "tests/kit" {
            assert_eq!(inner, ["vestibule-core"], "the kit serves adapters, so it may not know one");
        }
    }
    assert!(adapters >= 5, "the adapters were not found: {adapters}");
}

#[test]
fn only_the_list_of_adapters_names_adapters() {
    let metadata = metadata();
    let names: Vec<String> = metadata
        .workspace_packages()
        .iter()
        .filter(|it| it.manifest_path.as_str().contains("/adapters/"))
        .map(|it| it.name.replace('-', "_"))
        .collect();
    for (path, text) in sources("facade/src") {
        let named: Vec<&String> = names.iter().filter(|name| text.contains(name.as_str())).collect();
        if path == "facade/src/adapters.rs" {
            assert_eq!(named.len(), names.len(), "THE list misses an adapter: has {named:?} of {names:?}");
        } else {
            assert!(named.is_empty(), "{path} names {named:?}");
        }
    }
}

#[test]
fn only_the_runner_spawns() {
    let spawns =
        ["tokio::spawn", "task::spawn", "spawn_blocking", "thread::spawn", "JoinSet", "thread::Builder"];
    for folder in ["core/src", "adapters", "facade/src"] {
        for (path, text) in sources(folder) {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let found: Vec<&&str> = spawns.iter().filter(|it| code.contains(**it)).collect();
            let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
            assert!(
                found.is_empty() || is_test || path.starts_with("core/src/runner/"),
                "{path} uses {found:?}; only core/src/runner spawns"
            );
        }
    }
}

#[test]
fn no_file_outgrows_its_room_and_no_module_has_an_empty_name() {
    for folder in ["core/src", "adapters", "facade/src", "tests/kit/src"] {
        for (path, text) in sources(folder) {
            let is_test = path.contains("/tests/") || path.ends_with("tests.rs") || path.contains("_tests");
            let lines = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().lines().count();
            assert!(is_test || lines <= 550, "{path} has {lines} lines without its tests: split it");
            let name = Path::new(&path).file_stem().unwrap().to_str().unwrap().to_owned();
            let empty = ["utils", "util", "common", "helpers", "types", "misc"].contains(&name.as_str());
            assert!(!empty, "{path}: the name tells nothing");
        }
    }
}

/// A licence expression is fine when one of its `OR` choices has only permissive parts.
fn is_permissive(expression: &str) -> bool {
    const FINE: [&str; 15] = [
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "0BSD",
        "Unlicense",
        "CC0-1.0",
        "BSL-1.0",
        "Unicode-3.0",
        "Unicode-DFS-2016",
        "MIT-0",
        "CDLA-Permissive-2.0",
        "Apache-2.0 WITH LLVM-exception",
    ];
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    // Every `AND` part must have one fine choice. Brackets are rare and only ever group choices.
    plain.split(" AND ").all(|part| part.split(" OR ").any(|choice| FINE.contains(&choice.trim())))
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    for (expression, expected) in [
        ("MIT OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("GPL-3.0-only", false),
        ("MIT AND AGPL-3.0-only", false),
        ("LGPL-2.1-or-later OR MIT", true),
    ] {
        assert_eq!(is_permissive(expression), expected, "input: {expression:?}");
    }
    let metadata = metadata();
    let refused: Vec<String> = metadata
        .packages
        .iter()
        .filter(|it| it.source.is_some())
        .filter(|it| !it.license.as_deref().is_some_and(is_permissive))
        .map(|it| format!("{} {}: {:?}", it.name, it.version, it.license))
        .collect();
    assert_eq!(refused, Vec::<String>::new());
    let numbers = metadata.packages.iter().find(|it| it.name == "serde_json").unwrap();
    let used = metadata.resolve.unwrap().nodes.into_iter().find(|it| it.id == numbers.id).unwrap();
    let exact = used.features.iter().any(|it| it.as_str() == "arbitrary_precision");
    assert!(!exact, "serde_json/arbitrary_precision breaks untagged enums: see FACTS");
}
