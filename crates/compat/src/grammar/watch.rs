//! Watches: created, cancelled, asked how far they are, on a few streams.

use super::{Grammar, KEYS};
use crate::request::{self, Request, Step};
use crate::watch::STREAMS;
use bytes::Bytes;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
};

/// Of a value, so that a dozen of them make a response that is split. Far from
/// what would depend on how long the ids of members are.
const LARGE: usize = 50_000;

impl Grammar {
    pub(super) fn watch(&mut self) -> Request {
        let stream = self.chance.usize(0..STREAMS);
        let union = match self.chance.u32(0..100) {
            0..50 => RequestUnion::CreateRequest(self.create()),
            50..85 => RequestUnion::CancelRequest(WatchCancelRequest { watch_id: self.watch_id() }),
            85..95 => RequestUnion::ProgressRequest(WatchProgressRequest {}),
            _ => return Request::Watch(stream, WatchRequest { request_union: None }),
        };
        Request::Watch(stream, WatchRequest { request_union: Some(union) })
    }

    fn create(&mut self) -> WatchCreateRequest {
        let filters = self.chance.usize(0..3);
        let mut create = WatchCreateRequest {
            key: self.key(),
            range_end: self.end(),
            start_revision: self.start(),
            progress_notify: self.one_in(4),
            prev_kv: self.chance.bool(),
            fragment: self.one_in(4),
            ..WatchCreateRequest::default()
        };
        if self.one_in(3) {
            create.filters = (0..filters).map(|_| self.number(2)).collect();
        }
        if self.one_in(3) {
            create.watch_id = self.watch_id();
        }
        create
    }

    /// The past of everything.
    pub(super) fn replay(&mut self) -> WatchCreateRequest {
        let start_revision = match self.chance.u32(0..4) {
            0 => request::compacted(self.chance.i64(-1..3)),
            _ => request::current(-self.chance.i64(0..40)),
        };
        WatchCreateRequest {
            range_end: Bytes::from_static(b"\0"),
            start_revision,
            prev_kv: self.chance.bool(),
            fragment: self.chance.bool(),
            watch_id: self.chance.i64(0..3),
            ..WatchCreateRequest::default()
        }
    }

    /// So much history that its responses are split, and its telling in both
    /// ways.
    pub(super) fn fragments(&mut self, steps: &mut Vec<Step>) {
        let count = self.chance.i64(8..25);
        for _ in 0..count {
            let key = Bytes::from_static(KEYS[self.chance.usize(0..KEYS.len())]);
            let value = Bytes::from(vec![b'L'; LARGE]);
            self.ask(Request::Put(PutRequest { key, value, ..PutRequest::default() }), steps);
        }
        for fragment in [true, false] {
            let start_revision = request::current(1 - count);
            let create = WatchCreateRequest { fragment, start_revision, ..self.replay() };
            self.ask(Request::Replay(create), steps);
        }
        let all =
            DeleteRangeRequest { key: b"\0".as_slice().into(), range_end: b"\0".as_slice().into(), prev_kv: false };
        self.ask(Request::Delete(all), steps);
    }

    /// Negative ones are excluded: 3.6 changed the answer.
    fn start(&mut self) -> i64 {
        match self.chance.u32(0..20) {
            0..10 => 0,
            10..14 => request::current(-self.chance.i64(0..25)),
            14..17 => request::compacted(self.chance.i64(-2..4)).max(1),
            17 => request::current(self.chance.i64(1..10)),
            18 => self.chance.i64(1..10),
            _ => i64::MAX - self.chance.i64(0..2),
        }
    }

    fn watch_id(&mut self) -> i64 {
        if self.one_in(15) {
            // Excluded: watch-id-minus-one.
            return Some(self.absurd()).filter(|&id| id != -1).unwrap_or(i64::MIN);
        }
        self.chance.i64(0..12)
    }
}
