//! The documentation as data: every block of code with where it stands, and the reason of those that aren't run.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::assets;

/// The comment above a block of commands that can't be run here: `<!-- not run: REASON -->`.
const MARKER: &str = "<!-- not run: ";

/// A fenced block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// The page, below the repository.
    pub(crate) page: PathBuf,
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    /// The word behind the fence; empty for none.
    pub(crate) language: String,
    /// What is inside.
    pub(crate) text: String,
    /// Why it isn't run, where a comment above says so.
    pub(crate) not_run: Option<String>,
}

impl Block {
    /// Where it stands, as `docs/guide/install.md:9`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page.display(), self.line)
    }

    /// Its YAML documents.
    pub(crate) fn documents(&self) -> Result<Vec<Value>> {
        let parsed = testbed::control_plane::apply::documents(&self.text);
        parsed.with_context(|| format!("{}:\n{}", self.place(), self.text))
    }

    /// Whether a reader would type it.
    pub(crate) fn is_commands(&self) -> bool {
        ["sh", "bash", "console"].contains(&self.language.as_str())
    }

    /// The commands, one each, with lines that go on joined. In a `console` only what stands behind `$ ` was typed;
    /// the rest is what came back.
    pub(crate) fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        let mut open = String::new();
        for line in self.text.lines() {
            let typed = match (open.is_empty(), self.language.as_str()) {
                (true, "console") => line.strip_prefix("$ "),
                (true, _) => Some(line).filter(|l| !l.trim().is_empty() && !l.starts_with('#')),
                (false, _) => Some(line),
            };
            let Some(typed) = typed else { continue };
            open.push_str(typed.trim());
            if let Some(more) = open.strip_suffix('\\') {
                open = more.to_owned();
            } else {
                commands.push(std::mem::take(&mut open));
            }
        }
        commands
    }
}

/// Every block of the README, the contributing guide, the guides and the chart's README, page by page.
pub(crate) fn blocks() -> Result<Vec<Block>> {
    let root = assets::repository();
    let mut pages = vec![PathBuf::from("README.md")];
    gather(&root, Path::new("docs"), &mut pages)?;
    // Last, because it ends with how to remove everything.
    pages.extend(["CONTRIBUTING.md", "charts/foresail/README.md"].map(PathBuf::from));
    let mut all = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(root.join(&page))?;
        all.extend(of_page(&page, &text)?);
    }
    Ok(all)
}

fn gather(root: &Path, folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(root.join(folder))?
        .map(|e| Ok(folder.join(e?.file_name())))
        .collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        if root.join(&path).is_dir() {
            gather(root, &path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
    Ok(())
}

fn of_page(page: &Path, text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut reason = None;
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(language)) => {
                let language = language.trim().to_owned();
                let not_run = reason.take();
                open = Some(Block {
                    page: page.into(),
                    line: index + 1,
                    language,
                    text: String::new(),
                    not_run,
                });
            }
            (None, None) => {
                if let Some(rest) = line.trim().strip_prefix(MARKER) {
                    let why = rest.strip_suffix("-->").context("a marker that doesn't end")?.trim();
                    ensure!(!why.is_empty(), "{}:{}: no reason", page.display(), index + 1);
                    reason = Some(why.to_owned());
                } else if !line.trim().is_empty() {
                    reason = None;
                }
            }
        }
    }
    ensure!(open.is_none(), "{}: a block that doesn't end", page.display());
    Ok(blocks)
}
