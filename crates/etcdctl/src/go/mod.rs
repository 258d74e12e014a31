//! How Go writes and reads things.
//!
//! etcdctl's output is a promise to scripts, and much of it is Go's way of
//! printing: quoted strings, durations, sizes, and the texts of parse errors.
//! Each file here is one of these, as pure functions. Nothing here knows etcd.

pub mod duration;
pub mod number;
pub mod quote;
pub mod size;
pub mod words;

pub use duration::Duration;
pub use quote::quote;
