//! Where programs and files of the repository are found on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The checkout whose test or program Cargo runs now, or else the one that this crate was built from. Checkouts that share
/// a target folder share what was built, so the two may differ.
pub fn repository() -> PathBuf {
    let built_from = || env!("CARGO_MANIFEST_DIR").into();
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(built_from));
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    root.unwrap_or(&package).to_path_buf()
}

/// Where the scripts under `tests/setup` keep what they built: `FORESAIL_CACHE`, or `~/.cache/foresail`.
pub fn cache() -> PathBuf {
    if let Some(dir) = std::env::var_os("FORESAIL_CACHE") {
        return PathBuf::from(dir);
    }
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
    Path::new(&home).join(".cache/foresail")
}

/// The folder that `tests/setup/servers.sh` made, with a link to each server: `FORESAIL_PROGRAMS`, or the one of the
/// newest releases.
pub fn programs() -> PathBuf {
    let chosen = std::env::var_os("FORESAIL_PROGRAMS").filter(|dir| !dir.is_empty());
    chosen.map_or_else(|| cache().join("programs/default"), PathBuf::from)
}

/// A server that the tests run: what it is, its version, where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// As its makers call it: `Kubernetes`.
    pub name: String,
    /// `1.37.2`
    pub version: String,
    /// `Go module`, `Debian trixie`, ...
    pub origin: String,
}

/// Every server that `tests/setup/servers.sh` set up.
///
/// # Errors
/// Fails, naming the script to run, when it has not run.
pub fn servers() -> Result<Vec<Server>> {
    let file = programs().join("versions.tsv");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("no servers in {}: run tests/setup/servers.sh", file.display()))?;
    let server = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        Some(Server { name: fields.next()?, version: fields.next()?, origin: fields.next()? })
    };
    Ok(text.lines().filter_map(server).collect())
}

/// A program of the virtual environment that `tests/setup/python.sh` makes.
pub fn python(program: &str) -> PathBuf {
    cache().join("venv/bin").join(program)
}

/// A server or tool by the name of its program: one of `KUBEBUILDER_ASSETS` where that is set, one that
/// `tests/setup/servers.sh` set up, or one that is installed.
///
/// # Errors
/// Fails, naming the script to run, when it is nowhere.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::var_os("KUBEBUILDER_ASSETS").filter(|dir| !dir.is_empty());
    own.map(PathBuf::from)
        .into_iter()
        .chain(std::iter::once(programs()))
        .chain(std::env::split_paths(&path))
        .chain(postgresql_folders())
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{name} not found: run tests/setup/servers.sh and tests/setup/packages.sh"))
}

/// Debian keeps PostgreSQL's programs from `PATH`, a folder for each version.
fn postgresql_folders() -> Vec<PathBuf> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    versions.flatten().map(|version| version.path().join("bin")).collect()
}
