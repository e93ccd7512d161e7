//! The terminal's view of the demo: a few lines that stay in place on a terminal, and a line now and then elsewhere.
//! Text goes out; writing it is somebody else's.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use super::script::Script;
use super::stage::Moment;

const TICK: Duration = Duration::from_secs(15);
/// One column of a picture, in ticks: six minutes.
const COLUMN: usize = 24;
const COLUMNS: usize = 40;
const NEWS: usize = 9;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The view.
pub(super) struct Screen {
    terminal: bool,
    speed: f64,
    url: Option<String>,
    load: Picture,
    ours: Picture,
    hpa: Picture,
    news: VecDeque<String>,
    unprinted: Vec<String>,
    tally: [Tally; 2],
    last: Option<Last>,
    drawn: usize,
    words: Option<decide::LimitReason>,
    told: u32,
}

/// Means of the last few hours, one number a column.
#[derive(Default)]
struct Picture {
    columns: VecDeque<f64>,
    sum: f64,
    count: usize,
}

/// What a way of scaling has cost and missed so far.
#[derive(Clone, Copy, Default)]
struct Tally {
    broken: Duration,
    replica_seconds: f64,
}

struct Last {
    clock: String,
    load: Option<f64>,
    replicas: (u32, u32),
    hpa: (u32, u32),
    need: u32,
    ahead: Vec<f64>,
    why: String,
}

impl Screen {
    pub(super) fn new(terminal: bool, speed: f64, url: Option<&str>) -> Self {
        Self {
            terminal,
            speed,
            url: url.map(str::to_owned),
            load: Picture::default(),
            ours: Picture::default(),
            hpa: Picture::default(),
            news: VecDeque::new(),
            unprinted: url.map(|url| format!("page: {url}")).into_iter().collect(),
            tally: [Tally::default(); 2],
            last: None,
            drawn: 0,
            words: None,
            told: 0,
        }
    }

    /// Takes a moment in.
    pub(super) fn take(&mut self, moment: &Moment, script: &Script) {
        let clock = moment.now.strftime("%H:%M").to_string();
        self.load.add(moment.ours.load);
        self.ours.add(f64::from(moment.ours.desired));
        self.hpa.add(f64::from(moment.hpa.desired));
        for (tally, tick) in self.tally.iter_mut().zip([&moment.ours, &moment.hpa]) {
            if tick.scored {
                tally.broken += if tick.violated { TICK } else { Duration::ZERO };
                tally.replica_seconds += f64::from(tick.current) * TICK.as_secs_f64();
            }
        }
        for news in script.news(moment.elapsed, TICK) {
            self.tell(format!("{clock}  ** {news}"));
        }
        let why = decide::line(&moment.decided.record);
        self.tell_change(&clock, moment, &why);
        let step = Duration::from_secs(COLUMN as u64 * 15);
        let ahead = (1..=12u32).filter_map(|i| {
            moment.forecast().and_then(|f| f.at(series::time::after(moment.now, step * i), 0.5))
        });
        self.last = Some(Last {
            clock: moment.now.strftime("%a %H:%M").to_string(),
            load: moment.ours.observed,
            replicas: (moment.ours.desired, moment.ours.ready),
            hpa: (moment.hpa.desired, moment.hpa.ready),
            need: moment.ours.need,
            ahead: ahead.collect(),
            why,
        });
    }

    /// Large changes are news, and so is the first word of a limit that holds something.
    fn tell_change(&mut self, clock: &str, moment: &Moment, why: &str) {
        // Small steps add up until they are worth a line.
        let to = moment.ours.desired;
        let large =
            self.told > 0 && f64::from(to.abs_diff(self.told)) >= (f64::from(self.told) * 0.25).max(4.0);
        let held = {
            use decide::LimitReason as R;
            let loud =
                [R::MetricMissing, R::DataJustReturned, R::PodsNotStarting, R::PanicHold, R::UnexplainedDrop];
            let recommendation = &moment.decided.record.recommendation;
            let limit = recommendation.limits.iter().find(|l| loud.contains(&l.reason));
            let missing = (!recommendation.data_fresh).then_some(R::MetricMissing);
            limit.map(|l| l.reason).or(missing)
        };
        // The first look at an empty window is nothing to tell.
        let fresh = held.is_some() && held != self.words && self.told > 0;
        if large || fresh {
            let missing = if held == Some(decide::LimitReason::MetricMissing) { "no metric: " } else { "" };
            self.tell(format!("{clock}  Foresail: {missing}{why}"));
        }
        if large || fresh || self.told == 0 {
            self.told = to;
        }
        self.words = held;
    }

    fn tell(&mut self, news: String) {
        if !self.terminal {
            self.unprinted.push(news.clone());
        }
        self.news.push_back(news);
        if self.news.len() > NEWS {
            self.news.pop_front();
        }
    }

    /// What to write now.
    pub(super) fn frame(&mut self) -> String {
        if !self.terminal {
            return self.unprinted.drain(..).fold(String::new(), |all, line| all + &line + "\n");
        }
        let Some(last) = &self.last else { return String::new() };
        let mut text = String::new();
        if self.drawn == 0 {
            text.push_str("\x1b[?25l"); // the cursor would flicker
        } else {
            let _ = write!(text, "\x1b[{}A", self.drawn);
        }
        let lines = self.lines(last);
        // A line that wraps would move all others; on a narrow terminal it's cut instead.
        text.push_str("\x1b[?7l");
        for line in &lines {
            let _ = writeln!(text, "\x1b[2K{line}");
        }
        text.push_str("\x1b[?7h");
        self.drawn = lines.len();
        text
    }

    fn lines(&self, last: &Last) -> Vec<String> {
        let speed =
            if self.speed > 0.0 { format!("{:.0}x", self.speed) } else { "as fast as it goes".to_owned() };
        let page = self.url.as_ref().map_or(String::new(), |url| format!("   page {url}"));
        let load_top = self.load.top().max(last.ahead.iter().copied().fold(0.0, f64::max));
        let top = self.ours.top().max(self.hpa.top());
        let ahead: String = last.ahead.iter().map(|v| bar(*v, load_top)).collect();
        let load = last.load.map_or_else(|| "no metric".to_owned(), |v| format!("{v:.0} req/s"));
        let tally = |t: &Tally| {
            format!("{:>5} s broken {:>7.1} replica-hours", t.broken.as_secs(), t.replica_seconds / 3_600.0)
        };
        let mut lines = vec![
            format!("\x1b[1mforesail demo\x1b[0m   {}   {speed}{page}   Ctrl-C ends", last.clock),
            String::new(),
            format!("{:8}  {load:30}{}\x1b[2m{ahead}\x1b[0m", "load", self.load.draw(load_top)),
            format!(
                "{:8}  {:30}{}",
                "Foresail",
                numbers(last.replicas, Some(last.need)),
                self.ours.draw(top)
            ),
            format!("{:8}  {:30}{}", "HPA 70%", numbers(last.hpa, None), self.hpa.draw(top)),
            String::new(),
            format!("so far    Foresail {}", tally(&self.tally[0])),
            format!("          HPA 70%  {}", tally(&self.tally[1])),
            format!("now       {}", shortened(&last.why, 100)),
            String::new(),
        ];
        lines.extend(self.news.iter().map(|news| shortened(news, 110)));
        lines.resize(10 + NEWS, String::new());
        lines
    }

    /// Gives the terminal back.
    pub(super) fn leave(&self) {
        if self.terminal {
            print!("\x1b[?25h");
        }
    }
}

impl Picture {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
        if self.count == COLUMN {
            self.columns.push_back(self.sum / COLUMN as f64);
            (self.sum, self.count) = (0.0, 0);
        }
        if self.columns.len() > COLUMNS {
            self.columns.pop_front();
        }
    }

    fn top(&self) -> f64 {
        self.columns.iter().copied().fold(0.0, f64::max)
    }

    /// As many columns as there ever are, right aligned.
    fn draw(&self, top: f64) -> String {
        let bars: String = self.columns.iter().map(|v| bar(*v, top)).collect();
        format!("{bars:>COLUMNS$}")
    }
}

fn numbers((replicas, ready): (u32, u32), need: Option<u32>) -> String {
    let need = need.map_or_else(String::new, |need| format!(", {need} needed"));
    format!("{replicas} replicas, {ready} ready{need}")
}

fn bar(value: f64, top: f64) -> char {
    let level = if top > 0.0 { (value / top * 8.0).ceil() as usize } else { 1 };
    BARS[level.clamp(1, 8) - 1]
}

/// Cut to the width of most terminals, so that a line stays a line.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_rise_with_the_value_and_never_leave_their_range() {
        assert_eq!([0.0, 1.0, 50.0, 100.0, 900.0].map(|v| bar(v, 100.0)), ['▁', '▁', '▄', '█', '█']);
        assert_eq!(bar(5.0, 0.0), '▁');
    }

    #[test]
    fn pictures_keep_their_width() {
        let mut picture = Picture::default();
        for i in 0..COLUMN * COLUMNS * 2 {
            picture.add(i as f64);
            assert_eq!(picture.draw(picture.top()).chars().count(), COLUMNS);
        }
    }
}
