//! What an applied command or a read answers, and its bytes on the wire.
//!
//! A reply holds KeyValues as the encoded bytes they are stored as, and copies
//! them into the response message: nothing is decoded to be encoded again. A reply
//! is measured first, so one allocation holds it.
//!
//! Headers. The edge knows cluster, member and term; the reply knows the revision
//! that belongs to the answer. [`Reply::encode`] joins them, and where a reply has
//! no revision of its own (0) the edge's stands. Inside a txn the header of an
//! operation carries the revision only, and that of a nested txn is there but empty
//! (etcd `server/etcdserver/txn`). Replies of the Cluster service have no revision.
//!
//! This module never decides what is answered.

pub mod key_value;
pub(crate) mod wire;

use bytes::{BufMut, Bytes};
use prost::encoding::message;
use proto::etcdserverpb;

use crate::alarm::Alarm;
use crate::ids::{LeaseId, MemberId};
use wire::{delimited_len, put_bytes, put_delimited, put_scalar, scalar_len};

/// `etcdserverpb.ResponseHeader`: who answers, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The cluster of the answering member.
    pub cluster_id: u64,
    /// The answering member.
    pub member_id: MemberId,
    /// Main revision of the store when answered.
    pub revision: i64,
    /// The member's current term.
    pub raft_term: u64,
}

impl Header {
    /// The header of an operation inside a txn.
    fn of_operation(revision: i64) -> Header {
        Header { revision, ..Header::default() }
    }

    /// This header, with the reply's own revision if it has one.
    pub(crate) fn at(&self, revision: i64) -> Header {
        match revision {
            0 => *self,
            _ => Header { revision, ..*self },
        }
    }

    fn body_len(&self) -> usize {
        scalar_len(1, self.cluster_id)
            + scalar_len(2, self.member_id)
            + scalar_len(3, self.revision as u64)
            + scalar_len(4, self.raft_term)
    }

    /// Length of the header as field 1 of a response, where it always is.
    pub(crate) fn field_len(&self) -> usize {
        delimited_len(1, self.body_len())
    }

    pub(crate) fn put_field(&self, out: &mut impl BufMut) {
        put_delimited(1, self.body_len(), out);
        put_scalar(1, self.cluster_id, out);
        put_scalar(2, self.member_id, out);
        put_scalar(3, self.revision as u64, out);
        put_scalar(4, self.raft_term, out);
    }
}

/// `RangeResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeReply {
    /// The store's revision when read, also for a read of the past.
    pub revision: i64,
    /// Encoded KeyValues, in the order asked for.
    pub kvs: Vec<Bytes>,
    /// The limit has cut the answer.
    pub more: bool,
    /// Live keys in the range, whatever limit and filters left out.
    pub count: i64,
}

/// Some of what a range answers, in the order of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangePart {
    /// Encoded KeyValues.
    pub kvs: Vec<Bytes>,
    /// The key with which the rest begins, if there may be one.
    pub rest: Option<Bytes>,
}

/// `PutResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutReply {
    /// The revision the put made.
    pub revision: i64,
    /// The encoded KeyValue it replaced, when asked for.
    pub prev_kv: Option<Bytes>,
}

/// `DeleteRangeResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRangeReply {
    /// The revision the delete made, or the current one if nothing was there.
    pub revision: i64,
    /// How many keys were deleted.
    pub deleted: i64,
    /// The encoded KeyValues that were deleted, when asked for.
    pub prev_kvs: Vec<Bytes>,
}

/// `TxnResponse`. The revision of a nested one is not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnReply {
    /// The revision the txn made, or the current one if it changed nothing.
    pub revision: i64,
    /// All compares held.
    pub succeeded: bool,
    /// One per operation of the branch taken.
    pub responses: Vec<OpReply>,
}

/// `ResponseOp`: the answer of one operation of a txn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpReply {
    /// Answer of a range.
    Range(RangeReply),
    /// Answer of a put.
    Put(PutReply),
    /// Answer of a delete.
    DeleteRange(DeleteRangeReply),
    /// Answer of a nested txn.
    Txn(TxnReply),
}

/// A response with a header and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlainReply {
    /// The current revision.
    pub revision: i64,
}

/// `LeaseGrantResponse`. Its field `error` is never used by etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseGrantReply {
    /// The current revision.
    pub revision: i64,
    /// The lease granted.
    pub id: LeaseId,
    /// Seconds granted, which may be more than asked for.
    pub ttl_seconds: i64,
}

/// `AlarmResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmReply {
    /// The current revision.
    pub revision: i64,
    /// The alarms listed, or the one that changed.
    pub alarms: Vec<Alarm>,
}

/// `MemberAddResponse`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberAddReply {
    /// The new member.
    pub member: etcdserverpb::Member,
    /// All members afterwards, the new one too.
    pub members: Vec<etcdserverpb::Member>,
}

/// `MemberRemoveResponse`, `MemberUpdateResponse`, `MemberPromoteResponse` and
/// `MemberListResponse`, which are written alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MembersReply {
    /// All members afterwards.
    pub members: Vec<etcdserverpb::Member>,
}

/// The answer of a command that was applied and not refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A range that went through the log.
    Range(RangeReply),
    /// A put.
    Put(PutReply),
    /// A delete.
    DeleteRange(DeleteRangeReply),
    /// A txn.
    Txn(TxnReply),
    /// A compaction.
    Compact(PlainReply),
    /// A lease granted.
    LeaseGrant(LeaseGrantReply),
    /// A lease revoked.
    LeaseRevoke(PlainReply),
    /// Leases checkpointed.
    LeaseCheckpoint(PlainReply),
    /// Alarms listed or changed.
    Alarm(AlarmReply),
    /// A member added.
    MemberAdd(MemberAddReply),
    /// Members otherwise changed.
    Members(MembersReply),
    /// A command that answers nobody outside, such as a cluster version.
    Done,
}

impl Reply {
    /// Length of the response message, without gRPC's prefix.
    pub fn encoded_len(&self, header: &Header) -> usize {
        match self {
            Reply::Range(reply) => reply.encoded_len(header),
            Reply::Put(reply) => reply.encoded_len(header),
            Reply::DeleteRange(reply) => reply.encoded_len(header),
            Reply::Txn(reply) => reply.encoded_len(header),
            Reply::Compact(reply) | Reply::LeaseRevoke(reply) | Reply::LeaseCheckpoint(reply) => {
                reply.encoded_len(header)
            }
            Reply::LeaseGrant(reply) => reply.encoded_len(header),
            Reply::Alarm(reply) => reply.encoded_len(header),
            Reply::MemberAdd(reply) => reply.encoded_len(header),
            Reply::Members(reply) => reply.encoded_len(header),
            Reply::Done => 0,
        }
    }

    /// Writes the response message; nothing for [`Reply::Done`].
    pub fn encode_into(&self, header: &Header, out: &mut impl BufMut) {
        match self {
            Reply::Range(reply) => reply.encode_into(header, out),
            Reply::Put(reply) => reply.encode_into(header, out),
            Reply::DeleteRange(reply) => reply.encode_into(header, out),
            Reply::Txn(reply) => reply.encode_into(header, out),
            Reply::Compact(reply) | Reply::LeaseRevoke(reply) | Reply::LeaseCheckpoint(reply) => {
                reply.encode_into(header, out);
            }
            Reply::LeaseGrant(reply) => reply.encode_into(header, out),
            Reply::Alarm(reply) => reply.encode_into(header, out),
            Reply::MemberAdd(reply) => reply.encode_into(header, out),
            Reply::Members(reply) => reply.encode_into(header, out),
            Reply::Done => {}
        }
    }

    /// The response message in one allocation.
    pub fn encode(&self, header: &Header) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len(header));
        self.encode_into(header, &mut out);
        out
    }
}

/// The three public ways to write a message, on top of how its body is measured
/// and written under a header that is final.
macro_rules! messages {
    ($($reply:ident: $revision:expr;)*) => {$(
        impl $reply {
            /// Length of the response message, without gRPC's prefix.
            pub fn encoded_len(&self, header: &Header) -> usize {
                let revision: fn(&Self, &Header) -> Header = $revision;
                self.body_len(&revision(self, header))
            }

            /// Writes the response message.
            pub fn encode_into(&self, header: &Header, out: &mut impl BufMut) {
                let revision: fn(&Self, &Header) -> Header = $revision;
                self.put_body(&revision(self, header), out);
            }

            /// The response message in one allocation.
            pub fn encode(&self, header: &Header) -> Vec<u8> {
                let mut out = Vec::with_capacity(self.encoded_len(header));
                self.encode_into(header, &mut out);
                out
            }
        }
    )*};
}

messages! {
    RangeReply: |reply, header| header.at(reply.revision);
    PutReply: |reply, header| header.at(reply.revision);
    DeleteRangeReply: |reply, header| header.at(reply.revision);
    TxnReply: |reply, header| header.at(reply.revision);
    PlainReply: |reply, header| header.at(reply.revision);
    LeaseGrantReply: |reply, header| header.at(reply.revision);
    AlarmReply: |reply, header| header.at(reply.revision);
    MemberAddReply: |_, header| Header { revision: 0, ..*header };
    MembersReply: |_, header| Header { revision: 0, ..*header };
}

fn all_bytes_len(field: u32, kvs: &[Bytes]) -> usize {
    kvs.iter().map(|kv| delimited_len(field, kv.len())).sum()
}

fn put_all_bytes(field: u32, kvs: &[Bytes], out: &mut impl BufMut) {
    for kv in kvs {
        put_bytes(field, kv, out);
    }
}

fn members_len(field: u32, members: &[etcdserverpb::Member]) -> usize {
    members.iter().map(|member| message::encoded_len(field, member)).sum()
}

fn put_members(field: u32, members: &[etcdserverpb::Member], out: &mut impl BufMut) {
    for member in members {
        message::encode(field, member, out);
    }
}

impl RangeReply {
    fn body_len(&self, header: &Header) -> usize {
        header.field_len()
            + all_bytes_len(2, &self.kvs)
            + scalar_len(3, self.more.into())
            + scalar_len(4, self.count as u64)
    }

    fn put_body(&self, header: &Header, out: &mut impl BufMut) {
        header.put_field(out);
        put_all_bytes(2, &self.kvs, out);
        put_scalar(3, self.more.into(), out);
        put_scalar(4, self.count as u64, out);
    }
}

impl PutReply {
    fn body_len(&self, header: &Header) -> usize {
        header.field_len() + all_bytes_len(2, self.prev_kv.as_slice())
    }

    fn put_body(&self, header: &Header, out: &mut impl BufMut) {
        header.put_field(out);
        put_all_bytes(2, self.prev_kv.as_slice(), out);
    }
}

impl DeleteRangeReply {
    fn body_len(&self, header: &Header) -> usize {
        header.field_len() + scalar_len(2, self.deleted as u64) + all_bytes_len(3, &self.prev_kvs)
    }

    fn put_body(&self, header: &Header, out: &mut impl BufMut) {
        header.put_field(out);
        put_scalar(2, self.deleted as u64, out);
        put_all_bytes(3, &self.prev_kvs, out);
    }
}

impl TxnReply {
    fn body_len(&self, header: &Header) -> usize {
        let operations = self.responses.iter().map(|op| delimited_len(3, op.body_len()));
        header.field_len() + scalar_len(2, self.succeeded.into()) + operations.sum::<usize>()
    }

    fn put_body(&self, header: &Header, out: &mut impl BufMut) {
        header.put_field(out);
        put_scalar(2, self.succeeded.into(), out);
        for op in &self.responses {
            put_delimited(3, op.body_len(), out);
            op.put_body(out);
        }
    }
}

impl OpReply {
    /// Number of the field in the oneof, and length of the message in it.
    fn field(&self) -> (u32, usize) {
        match self {
            OpReply::Range(reply) => (1, reply.body_len(&Header::of_operation(reply.revision))),
            OpReply::Put(reply) => (2, reply.body_len(&Header::of_operation(reply.revision))),
            OpReply::DeleteRange(reply) => (3, reply.body_len(&Header::of_operation(reply.revision))),
            OpReply::Txn(reply) => (4, reply.body_len(&Header::default())),
        }
    }

    fn body_len(&self) -> usize {
        let (field, length) = self.field();
        delimited_len(field, length)
    }

    fn put_body(&self, out: &mut impl BufMut) {
        let (field, length) = self.field();
        put_delimited(field, length, out);
        match self {
            OpReply::Range(reply) => reply.put_body(&Header::of_operation(reply.revision), out),
            OpReply::Put(reply) => reply.put_body(&Header::of_operation(reply.revision), out),
            OpReply::DeleteRange(reply) => {
                reply.put_body(&Header::of_operation(reply.revision), out);
            }
            OpReply::Txn(reply) => reply.put_body(&Header::default(), out),
        }
    }
}

impl PlainReply {
    fn body_len(&self, header: &Header) -> usize {
        header.field_len()
    }

    fn put_body(&self, header: &Header, out: &mut impl BufMut) {
        header.put_field(out);
    }
}

impl LeaseGrantReply {
    fn body_len(&self, header: &Header) -> usize {
        header.field_len() + scalar_len(2, self.id as u64) + scalar_len(3, self.ttl_seconds as u64)
    }

    fn put_body(&self, header: &Header, out: &mut impl BufMut) {
        header.put_field(out);
        put_scalar(2, self.id as u64, out);
        put_scalar(3, self.ttl_seconds as u64, out);
    }
}

/// `AlarmMember`.
fn alarm_len(alarm: &Alarm) -> usize {
    scalar_len(1, alarm.member) + scalar_len(2, alarm.kind.0 as u64)
}

impl AlarmReply {
    fn body_len(&self, header: &Header) -> usize {
        let alarms = self.alarms.iter().map(|alarm| delimited_len(2, alarm_len(alarm)));
        header.field_len() + alarms.sum::<usize>()
    }

    fn put_body(&self, header: &Header, out: &mut impl BufMut) {
        header.put_field(out);
        for alarm in &self.alarms {
            put_delimited(2, alarm_len(alarm), out);
            put_scalar(1, alarm.member, out);
            put_scalar(2, alarm.kind.0 as u64, out);
        }
    }
}

impl MemberAddReply {
    fn body_len(&self, header: &Header) -> usize {
        header.field_len() + members_len(2, std::slice::from_ref(&self.member)) + members_len(3, &self.members)
    }

    fn put_body(&self, header: &Header, out: &mut impl BufMut) {
        header.put_field(out);
        put_members(2, std::slice::from_ref(&self.member), out);
        put_members(3, &self.members, out);
    }
}

impl MembersReply {
    fn body_len(&self, header: &Header) -> usize {
        header.field_len() + members_len(2, &self.members)
    }

    fn put_body(&self, header: &Header, out: &mut impl BufMut) {
        header.put_field(out);
        put_members(2, &self.members, out);
    }
}

#[cfg(test)]
mod tests;
