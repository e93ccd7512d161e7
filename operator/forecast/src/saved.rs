//! The form in which a forecaster is stored: what can't be learnt again from the history, packed. Numbers are single
//! precision in base64; of a long history, the older part keeps 16 bits on a logarithmic scale (.05 % of a value).
//! Fitted models aren't stored: they are fitted anew from the history when it's read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::calibration::{BINS, KINDS, QUARTERS};
use crate::forecaster::{Forecaster, Track};
use crate::history::History;
use crate::panel::MEMBERS;

/// Values of a history that keep single precision: all of one up to this length, else the newest.
const PRECISE: usize = 4100;
const NEWEST: usize = 360;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    settings: Settings,
    partial: Option<(Timestamp, f64, u32)>,
    history: SavedHistory,
    tracks: Vec<SavedTrack>,
    jumped: Option<i64>,
    /// Since when the load behaves as it does now, and what was said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change: Option<String>,
    rounds: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    regressors: Vec<(String, SavedHistory)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedHistory {
    unit: f64,
    first: i64,
    older: String,
    newer: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedTrack {
    ahead: usize,
    scored: u64,
    /// Blend, calibration and score, one after the other.
    numbers: String,
    /// The same in 16 bits: errors by quarter hour, and counts of scaled errors.
    coarse: String,
}

fn pack(values: impl Iterator<Item = f32>) -> String {
    STANDARD_NO_PAD.encode(values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
}

fn unpack(text: &str) -> Vec<f32> {
    let bytes = STANDARD_NO_PAD.decode(text).unwrap_or_default();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Logarithms from 2^-24 to 2^24 on 65534 steps; 0 is zero, 65535 a gap.
fn coarse(value: f32) -> u16 {
    if value.is_nan() {
        return u16::MAX;
    }
    if value < 2.0_f32.powi(-24) {
        return 0;
    }
    ((value.log2() + 24.0) / 48.0 * 65_533.0).round().clamp(0.0, 65_533.0) as u16 + 1
}

fn fine(code: u16) -> f32 {
    match code {
        u16::MAX => f32::NAN,
        0 => 0.0,
        code => (f32::from(code - 1) / 65_533.0 * 48.0 - 24.0).exp2(),
    }
}

fn pack_coarse<'a>(values: impl Iterator<Item = &'a f32>) -> String {
    // Below zero stands for not seen yet, as a gap does in the history.
    let known = values.map(|v| if *v < 0.0 { f32::NAN } else { *v });
    STANDARD_NO_PAD.encode(known.flat_map(|v| coarse(v).to_le_bytes()).collect::<Vec<u8>>())
}

fn unpack_coarse(text: &str) -> Vec<f32> {
    let bytes = STANDARD_NO_PAD.decode(text).unwrap_or_default();
    bytes.chunks_exact(2).map(|b| fine(u16::from_le_bytes([b[0], b[1]]))).collect()
}

impl SavedHistory {
    /// With all values in full where there are at most `precise`, else the newest few: the whole stays small.
    fn of(history: &History, precise: usize) -> Self {
        let known = history.values.len();
        let split = if known > precise { known.saturating_sub(NEWEST) } else { 0 };
        Self {
            unit: history.unit,
            first: history.first,
            older: pack_coarse(history.values[..split].iter()),
            newer: pack(history.values[split..].iter().copied()),
        }
    }

    fn restore(&self, step: i64) -> History {
        let mut values = unpack_coarse(&self.older);
        values.extend(unpack(&self.newer));
        // Stored text may have been touched: what isn't a load is a gap.
        values.iter_mut().filter(|v| !(v.is_finite() && **v >= 0.0)).for_each(|v| *v = f32::NAN);
        let unit = if self.unit.is_finite() { self.unit.max(0.0) } else { 0.0 };
        History { step, unit, first: self.first, values }
    }
}

/// All numbers of a track in one order, for reading and for writing.
fn numbers(track: &mut Track) -> Vec<&mut f32> {
    let mut all: Vec<&mut f32> = Vec::new();
    all.extend(&mut track.blend.regret);
    all.extend(&mut track.blend.square);
    all.extend(&mut track.blend.error);
    all.push(&mut track.blend.count);
    all.extend(&mut track.blend.caution);
    let c = &mut track.calibration;
    all.extend([&mut c.recent, &mut c.usual, &mut c.load, &mut c.scored]);
    all.extend(&mut c.moved);
    all.extend(c.losses.iter_mut().flatten());
    let s = &mut track.score;
    all.extend(&mut s.errors);
    all.extend([&mut s.load, &mut s.weight]);
    all.extend(&mut s.covered);
    all
}

impl From<Forecaster> for Saved {
    fn from(f: Forecaster) -> Self {
        let mut history = f.history;
        history.keep_last(f.settings.slots());
        let tracks = f
            .tracks
            .into_iter()
            .map(|mut track| SavedTrack {
                ahead: track.ahead,
                scored: track.score.scored,
                coarse: pack_coarse(
                    track.calibration.quarters.iter().chain(track.calibration.counts.iter().flatten()),
                ),
                numbers: pack(numbers(&mut track).into_iter().map(|n| *n)),
            })
            .collect();
        Self {
            history: SavedHistory::of(&history, PRECISE),
            regressors: f
                .regressors
                .iter()
                .map(|(name, h)| (name.clone(), SavedHistory::of(h, NEWEST)))
                .collect(),
            settings: f.settings,
            partial: f.partial,
            tracks,
            jumped: f.jumped,
            since: f.panel.champion.since,
            change: f.change,
            rounds: f.rounds,
        }
    }
}

impl From<Saved> for Forecaster {
    fn from(saved: Saved) -> Self {
        let mut f = Forecaster::new(saved.settings);
        let step = f.history.step;
        f.partial = saved.partial;
        f.history = saved.history.restore(step);
        f.jumped = saved.jumped;
        f.panel.champion.since = saved.since;
        f.change = saved.change;
        f.regressors = saved.regressors.iter().map(|(name, h)| (name.clone(), h.restore(step))).collect();
        for old in saved.tracks {
            let values = unpack(&old.numbers);
            let Some(track) = f.tracks.iter_mut().find(|t| t.ahead == old.ahead) else { continue };
            let mut cells = numbers(track);
            if cells.len() == values.len() && values.iter().all(|v| v.is_finite()) {
                cells.iter_mut().zip(values).for_each(|(cell, value)| **cell = value);
                track.score.scored = old.scored;
                track.blend.weigh();
            }
            let values = unpack_coarse(&old.coarse);
            if values.len() == QUARTERS + KINDS * BINS {
                let (quarters, counts) = values.split_at(QUARTERS);
                let seen = |v: &f32| if v.is_nan() { -1.0 } else { *v };
                track.calibration.quarters = quarters.iter().map(seen).collect();
                for (kind, counts) in track.calibration.counts.iter_mut().zip(counts.chunks_exact(BINS)) {
                    *kind = counts.iter().map(|v| v.max(0.0)).collect();
                }
            }
        }
        let slots = f.settings.slots();
        f.history.keep_last(slots);
        f.rounds = saved.rounds;
        if saved.rounds > 0 {
            f.relearn();
        } else if !f.history.values.is_empty() {
            f.clean();
            f.look_ahead(true);
        }
        f
    }
}

const _: () = assert!(MEMBERS < 64, "a track's numbers stay small");
