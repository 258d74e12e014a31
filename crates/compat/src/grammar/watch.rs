//! Watches: created, cancelled, asked how far they are, on a few streams.

use super::Grammar;
use crate::request::{self, Request};
use crate::watch::STREAMS;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest};

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
