//! Showing what a command has learned.
//!
//! An [`Answer`] is what came back; a [`Style`] says how it is wished for. One
//! file here is one format, a function from answer to bytes that neither asks
//! nor decides anything else. Not every format can show every answer: then the
//! command fails with etcdctl's words, after the fact.

mod fields;
mod json;
mod object;
mod protobuf;
mod rows;
mod simple;
mod table;

use proto::etcdserverpb::{
    AlarmResponse, AuthStatusResponse, DeleteRangeResponse, HashKvResponse, LeaseGrantResponse, LeaseKeepAliveResponse,
    LeaseLeasesResponse, LeaseRevokeResponse, LeaseTimeToLiveResponse, MemberListResponse, MoveLeaderResponse,
    PutResponse, RangeResponse, StatusResponse, TxnResponse, WatchResponse,
};

use crate::fail::{Exit, Failure, Result};
use crate::out;

/// What a command has learned.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // One lives at a time.
pub enum Answer {
    /// `get`
    Get(RangeResponse),
    /// `put`
    Put(PutResponse),
    /// `del`
    Delete(DeleteRangeResponse),
    /// `txn`
    Txn(TxnResponse),
    /// `watch`, one response at a time
    Watch(WatchResponse),
    /// `lease grant`
    Grant(LeaseGrantResponse),
    /// `lease revoke` of this id
    Revoke(i64, LeaseRevokeResponse),
    /// `lease keep-alive`, one renewal at a time
    KeepAlive(LeaseKeepAliveResponse),
    /// `lease timetolive`, and whether keys were asked for
    TimeToLive(LeaseTimeToLiveResponse, bool),
    /// `lease list`
    Leases(LeaseLeasesResponse),
    /// `member list`
    Members(MemberListResponse),
    /// `endpoint health`
    Health(Vec<Health>),
    /// `endpoint status`, by endpoint
    Status(Vec<(String, StatusResponse)>),
    /// `endpoint hashkv`, by endpoint
    HashKv(Vec<(String, HashKvResponse)>),
    /// `move-leader` from one member to another
    MoveLeader(u64, u64, MoveLeaderResponse),
    /// `alarm list`
    Alarms(AlarmResponse),
    /// `auth status`
    Auth(AuthStatusResponse),
}

/// How one endpoint is.
#[derive(Clone, Debug)]
pub struct Health {
    /// The endpoint as given.
    pub endpoint: String,
    /// Why it is unhealthy; empty when it is healthy.
    pub error: String,
    /// How long it took to find out, as Go prints durations; empty when it could
    /// not be tried.
    pub took: String,
}

/// How answers are shown.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// The format.
    pub format: Format,
    /// Bytes and ids in hexadecimal, where the format has it.
    pub hex: bool,
    /// Values without their keys; simple format only.
    pub value_only: bool,
}

/// Values of `--write-out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people, and for pipes that want keys and values only.
    Simple,
    /// Every field on a line of its own.
    Fields,
    /// One line of JSON.
    Json,
    /// The message as it came.
    Protobuf,
    /// A table.
    Table,
}

impl Format {
    /// The format of this name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "simple" => Ok(Format::Simple),
            "fields" => Ok(Format::Fields),
            "json" => Ok(Format::Json),
            "protobuf" => Ok(Format::Protobuf),
            "table" => Ok(Format::Table),
            _ => Err(Failure::new(Exit::BadFeature, "unsupported output format")),
        }
    }
}

impl Style {
    /// Writes the answer to standard output.
    pub fn show(&self, answer: &Answer) -> Result<()> {
        let bytes = match self.format {
            Format::Simple => {
                for line in simple::complaints(answer) {
                    out::complain(format_args!("{line}"));
                }
                simple::bytes(answer, self)
            }
            Format::Fields => fields::text(answer, self.hex)?.into_bytes(),
            Format::Json => json::line(answer, self.hex).into_bytes(),
            Format::Protobuf => protobuf::bytes(answer)?,
            Format::Table => table::text(answer)?.into_bytes(),
        };
        out::write(&bytes)
    }
}

/// The format cannot show this.
fn unsupported(format: &str) -> Failure {
    let text = format!("{format} not supported as output format");
    Failure::new(Exit::BadFeature, text)
}
