//! Clients that read and write a few keys which all of them want. Every value
//! is written once in a run, so that it tells who wrote it.

use super::failed;
use crate::history::{Answer, Ask, Outcome};
use crate::notebook::Notebook;
use bytes::Bytes;
use client::Client;
use client::range::prefix_end;
use fastrand::Rng;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use proto::etcdserverpb::{request_op, response_op};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Keys that all writers want.
const KEYS: u8 = 10;
/// Between two requests of one client, at most, in milliseconds.
const PAUSE_MAX_MS: u64 = 15;
/// A value is at most this much longer than it must be, in bytes.
const PADDING_MAX: usize = 400;

struct Writer {
    number: usize,
    chance: Rng,
    written: u64,
    /// The revision at which each key was last seen to change; 0 for a key that was not there.
    seen: HashMap<Bytes, i64>,
}

/// Asks until the load ends.
pub async fn write(number: usize, client: Client, notebook: Arc<Notebook>, seed: u64) {
    let chance = Rng::with_seed(seed ^ (number as u64) << 40);
    let mut writer = Writer { number, chance, written: 0, seen: HashMap::new() };
    while !notebook.stopped() {
        let ask = writer.draw();
        let begin = notebook.now();
        let outcome = send(&client, &ask).await;
        writer.learn(&outcome);
        notebook.ended(number, begin, ask, outcome);
        notebook.pause(Duration::from_millis(writer.chance.u64(0..PAUSE_MAX_MS))).await;
    }
}

/// Sends a request for keys.
pub async fn send(client: &Client, ask: &Ask) -> Outcome {
    let answer = match ask {
        Ask::Put(ask) => client.put(ask.clone()).await.map(Answer::Put),
        Ask::Delete(ask) => client.delete(ask.clone()).await.map(Answer::Delete),
        Ask::Txn(ask) => client.txn(ask.clone()).await.map(Answer::Txn),
        Ask::Range(ask) => client.range(ask.clone()).await.map(Answer::Range),
        Ask::Grant(ask) => client.lease_grant(*ask).await.map(Answer::Grant),
        Ask::Revoke(id) => {
            client.lease_revoke(*id).await.map(|answer| Answer::Revoke(answer.header.unwrap_or_default()))
        }
        Ask::Renew(id) => client.lease_keep_alive_once(*id).await.map(Answer::Renew),
    };
    answer.map_or_else(|error| failed(&error), Outcome::Answered)
}

impl Writer {
    fn key(&mut self) -> Bytes {
        format!("r/{}", self.chance.u8(0..KEYS)).into()
    }

    fn value(&mut self) -> Bytes {
        self.written += 1;
        let padding = "-".repeat(self.chance.usize(0..PADDING_MAX));
        format!("{}.{} {padding}", self.number, self.written).into()
    }

    fn draw(&mut self) -> Ask {
        match self.chance.u8(0..100) {
            0..35 => Ask::Put(self.put()),
            35..55 => Ask::Txn(self.compare_and_swap()),
            55..63 => Ask::Txn(self.several()),
            63..71 => Ask::Delete(DeleteRangeRequest { prev_kv: self.chance.bool(), ..self.delete() }),
            71..86 => Ask::Range(RangeRequest { key: self.key(), ..RangeRequest::default() }),
            86..91 => Ask::Range(RangeRequest { limit: self.chance.i64(0..6), ..everything() }),
            _ => Ask::Range(RangeRequest { serializable: true, ..everything() }),
        }
    }

    fn put(&mut self) -> PutRequest {
        PutRequest { key: self.key(), value: self.value(), prev_kv: self.chance.bool(), ..PutRequest::default() }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        DeleteRangeRequest { key: self.key(), ..DeleteRangeRequest::default() }
    }

    /// Writes if nobody has since this client looked; else looks.
    fn compare_and_swap(&mut self) -> TxnRequest {
        let put = self.put();
        let seen = self.seen.get(&put.key).copied().unwrap_or(0);
        let compare = Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: put.key.clone(),
            range_end: Bytes::new(),
            target_union: Some(TargetUnion::ModRevision(seen)),
        };
        let look = RangeRequest { key: put.key.clone(), ..RangeRequest::default() };
        TxnRequest {
            compare: vec![compare],
            success: vec![op(request_op::Request::RequestPut(put))],
            failure: vec![op(request_op::Request::RequestRange(look))],
        }
    }

    /// Two keys written, one deleted, all read: in one revision or not at all.
    fn several(&mut self) -> TxnRequest {
        let first = self.chance.u8(0..KEYS);
        let key = |step: u8| Bytes::from(format!("r/{}", (first + step) % KEYS));
        let (left, right) = (self.value(), self.value());
        let put = |key, value| op(request_op::Request::RequestPut(PutRequest { key, value, ..PutRequest::default() }));
        let delete = DeleteRangeRequest { key: key(2), prev_kv: true, ..DeleteRangeRequest::default() };
        let success = vec![
            put(key(0), left),
            put(key(1), right),
            op(request_op::Request::RequestDeleteRange(delete)),
            op(request_op::Request::RequestRange(everything())),
        ];
        TxnRequest { success, ..TxnRequest::default() }
    }

    /// Remembers where keys stand.
    fn learn(&mut self, outcome: &Outcome) {
        let Outcome::Answered(answer) = outcome else { return };
        let mut kvs = Vec::new();
        match answer {
            Answer::Range(answer) => kvs.extend(answer.kvs.iter()),
            Answer::Txn(answer) => {
                for one in &answer.responses {
                    if let Some(response_op::Response::ResponseRange(range)) = &one.response {
                        kvs.extend(range.kvs.iter());
                    }
                }
            }
            _ => {}
        }
        for kv in kvs {
            self.seen.insert(kv.key.clone(), kv.mod_revision);
        }
    }
}

fn op(request: request_op::Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn everything() -> RangeRequest {
    RangeRequest { key: "r/".into(), range_end: prefix_end(b"r/"), ..RangeRequest::default() }
}
