//! One member of a cluster: the owners in a row and the numbers between them.
//!
//! > **Core decides, Log remembers, Store becomes, Hub tells**, and Keeper keeps house.
//!
//! Every part here is a value with a few methods. None of them knows a
//! thread, a socket, a clock or a random source: time arrives as an argument,
//! chance as a seed, the disk as [`disk::Disk`]. The same code therefore runs
//! under two drivers: threads in crate `etcd`, one seeded loop in crate `sim`.
//!
//! ```text
//!  messages, proposals, reads, ticks
//!        │
//!        ▼
//!   ┌────────┐ Append ┌───────┐
//!   │  CORE  ├───────▶│  LOG  │   durable (a mark) comes back
//!   │        │◀───────┤       │
//!   │        │        └───────┘
//!   │        │ Apply  ┌───────┐ events ┌───────┐
//!   │        ├───────▶│ STORE ├───────▶│  HUB  ├──▶ watch streams
//!   │        │◀───────┤       │        └───────┘
//!   └────────┘ applied└───┬───┘ views  ┌────────┐
//!                         └───────────▶│ KEEPER ├──▶ proposals
//!                                      └────────┘
//! ```
//!
//! Data goes down the row; only numbers come back up.

pub mod boot;
pub mod core;
pub mod corruption;
pub mod fault;
pub mod hub;
pub mod ids;
pub mod keeper;
pub mod limits;
pub mod log;

pub use fault::Fault;
