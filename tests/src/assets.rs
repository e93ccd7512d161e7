//! Where programs and files of the repository are found on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The checkout that this crate was built from.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where the scripts under `tests/setup` keep what they built: `FORESAIL_CACHE`, or `~/.cache/foresail`.
pub fn cache() -> PathBuf {
    if let Some(dir) = std::env::var_os("FORESAIL_CACHE") {
        return PathBuf::from(dir);
    }
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
    Path::new(&home).join(".cache/foresail")
}

/// The folder with `etcd`, `kube-apiserver` and `kube-controller-manager`: `KUBEBUILDER_ASSETS` where set, or
/// what `tests/setup/kubernetes.sh` built.
///
/// # Errors
/// Fails, naming the script to run, when there are none.
pub fn kubernetes() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("KUBEBUILDER_ASSETS").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let dir = cache().join("kubernetes-1.20.2");
    if !dir.join("kube-apiserver").exists() {
        bail!("no API server in {}: run tests/setup/kubernetes.sh or set KUBEBUILDER_ASSETS", dir.display());
    }
    Ok(dir)
}

/// A program of the virtual environment that `tests/setup/python.sh` makes.
pub fn python(program: &str) -> PathBuf {
    cache().join("venv/bin").join(program)
}

/// Finds a program on `PATH`, in the folders that Debian keeps from `PATH`, or in the cache.
///
/// # Errors
/// Fails, naming the script to run, when it is nowhere.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/lib/rabbitmq/bin".into(), cache().join("bin")])
        .chain(postgresql_folders())
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{name} not found: run tests/setup/packages.sh"))
}

fn postgresql_folders() -> Vec<PathBuf> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    versions.flatten().map(|version| version.path().join("bin")).collect()
}
