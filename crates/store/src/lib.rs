//! What is replicated: keys and their history, leases, the roster, alarms. Store *becomes* what the log has decided.
//!
//! ```text
//!   entries ──▶ Store::apply ──▶ one frame of the revision log ──▶ outcomes, events, lease and roster changes
//!                    │
//!                    └──▶ Store::view ──▶ View: a moment, immutable, read by anyone on any thread without a lock
//! ```
//!
//! [`Store`] has one owner and is the only thing that changes replicated state, only in [`Store::apply`] and
//! [`Store::install`]. Everything replicated is in the same checksummed frame of the revision log (`revlog`): applied
//! index and term, revision, changes. There is no second file that could tell another story after a crash.
//!
//! Memory holds every key with the place of its newest record ([`keys`]), leases, roster and alarms; values and history
//! stay in the log, whose newest part is kept in memory as it was written. The past of a key is a chain in the log: each
//! record names the revision of the one before it. So a read of the present is one look-up, and a read of the past costs
//! a step for every later change of that key; that is the price of holding one place per key instead of all.
//!
//! This crate must never know raft, sockets, threads, clocks or chance, and must never answer differently on two members:
//! apply is a pure function of the entries. All doubts come first (`admit`, `check`, validation of a txn); after the first
//! change of an entry nothing may fail, except the disk, and that is a [`Fault`] which ends the process.

pub mod alarm;
pub mod chain;
pub mod check;
pub mod fault;
pub mod hash;
pub mod ids;
pub mod keys;
pub mod lease;
pub mod nested;
pub mod refusal;
pub mod reply;
pub mod revision;
pub mod roster;
pub mod snapshot;

mod admit;
mod answer_bytes;
mod apply;
mod batch;
mod command;
mod compact;
mod event;
mod history;
mod long_range;
mod moment;
mod range;
mod records;
mod revlog;
mod state;
mod store;
mod txn;
mod view;
mod write;

pub use alarm::{Alarm, AlarmKind, Alarms};
pub use apply::understood;
pub use event::{Applied, AppliedEvents, ClusterChange, Event, EventKind, Events, LeaseChange, RosterChange};
pub use fault::{Fault, WaitForRoom};
pub use history::History;
pub use ids::{Index, LeaseId, MemberId, RequestId, Term};
pub use lease::{Lease, Leases};
pub use long_range::LongRange;
pub use records::{Record, Records};
pub use refusal::Refusal;
pub use reply::{
    AlarmReply, DeleteRangeReply, Header, LeaseGrantReply, MemberAddReply, MembersReply, OpReply, PlainReply, PutReply,
    RangePart, RangeReply, Reply, TxnReply,
};
pub use revision::Revision;
pub use roster::{Change, ChangeKind, Roster};
pub use store::{Entry, EntryKind, ReadError, Settings, Stats, Store};
pub use view::{HashKv, ImagePlan, View};
