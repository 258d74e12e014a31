//! `v3electionpb.Election`: who leads under a name, and what the leader says. The waiting is [`queue`]'s.

use super::answer::{encoded, uncoded, unread, wire_header};
use super::kv::look;
use super::queue::{self, Candidate, Prize, Queue, Session, decoded};
use super::streams::{Messages, Responses};
use crate::grpc::{Code, Status};
use crate::handle::{Handle, Unavailable, View};
use crate::run::hub_loop::WatchStream;
use bytes::Bytes;
use member::hub::{EventKind, Response};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::{DeleteRangeRequest, RangeRequest, WatchCreateRequest};
use proto::mvccpb::KeyValue;
use proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse,
};
use store::{ReadError, Refusal};

pub(super) async fn campaign(handle: &Handle, request: CampaignRequest) -> Result<Bytes, Status> {
    let CampaignRequest { name, lease, value } = request;
    let candidate = Candidate { name: name.clone(), lease, prize: Prize::Election(value) };
    let won = queue::win(handle, candidate).await?;
    let leader = LeaderKey { name, key: won.key, rev: won.created, lease: won.lease };
    Ok(encoded(&CampaignResponse { header: Some(wire_header(&handle.header(won.revision))), leader: Some(leader) }))
}

pub(super) async fn proclaim(handle: &Handle, request: ProclaimRequest) -> Result<Bytes, Status> {
    let leader = request.leader.ok_or_else(no_leader_key)?;
    let session = Session::open(handle, leader.lease).await?;
    let revision = match queue::proclaim(handle, &leader.key, leader.rev, request.value, session.lease).await {
        Ok(revision) => revision,
        Err(status) => {
            session.discard(handle).await;
            return Err(status);
        }
    };
    Ok(encoded(&ProclaimResponse { header: Some(wire_header(&handle.header(revision))) }))
}

/// Succeeds also for who does not lead, as with etcd.
pub(super) async fn resign(handle: &Handle, request: ResignRequest) -> Result<Bytes, Status> {
    let leader = request.leader.ok_or_else(no_leader_key)?;
    let delete = DeleteRangeRequest { key: leader.key.clone(), ..Default::default() };
    let deleted =
        queue::if_created(handle, &[(&leader.key, leader.rev)], Request::RequestDeleteRange(delete), None).await;
    let reply = deleted.map_err(|error| uncoded(&error))?;
    Ok(encoded(&ResignResponse { header: Some(wire_header(&handle.header(reply.revision))) }))
}

pub(super) async fn leader(handle: &Handle, request: LeaderRequest) -> Result<Bytes, Status> {
    handle.linearizable().await.map_err(|error| uncoded(&error))?;
    let view = handle.view();
    let revision = view.revision();
    match oldest(view, &Queue::new(&request.name), revision).await.map_err(unread)? {
        Some(kv) => Ok(response(handle, revision, kv)),
        None => Err(Status::new(Code::Unknown, "election: no leader")),
    }
}

/// Every leader from now on, once and in their order, and all that each of them proclaims, until the client leaves.
pub(super) async fn observe(handle: &Handle, messages: &mut Messages<'_>) -> Result<(), Status> {
    let Some(LeaderRequest { name }) = messages.inbound.next().await? else {
        return Err(Status::new(Code::Unknown, "EOF"));
    };
    handle.linearizable().await.map_err(|error| uncoded(&error))?;
    let mut observer = Observer { handle, outbound: &messages.outbound, queue: Queue::new(&name), told: 0 };
    let mut now = handle.view().revision();
    loop {
        now = match observer.reign(now).await? {
            End::Deleted(revision) => revision,
            End::Compacted => handle.view().revision(),
        };
    }
}

/// One client that looks on.
struct Observer<'a, 'm> {
    handle: &'a Handle,
    outbound: &'a Responses<'m>,
    queue: Queue,
    /// The revision of what was told last, which after a compaction may be found again.
    told: i64,
}

/// How a reign ended, as far as it was seen.
enum End {
    /// The leader's key was deleted in this revision.
    Deleted(i64),
    /// A compaction has taken what would have come next.
    Compacted,
}

impl Observer<'_, '_> {
    /// Tells of the leader that there is after `now`, or of the next one there will be, until it goes.
    async fn reign(&mut self, now: i64) -> Result<End, Status> {
        let (kv, now) = match oldest(self.handle.view(), &self.queue, now).await {
            Ok(Some(kv)) => (kv, now),
            Ok(None) => match self.first_after(now).await? {
                Some(kv) => (kv.clone(), kv.mod_revision),
                None => return Ok(End::Compacted),
            },
            Err(ReadError::Refusal(Refusal::Compacted)) => return Ok(End::Compacted),
            Err(error) => return Err(unread(error)),
        };
        let mut watching = self.handle.watch();
        watching.create(WatchCreateRequest { key: kv.key.clone(), start_revision: now + 1, ..Default::default() });
        self.tell(now, kv).await?;
        loop {
            let Some(Response { revision, events, .. }) = self.next(&mut watching).await? else {
                return Ok(End::Compacted);
            };
            for event in events {
                let kv = decoded(&event.kv);
                match event.kind {
                    EventKind::Put => self.tell(revision, kv).await?,
                    EventKind::Delete => return Ok(End::Deleted(kv.mod_revision)),
                }
            }
        }
    }

    /// The first candidate of a queue that was empty; `None` if a compaction has come in between.
    async fn first_after(&self, now: i64) -> Result<Option<KeyValue>, Status> {
        let mut watching = self.handle.watch();
        watching.create(WatchCreateRequest {
            key: self.queue.from.clone(),
            range_end: self.queue.end.clone(),
            start_revision: now + 1,
            filters: vec![FilterType::Nodelete.into()],
            ..Default::default()
        });
        let response = self.next(&mut watching).await?;
        Ok(response.map(|response| decoded(&response.events[0].kv)))
    }

    /// The next response with events, taken only when the client has room; `None` when the watch has ended.
    async fn next(&self, watching: &mut WatchStream) -> Result<Option<Response>, Status> {
        self.outbound.ready().await?;
        loop {
            match watching.next().await {
                None => return Err(uncoded(&Unavailable::Stopped.into())),
                Some(response) if response.canceled => return Ok(None),
                Some(response) if response.events.is_empty() => {}
                Some(response) => return Ok(Some(response)),
            }
        }
    }

    async fn tell(&mut self, revision: i64, kv: KeyValue) -> Result<(), Status> {
        if kv.mod_revision == self.told {
            return Ok(());
        }
        self.told = kv.mod_revision;
        self.outbound.ready().await?;
        self.outbound.send(response(self.handle, revision, kv))
    }
}

/// Who was in front after `revision`.
async fn oldest(view: View, queue: &Queue, revision: i64) -> Result<Option<KeyValue>, ReadError> {
    let request = RangeRequest {
        key: queue.from.clone(),
        range_end: queue.end.clone(),
        revision,
        sort_order: SortOrder::Ascend.into(),
        sort_target: SortTarget::Create.into(),
        limit: 1,
        ..Default::default()
    };
    Ok(look(view, request).await?.kvs.first().map(decoded))
}

fn response(handle: &Handle, revision: i64, kv: KeyValue) -> Bytes {
    encoded(&LeaderResponse { header: Some(wire_header(&handle.header(revision))), kv: Some(kv) })
}

fn no_leader_key() -> Status {
    Status::new(Code::Unknown, "\"leader\" field must be provided")
}
