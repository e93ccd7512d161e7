//! One file per subcommand: its arguments, and what it does.

pub(crate) mod alert;
pub(crate) mod backtest;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod crds;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod man;
pub(crate) mod pause;
pub(crate) mod recorded;
pub(crate) mod reference;
pub(crate) mod run;
pub(crate) mod status;
