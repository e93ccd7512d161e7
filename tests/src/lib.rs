//! The testbed: real servers on loopback.
