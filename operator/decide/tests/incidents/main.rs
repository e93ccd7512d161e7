//! One story per incident that autoscaling has caused: the scene goes in, a transcript comes out, and shows the guard
//! that holds. `UPDATE_GOLDEN=1 cargo test -p decide --test incidents` writes the transcripts anew; read the diff.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads whether to write its transcripts"
)]

mod load;
mod pods;
mod queues;
mod signals;
mod stage;
