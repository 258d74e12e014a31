//! The queue behind every lock and election: the keys under one prefix, the oldest in front (etcd's recipe in
//! `client/v3/concurrency`, which its server runs too).
//!
//! ```text
//!   name/5f   created at 7   has the turn
//!   name/3a   created at 9   waits for name/5f to go
//!   name/c1   created at 12  waits for name/3a to go
//! ```
//!
//! A place is a key named after its lease, and goes with the lease. Everybody waits for the one key in front of the own
//! one, so a key that goes wakes one waiter, and a waiter is a watch on two keys and a task.
//!
//! To look who is in front takes no quorum: all that is older than a key has been applied here when that key was, and
//! what has gone never comes back older. So a waiter outlives the loss of a leader. Only who has waited asks the quorum
//! once, whether the own key is still there.
//!
//! A place is never left behind. Its call runs as a task of its own, which takes the key away when the client has gone.

use super::answer::{aside_if, commanded, uncoded};
use super::kv::KEYS_INLINE_MAX;
use crate::grpc::{Code, Status};
use crate::handle::{Error, Handle, Unavailable, View};
use bytes::Bytes;
use member::hub::Response;
use prost::Message;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest, WatchCreateRequest,
};
use proto::mvccpb::KeyValue;
use std::time::Duration;
use store::keys::KeyRange;
use store::{OpReply, Reply, TxnReply};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Seconds of a lease that the server makes because the client named none (etcd's default).
const SESSION_TTL_SECONDS: i64 = 60;
/// Tries to take a place away after the first, which fails when nobody leads for long.
const LEAVE_AGAIN_MAX: usize = 10;
/// Time between them, unless the place goes by itself.
const LEAVE_PAUSE: Duration = Duration::from_millis(500);

/// Who wants a place, in which queue.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The name, without the slash.
    pub(super) name: Bytes,
    /// 0 has the server make one.
    pub(super) lease: i64,
    pub(super) prize: Prize,
}

/// What the queue is for.
#[derive(Clone, Debug)]
pub(super) enum Prize {
    Lock,
    /// With what to proclaim.
    Election(Bytes),
}

/// A place in front of its queue.
#[derive(Debug)]
pub(super) struct Won {
    pub(super) key: Bytes,
    /// The revision that created the key.
    pub(super) created: i64,
    pub(super) lease: i64,
    /// For the header.
    pub(super) revision: i64,
}

/// A lease, and whether it was made for this call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) lease: i64,
    is_ours: bool,
}

/// All keys of a queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) from: Bytes,
    pub(super) end: Bytes,
}

struct Place {
    queue: Queue,
    key: Bytes,
    created: i64,
    /// What the key held when it was found; the candidate's own value if it is new.
    value: Bytes,
    /// This call has created it.
    is_new: bool,
    /// The store's revision then.
    revision: i64,
    session: Session,
}

/// Waits for a place in front of the queue. When the client leaves, the place is given up.
pub(super) async fn win(handle: &Handle, candidate: Candidate) -> Result<Won, Status> {
    let (answer, answered) = oneshot::channel();
    tokio::spawn(stand(handle.clone(), candidate, answer));
    answered.await.unwrap_or_else(|_| Err(uncoded(&Unavailable::Stopped.into())))
}

async fn stand(handle: Handle, candidate: Candidate, mut answer: oneshot::Sender<Result<Won, Status>>) {
    let place = match join(&handle, &candidate).await {
        Ok(place) => place,
        // Whoever asked may have gone; then nobody is owed the reason.
        Err(status) => return drop(answer.send(Err(status))),
    };
    let outcome = tokio::select! {
        outcome = Box::pin(wait(&handle, &candidate.prize, &place)) => outcome,
        () = answer.closed() => Err(Status::canceled()),
    };
    match outcome {
        Ok(revision) => {
            let Place { key, created, session: Session { lease, .. }, .. } = &place;
            let won = Won { key: key.clone(), created: *created, lease: *lease, revision };
            // A key that was there before belongs to whoever was told so then.
            if answer.send(Ok(won)).is_err() && place.is_new {
                leave(&handle, &place, true).await;
            }
        }
        Err(status) => {
            leave(&handle, &place, answer.is_closed()).await;
            drop(answer.send(Err(status)));
        }
    }
}

impl Queue {
    /// The queue of this name: keys that begin with it and a slash.
    pub(super) fn new(name: &[u8]) -> Queue {
        const AFTER_SLASH: u8 = b'/' + 1;
        Queue { from: [name, b"/"].concat().into(), end: [name, &[AFTER_SLASH]].concat().into() }
    }

    fn keys(&self) -> KeyRange<'_> {
        KeyRange::Span { from: &self.from, end: &self.end }
    }
}

impl Session {
    /// The client's lease, or a new one.
    pub(super) async fn open(handle: &Handle, lease: i64) -> Result<Session, Status> {
        if lease != 0 {
            return Ok(Session { lease, is_ours: false });
        }
        let grant = LeaseGrantRequest { ttl: SESSION_TTL_SECONDS, id: handle.next_lease_id() };
        let command = InternalRaftRequest { lease_grant: Some(grant), ..Default::default() };
        commanded(handle, command).await.map_err(|error| uncoded(&error))?;
        Ok(Session { lease: grant.id, is_ours: true })
    }

    /// Ends a lease that was made for a call that has failed. If that fails too, its time will end it.
    pub(super) async fn discard(self, handle: &Handle) {
        if self.is_ours {
            let revoke = LeaseRevokeRequest { id: self.lease };
            let command = InternalRaftRequest { lease_revoke: Some(revoke), ..Default::default() };
            drop(commanded(handle, command).await);
        }
    }
}

/// A txn that does one thing if each of these keys is what it was: created at this revision, 0 if it must not exist.
pub(super) async fn if_created(
    handle: &Handle,
    keys: &[(&Bytes, i64)],
    then: Request,
    otherwise: Option<Request>,
) -> Result<TxnReply, Error> {
    let op = |request| RequestOp { request: Some(request) };
    let compare = |&(key, created): &(&Bytes, i64)| Compare {
        key: key.clone(),
        target: CompareTarget::Create.into(),
        result: CompareResult::Equal.into(),
        target_union: Some(TargetUnion::CreateRevision(created)),
        ..Default::default()
    };
    let txn = TxnRequest {
        compare: keys.iter().map(compare).collect(),
        success: vec![op(then)],
        failure: otherwise.map(op).into_iter().collect(),
    };
    store::check::txn(&txn, handle.settings().max_txn_ops)?;
    match commanded(handle, InternalRaftRequest { txn: Some(txn), ..Default::default() }).await? {
        Reply::Txn(reply) => Ok(reply),
        reply => unreachable!("a txn is answered as one, not with {reply:?}"),
    }
}

/// Takes the place that the lease has already, or the last one.
async fn join(handle: &Handle, candidate: &Candidate) -> Result<Place, Status> {
    let session = Session::open(handle, candidate.lease).await?;
    let joined = join_with(handle, candidate, session).await;
    if joined.is_err() {
        session.discard(handle).await;
    }
    joined.map_err(|error| uncoded(&error))
}

async fn join_with(handle: &Handle, candidate: &Candidate, session: Session) -> Result<Place, Error> {
    let queue = Queue::new(&candidate.name);
    let key = Bytes::from([&queue.from, hex(session.lease).as_bytes()].concat());
    let value = match &candidate.prize {
        Prize::Lock => Bytes::new(),
        Prize::Election(value) => value.clone(),
    };
    let put = PutRequest { key: key.clone(), value: value.clone(), lease: session.lease, ..Default::default() };
    let get = RangeRequest { key: key.clone(), ..Default::default() };
    let reply = if_created(handle, &[(&key, 0)], Request::RequestPut(put), Some(Request::RequestRange(get))).await?;
    let revision = reply.revision;
    let new = Place { queue, key, created: revision, value, is_new: true, revision, session };
    if reply.succeeded {
        return Ok(new);
    }
    let [OpReply::Range(found)] = &reply.responses[..] else { unreachable!("one range is asked for") };
    let found = decoded(&found.kvs[0]);
    Ok(Place { created: found.create_revision, value: found.value, is_new: false, ..new })
}

/// A key-value of a View.
pub(super) fn decoded(kv: &Bytes) -> KeyValue {
    KeyValue::decode(&kv[..]).expect("a stored key-value can be read")
}

/// As Go prints a number in hexadecimal: a negative one has its sign in front.
fn hex(lease: i64) -> String {
    let sign = if lease < 0 { "-" } else { "" };
    format!("{sign}{:x}", lease.unsigned_abs())
}

/// Waits for the turn; the revision for the header.
async fn wait(handle: &Handle, prize: &Prize, place: &Place) -> Result<i64, Status> {
    if let Prize::Election(value) = prize
        && place.value != *value
    {
        proclaim(handle, &place.key, place.created, value.clone(), place.session.lease).await?;
    }
    if let Some(ahead) = look(handle, prize, place).await? {
        wait_behind(handle, prize, place, ahead).await?;
        // This member may be late: the lease may have ended since.
        handle.linearizable().await.map_err(|error| uncoded(&error))?;
        let view = handle.view();
        still_there(&view, prize, place)?;
        if matches!(prize, Prize::Lock) {
            return Ok(view.revision());
        }
    }
    Ok(place.revision)
}

/// Changes what a candidate's key says.
pub(super) async fn proclaim(
    handle: &Handle,
    key: &Bytes,
    created: i64,
    value: Bytes,
    lease: i64,
) -> Result<i64, Status> {
    let put = PutRequest { key: key.clone(), value, lease, ..Default::default() };
    let reply = if_created(handle, &[(key, created)], Request::RequestPut(put), None).await;
    match reply.map_err(|error| uncoded(&error))? {
        reply if reply.succeeded => Ok(reply.revision),
        _ => Err(not_leader()),
    }
}

fn not_leader() -> Status {
    Status::new(Code::Unknown, "election: not leader")
}

/// A key in front of a place.
struct Ahead {
    key: Bytes,
    created: i64,
    /// The moment in which it was there.
    seen: i64,
}

/// Who is just in front of this place, as far as this member knows.
async fn look(handle: &Handle, prize: &Prize, place: &Place) -> Result<Option<Ahead>, Status> {
    let view = handle.view();
    still_there(&view, prize, place)?;
    Ok(ahead(view, place).await)
}

async fn ahead(view: View, place: &Place) -> Option<Ahead> {
    let (queue, before) = (place.queue.clone(), place.created);
    let is_long = view.count(queue.keys()) > KEYS_INLINE_MAX;
    let find = move || {
        let (key, created) = view.created_before(queue.keys(), before)?;
        Some(Ahead { key, created, seen: view.revision() })
    };
    aside_if(is_long, find).await
}

/// Whether the own key is what it was. Without it there is nothing to wait for.
fn still_there(view: &View, prize: &Prize, place: &Place) -> Result<(), Status> {
    if view.created(&place.key) == Some(place.created) {
        return Ok(());
    }
    Err(match prize {
        Prize::Lock => Status::new(Code::Unknown, "mutex: session is expired"),
        Prize::Election(_) => not_leader(),
    })
}

async fn wait_behind(handle: &Handle, prize: &Prize, place: &Place, first: Ahead) -> Result<(), Status> {
    let mut next = Some(first);
    while let Some(ahead) = next {
        until_deleted(handle, &[&ahead.key, &place.key], ahead.seen + 1).await?;
        next = look(handle, prize, place).await?;
    }
    Ok(())
}

/// Waits until one of them is deleted at this revision or later, or a compaction has come in between so that nobody can tell.
async fn until_deleted(handle: &Handle, keys: &[&Bytes], from: i64) -> Result<(), Status> {
    let mut watching = handle.watch();
    for &key in keys {
        watching.create(WatchCreateRequest {
            key: key.clone(),
            start_revision: from,
            filters: vec![FilterType::Noput.into()],
            ..Default::default()
        });
    }
    loop {
        let Some(Response { events, canceled, .. }) = watching.next().await else {
            return Err(uncoded(&Unavailable::Stopped.into()));
        };
        if canceled || !events.is_empty() {
            return Ok(());
        }
    }
}

/// Takes the place away, if it is still the one that was taken.
///
/// Who has come back with the same lease has the same key, and may have been told already that its turn has come. So
/// only a place that this call has made goes at once, whatever is in front of it. One that was found, or that could not
/// be taken away in the moment when the client left, goes only while somebody else is in front.
async fn leave(handle: &Handle, place: &Place, is_gone: bool) {
    // With the lease goes the key, unless somebody has written it since.
    place.session.discard(handle).await;
    let own = (&place.key, place.created);
    let mut seen = place.created;
    for again in 0..=if is_gone { LEAVE_AGAIN_MAX } else { 0 } {
        if again > 0 {
            // What seemed to fail may still be done, and its lease may end.
            let gone = timeout(LEAVE_PAUSE, until_deleted(handle, &[&place.key], seen + 1)).await;
            if gone.is_ok_and(|gone| gone.is_err()) {
                return; // This member stops.
            }
        }
        let view = handle.view();
        seen = view.revision();
        if view.created(&place.key) != Some(place.created) {
            return;
        }
        let in_front = match again == 0 && place.is_new {
            true => None,
            false => match ahead(view, place).await {
                Some(ahead) => Some(ahead),
                None => return,
            },
        };
        let keys: Vec<_> = [own].into_iter().chain(in_front.iter().map(|ahead| (&ahead.key, ahead.created))).collect();
        let delete = DeleteRangeRequest { key: place.key.clone(), ..Default::default() };
        if if_created(handle, &keys, Request::RequestDeleteRange(delete), None).await.is_ok_and(|reply| reply.succeeded)
        {
            return;
        }
    }
}
