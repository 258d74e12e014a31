//! What clients asked, were answered and were told, and when.

use proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse, WatchResponse,
};
use std::fmt;
use std::time::Duration;

/// Nanoseconds of the monotonic clock since the load began.
pub type Nanos = u64;

/// One request.
#[derive(Clone, Debug)]
pub struct Op {
    /// Who asked.
    pub client: usize,
    /// Before it was sent.
    pub begin: Nanos,
    /// After the answer, or after it was given up.
    pub end: Nanos,
    /// What.
    pub ask: Ask,
    /// And how it ended.
    pub outcome: Outcome,
}

/// What can be asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A put.
    Put(PutRequest),
    /// A deletion.
    Delete(DeleteRangeRequest),
    /// A transaction.
    Txn(TxnRequest),
    /// A read.
    Range(RangeRequest),
    /// A lease to be granted.
    Grant(LeaseGrantRequest),
    /// A lease to be ended.
    Revoke(i64),
    /// A lease to be renewed.
    Renew(i64),
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was answered.
    Answered(Answer),
    /// It was refused: it has no effect, ever.
    Refused(String),
    /// Nobody knows: it may take effect, once, at any time from its begin on.
    Unknown(String),
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To a put.
    Put(PutResponse),
    /// To a deletion.
    Delete(DeleteRangeResponse),
    /// To a transaction.
    Txn(TxnResponse),
    /// To a read.
    Range(RangeResponse),
    /// To a grant.
    Grant(LeaseGrantResponse),
    /// To a revocation: its header.
    Revoke(ResponseHeader),
    /// To a renewal.
    Renew(LeaseKeepAliveResponse),
}

/// What one watch was told, over all its connections.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Who watched.
    pub client: usize,
    /// First key.
    pub key: Vec<u8>,
    /// As in a range.
    pub range_end: Vec<u8>,
    /// Whether previous values were asked for.
    pub previous: bool,
    /// The first revision that was asked for.
    pub from: i64,
    /// Whether it was told all of it at rest, from what members have kept.
    pub again: bool,
    /// Whether it was still there when all was over. It must have come to the end, then.
    pub stays: bool,
    /// In order of arrival.
    pub responses: Vec<(Nanos, WatchResponse)>,
}

/// All of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In no order.
    pub ops: Vec<Op>,
    /// Every watch.
    pub watches: Vec<Told>,
    /// Compactions asked for, each before it was sent, in order of time.
    pub compactions: Vec<(Nanos, i64)>,
    /// How many of them were acknowledged.
    pub compactions_done: usize,
    /// Renewals, each with a read, that were asked of a leader that a fault had taken away from the others.
    pub asked_away: usize,
    /// When each process of each member began, in order; the first of a member may be missing.
    pub births: Vec<Vec<Nanos>>,
}

impl History {
    /// The highest revision that a compaction can have reached at this time.
    pub fn compacted(&self, when: Nanos) -> i64 {
        let asked = self.compactions.iter().take_while(|(begin, _)| *begin <= when);
        asked.map(|(_, revision)| *revision).max().unwrap_or(0)
    }
}

/// All keys, as first key and end of a range.
pub const ALL: [u8; 1] = [0];

impl Told {
    /// Whether it watches all keys: such watches tell the history of the cluster.
    pub fn is_witness(&self) -> bool {
        self.key == ALL && self.range_end == ALL
    }

    /// The last revision that it was told of, or told that it knows all of.
    pub fn upto(&self) -> i64 {
        self.responses.iter().rev().find_map(|(_, response)| reached(response)).unwrap_or(self.from - 1)
    }
}

/// How far a response takes a watch.
pub fn reached(response: &WatchResponse) -> Option<i64> {
    if response.created || response.canceled {
        return None;
    }
    let last = response.events.last().and_then(|event| event.kv.as_ref()).map(|kv| kv.mod_revision);
    last.or_else(|| response.header.as_ref().map(|header| header.revision))
}

impl Op {
    /// The header of its answer.
    pub fn header(&self) -> Option<&ResponseHeader> {
        let Outcome::Answered(answer) = &self.outcome else { return None };
        match answer {
            Answer::Put(answer) => answer.header.as_ref(),
            Answer::Delete(answer) => answer.header.as_ref(),
            Answer::Txn(answer) => answer.header.as_ref(),
            Answer::Range(answer) => answer.header.as_ref(),
            Answer::Grant(answer) => answer.header.as_ref(),
            Answer::Revoke(header) => Some(header),
            Answer::Renew(answer) => answer.header.as_ref(),
        }
    }

    /// The revision that its answer is about.
    pub fn revision(&self) -> Option<i64> {
        self.header().map(|header| header.revision)
    }

    /// Whether it surely changed keys, as its answer has it. A revocation says
    /// nothing of the kind.
    pub fn changed(&self) -> bool {
        match &self.outcome {
            Outcome::Answered(Answer::Put(_)) => true,
            Outcome::Answered(Answer::Delete(answer)) => answer.deleted > 0,
            Outcome::Answered(Answer::Txn(answer)) => answer.responses.iter().any(|one| {
                use proto::etcdserverpb::response_op::Response::{ResponseDeleteRange, ResponsePut};
                match &one.response {
                    Some(ResponsePut(_)) => true,
                    Some(ResponseDeleteRange(answer)) => answer.deleted > 0,
                    _ => false,
                }
            }),
            _ => false,
        }
    }

    /// Its kind, as the summary counts it.
    pub fn kind(&self) -> &'static str {
        match &self.ask {
            Ask::Put(_) => "put",
            Ask::Delete(_) => "delete",
            Ask::Txn(_) => "txn",
            Ask::Range(ask) if ask.serializable => "serializable range",
            Ask::Range(_) => "linearizable range",
            Ask::Grant(_) => "lease grant",
            Ask::Revoke(_) => "lease revoke",
            Ask::Renew(_) => "lease renewal",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |nanos| Duration::from_nanos(nanos).as_secs_f64();
        let (begin, end) = (seconds(self.begin), seconds(self.end));
        write!(out, "client {} from {begin:.6} s to {end:.6} s: {:?} → {:?}", self.client, self.ask, self.outcome)
    }
}
