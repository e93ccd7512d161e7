//! Alert receivers: one small trait, one file for each chat's format.
