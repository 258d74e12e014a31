//! store
pub mod keys;
pub mod revision;
