//! Threads for work that keeps a core busy for seconds. They yield to those that decide: hundreds of policies that learn
//! after a start must not make decisions late.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How much they yield, from 0 to 19: at 10 a thread gets a tenth of a core that another wants for itself.
const NICE: i32 = 10;

type Task = Box<dyn FnOnce() + Send>;

/// A few threads that do one task after the other, in the order in which they were given.
#[derive(Clone)]
pub(crate) struct Workers {
    tasks: Sender<Task>,
}

impl Workers {
    /// Starts `count` threads, one at least. They end once nobody can give them tasks any more.
    pub(crate) fn start(count: usize) -> Self {
        let (tasks, given) = channel();
        let given = Arc::new(Mutex::new(given));
        for number in 1..=count.max(1) {
            let given = Arc::clone(&given);
            let started =
                std::thread::Builder::new().name(format!("fit-{number}")).spawn(move || work(&given));
            if let Err(error) = started {
                tracing::error!(%error, "a thread for fits can't be started");
            }
        }
        Self { tasks }
    }

    /// Gives them a task. What it came to, nothing where it panicked, and how long it took; an error where no thread could
    /// be started.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<(Option<T>, Duration)> {
        let (tell, told) = oneshot::channel();
        // Without any thread the task comes back, and is dropped.
        drop(self.tasks.send(Box::new(move || {
            let begun = Instant::now();
            // The panic was told by its hook; the thread goes on with the next.
            let done = catch_unwind(AssertUnwindSafe(task)).ok();
            // Nobody waits any more where Foresail ends.
            drop(tell.send((done, begun.elapsed())));
        })));
        told
    }
}

fn work(given: &Mutex<Receiver<Task>>) {
    // On Linux this is of the thread; elsewhere it would be of the whole process. Where it's refused, cores are shared.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICE);
    loop {
        let task = given.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        task();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_panics_comes_to_nothing_and_the_next_is_done() {
        let workers = Workers::start(1);
        let lost = workers.run(|| -> i32 { std::panic::resume_unwind(Box::new("on purpose")) });
        let done = workers.run(|| 7);
        assert_eq!(lost.blocking_recv().unwrap().0, None);
        assert_eq!(done.blocking_recv().unwrap().0, Some(7));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn they_yield_and_the_others_do_not() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let theirs = Workers::start(1).run(nice).blocking_recv().unwrap().0;
        assert_eq!((theirs, nice()), (Some((before + NICE).min(19)), before));
    }
}
