//! What the tests share: entries, a plain model of the store, and chance from a seed.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod model;
pub mod random;
pub mod same;

use bytes::Bytes;
use disk::{SimDisk, SimFaults};
use prost::Message;
use proto::etcdserverpb as pb;
use store::{Applied, Entry, EntryKind, Refusal, Reply, Settings, Store};

/// Chance from a seed: the same numbers in every run.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

pub fn settings() -> Settings {
    Settings { member_id: 1, cluster_id: 2, segment_bytes: 8 << 10, resident_bytes: 8 << 10, ..Settings::default() }
}

/// The same with frames so short that most entries fill several.
pub fn short_frames() -> Settings {
    Settings { frame_bytes: 200, ..settings() }
}

pub fn disk() -> SimDisk {
    SimDisk::new(7, SimFaults::default())
}

pub fn request() -> pb::InternalRaftRequest {
    pb::InternalRaftRequest::default()
}

/// A normal entry whose request id is its index.
pub fn entry(index: u64, request: pb::InternalRaftRequest) -> Entry {
    let header = Some(pb::RequestHeader { id: index, ..Default::default() });
    let request = pb::InternalRaftRequest { header, ..request };
    Entry { index, term: 1 + index / 1000, kind: EntryKind::Normal, data: request.encode_to_vec().into() }
}

pub fn put(key: &str, value: &str) -> pb::InternalRaftRequest {
    pb::InternalRaftRequest { put: Some(put_request(key, value, 0)), ..request() }
}

pub fn put_request(key: &str, value: &str, lease: i64) -> pb::PutRequest {
    pb::PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        lease,
        prev_kv: true,
        ..Default::default()
    }
}

pub fn delete(key: &str, end: &str) -> pb::InternalRaftRequest {
    pb::InternalRaftRequest { delete_range: Some(delete_request(key, end)), ..request() }
}

pub fn delete_request(key: &str, end: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        prev_kv: true,
    }
}

pub fn range_request(key: &str, end: &str, revision: i64) -> pb::RangeRequest {
    pb::RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        revision,
        ..Default::default()
    }
}

pub fn compact(revision: i64) -> pb::InternalRaftRequest {
    let compaction = Some(pb::CompactionRequest { revision, physical: false });
    pb::InternalRaftRequest { compaction, ..request() }
}

pub fn grant(id: i64, ttl: i64) -> pb::InternalRaftRequest {
    pb::InternalRaftRequest { lease_grant: Some(pb::LeaseGrantRequest { id, ttl }), ..request() }
}

pub fn revoke(id: i64) -> pb::InternalRaftRequest {
    pb::InternalRaftRequest { lease_revoke: Some(pb::LeaseRevokeRequest { id }), ..request() }
}

/// Applies requests as one batch behind what is applied already.
pub fn apply_all<D: disk::Disk>(store: &mut Store<D>, requests: Vec<pb::InternalRaftRequest>) -> Applied {
    let first = store.applied().0 + 1;
    let entries: Vec<Entry> =
        requests.into_iter().enumerate().map(|(at, request)| entry(first + at as u64, request)).collect();
    store.apply(&entries, &|_| true).expect("the disk is well")
}

/// Applies one request and gives its answer.
pub fn apply<D: disk::Disk>(store: &mut Store<D>, request: pb::InternalRaftRequest) -> Result<Reply, Refusal> {
    let applied = apply_all(store, vec![request]);
    let (id, outcome) = applied.outcomes.into_iter().next().expect("an answer");
    assert_eq!(id, applied.index);
    outcome
}

/// An image of a moment.
pub fn image_of<D: disk::Disk>(view: &store::View<D>) -> Vec<u8> {
    let mut image = Vec::new();
    let plan = view.image().expect("the disk is well");
    let mut sink = |bytes: &[u8]| {
        image.extend_from_slice(bytes);
        Ok(())
    };
    plan.write(&mut sink).expect("memory takes everything");
    assert_eq!(image.len() as u64, plan.size_bytes());
    image
}
