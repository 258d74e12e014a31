//! Entries of the replicated log: whatever a member proposed, every member
//! carries it out, or stops and says why.

use crate::store_log::{empty, read_all};
use bytes::Bytes;
use disk::SimDisk;
use prost::Message;
use proto::etcdserverpb as pb;
use store::{Applied, Entry, EntryKind, Fault, Store};

/// Requests with which a sound store is made; each is the data of an entry.
pub(crate) fn sound_requests() -> Vec<Bytes> {
    let key = |name: &str| Bytes::copy_from_slice(name.as_bytes());
    let put = |name: &str, lease| pb::PutRequest {
        key: key(name),
        value: key("value"),
        lease,
        prev_kv: true,
        ..Default::default()
    };
    let nothing = pb::InternalRaftRequest::default;
    let compare = pb::Compare { key: key("a"), target: 1, ..Default::default() };
    let in_txn = |request| pb::RequestOp { request: Some(request) };
    let delete = pb::DeleteRangeRequest { key: key("a"), range_end: key("c"), prev_kv: true };
    let range = pb::RangeRequest { key: key("a"), range_end: key("z"), ..Default::default() };
    let txn = pb::TxnRequest {
        compare: vec![compare],
        success: vec![
            in_txn(pb::request_op::Request::RequestPut(put("t", 0))),
            in_txn(pb::request_op::Request::RequestRange(range)),
        ],
        failure: vec![in_txn(pb::request_op::Request::RequestDeleteRange(delete.clone()))],
    };
    let requests = [
        pb::InternalRaftRequest { lease_grant: Some(pb::LeaseGrantRequest { id: 7, ttl: 60 }), ..nothing() },
        pb::InternalRaftRequest { put: Some(put("a", 0)), ..nothing() },
        pb::InternalRaftRequest { put: Some(put("b", 7)), ..nothing() },
        pb::InternalRaftRequest { put: Some(put("a", 0)), ..nothing() },
        pb::InternalRaftRequest { txn: Some(txn), ..nothing() },
        pb::InternalRaftRequest { delete_range: Some(delete), ..nothing() },
        pb::InternalRaftRequest {
            compaction: Some(pb::CompactionRequest { revision: 3, physical: false }),
            ..nothing()
        },
        pb::InternalRaftRequest { put: Some(put("c", 0)), ..nothing() },
        pb::InternalRaftRequest { lease_revoke: Some(pb::LeaseRevokeRequest { id: 7 }), ..nothing() },
    ];
    let with_header = |request| {
        let header = Some(pb::RequestHeader { id: 5, ..Default::default() });
        Bytes::from(pb::InternalRaftRequest { header, ..request }.encode_to_vec())
    };
    requests.map(with_header).to_vec()
}

/// Applies one normal entry behind what is applied.
pub(crate) fn apply(store: &mut Store<SimDisk>, data: &Bytes) -> Result<Applied, Fault> {
    apply_kind(store, EntryKind::Normal, data)
}

fn apply_kind(store: &mut Store<SimDisk>, kind: EntryKind, data: &Bytes) -> Result<Applied, Fault> {
    let (index, term) = store.applied();
    let entry = Entry { index: index + 1, term: term.max(1), kind, data: data.clone() };
    store.apply(&[entry], &|_| true)
}

/// Pieces: a kind of entry and its data. Two stores that are told the same
/// hold the same, whether answers are wanted or not.
pub fn entries(bytes: &[u8]) {
    let ((_, mut first), (_, mut second)) = (empty(), empty());
    for piece in crate::pieces(bytes) {
        let Some((kind, data)) = piece.split_first() else { continue };
        let kind = [EntryKind::Normal, EntryKind::ConfChange, EntryKind::ConfChangeV2][usize::from(*kind) % 3];
        let data = Bytes::copy_from_slice(data);
        let one = apply_kind(&mut first, kind, &data);
        let (index, term) = second.applied();
        let entry = Entry { index: index + 1, term: term.max(1), kind, data };
        let other = second.apply(&[entry], &|_| false);
        assert_eq!(one.is_ok(), other.is_ok(), "an entry is carried out everywhere or nowhere");
        if one.is_err() {
            return;
        }
    }
    read_all(&first);
    let hashes = [&first, &second].map(|store| store.view().hash_kv(0).ok());
    assert_eq!(hashes[0], hashes[1]);
}

/// The sound ones, together and each alone.
pub fn entry_seeds() -> Vec<Vec<u8>> {
    let pieces: Vec<Vec<u8>> = sound_requests().iter().map(|data| [&[0], &data[..]].concat()).collect();
    let mut seeds = vec![crate::join(pieces.iter().map(Vec::as_slice))];
    seeds.extend(pieces.iter().map(|piece| crate::join([piece.as_slice()])));
    seeds
}
