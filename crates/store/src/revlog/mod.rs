//! The revision log: where every change of a key lies, and the only thing on disk.
//!
//! ```text
//!   segment    ┌────────────┬───────┬───────┬─ ─        checkpoint: leases, roster, alarms, where the store is
//!              │ checkpoint │ batch │ batch │ …         batch: where the store is after it, then its changes
//!              └────────────┴───────┴───────┴─ ─
//!   log        sealed ─ sealed ─ sealed ─ active        revisions ascend through the whole log
//! ```
//!
//! The bytes are drawn in `item`; frames, segments and what a crash may do to them are the crate `disk`'s.
//!
//! Memory against walking: in memory are one place per key (the tree of keys), one mark per 4 KiB of each segment, and the
//! newest bodies. Everything else is found by walking: from a mark to a record, and from a record to the one before it of
//! the same key, by its revision. A read of the present is one look; a read of the past of a key costs one step for every
//! later change of that key. etcd keeps every revision of every key in memory instead.
//!
//! This module must never decide what is applied. It stores, finds, verifies.

mod checkpoint;
mod growing;
mod install;
pub(crate) mod item;
mod ledger;
pub(crate) mod log;
mod name;
mod part;
mod replay;
mod resident;
mod segment;
mod sweep;
pub(crate) mod walk;
mod writer;

pub(crate) use checkpoint::{put_alarms, put_chain, put_lease, put_lease_revoked, put_roster};
pub(crate) use install::Installer;
pub(crate) use replay::{exists, open};
pub(crate) use sweep::{GaveUp, Sweep, give_up};
pub(crate) use writer::{Layout, Writer};
