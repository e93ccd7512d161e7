//! What the HPA does with a proposal before it becomes replicas (`horizontal.go`, `normalizeDesiredReplicas` and
//! `normalizeDesiredReplicasWithBehaviors`). Times are seconds of the replay.

use std::cmp::Ordering;

/// `spec.behavior`.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// Rules for more replicas.
    pub up: Rules,
    /// Rules for fewer replicas.
    pub down: Rules,
}

/// The rules of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// `stabilizationWindowSeconds`.
    pub window: usize,
    /// `selectPolicy`.
    pub select: Select,
    /// `policies`.
    pub policies: Vec<Policy>,
}

/// Which policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The largest change.
    Max,
    /// The smallest change.
    Min,
    /// None.
    Disabled,
}

/// So much in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether `value` is a number of pods or a percentage of those that run.
    pub kind: PolicyKind,
    /// Pods, or per cent, within the period.
    pub value: u32,
    /// `periodSeconds`.
    pub period: usize,
}

/// What a policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Pods.
    Pods,
    /// Percent of the replicas at the start of the period.
    Percent,
}

impl Default for Behavior {
    /// What the API server fills in where `behavior` is set (`pkg/apis/autoscaling/v2/defaults.go`).
    fn default() -> Self {
        Self {
            up: Rules {
                window: 0,
                select: Select::Max,
                policies: vec![
                    Policy { kind: PolicyKind::Pods, value: 4, period: 15 },
                    Policy { kind: PolicyKind::Percent, value: 100, period: 15 },
                ],
            },
            down: Rules {
                window: 300,
                select: Select::Max,
                policies: vec![Policy { kind: PolicyKind::Percent, value: 100, period: 15 }],
            },
        }
    }
}

/// The state of stabilizing: past recommendations and scale events.
#[derive(Clone, Debug)]
pub struct Normalizer {
    behavior: Option<Behavior>,
    min: u32,
    max: u32,
    recommendations: Vec<(usize, u32)>,
    ups: Vec<(usize, u32)>,
    downs: Vec<(usize, u32)>,
}

/// The window for which an HPA without `behavior` remembers its largest recommendation.
const DOWNSCALE_STABILISATION: usize = 300;

impl Normalizer {
    /// A fresh one with bounds.
    pub fn new(behavior: Option<Behavior>, min: u32, max: u32) -> Self {
        Self { behavior, min, max, recommendations: Vec::new(), ups: Vec::new(), downs: Vec::new() }
    }

    /// Replicas to set for a `proposal` at `now`.
    pub fn normalize(&mut self, now: usize, current: u32, proposal: u32) -> u32 {
        let replicas = match self.behavior.clone() {
            None => self.without_behavior(now, current, proposal),
            Some(behavior) => self.with_behavior(&behavior, now, current, proposal),
        };
        match replicas.cmp(&current) {
            Ordering::Greater => self.ups.push((now, replicas - current)),
            Ordering::Less => self.downs.push((now, current - replicas)),
            Ordering::Equal => {}
        }
        replicas
    }

    fn without_behavior(&mut self, now: usize, current: u32, proposal: u32) -> u32 {
        self.remember(now, proposal, DOWNSCALE_STABILISATION);
        // Here the cutoff itself still counts: the controller asks `Before(cutoff)`.
        let stabilized = self.within(now, DOWNSCALE_STABILISATION + 1).fold(proposal, u32::max);
        let up_limit = (2 * current).max(4);
        stabilized.clamp(self.min, up_limit.min(self.max).max(self.min))
    }

    fn with_behavior(&mut self, b: &Behavior, now: usize, current: u32, proposal: u32) -> u32 {
        self.remember(now, proposal, b.up.window.max(b.down.window));
        let up = self.within(now, b.up.window).fold(proposal, u32::min);
        let down = self.within(now, b.down.window).fold(proposal, u32::max);
        let stabilized = if current < up { up } else { current };
        let stabilized = if stabilized > down { down } else { stabilized };
        match stabilized.cmp(&current) {
            Ordering::Greater => {
                let limit = self.up_limit(&b.up, now, current).max(current).min(self.max);
                stabilized.min(limit).max(self.min)
            }
            Ordering::Less => {
                let limit = self.down_limit(&b.down, now, current).min(current).max(self.min);
                stabilized.max(limit).min(self.max)
            }
            Ordering::Equal => stabilized.clamp(self.min, self.max),
        }
    }

    fn remember(&mut self, now: usize, proposal: u32, window: usize) {
        let keep = window.max(60);
        self.recommendations.retain(|(at, _)| now - at <= keep);
        self.recommendations.push((now, proposal));
        let longest = 1_800;
        self.ups.retain(|(at, _)| now - at <= longest);
        self.downs.retain(|(at, _)| now - at <= longest);
    }

    /// Recommendations after the cutoff, strictly, as in Go's `After`.
    fn within(&self, now: usize, window: usize) -> impl Iterator<Item = u32> + '_ {
        self.recommendations.iter().filter(move |(at, _)| at + window > now).map(|(_, n)| *n)
    }

    fn changed(events: &[(usize, u32)], now: usize, period: usize) -> i64 {
        events.iter().filter(|(at, _)| at + period > now).map(|(_, n)| i64::from(*n)).sum()
    }

    /// `calculateScaleUpLimitWithScalingRules`.
    fn up_limit(&self, rules: &Rules, now: usize, current: u32) -> u32 {
        let limits = rules.policies.iter().map(|p| {
            let start = self.period_start(p, now, current);
            match p.kind {
                PolicyKind::Pods => start + i64::from(p.value),
                PolicyKind::Percent => (start as f64 * (1.0 + f64::from(p.value) / 100.0)).ceil() as i64,
            }
        });
        let limit = match rules.select {
            Select::Disabled => Some(i64::from(current)),
            Select::Max => limits.max(),
            Select::Min => limits.min(),
        };
        limit.unwrap_or(i64::from(current)).max(0) as u32
    }

    /// `calculateScaleDownLimitWithBehaviors`.
    fn down_limit(&self, rules: &Rules, now: usize, current: u32) -> u32 {
        let limits = rules.policies.iter().map(|p| {
            let start = self.period_start(p, now, current);
            match p.kind {
                PolicyKind::Pods => start - i64::from(p.value),
                PolicyKind::Percent => (start as f64 * (1.0 - f64::from(p.value) / 100.0)) as i64,
            }
        });
        let limit = match rules.select {
            Select::Disabled => Some(i64::from(current)),
            Select::Max => limits.min(),
            Select::Min => limits.max(),
        };
        limit.unwrap_or(i64::from(current)).max(0) as u32
    }

    fn period_start(&self, policy: &Policy, now: usize, current: u32) -> i64 {
        i64::from(current) - Self::changed(&self.ups, now, policy.period)
            + Self::changed(&self.downs, now, policy.period)
    }
}

#[cfg(test)]
mod tests {
    //! Worked examples of Kubernetes itself, from `kubernetes/kubernetes`,
    //! `pkg/controller/podautoscaler/horizontal_test.go`.
    use super::*;

    fn nil(min: u32, max: u32) -> Normalizer {
        Normalizer::new(None, min, max)
    }

    /// `TestConvertDesiredReplicasWithRules`.
    #[test]
    fn without_behavior_bounds_and_doubling_apply() {
        assert_eq!(nil(3, 8).normalize(0, 5, 7), 7, "prenormalized desired replicas within range");
        assert_eq!(nil(2, 8).normalize(0, 3, 1), 2, "prenormalized desired replicas < minReplicas");
        assert_eq!(nil(0, 10).normalize(0, 1, 0), 0, "within range");
        assert_eq!(nil(1, 10).normalize(0, 20, 1_000), 10, "maxReplicas < scaleUpLimit");
        assert_eq!(nil(1, 2_000).normalize(0, 3, 1_000), 6, "scaleUpLimit < maxReplicas");
    }

    /// `TestNormalizeDesiredReplicas`: 5 minutes of recommendations, as (seconds ago, replicas).
    #[test]
    fn without_behavior_the_largest_of_five_minutes_counts() {
        let stabilized = |before: &[(usize, u32)]| {
            let mut n = nil(1, 100);
            n.recommendations = before.iter().map(|(ago, r)| (1_000 - ago, *r)).collect();
            n.normalize(1_000, 10, 3)
        };
        assert_eq!(stabilized(&[]), 3, "empty log");
        assert_eq!(stabilized(&[(120, 4), (60, 5)]), 5, "stabilize");
        assert_eq!(stabilized(&[(120, 1), (60, 2)]), 3, "no stabilize");
        assert_eq!(stabilized(&[(600, 10), (540, 9)]), 3, "no stabilize - old recommendations");
        assert_eq!(
            stabilized(&[(600, 10), (60, 4), (120, 5), (540, 9)]),
            5,
            "stabilize - old recommendations"
        );
    }

    fn pods(value: u32, period: usize) -> Policy {
        Policy { kind: PolicyKind::Pods, value, period }
    }

    fn percent(value: u32, period: usize) -> Policy {
        Policy { kind: PolicyKind::Percent, value, period }
    }

    fn rated(up: Vec<Policy>, down: Vec<Policy>, min: u32, max: u32) -> Normalizer {
        let rules = |policies| Rules { window: 0, select: Select::Max, policies };
        Normalizer::new(Some(Behavior { up: rules(up), down: rules(down) }), min, max)
    }

    fn up(policies: Vec<Policy>, events: &[u32], max: u32, current: u32, desired: u32) -> u32 {
        let mut n = rated(policies, vec![percent(100, 15)], 1, max);
        n.ups = events.iter().map(|e| (990, *e)).chain([(1_000 - 121, 42)]).collect();
        n.normalize(1_000, current, desired)
    }

    fn down(policies: Vec<Policy>, events: &[u32], min: u32, current: u32, desired: u32) -> u32 {
        let mut n = rated(vec![percent(100, 15)], policies, min, 1_000);
        n.downs = events.iter().map(|e| (990, *e)).chain([(1_000 - 121, 42)]).collect();
        n.normalize(1_000, current, desired)
    }

    /// `TestScalingWithRules`, the way up.
    #[test]
    fn rate_policies_limit_the_way_up() {
        assert_eq!(up(vec![pods(100, 60), percent(100, 60)], &[], 1_000, 10, 500), 110);
        assert_eq!(up(vec![pods(2, 60), percent(100, 60)], &[], 1_000, 10, 500), 20);
        assert_eq!(up(vec![pods(100, 60)], &[], 1_000, 10, 50), 50);
        assert_eq!(up(vec![percent(10_000, 60)], &[], 1_000, 10, 50), 50);
        assert_eq!(up(vec![pods(30, 60)], &[], 1_000, 10, 50), 40);
        assert_eq!(up(vec![percent(200, 60)], &[], 1_000, 10, 50), 30);
        assert_eq!(up(vec![percent(100, 60)], &[1, 2, 3, 4, 5], 1_000, 100, 500), 170, "(100 - 15) + 100%");
        assert_eq!(up(vec![pods(300, 120)], &[1, 5, 9], 200, 100, 500), 200, "200 < 100 - 15 + 300");
        assert_eq!(
            up(vec![pods(5, 120), percent(0, 120)], &[1, 5, 9], 1_000, 100, 500),
            100,
            "100 - 15 + 5 < 100"
        );
        assert_eq!(up(vec![pods(150, 120)], &[1, 5, 9], 1_000, 100, 500), 235, "100 - 15 + 150");
        assert_eq!(up(vec![percent(200, 120)], &[1, 5, 9], 1_000, 100, 500), 255, "(100 - 15) + 200%");
    }

    /// `TestScalingWithRules`, the way down.
    #[test]
    fn rate_policies_limit_the_way_down() {
        assert_eq!(down(vec![percent(100, 60)], &[], 1, 10, 5), 5);
        assert_eq!(down(vec![pods(20, 60), percent(1, 60)], &[], 1, 100, 2), 80);
        assert_eq!(down(vec![pods(2, 60), percent(1, 60)], &[], 1, 100, 2), 98);
        assert_eq!(down(vec![pods(100, 60)], &[], 1, 10, 0), 1);
        assert_eq!(down(vec![percent(100, 60)], &[], 5, 10, 2), 5);
        assert_eq!(down(vec![pods(5, 60)], &[], 1, 10, 2), 5);
        assert_eq!(down(vec![percent(50, 60)], &[], 1, 10, 5), 5);
        assert_eq!(down(vec![pods(5, 120)], &[1, 5, 9], 1, 100, 2), 100, "100 + 15 - 5");
        assert_eq!(down(vec![pods(115, 120)], &[1, 5, 9], 1, 100, 0), 1);
        assert_eq!(down(vec![percent(50, 120)], &[2, 4, 6], 1, 100, 0), 56, "(100 + 12) - 50%");
        assert_eq!(down(vec![percent(10, 120)], &[10, 10, 10], 1, 100, 0), 100, "(100 + 30) - 10% > 100");
        assert_eq!(down(vec![percent(1_000, 120)], &[10, 10, 10], 1, 10, 5), 5);
    }

    #[test]
    fn from_one_pod_no_behavior_allows_four_and_its_defaults_five() {
        assert_eq!(nil(1, 100).normalize(0, 1, 50), 4);
        assert_eq!(Normalizer::new(Some(Behavior::default()), 1, 100).normalize(0, 1, 50), 5);
    }

    #[test]
    fn a_window_on_the_way_up_waits_for_its_smallest_recommendation() {
        let mut behavior = Behavior::default();
        behavior.up.window = 60;
        let mut n = Normalizer::new(Some(behavior), 1, 100);
        assert_eq!(n.normalize(0, 10, 10), 10);
        assert_eq!(n.normalize(15, 10, 20), 10);
        assert_eq!(n.normalize(75, 10, 18), 18);
    }
}
