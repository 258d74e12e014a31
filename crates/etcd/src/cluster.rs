//! What a member does for its cluster besides serving: it makes itself known,
//! keeps its links in step with the roster, and as leader agrees on a version.

use crate::ask;
use crate::boot::first_start;
use crate::config::Url;
use crate::handle::Handle;
use crate::version::{self, Version};
use disk::OsDisk;
use proto::etcdserverpb::InternalRaftRequest;
use proto::membershippb::{Attributes, ClusterMemberAttrSetRequest, ClusterVersionSetRequest};
use std::time::Duration;
use store::roster::Member;
use tokio::sync::watch;

/// How often the leader looks whether the cluster's version can rise (etcd: 4 s).
const VERSION_LOOK: Duration = Duration::from_secs(4);
/// How often a new cluster's first leader looks until the version is known.
const FIRST_VERSION_LOOK: Duration = Duration::from_millis(100);
/// Looks for which a first leader waits for members that are still starting.
const FIRST_LOOKS: u32 = 30;
/// How long a member may take to tell its version.
const ASK_PATIENCE: Duration = Duration::from_secs(1);
/// How long the peer port waits until what was committed is applied, at most.
const FIRST_ROSTER: Duration = Duration::from_secs(1);
/// Time between two tries to publish.
const PUBLISH_AGAIN: Duration = Duration::from_millis(200);

/// The end of a first start: returns when this member has something of a leader in its log, durable, and has said so on its disk.
/// Only then others may be told that it has run.
///
/// # Errors
/// When the disk refuses, in words: a sync that failed is not tried again.
pub async fn settle(handle: &Handle, disk: &OsDisk) -> Result<(), String> {
    let mut changes = handle.status_changes();
    while handle.peers().is_wary() {
        match handle.linearizable().await {
            // Who leads was asked, and what a leader reads at is of its own term, and applied here.
            Ok(_) => {
                let disk = disk.clone();
                let ended = tokio::task::spawn_blocking(move || first_start::end(&disk)).await;
                ended
                    .map_err(std::io::Error::other)
                    .flatten()
                    .map_err(|error| format!("cannot take back the mark of a first start in --data-dir: {error}"))?;
                handle.peers().be_trusting();
            }
            Err(_) if handle.is_stopping() => return std::future::pending().await,
            Err(error) => {
                tracing::debug!(%error, "no leader has brought this member anything yet");
                let _ = tokio::time::timeout(PUBLISH_AGAIN, changes.changed()).await;
            }
        }
    }
    Ok(())
}

/// Tells the cluster this member's name and client URLs; returns when that is
/// committed, however long it takes.
pub async fn publish(handle: &Handle, name: &str, client_urls: &[Url]) {
    let attributes =
        Attributes { name: name.to_owned(), client_urls: client_urls.iter().map(Url::to_string).collect() };
    let request = InternalRaftRequest {
        cluster_member_attr_set: Some(ClusterMemberAttrSetRequest {
            member_id: handle.settings().member_id,
            member_attributes: Some(attributes),
        }),
        ..InternalRaftRequest::default()
    };
    let mut changes = handle.status_changes();
    loop {
        match handle.propose(request.clone()).await {
            Ok(_) => {
                tracing::info!(
                    local_member_id = format!("{:x}", handle.settings().member_id),
                    "published local member to cluster through raft"
                );
                return;
            }
            Err(error) if handle.is_stopping() => {
                tracing::debug!(%error, "not published: this member stops");
                return std::future::pending().await;
            }
            Err(error) => tracing::warn!(%error, "failed to publish local member to cluster through raft"),
        }
        // A new leader is worth asking at once.
        let _ = tokio::time::timeout(PUBLISH_AGAIN, changes.changed()).await;
    }
}

/// Links to the first members that this one knows. Who joins knows those that told it of the cluster. A new cluster's are in
/// the log, and applied in a moment; whoever dials before that would be refused, and both sides would say so. So is what else
/// the log says is committed: others ask at once who belongs to the cluster, and who of them has run.
pub async fn first_links(handle: &Handle, mut changes: watch::Receiver<u64>, committed: u64, told: Vec<Member>) {
    if !told.is_empty() {
        return link(handle, told.iter());
    }
    let applied = changes.wait_for(|_| handle.view().applied() >= committed);
    if tokio::time::timeout(FIRST_ROSTER, applied).await.is_err() {
        tracing::debug!(committed, "what was committed is not applied yet; the peer port does not wait longer");
    }
    link(handle, handle.view().roster().members());
}

/// Links to exactly the members of the roster. While there is none, who joins keeps its first links.
pub async fn follow_roster(handle: Handle, mut changes: watch::Receiver<u64>) {
    loop {
        let view = handle.view();
        if view.roster().members().next().is_some() {
            link(&handle, view.roster().members());
        }
        drop(view);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn link<'a>(handle: &Handle, members: impl Iterator<Item = &'a Member>) {
    let me = handle.settings().member_id;
    let remotes = members.filter(|member| member.id != me).map(|member| (member.id, member.peer_urls.clone()));
    handle.peers().set_remotes(remotes.collect());
}

/// Resolves when this member has been removed from its cluster.
pub async fn removed(handle: Handle, mut changes: watch::Receiver<u64>, mut told: watch::Receiver<bool>) {
    let me = handle.settings().member_id;
    loop {
        if handle.view().roster().is_removed(me) || *told.borrow() {
            return;
        }
        let changed = tokio::select! {
            changed = changes.changed() => changed,
            changed = told.changed() => changed,
        };
        if changed.is_err() {
            return std::future::pending().await;
        }
    }
}

/// As leader, sets the cluster version to the lowest of all members' versions:
/// a feature may be used when every member has it.
pub async fn keep_version(handle: Handle) {
    let mut looks = 0;
    let mut changes = handle.status_changes();
    loop {
        let status = handle.status();
        if status.leader != status.id {
            looks = 0;
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        }
        looks += 1;
        let known = handle.view().roster().cluster_version().and_then(Version::parse);
        let members: Vec<Member> = handle.view().roster().members().cloned().collect();
        let decided = version::decide_cluster(ask_all(&handle, &members).await);
        let wanted = match (known, decided) {
            (None, Some(version)) => Some(version),
            // Somebody has not started yet: the lowest there is, as etcd does, but not at once.
            (None, None) => (looks >= FIRST_LOOKS).then(|| Version::parse(version::MIN_CLUSTER)).flatten(),
            (Some(known), Some(version)) => (version.cluster() > known).then_some(version.cluster()),
            (Some(_), None) => None,
        };
        if let Some(version) = wanted {
            set_version(&handle, version).await;
        }
        // Other members' versions must be asked for; nobody tells.
        let next = if known.is_none() { FIRST_VERSION_LOOK } else { VERSION_LOOK };
        let _ = tokio::time::timeout(next, changes.changed()).await;
    }
}

async fn set_version(handle: &Handle, version: Version) {
    let request = InternalRaftRequest {
        cluster_version_set: Some(ClusterVersionSetRequest { ver: version.to_string() }),
        ..InternalRaftRequest::default()
    };
    match handle.propose(request).await {
        Ok(_) => tracing::info!(cluster_version = %version, "set cluster version"),
        Err(error) => tracing::warn!(%error, cluster_version = %version, "failed to set cluster version"),
    }
}

async fn ask_all(handle: &Handle, members: &[Member]) -> Vec<Option<Version>> {
    let mut versions = Vec::with_capacity(members.len());
    for member in members {
        versions.push(if member.id == handle.settings().member_id {
            Version::parse(version::SERVER)
        } else {
            ask_version(member).await
        });
    }
    versions
}

async fn ask_version(member: &Member) -> Option<Version> {
    for url in &member.peer_urls {
        let authority = url.split("://").nth(1)?;
        let Ok(answer) = ask::get(authority, "/version", ASK_PATIENCE).await else { continue };
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(&answer.body) else { continue };
        if let Some(version) = json["etcdserver"].as_str().and_then(Version::parse) {
            return Some(version);
        }
    }
    None
}
