//! Telling people: alerts come in as state, messages go out to chats and services, each told once.
//!
//! A [`Receiver`] keeps one chat informed: its [`outbox::Outbox`] groups, paces and retries as a pure function of time,
//! its [`formats::Format`] writes the requests and understands the answers, and the transport sends them. What is
//! refused here: to know why an alert exists, and ever to show a secret.

pub mod catalog;
pub mod filter;
pub mod formats;
pub mod limit;
pub mod message;
pub mod outbox;
mod receiver;
pub mod relay;
pub mod sign;
mod target;
pub mod template;
pub mod text;
mod transport;

pub use filter::Filter;
pub use message::{Answer, FailureReason, Language, Message, Request, Verdict};
pub use outbox::{Grouping, Outbox};
pub use receiver::{Delivery, Receiver, Settings, Status, TestReport};
pub use target::Target;
pub use transport::{Transport, TransportSettings};
