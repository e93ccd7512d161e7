//! What is known of a family of series besides its values.

/// What a family measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up; starts at 0 with the process.
    Counter,
    /// Counts of observations by size, their sum and number.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// One family.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name a query uses; histograms have `_bucket`, `_sum` and `_count` behind it.
    pub name: String,
    /// Gauge, counter or histogram.
    pub kind: Kind,
    /// The labels besides `le`.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Entry {
    /// Every name under which the family's series appear.
    pub fn series(&self) -> Vec<String> {
        match self.kind {
            Kind::Gauge | Kind::Counter => vec![self.name.clone()],
            Kind::Histogram => {
                ["bucket", "sum", "count"].iter().map(|s| format!("{}_{s}", self.name)).collect()
            }
        }
    }
}
