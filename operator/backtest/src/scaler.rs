//! The seam between a replay and whatever decides in it: what a policy may see, and what it answers. A [`View`] holds
//! the past only, so a policy can't peek; those that are meant to know the future are given it when they are made.

use decide::Record;
use jiff::Timestamp;
use serde::Serialize;

use crate::telemetry::{Past, Signal};

/// What a policy may see when it decides.
pub struct View<'a> {
    /// Second of the replay.
    pub second: usize,
    /// The same as a time.
    pub now: Timestamp,
    /// Replicas asked for.
    pub spec: u32,
    /// Pods that serve.
    pub ready: u32,
    /// Pods that were created and don't serve yet.
    pub pending: u32,
    /// Of these, pods in CrashLoopBackOff.
    pub crash_looping: u32,
    /// What the query for the load answers.
    pub signal: &'a Signal,
    /// What the resource metrics say of the pods.
    pub pods: PodMetrics,
    /// Start-up times seen so far, oldest first, in seconds.
    pub startups: &'a [u32],
    /// Arrivals counted inside the data path, without delay: only for autoscalers that sit there.
    pub past: Past<'a>,
}

/// What the resource metrics API says, in the groups the HPA sorts pods into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PodMetrics {
    /// Ready pods with a sample since they became ready.
    pub measured: u32,
    /// Their mean utilization of the request, 0 to 1; the request is what a pod saturates at.
    pub utilization: f64,
    /// Pods that aren't ready, or have no sample since.
    pub unready: u32,
    /// Ready pods whose sample is missing.
    pub missing: u32,
    /// Whether the API answered at all.
    pub available: bool,
}

/// What a policy wants.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Replicas.
    pub replicas: u32,
    /// How it came to that, where it was asked to explain.
    pub why: Option<Box<Why>>,
}

/// How an answer came about.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Why {
    /// Every number that took part, by name.
    pub candidates: Vec<(String, u32)>,
    /// Every limit that changed the number: word and sentence.
    pub limits: Vec<(String, String)>,
    /// What it was made of, so that it can be made again; for those that can say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
}

impl Answer {
    /// A number without an explanation.
    pub fn plain(replicas: u32) -> Self {
        Self { replicas, why: None }
    }

    /// A number with its candidates, if `explain` asks for them.
    pub fn with(replicas: u32, explain: bool, candidates: &[(&str, u32)]) -> Self {
        let why = explain.then(|| {
            Box::new(Why {
                candidates: candidates.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect(),
                ..Why::default()
            })
        });
        Self { replicas, why }
    }
}

/// Something that decides how many replicas there should be.
pub trait Scaler: Send {
    /// Seconds between two decisions.
    fn interval(&self) -> usize {
        15
    }

    /// The replicas wanted now. Called in order of time; `explain` asks for the reasons too.
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer;
}
