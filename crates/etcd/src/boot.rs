//! From flags to a member that is ready to run: whose data it is, which
//! cluster it belongs to, and nothing written before all doubts are out.

use crate::ask;
use crate::config::{ClusterState, Config, InitialCluster, Url};
use crate::handle::Settings;
use crate::run::fail::MAKE_ROOM;
use disk::{DirectoryLock, OsDisk, SegmentError};
use futures_util::future::{join_all, select_ok, try_join_all};
use member::Fault;
use member::boot::{Opened, Start, dirs};
use member::log::Identity;
use prost::Message;
use proto::raftpb;
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use store::roster::{self, Member};

pub mod first_start;
mod ignored;

/// Bytes of newest records that Store keeps in memory.
const RESIDENT_BYTES: usize = 8 << 20;
/// A segment of the revision log.
const STORE_SEGMENT_BYTES: u64 = 64 << 20;
/// Entry bytes on their way to one member and not acknowledged.
const IN_FLIGHT_BYTES_MAX: usize = 32 << 20;
/// Entry bytes that a leader takes before a majority has them.
const UNCOMMITTED_BYTES_MAX: usize = 256 << 20;
/// How long another member may take to say who it is (etcd: 1 s).
const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// A member that can be started.
pub struct Booted {
    /// Held as long as the member lives.
    pub lock: DirectoryLock,
    /// Its files.
    pub disk: OsDisk,
    /// Its parts.
    pub opened: Opened<OsDisk>,
    /// What the edge is told.
    pub settings: Settings,
    /// The directory held this member already.
    pub is_known: bool,
    /// Its first start is not over. Perhaps its data is lost, and nobody could be asked.
    pub is_first_start: bool,
    /// The members of the cluster that it joins, as another one has told them.
    pub told: Vec<Member>,
}

/// Who this member is, before anything is written.
pub struct Plan {
    identity: Identity,
    start: Start,
    /// Whether the directory held this member already.
    is_known: bool,
    /// The members of the cluster that it joins.
    told: Vec<Member>,
}

/// Finds out who this member is, from its directory, its flags and the other
/// members. Writes nothing, and comes before the ports are bound: a member
/// that starts at the same time and asks the same is refused a connection
/// then, where an open port without anybody behind it would make it wait.
///
/// # Errors
/// One line that names the cause and the flag.
pub async fn plan(config: &Config) -> Result<Plan, String> {
    config.check_data_dir().map_err(|reason| naming("--data-dir", reason))?;
    refuse_foreign_directory(config)?;
    match stored_identity(config)? {
        Some(identity) => {
            refuse_other_cluster(config, identity).await?;
            Ok(Plan { identity, start: begun(config, identity), is_known: true, told: Vec::new() })
        }
        None => match config.initial_cluster_state {
            ClusterState::New => plan_new(config).await,
            ClusterState::Existing => plan_join(config).await,
        },
    }
}

/// Opens the data of this member, or begins it.
///
/// # Errors
/// One line that names the cause and the flag.
pub fn boot(config: &Config, plan: Plan, seed: u64) -> Result<Booted, String> {
    let lock = DirectoryLock::acquire(config)?;
    let disk = OsDisk::new(&config.data_dir).map_err(|error| unusable(config, &error))?;
    let disk = if config.unsafe_no_fsync { disk.without_sync() } else { disk };
    let settings = Settings::new(config, plan.identity.member_id, plan.identity.cluster_id);
    let begun = if plan.is_known { Ok(()) } else { first_start::begin(&disk) };
    let is_first_start = begun.and_then(|()| first_start::is_under_way(&disk));
    let is_first_start = is_first_start.map_err(|error| unusable(config, &error))?;
    let opened = member::boot::open(
        disk.clone(),
        plan.identity,
        plan.start,
        core_config(config, plan.identity, seed),
        store_settings(config, plan.identity),
    )
    .map_err(|fault| unreadable(config, &fault))?;
    if opened.identity != plan.identity {
        let shown = config.data_dir.display();
        return Err(format!("data directory {shown} was taken by another member while this one started"));
    }
    Ok(Booted { lock, disk, opened, settings, is_known: plan.is_known, is_first_start, told: plan.told })
}

/// Says which flags count for nothing, because the cluster that this member knows is another.
pub fn say_ignored(config: &Config, me: u64, known: &store::roster::Roster) {
    let members: Vec<&Member> = known.members().collect();
    ignored::notes(config, me, &members, &resolve).iter().for_each(crate::logging::emit);
}

trait Acquire: Sized {
    fn acquire(config: &Config) -> Result<Self, String>;
}

impl Acquire for DirectoryLock {
    fn acquire(config: &Config) -> Result<DirectoryLock, String> {
        OsDisk::lock(&config.data_dir).map_err(|error| unusable(config, &error))
    }
}

/// Whose data the directory holds; nothing is created.
/// A first start may have ended between making the log and its first entries.
/// If the flags still describe that new cluster it is begun now; a log that
/// has entries ignores this.
fn begun(config: &Config, identity: Identity) -> Start {
    let Ok(cluster) = config.join_cluster() else { return Start::Join };
    let (cluster_id, members) = members_of(&cluster, &config.initial_cluster_token);
    let is_same = cluster_id == identity.cluster_id && members.contains_key(&identity.member_id);
    if is_same && config.initial_cluster_state == ClusterState::New {
        Start::New(members.values().map(first_change).collect())
    } else {
        Start::Join
    }
}

fn stored_identity(config: &Config) -> Result<Option<Identity>, String> {
    if !config.data_dir.join(dirs::LOG).is_dir() {
        return Ok(None);
    }
    // Somebody else may just be writing what is read here.
    let _lock = DirectoryLock::acquire(config)?;
    let disk = OsDisk::new(&config.data_dir).map_err(|error| unusable(config, &error))?;
    let disk = if config.unsafe_no_fsync { disk.without_sync() } else { disk };
    member::boot::identity(&disk).map_err(|fault| unreadable(config, &fault))
}

/// Why the data directory cannot be used at all.
fn unusable(config: &Config, error: &std::io::Error) -> String {
    let advice = if disk::is_full(error) { format!("; {MAKE_ROOM}") } else { String::new() };
    format!("cannot use data directory {} (--data-dir): {}{advice}", config.data_dir.display(), disk::told("", error))
}

/// What is the matter with what lies in the data directory, and what to do about it where that does not say so itself.
fn unreadable(config: &Config, fault: &Fault) -> String {
    let is_damaged = matches!(
        fault,
        Fault::Corrupt(_) | Fault::Segment(SegmentError::Corrupt { .. }) | Fault::Store(store::Fault::Corrupt { .. })
    );
    let advice = match fault {
        _ if is_damaged => {
            "; nothing was changed. The other members go on without this one: keep the directory aside, remove this member and \
             add it anew (docs/operating.md)"
        }
        _ if fault.is_full() => &format!("; {MAKE_ROOM}"),
        _ => "",
    };
    format!("data directory {}: {fault}{advice}", config.data_dir.display())
}

/// A directory that etcd itself has written is not ours to touch. In the inside of one of ours a member would begin anew.
fn refuse_foreign_directory(config: &Config) -> Result<(), String> {
    let shown = config.data_dir.display();
    for inside in [["log", "store"], ["wal", "snap"]] {
        if inside.iter().all(|name| config.data_dir.join(name).is_dir()) && !config.data_dir.join("member").exists() {
            return Err(format!(
                "--data-dir {shown} is the inside of a data directory ({}): give the directory above it",
                inside.join(", ")
            ));
        }
    }
    for foreign in ["member/wal", "member/snap/db"] {
        if config.data_dir.join(foreign).exists() {
            if config.data_dir.join(dirs::LOG).exists() {
                return Err(format!(
                    "--data-dir {shown} holds the data of this member ({}, {}) and beside it that of an etcd member \
                     ({foreign}), as if etcd had been started on it: nothing is lost; if what that etcd wrote is not needed, \
                     move member/wal and member/snap/db away and start again",
                    dirs::LOG,
                    dirs::STORE
                ));
            }
            return Err(format!(
                "--data-dir {shown} holds the data of an etcd member ({foreign}); taking it over is not supported yet: \
                 give this member a directory of its own"
            ));
        }
    }
    Ok(())
}

fn core_config(config: &Config, identity: Identity, seed: u64) -> member::core::Config {
    let tick_ms = (config.heartbeat_interval.as_millis() as u32).max(1);
    let election_ticks = config.election_ticks() as u32;
    let mut raft = raft::Config::new(identity.member_id, seed);
    raft.election_ticks = election_ticks;
    raft.heartbeat_ticks = 1;
    raft.pre_vote = config.pre_vote;
    raft.check_quorum = true;
    raft.lazy_commits = true;
    // Less than a peer's queue takes, so that a member far behind is not told
    // of the same entries again and again.
    raft.inflight_bytes_max = IN_FLIGHT_BYTES_MAX;
    raft.uncommitted_bytes_max = UNCOMMITTED_BYTES_MAX;
    let request_timeout = Duration::from_secs(5) + 2 * config.election_timeout;
    member::core::Config {
        raft,
        catch_up_entries: config.snapshot_catchup_entries,
        read_retry_ticks: (500 / tick_ms).max(1),
        hold_ticks: (request_timeout.as_millis() as u32).div_ceil(tick_ms),
        bounds: member::core::Bounds::default(),
        backlog_bytes_max: member::limits::APPLY_BACKLOG_BYTES_MAX,
        birth: crate::clock::seed(),
    }
}

fn store_settings(config: &Config, identity: Identity) -> store::Settings {
    store::Settings {
        member_id: identity.member_id,
        cluster_id: identity.cluster_id,
        quota_bytes: config.quota_bytes,
        lease_seconds_min: (config.election_timeout.as_millis() as u64 * 3 / 2).div_ceil(1_000) as i64,
        segment_bytes: STORE_SEGMENT_BYTES,
        resident_bytes: RESIDENT_BYTES,
        ..store::Settings::default()
    }
}

/// The first members of a cluster by id, with the cluster's own id.
fn members_of(cluster: &InitialCluster, token: &str) -> (u64, BTreeMap<u64, Member>) {
    let members: BTreeMap<u64, Member> = cluster
        .members
        .iter()
        .map(|(name, urls)| {
            let peer_urls: Vec<String> = urls.iter().map(Url::to_string).collect();
            let id = roster::identity::member_id(&peer_urls, token, None);
            (id, Member { id, name: name.clone(), peer_urls, client_urls: Vec::new(), is_learner: false })
        })
        .collect();
    let ids: Vec<u64> = members.keys().copied().collect();
    (roster::identity::cluster_id(&ids), members)
}

async fn plan_new(config: &Config) -> Result<Plan, String> {
    let cluster = config.new_cluster(&resolve).map_err(|reason| explained(config, reason))?;
    if let Some(note) = cluster.warning() {
        crate::logging::emit(&note);
    }
    let (cluster_id, members) = members_of(&cluster, &config.initial_cluster_token);
    let me = members
        .values()
        .find(|member| member.name == config.name)
        .ok_or_else(|| format!("couldn't find local name {:?} in the initial cluster configuration", config.name))?;
    let identity = Identity { member_id: me.id, cluster_id };
    let others = members.values().filter(|member| member.id != me.id);
    try_join_all(others.map(|member| refuse_bootstrapped(config, member, identity))).await?;
    let changes = members.values().map(first_change).collect();
    Ok(Plan { identity, start: Start::New(changes), is_known: false, told: Vec::new() })
}

/// The entry that adds a first member, as etcd writes it.
fn first_change(member: &Member) -> bytes::Bytes {
    let change = raftpb::ConfChange {
        r#type: raftpb::ConfChangeType::ConfChangeAddNode.into(),
        node_id: member.id,
        context: roster::member_to_json(member).into(),
        ..raftpb::ConfChange::default()
    };
    change.encode_to_vec().into()
}

fn refuse_lost(config: &Config, identity: Identity, asked: &ask::Cluster, url: &str) -> Result<(), String> {
    asked.has_run(identity.member_id).map_or(Ok(()), |me| Err(lost_words(config, me, url)))
}

async fn refuse_bootstrapped(config: &Config, other: &Member, identity: Identity) -> Result<(), String> {
    for url in &other.peer_urls {
        let Ok(asked) = ask::cluster(url, ASK_PATIENCE).await else { continue };
        if asked.id == identity.cluster_id {
            refuse_lost(config, identity, &asked, url)?;
        }
    }
    Ok(())
}

async fn plan_join(config: &Config) -> Result<Plan, String> {
    let cluster = config.join_cluster().map_err(|reason| explained(config, reason))?;
    let others: Vec<String> = cluster
        .members
        .iter()
        .filter(|(name, _)| **name != config.name)
        .flat_map(|(_, urls)| urls)
        .map(Url::to_string)
        .collect();
    let answers = join_all(others.iter().map(|url| ask::cluster(url, ASK_PATIENCE))).await;
    let (mut plan, mut reasons) = (None, Vec::new());
    for (url, answer) in others.iter().zip(answers) {
        match answer {
            Ok(asked) => {
                // Who lags may not have heard yet that this member ran: each is believed that says so.
                let joining = match plan {
                    None => join_among(config, &cluster, &asked)?,
                    Some(joining) => joining,
                };
                if asked.id == joining.identity.cluster_id {
                    refuse_lost(config, joining.identity, &asked, url)?;
                }
                plan = Some(joining);
            }
            Err(reason) => reasons.push(format!("{url}: {reason}")),
        }
    }
    if let Some(plan) = plan {
        return Ok(plan);
    }
    Err(format!(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs \
         (--initial-cluster, --initial-cluster-state existing): {}",
        if reasons.is_empty() { "no other member is named".to_owned() } else { reasons.join("; ") }
    ))
}

fn join_among(config: &Config, cluster: &InitialCluster, asked: &ask::Cluster) -> Result<Plan, String> {
    let wanted = &cluster.members[&config.name];
    let mut wanted: Vec<String> = wanted.iter().map(Url::to_string).collect();
    wanted.sort();
    if cluster.members.len() != asked.members.len() {
        return Err(format!(
            "error validating peerURLs: member count is unequal: --initial-cluster names {}, the cluster has {}",
            cluster.members.len(),
            asked.members.len()
        ));
    }
    let me = asked.members.iter().find(|member| {
        let mut urls = member.peer_urls.clone();
        urls.sort();
        urls == wanted
    });
    let me = me.ok_or_else(|| {
        format!(
            "error validating peerURLs: the cluster has no member with the peer URLs {} of --initial-cluster; \
             add it first (etcdctl member add)",
            wanted.join(",")
        )
    })?;
    let identity = Identity { member_id: me.id, cluster_id: asked.id };
    Ok(Plan { identity, start: Start::Join, is_known: false, told: asked.members.clone() })
}

/// What to say when a member that has run finds no log: what it held is lost, or lies elsewhere. Under its old id it would help
/// to elect and to commit as if it had never promised anything, and with one more loss acknowledged writes would be gone:
/// docs/decisions/006-lost-data.md.
pub fn lost_words(config: &Config, me: &Member, url: &str) -> String {
    format!(
        "member {:x} has already been bootstrapped: {url} knows it as a member that has run, but --data-dir {} had no log of \
         it (member/log). If its data lies elsewhere (a volume that is not mounted?), give that directory. If its data is lost \
         it must not come back under its old id, because it no longer knows what it has voted for and acknowledged, and \
         writes could be lost: remove it and add it anew through another member (etcdctl member remove {:x}, then etcdctl \
         member add {} --peer-urls={}), and start it with --initial-cluster-state existing and an empty directory. Members of \
         our own do not carry these two commands out yet, only etcd's: without one in the cluster keep the majority that is left",
        me.id,
        config.data_dir.display(),
        me.id,
        config.name,
        me.peer_urls.join(",")
    )
}

/// A directory with data of another cluster than the flags speak of. The first
/// member that answers decides; nobody need answer.
async fn refuse_other_cluster(config: &Config, identity: Identity) -> Result<(), String> {
    let Ok(cluster) = config.join_cluster() else { return Ok(()) };
    let others = cluster.members.iter().filter(|(name, _)| **name != config.name).flat_map(|(_, urls)| urls);
    let asking: Vec<_> = others
        .map(|url| {
            Box::pin(async move { ask::cluster(&url.to_string(), ASK_PATIENCE).await.map(|asked| (url, asked)) })
        })
        .collect();
    if asking.is_empty() {
        return Ok(());
    }
    let Ok(((url, asked), _)) = select_ok(asking).await else { return Ok(()) };
    if asked.id == identity.cluster_id {
        return refuse_exchanged(config, identity, url, &asked);
    }
    Err(format!(
        "--data-dir {} holds member {:x} of cluster {:x}, but {url} of --initial-cluster belongs to \
         cluster {:x}: give this member the right --data-dir, or an empty one",
        config.data_dir.display(),
        identity.member_id,
        identity.cluster_id,
        asked.id
    ))
}

/// The data of one member under the address of another: nobody would reach either, and both would have one name.
fn refuse_exchanged(config: &Config, identity: Identity, url: &Url, asked: &ask::Cluster) -> Result<(), String> {
    if !config.given_for_first_start.contains(&"initial-advertise-peer-urls") {
        return Ok(());
    }
    let mine: Vec<String> = config.initial_advertise_peer_urls.iter().map(Url::to_string).collect();
    let is_here = |member: &&Member| member.peer_urls.iter().any(|url| mine.contains(url));
    let Some(owner) = asked.members.iter().find(|member| member.id != identity.member_id && is_here(member)) else {
        return Ok(());
    };
    let held = asked.members.iter().find(|member| member.id == identity.member_id);
    Err(format!(
        "--data-dir {} holds member {:x} ({}), but at --initial-advertise-peer-urls {} the cluster has member {:x} ({}), \
         says {url}: were the data directories of two members exchanged, or their flags?",
        config.data_dir.display(),
        identity.member_id,
        held.map_or("removed", |member| member.name.as_str()),
        mine.join(","),
        owner.id,
        owner.name
    ))
}

/// What is wrong with `--initial-cluster` in etcd's words, and what would be right.
fn explained(config: &Config, reason: String) -> String {
    let name = &config.name;
    if reason.starts_with("couldn't find local name") {
        return format!("{reason} (--name; --initial-cluster is {:?})", config.initial_cluster);
    }
    if reason.starts_with("error setting up initial cluster") {
        return format!(
            "{reason} (--initial-cluster is {:?}, not NAME=http://HOST:PORT,NAME=…)",
            config.initial_cluster
        );
    }
    if reason.contains("but missing from --initial-") {
        return format!("{reason}: both must say the same of {name}");
    }
    naming("--initial-cluster", reason)
}

/// A reason in etcd's words, with the flag where it does not name it itself.
fn naming(flag: &str, reason: String) -> String {
    if reason.contains(flag) { reason } else { format!("{reason} ({flag})") }
}

/// The address behind `host:port`.
fn resolve(authority: &str) -> Option<SocketAddr> {
    authority.to_socket_addrs().ok()?.next()
}
