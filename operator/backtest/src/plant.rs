//! The plant: pods that start late, serve a fluid queue, drain while still paid for. Replicas come in, second by
//! second; what was served, and how well, goes out. Knows nothing of policies.

use crate::world::World;

/// A pod from creation to removal.
#[derive(Clone, Copy, Debug)]
struct Pod {
    created: usize,
    ready: usize,
    /// Until then it crashes in a loop.
    crashes: usize,
    capacity: f64,
}

/// The pods of one workload, the queue in front of them, and the bill.
#[derive(Clone, Debug)]
pub struct Plant<'a> {
    world: &'a World,
    spec: u32,
    pods: Vec<Pod>,
    ready: usize,
    capacity: f64,
    next_ready: usize,
    draining: Vec<(usize, u32)>,
    drained: u32,
    backlog: f64,
    returning: [f64; 10],
    ordinals: (usize, u64),
    startups: Vec<u32>,
    /// Pods created since the start.
    pub created: u64,
}

/// What one second brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// What arrived, returning requests included.
    pub arrived: f64,
    /// What was served.
    pub served: f64,
    /// What was dropped because it would have waited longer than ten seconds.
    pub dropped: f64,
    /// What the serving pods could have served.
    pub capacity: f64,
    /// How long the queue takes to drain, in seconds.
    pub wait: f64,
    /// Pods paid for, those that drain included.
    pub billed: u32,
}

impl<'a> Plant<'a> {
    /// A plant with `replicas` pods that already serve; how long they took to start can be seen.
    pub fn new(world: &'a World, replicas: u32) -> Self {
        let mut plant = Self {
            world,
            spec: replicas,
            pods: Vec::new(),
            ready: 0,
            capacity: 0.0,
            next_ready: usize::MAX,
            draining: Vec::new(),
            drained: 0,
            backlog: 0.0,
            returning: [0.0; 10],
            ordinals: (0, 0),
            startups: Vec::new(),
            created: 0,
        };
        for i in 0..replicas {
            let capacity = world.capacity_of(0, u64::from(i) | 0x800);
            plant.pods.push(Pod { created: 0, ready: 0, crashes: 0, capacity });
            plant.startups.push(world.startup_of(0, u64::from(i) | 0x800) as u32);
        }
        plant.ready = plant.pods.len();
        plant.capacity = plant.pods.iter().map(|p| p.capacity).sum();
        plant
    }

    /// Replicas asked for.
    pub fn spec(&self) -> u32 {
        self.spec
    }

    /// Pods that serve.
    pub fn ready(&self) -> u32 {
        self.ready as u32
    }

    /// Pods that were created and don't serve yet, those that found no place included.
    pub fn pending(&self) -> u32 {
        self.spec - self.ready as u32
    }

    /// Pods in CrashLoopBackOff: that crash, and have been tried for half a minute.
    pub fn crash_looping(&self, second: usize) -> u32 {
        self.pods.iter().filter(|p| second < p.crashes && second >= p.created + 30).count() as u32
    }

    /// Start-up times of the pods that became ready, oldest first.
    pub fn startups(&self) -> &[u32] {
        &self.startups
    }

    /// Ready pods that have been ready since before `second`.
    pub fn ready_since(&self, second: usize) -> u32 {
        self.pods.iter().filter(|p| p.ready <= second).count() as u32
    }

    /// Asks for `replicas` at the beginning of `second`.
    pub fn scale(&mut self, second: usize, replicas: u32) {
        if replicas < self.spec {
            self.remove(second, self.spec - replicas);
        }
        self.spec = replicas;
        self.fill(second);
    }

    /// Creates the pods that are wanted and fit.
    fn fill(&mut self, second: usize) {
        let room = self.world.quota.unwrap_or(u32::MAX).min(self.spec) as usize;
        while self.pods.len() < room {
            if self.ordinals.0 != second {
                self.ordinals = (second, 0);
            }
            let ordinal = self.ordinals.1;
            self.ordinals.1 += 1;
            let crashing = self.world.crash_loops.iter().find(|span| span.contains(&second));
            let crashes = crashing.map_or(second, |span| span.end);
            let ready = crashes + self.world.startup_of(second, ordinal) as usize;
            let capacity = self.world.capacity_of(second, ordinal);
            self.pods.push(Pod { created: second, ready, crashes, capacity });
            self.next_ready = self.next_ready.min(ready);
            self.created += 1;
        }
    }

    /// Removes `count` pods: those that don't serve first, then the newest, as a ReplicaSet does.
    fn remove(&mut self, second: usize, count: u32) {
        let absent = (self.spec as usize).saturating_sub(self.pods.len());
        for _ in 0..(count as usize).saturating_sub(absent) {
            let newest = |serving: bool| {
                let pick = |p: &&Pod| (p.ready <= second) == serving;
                self.pods.iter().filter(pick).map(|p| p.created).max()
            };
            let Some((serving, created)) =
                newest(false).map(|c| (false, c)).or_else(|| newest(true).map(|c| (true, c)))
            else {
                break;
            };
            let found =
                self.pods.iter().rposition(|p| p.created == created && (p.ready <= second) == serving);
            let Some(pod) = found.map(|i| self.pods.remove(i)) else { break };
            if pod.ready <= second && serving && self.ready > 0 {
                self.ready -= 1;
                self.capacity -= pod.capacity;
            }
            let until = second + self.world.drain as usize;
            match self.draining.last_mut() {
                Some((at, n)) if *at == until => *n += 1,
                _ => self.draining.push((until, 1)),
            }
            self.drained += 1;
        }
        if self.ready == 0 {
            self.capacity = 0.0;
        }
    }

    /// Lets `arrivals` come in during `second`.
    pub fn step(&mut self, second: usize, arrivals: f64) -> Second {
        self.promote(second);
        let arrived = arrivals + std::mem::take(&mut self.returning[second % 10]);
        let capacity = self.serving(second);
        let work = self.backlog + arrived;
        let served = work.min(capacity);
        let longest = capacity * 10.0;
        let waiting = work - served;
        let dropped = (waiting - longest).max(0.0);
        self.backlog = waiting - dropped;
        if self.world.retries && dropped > 0.0 {
            // Half comes back within ten seconds; a share of a share stands for the second attempt.
            for slot in &mut self.returning {
                *slot += dropped * 0.05;
            }
        }
        self.finish_draining(second);
        let wait = if capacity > 0.0 {
            self.backlog / capacity
        } else if self.backlog > 0.0 || arrived > 0.0 {
            f64::INFINITY
        } else {
            0.0
        };
        let billed = self.pods.len() as u32 + self.drained;
        Second { arrived, served, dropped, capacity, wait, billed }
    }

    fn promote(&mut self, second: usize) {
        if second < self.next_ready {
            return;
        }
        self.next_ready = usize::MAX;
        let (mut ready, mut capacity) = (0, 0.0);
        for pod in &self.pods {
            if pod.ready <= second {
                ready += 1;
                capacity += pod.capacity;
                if pod.ready == second {
                    self.startups.push((pod.ready - pod.created.max(pod.crashes)) as u32);
                }
            } else {
                self.next_ready = self.next_ready.min(pod.ready);
            }
        }
        self.ready = ready;
        self.capacity = capacity;
    }

    /// Capacity of the serving pods, those that still warm up counted in part.
    fn serving(&self, second: usize) -> f64 {
        let warm_up = self.world.warm_up as usize;
        if warm_up == 0 {
            return self.capacity;
        }
        let share = |p: &Pod| (((second - p.ready) as f64 + 1.0) / warm_up as f64).min(1.0);
        self.pods.iter().filter(|p| p.ready <= second).map(|p| p.capacity * share(p)).sum()
    }

    fn finish_draining(&mut self, second: usize) {
        while let Some((until, n)) = self.draining.first().copied() {
            if until > second {
                break;
            }
            self.drained -= n;
            self.draining.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn world() -> World {
        let mut world = World::new(100.0, 0.8, Duration::from_secs(60), 3);
        world.startup.sigma = 0.0;
        world.startup.node_share = 0.0;
        world
    }

    #[test]
    fn pods_are_paid_from_creation_and_serve_from_readiness() {
        let world = world();
        let mut plant = Plant::new(&world, 1);
        plant.scale(10, 3);
        let at = |plant: &mut Plant<'_>, s| plant.step(s, 0.0);
        assert_eq!((at(&mut plant, 10).billed, plant.ready()), (3, 1));
        assert_eq!((at(&mut plant, 69).billed, plant.ready()), (3, 1));
        assert_eq!((at(&mut plant, 70).capacity, plant.ready()), (300.0, 3));
        assert_eq!(plant.startups(), [60, 60, 60], "that of the pod that was there, and of the two new ones");
    }

    #[test]
    fn removed_pods_serve_no_more_and_are_paid_until_drained() {
        let world = world();
        let mut plant = Plant::new(&world, 4);
        plant.scale(100, 1);
        let second = plant.step(100, 0.0);
        assert_eq!((second.capacity, second.billed), (100.0, 4));
        assert_eq!(plant.step(129, 0.0).billed, 4);
        plant.step(130, 0.0);
        assert_eq!(plant.step(131, 0.0).billed, 1);
    }

    #[test]
    fn pods_that_do_not_serve_yet_go_first() {
        let world = world();
        let mut plant = Plant::new(&world, 2);
        plant.scale(10, 4);
        plant.step(10, 0.0);
        plant.scale(20, 2);
        plant.step(20, 0.0);
        assert_eq!((plant.ready(), plant.pending()), (2, 0));
        assert_eq!(plant.step(80, 0.0).capacity, 200.0);
    }

    #[test]
    fn what_cannot_be_served_waits_and_then_is_dropped() {
        let world = world();
        let mut plant = Plant::new(&world, 1);
        let first = plant.step(0, 150.0);
        assert_eq!((first.served, first.wait), (100.0, 0.5));
        let flood = plant.step(1, 5_000.0);
        assert_eq!(flood.dropped, 50.0 + 5_000.0 - 100.0 - 1_000.0);
        assert_eq!(flood.wait, 10.0);
    }

    #[test]
    fn a_quota_leaves_pods_pending() {
        let mut world = world();
        world.quota = Some(3);
        let mut plant = Plant::new(&world, 2);
        plant.scale(0, 10);
        for second in 0..100 {
            plant.step(second, 0.0);
        }
        assert_eq!((plant.ready(), plant.pending()), (3, 7));
    }
}
