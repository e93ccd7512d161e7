//! The page in a real browser, against the preview example as its server. The steps are in `page/page.mjs`; this file
//! finds Chromium and Node, installs the two pinned packages once (into the cache, not the checkout), and runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).flat_map(|d| names.iter().map(move |n| d.join(n))).find(|p| p.is_file())
}

fn modules(script: &Path) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"),
        PathBuf::from,
    );
    let folder = cache.join("foresail/page-test");
    let wanted = std::fs::read_to_string(script.join("package.json")).expect("package.json");
    let installed = std::fs::read_to_string(folder.join("package.json")).unwrap_or_default();
    if installed != wanted || !folder.join("node_modules/axe-core").is_dir() {
        std::fs::create_dir_all(&folder).expect("the cache folder");
        std::fs::write(folder.join("package.json"), &wanted).expect("package.json in the cache");
        let npm = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(&folder)
            .status()
            .expect("npm runs");
        assert!(npm.success(), "npm install failed in {}", folder.display());
    }
    folder
}

#[test]
fn the_page_works_in_a_real_browser() {
    let chromium = std::env::var_os("CHROMIUM")
        .map(PathBuf::from)
        .or_else(|| program(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]));
    let chromium =
        chromium.expect("Chromium is needed: install the package `chromium`, or name one in CHROMIUM");
    let script = Path::new("tests/page");
    let built = std::env::current_exe().expect("the test's own path");
    let profile = built.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let preview = profile.join("examples/preview");
    // `cargo test --test page` alone doesn't build examples, and an old one would test the wrong thing.
    let build =
        Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "web", "--example", "preview"]).status();
    assert!(build.expect("cargo runs").success() && preview.is_file(), "{}", preview.display());
    let run = Command::new("node")
        .arg(script.join("page.mjs"))
        .env("PREVIEW", preview)
        .env("CHROMIUM", chromium)
        .env("PAGE_MODULES", modules(script))
        .env("PAGE_PICTURES", profile.join("page-pictures"))
        .output()
        .expect("node runs");
    let told = String::from_utf8_lossy(&run.stdout);
    println!("{told}");
    assert!(run.status.success(), "{told}\n{}", String::from_utf8_lossy(&run.stderr));
}
