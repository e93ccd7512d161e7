//! Foresail.
fn main() {}
