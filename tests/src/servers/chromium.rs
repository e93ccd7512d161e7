//! Headless Chromium: steered over its DevTools port, or run once for a page's final markup or a picture.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, directory};
use crate::process::{Process, command, run};
use crate::{assets, net};

/// As root and in containers Chromium's own sandbox does not work; the pages are our own.
const FLAGS: [&str; 7] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
];

/// A running browser with a DevTools port.
#[derive(Debug)]
pub struct Chromium {
    process: Process,
    port: u16,
    #[allow(dead_code, reason = "its files live as long as the browser")]
    dir: TempDir,
}

impl Chromium {
    /// Starts it with one empty page.
    ///
    /// # Errors
    /// Fails when it is not installed or does not come up.
    pub async fn start() -> Result<Self> {
        let (dir, port) = (directory("chromium")?, net::free_port()?);
        let mut command = command(assets::program("chromium")?);
        command.args(FLAGS).arg(format!("--remote-debugging-port={port}"));
        command.arg(format!("--user-data-dir={}", dir.path().display())).arg("about:blank");
        let mut process = Process::start("chromium", command)?;
        process.answers_http(&format!("http://127.0.0.1:{port}/json/version"), PATIENCE).await?;
        Ok(Self { process, port, dir })
    }

    /// `http://127.0.0.1:PORT` of the DevTools protocol.
    pub fn devtools_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The `ws://` address of the first page.
    ///
    /// # Errors
    /// Fails when the browser does not answer or has no page.
    pub async fn page_socket(&self) -> Result<String> {
        let pages: Value = reqwest::get(format!("{}/json/list", self.devtools_url())).await?.json().await?;
        let mut pages = pages.as_array().context("no list of pages")?.iter();
        let page = pages.find(|page| page["type"] == "page").context("no page")?;
        Ok(page["webSocketDebuggerUrl"].as_str().context("a page without an address")?.to_owned())
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Loads a page once and returns its markup after its scripts ran for `milliseconds`.
    ///
    /// # Errors
    /// Fails when Chromium is not installed or fails.
    pub fn dump(url: &str, milliseconds: u32) -> Result<String> {
        let dir = directory("chromium")?;
        let mut browser = once(&dir, milliseconds)?;
        run(browser.arg("--dump-dom").arg(url))
    }

    /// Loads a page once and writes a picture (PNG) of it.
    ///
    /// # Errors
    /// Fails when Chromium is not installed or fails.
    pub fn screenshot(url: &str, (width, height): (u32, u32), milliseconds: u32, file: &Path) -> Result<()> {
        let dir = directory("chromium")?;
        let mut browser = once(&dir, milliseconds)?;
        browser
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--screenshot={}", file.display()));
        run(browser.arg(url))?;
        Ok(())
    }
}

fn once(dir: &TempDir, milliseconds: u32) -> Result<Command> {
    let mut command = command(assets::program("chromium")?);
    command.args(FLAGS).arg(format!("--user-data-dir={}", dir.path().display()));
    command.arg(format!("--timeout={milliseconds}"));
    Ok(command)
}
