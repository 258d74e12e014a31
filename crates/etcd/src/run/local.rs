//! What the links to other members ask of this one.

use super::inbox::Inbox;
use super::log_door::LogDoor;
use crate::handle::{Error, Handle, Unavailable, View};
use crate::peer::{BoxFuture, HashKv, LeaseError, Local, RemainingLease, SnapshotBody, SnapshotSink};
use arc_swap::ArcSwap;
use bytes::Bytes;
use disk::{Disk, DiskFile, OsDisk};
use member::boot::{self, Receipts};
use member::core::Input;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use store::roster::Member;

/// This member, as its peers' links see it.
pub struct LocalMember {
    pub inbox: Arc<Inbox>,
    pub log: Arc<LogDoor>,
    pub view: Arc<ArcSwap<View>>,
    pub disk: OsDisk,
    /// Counts received snapshots.
    pub parts: AtomicU64,
    /// Locked while files of snapshots get or lose their names.
    pub received: Arc<Mutex<Receipts>>,
    /// Told when other members say that this one was removed.
    pub removed: tokio::sync::watch::Sender<bool>,
    /// Told when another member knows this one, whose first start is not over, as one that has run: where that one is, and what it knows.
    pub has_run: tokio::sync::watch::Sender<Option<(String, Member)>>,
    /// Set once the edge is up; until then leases cannot be asked for.
    pub handle: Arc<OnceLock<Handle>>,
}

impl LocalMember {
    fn view(&self) -> View {
        View::clone(&self.view.load())
    }
}

impl Local for LocalMember {
    fn deliver(&self, message: raft::Message) {
        self.inbox.message(message);
    }

    fn gather(&self, work: &mut dyn FnMut()) {
        self.inbox.gather(work);
    }

    fn gather_appends(&self, work: &mut dyn FnMut()) {
        self.log.write_after(|| self.inbox.gather(work));
    }

    fn unreachable(&self, id: u64) {
        self.inbox.number(Input::Unreachable(id));
    }

    fn snapshot_sent(&self, id: u64, ok: bool) {
        self.inbox.number(Input::SnapshotSent(id, ok));
    }

    fn removed(&self) {
        self.removed.send_replace(true);
    }

    fn has_run(&self, url: &str, me: Member) {
        self.has_run.send_replace(Some((url.to_owned(), me)));
    }

    fn snapshot(&self) -> io::Result<SnapshotBody> {
        let view = self.view();
        let plan = view.image().map_err(io::Error::other)?;
        let meta = raft::SnapshotMeta {
            index: view.applied(),
            term: view.term(),
            conf_state: boot::raft_conf_state(&view.conf_state()),
        };
        Ok(SnapshotBody {
            meta,
            data: plan.beside().into(),
            size_bytes: plan.size_bytes(),
            write: Box::new(move |sink| plan.write(sink).map_err(io::Error::other)),
        })
    }

    fn receive_snapshot(&self, index: u64, beside: Bytes) -> io::Result<Box<dyn SnapshotSink>> {
        // Two senders may have the same moment: each writes a file of its own.
        let number = self.parts.fetch_add(1, Ordering::Relaxed);
        let (part, file) = boot::begin_snapshot(&self.disk, index, number)?;
        let (disk, received) = (self.disk.clone(), self.received.clone());
        Ok(Box::new(SnapshotFile { disk, file, part, index, beside, received, length: 0, whole: false }))
    }

    fn discard_snapshot(&self, index: u64) {
        let applied = self.view().applied();
        let mut received = self.received.lock().expect("no thread panics with the receipts");
        if let Err(error) = received.discard(&self.disk, index, applied) {
            tracing::warn!(index, error = %error, "cannot remove a snapshot that is of no use");
        }
    }

    fn members(&self) -> Vec<proto::etcdserverpb::Member> {
        self.view().roster().to_wire()
    }

    fn is_removed(&self, id: u64) -> bool {
        self.view().roster().is_removed(id)
    }

    fn cluster_version(&self) -> Option<String> {
        self.view().roster().cluster_version().map(str::to_owned)
    }

    fn hash_kv(&self, revision: i64) -> Result<HashKv, String> {
        let view = self.view();
        let hash = view.hash_kv(revision).map_err(|error| error.to_string())?;
        Ok(HashKv {
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.hash_revision,
            revision: view.revision(),
        })
    }

    fn chain(&self) -> Option<Vec<u8>> {
        Some(self.view.load().chain().encode())
    }

    fn keep_alive(&self, id: i64) -> BoxFuture<Result<i64, LeaseError>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let handle = handle.get().ok_or_else(|| LeaseError::Other("this member is starting".to_owned()))?;
            match handle.keep_alive_here(id).await {
                Ok(0) => Err(LeaseError::NotFound),
                Ok(ttl) => Ok(ttl),
                Err(error) => Err(lease_error(&error)),
            }
        })
    }

    fn time_to_live(&self, id: i64, keys: bool) -> BoxFuture<Result<RemainingLease, LeaseError>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            let handle = handle.get().ok_or_else(|| LeaseError::Other("this member is starting".to_owned()))?;
            let left = handle.time_to_live_here(id, keys).await.map_err(|error| lease_error(&error))?;
            if left.ttl < 0 {
                return Err(LeaseError::NotFound);
            }
            Ok(RemainingLease { ttl: left.ttl, granted_ttl: left.granted_ttl, keys: left.keys })
        })
    }
}

/// A snapshot on its way in. It gets its name only when it is whole and
/// durable.
struct SnapshotFile {
    disk: OsDisk,
    file: disk::OsFile,
    part: String,
    index: u64,
    received: Arc<Mutex<Receipts>>,
    /// What came beside it.
    beside: Bytes,
    length: u64,
    whole: bool,
}

impl SnapshotSink for SnapshotFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(self.length, &[bytes])?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.file.sync()?;
        // Once raft stands on it there is no way back.
        boot::check_image(&self.disk, &self.part, &self.beside).map_err(io::Error::other)?;
        let mut received = self.received.lock().expect("no thread panics with the receipts");
        received.name(&self.disk, &self.part, self.index, &self.beside)?;
        self.whole = true;
        Ok(())
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if !self.whole {
            // Half a snapshot is of no use; what cannot be removed is
            // overwritten by the next one.
            let _ = self.disk.remove(&self.part);
        }
    }
}

fn lease_error(error: &Error) -> LeaseError {
    match error {
        Error::Unavailable(Unavailable::NotLeader) => LeaseError::NotPrimary,
        Error::Unavailable(Unavailable::TimeoutWaitApplied) => LeaseError::ApplyTimeout,
        other => LeaseError::Other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::scratch::Scratch;

    /// A member that has applied three entries.
    fn local(disk: &OsDisk) -> LocalMember {
        let mut store = store::Store::create(disk.clone(), boot::dirs::STORE, store::Settings::default()).unwrap();
        let entry = |index| store::Entry { index, term: 1, kind: store::EntryKind::Normal, data: Bytes::new() };
        store.apply(&[1, 2, 3].map(entry), &|_| true).unwrap();
        let identity = member::log::Identity { cluster_id: 1, member_id: 2 };
        let log = member::log::Log::create(disk.clone(), boot::dirs::LOG, identity, 1 << 20).unwrap();
        let inbox: Arc<Inbox> = Arc::default();
        LocalMember {
            log: Arc::new(LogDoor::new(log, inbox.clone(), crate::run::fail::Fatal::default())),
            inbox,
            view: Arc::new(ArcSwap::from_pointee(store.view())),
            disk: disk.clone(),
            parts: AtomicU64::new(0),
            received: Arc::default(),
            removed: tokio::sync::watch::channel(false).0,
            has_run: tokio::sync::watch::channel(None).0,
            handle: Arc::default(),
        }
    }

    fn receive(local: &LocalMember, index: u64) {
        let SnapshotBody { data, write, .. } = local.snapshot().unwrap();
        let mut sink = local.receive_snapshot(index, data).unwrap();
        write(&mut |bytes| sink.write(bytes)).unwrap();
        sink.finish().unwrap();
    }

    fn files(local: &LocalMember) -> Vec<String> {
        local.disk.list(boot::dirs::SNAPSHOTS).unwrap()
    }

    #[test]
    fn a_snapshot_goes_with_its_last_receipt_or_when_store_has_passed_it() {
        let Scratch { disk, .. } = &Scratch::new("local");
        let local = local(disk);
        for _ in 0..2 {
            receive(&local, 9);
        }
        let both = ["0000000000000009.snap.db", "0000000000000009.snap.v2"];
        assert_eq!(files(&local), both);
        local.discard_snapshot(9);
        assert_eq!(files(&local), both, "it has come a second time");
        local.discard_snapshot(9);
        assert_eq!(files(&local), [""; 0]);
        // Nobody will install what Store has passed, however often it has come.
        for _ in 0..2 {
            receive(&local, 3);
        }
        assert_eq!(files(&local).len(), 2);
        local.discard_snapshot(3);
        assert_eq!(files(&local), [""; 0]);
    }

    #[test]
    fn a_snapshot_that_cannot_be_named_leaves_nothing() {
        let Scratch { disk, .. } = &Scratch::new("unnamed");
        let local = local(disk);
        // In the way of its name.
        let path = boot::snapshot_path(9);
        disk.create_dir(&path).unwrap();
        let SnapshotBody { data, write, .. } = local.snapshot().unwrap();
        let mut sink = local.receive_snapshot(9, data).unwrap();
        write(&mut |bytes| sink.write(bytes)).unwrap();
        sink.finish().unwrap_err();
        assert_eq!(files(&local), ["0000000000000009.snap.db"], "neither what came beside it nor a part is left");
    }
}
