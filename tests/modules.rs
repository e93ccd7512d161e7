//! The arrows between the modules of each crate, read from its source: no two modules know each other, however
//! indirectly. Only a module and those within it may.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "all of this file is test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Module = Vec<String>;

/// Every source file of a crate, by the path of its module; the crate's root is left out.
fn files(folder: &Path, module: &Module, into: &mut BTreeMap<Module, PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources").map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            files(&path, &[module.clone(), vec![name]].concat(), into);
        } else if let Some(stem) = name.strip_suffix(".rs") {
            let inner = match stem {
                "mod" | "lib" | "main" => module.clone(),
                _ => [module.clone(), vec![stem.to_owned()]].concat(),
            };
            if !inner.is_empty() {
                into.insert(inner, path);
            }
        }
    }
}

/// The source without comments and without its tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The names of a path such as `a::b::c`, as far as it goes.
fn path(text: &str) -> Module {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let next = name(rest);
        rest = &rest[next.len()..];
        if next.is_empty() {
            return found;
        }
        found.push(next);
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => return found,
        }
    }
}

/// The paths that stand in a group such as `{a, b::c, d::{e, f}}`.
fn group(text: &str) -> Vec<Module> {
    let mut depth = 0;
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        if depth == 1 && c == ',' || depth == 0 && c == '{' {
            found.push(path(text[at + 1..].trim_start()));
        }
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Every path within the crate that `text`, the source of `module`, names.
fn named(text: &str, module: &Module) -> Vec<Module> {
    let mut found = Vec::new();
    for (start, word) in text.match_indices("crate::").chain(text.match_indices("super::")) {
        // `$crate::` is another crate's, and of `super::super::` the first counts.
        if text[..start].ends_with(['$', ':', '_']) {
            continue;
        }
        let mut base = if word == "crate::" { Vec::new() } else { module[..module.len() - 1].to_vec() };
        let mut rest = &text[start + word.len()..];
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        let paths = if rest.starts_with('{') { group(rest) } else { vec![path(rest)] };
        found.extend(paths.into_iter().map(|path| [base.clone(), path].concat()));
    }
    found
}

/// For each module those that it names.
fn arrows(source: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut modules = BTreeMap::new();
    files(source, &Vec::new(), &mut modules);
    let module_of = |path: &Module| {
        (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|prefix| modules.contains_key(prefix))
    };
    let arrows = modules.iter().map(|(module, file)| {
        let named = named(&code(file), module).iter().filter_map(module_of).collect::<BTreeSet<_>>();
        // What lies within a module is part of it.
        let others = named.into_iter().filter(|to| !module.starts_with(to) && !to.starts_with(module));
        (module.clone(), others.collect())
    });
    arrows.collect()
}

/// A way from a module back to itself.
fn circle(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    fn walk(
        at: &Module,
        arrows: &BTreeMap<Module, BTreeSet<Module>>,
        way: &mut Vec<Module>,
        done: &mut BTreeSet<Module>,
    ) -> bool {
        if let Some(begin) = way.iter().position(|module| module == at) {
            way.drain(..begin);
            return true;
        }
        if !done.insert(at.clone()) {
            return false;
        }
        way.push(at.clone());
        if arrows.get(at).into_iter().flatten().any(|next| walk(next, arrows, way, done)) {
            return true;
        }
        way.pop();
        false
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|module| {
        let mut way = Vec::new();
        walk(module, arrows, &mut way, &mut done).then_some(way)
    })
}

#[test]
fn no_module_knows_itself_through_others() {
    let operator = Path::new("../operator");
    let mut crates = 0;
    for entry in std::fs::read_dir(operator).expect("the crates").map(Result::unwrap) {
        let source = entry.path().join("src");
        if source.is_dir() {
            let found = circle(&arrows(&source));
            assert!(found.is_none(), "{}: {found:#?}", entry.path().display());
            crates += 1;
        }
    }
    assert!(crates >= 15, "only {crates} crates were found");
}

#[test]
fn paths_are_found_however_they_are_written() {
    let module = ["report", "page"].map(str::to_owned).to_vec();
    let text = "use crate::{memory::Memory, decide::{fits, inbox::Inbox}};\nuse super::entry::entry;\nuse super::super::error;";
    let found: Vec<String> = named(text, &module).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["memory::Memory", "decide", "report::entry::entry", "error"]);
    let arrow = |to: &str| BTreeSet::from([vec![to.to_owned()]]);
    let arrows = [("a", "b"), ("b", "c"), ("c", "b")].map(|(from, to)| (vec![from.to_owned()], arrow(to)));
    assert_eq!(circle(&BTreeMap::from(arrows)), Some(vec![vec!["b".to_owned()], vec!["c".to_owned()]]));
}
