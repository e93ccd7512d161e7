//! The form in which a forecaster is stored: what can't be learned again from the history, packed. A history of two weeks
//! at five minutes keeps single precision; of a longer one, the newest slots do, and the rest is packed into a fixed
//! number of bytes, so that the whole stays below 64 KiB at any step, with further series too. Fitted models aren't
//! stored: they are fitted anew from the history when it's read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::calibration::{BINS, KINDS, QUARTERS};
use crate::ensemble::MEMBERS;
use crate::forecaster::{Forecaster, HorizonModel};
use crate::history::History;
use crate::packing::{Stretch, pack, pack_coarse, unpack, unpack_coarse};

/// What a history may take.
struct Room {
    /// Values in single precision: all of a history up to this length, else the newest.
    all: usize,
    newest: usize,
    /// Bytes for the others.
    bytes: usize,
}

const LOAD: Room = Room { all: 4100, newest: 360, bytes: 25_000 };
const REGRESSOR: Room = Room { all: 0, newest: 120, bytes: 5200 };

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    settings: Settings,
    partial: Option<(Timestamp, f64, u32)>,
    history: SavedHistory,
    tracks: Vec<SavedHorizon>,
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
    older: Stretch,
    newer: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedHorizon {
    ahead: usize,
    scored: u64,
    /// Blend, calibration and score, one after the other.
    numbers: String,
    /// The same in 16 bits: errors by quarter hour, and counts of scaled errors.
    coarse: String,
}

impl SavedHistory {
    fn of(history: &History, room: &Room) -> Self {
        let known = history.values.len();
        let split = if known > room.all { known.saturating_sub(room.newest) } else { 0 };
        Self {
            unit: history.unit,
            first: history.first,
            older: Stretch::of(&history.values[..split], room.bytes),
            newer: pack(history.values[split..].iter().copied()),
        }
    }

    fn restore(&self, step: i64) -> History {
        let mut values = self.older.values();
        values.extend(unpack(&self.newer));
        // Stored text may have been touched: what isn't a load is a gap.
        values.iter_mut().filter(|v| !(v.is_finite() && **v >= 0.0)).for_each(|v| *v = f32::NAN);
        let unit = if self.unit.is_finite() { self.unit.max(0.0) } else { 0.0 };
        History { step, unit, first: self.first, values }
    }
}

/// All numbers of a track in one order, for reading and for writing.
fn numbers(track: &mut HorizonModel) -> Vec<&mut f32> {
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
            .map(|mut track| SavedHorizon {
                ahead: track.ahead,
                scored: track.score.scored,
                coarse: pack_coarse(
                    track.calibration.quarters.iter().chain(track.calibration.counts.iter().flatten()),
                ),
                numbers: pack(numbers(&mut track).into_iter().map(|n| *n)),
            })
            .collect();
        Self {
            history: SavedHistory::of(&history, &LOAD),
            regressors: f
                .regressors
                .iter()
                .map(|(name, h)| (name.clone(), SavedHistory::of(h, &REGRESSOR)))
                .collect(),
            settings: f.settings,
            partial: f.partial,
            tracks,
            jumped: f.jumped,
            since: f.ensemble.champion.since,
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
        f.ensemble.champion.since = saved.since;
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
