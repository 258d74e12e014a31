//! A whole cluster in one thread, from one seed.
//!
//! The same Core, Log, Store, Hub and Keeper as in production, over simulated
//! disks that lose and tear what was not synced, a network that delays, drops,
//! doubles and reorders, and crashes at any operation of a disk. Time is a
//! number that the world moves. Every run is a function of its seed: a seed
//! that fails is replayed, mended, and kept as a scenario.
//!
//! ```text
//!   world ── the queue of what happens next, by (time, number)
//!     ├── net      who can reach whom, how late, how often
//!     ├── member   Core, Log, Store, Hub, Keeper of one life of one member
//!     ├── load     clients: puts, deletes, transactions, ranges, leases, watches
//!     ├── faults   when what goes wrong
//!     ├── ledger   what came of it, and what went wrong together
//!     └── record   what was committed, asked, answered and told
//!            └── check   one file per promise, over the record and the model
//! ```
//!
//! `scenario` tells known bugs of the field as directed runs; `mutant` breaks the
//! driver on purpose, to see that the checkers see it.
//!
//! A run has three parts: faults and load together; then the faults end and
//! the cluster must come to rest and agree; then the record is checked.

pub mod chance;
pub mod check;
pub mod faults;
pub mod ledger;
pub mod load;
pub mod member;
pub mod model;
pub mod mutant;
pub mod net;
pub mod record;
pub mod scenario;
pub mod trace;
pub mod world;

pub use world::{Outcome, Settings, World, run};
