//! One file per subcommand: its arguments, and what it does.

pub(crate) mod backtest;
pub(crate) mod crds;
pub(crate) mod explain;
pub(crate) mod run;
