//! The numbers that name things: entries, terms, requests, leases, members.
//!
//! They come from the wire and go back to it, so they are plain numbers with a name, not types of their own.

/// Position of an entry in the replicated log, from 1.
pub type Index = u64;

/// A term of the consensus protocol.
pub type Term = u64;

/// Pairs a committed entry with the caller that waits for it; 0 when nobody does.
pub type RequestId = u64;

/// The name of a lease; 0 is "no lease". May be negative.
pub type LeaseId = i64;

/// The name of a member of the cluster.
pub type MemberId = u64;
