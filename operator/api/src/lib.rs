//! The custom resource types of group foresail.dev.
