//! What is asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use decide::{Protection, Strategy};

use crate::Failure;

pub(crate) struct Args {
    pub(crate) folder: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) startups: Vec<u64>,
    pub(crate) step: Option<u64>,
    pub(crate) only: Vec<String>,
    pub(crate) protections: Vec<Protection>,
    /// Families that are left out, one at a time.
    pub(crate) left_out: Vec<Family>,
    pub(crate) spent: bool,
    pub(crate) quiet: bool,
    /// Selections are played on simulations, not in replays.
    pub(crate) select: bool,
    /// The constants of the selection are chosen on all families of series but one, and played on that one.
    pub(crate) folds: bool,
}

pub(crate) fn args() -> Result<Args, Failure> {
    let mut words = std::env::args().skip(1);
    let mut next = |what: &str| words.next().ok_or_else(|| format!("{what} is missing"));
    let mut found = Args {
        folder: next("DIR")?.into(),
        cache: next("CACHE")?.into(),
        startups: vec![60],
        step: None,
        only: vec![String::new()],
        protections: vec![Protection::Share(0.99)],
        left_out: vec![family(EVERYTHING)?],
        spent: false,
        quiet: false,
        select: false,
        folds: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--startup" => found.startups = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--step" => found.step = Some(value()?.parse()?),
            "--only" => found.only = value()?.split(',').map(str::to_owned).collect(),
            "--protection" => {
                found.protections = value()?.split(',').map(protection).collect::<Result<_, _>>()?;
            }
            "--leave-out" => found.left_out = value()?.split(',').map(family).collect::<Result<_, _>>()?,
            "--spent" => found.spent = true,
            "--quiet" => found.quiet = true,
            "--select" => found.select = true,
            "--folds" => (found.select, found.folds) = (true, true),
            _ => return Err(format!("{word} isn't understood").into()),
        }
    }
    Ok(found)
}

/// `SameCost`, or a share of the time.
fn protection(text: &str) -> Result<Protection, std::num::ParseFloatError> {
    if text == Protection::SameCost.to_string() {
        Ok(Protection::SameCost)
    } else {
        text.parse().map(Protection::Share)
    }
}

/// The family to leave out where everything is wanted.
pub(crate) const EVERYTHING: &str = "nothing";

/// A family's name, and its strategies.
pub(crate) type Family = (String, fn(&Strategy) -> bool);

/// The family of this name.
pub(crate) fn family(name: &str) -> Result<Family, String> {
    const HALF_AN_HOUR: Duration = Duration::from_mins(30);
    let unwanted: fn(&Strategy) -> bool = match name {
        EVERYTHING => |_| false,
        "forecast" => |s| s.forecast.is_some(),
        "following" => |s| s.up_tolerance <= 0.0 && s.forecast.is_some_and(|f| f.level_correction > 0.0),
        "tolerant" => |s| s.up_tolerance > 0.0 && s.forecast.is_some(),
        "margin" => |s| s.up_tolerance <= 0.0 && s.forecast.is_some_and(|f| f.margin > 1.0),
        "low" => |s| s.forecast.is_some_and(|f| f.quantile < 0.75),
        "high" => |s| s.forecast.is_some_and(|f| f.quantile > 0.9),
        "trend" => |s| s.trend_weight > 0.0,
        "calm" => |s| s.down_stabilization > HALF_AN_HOUR,
        _ => return Err(format!("there is no family {name}")),
    };
    Ok((name.to_owned(), unwanted))
}
