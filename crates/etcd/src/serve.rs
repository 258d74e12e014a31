//! The life of a server process: boot, run, publish, serve, stop.

use crate::boot::{self, Booted};
use crate::config::{Config, Url};
use crate::edge::Edge;
use crate::handle::{Handle, Settings};
use crate::run::{self, Birth, Running};
use crate::{clock, cluster, lacking, listen, logging, notify};
use disk::OsDisk;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::roster::Member;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long open requests may take once the member stops.
const DRAIN: Duration = Duration::from_millis(500);
/// How long those who waited longer have to take that answer.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Runs a member until a signal, or until it is removed from its cluster; returns the exit code.
pub fn main(config: &Config) -> i32 {
    end_process_on_panic();
    // This thread keeps house: it accepts, publishes and waits for signals.
    // Connections live on the edge's threads, the owners' loops on their own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start polling: {error}")),
    };
    match runtime.block_on(live(config, runtime.handle())) {
        Ok(signal) => {
            tracing::info!("closed etcd server");
            signal.map_or(0, end_by)
        }
        Err(reason) => fail(&reason),
    }
}

fn fail(reason: &str) -> i32 {
    tracing::error!(error = reason, "failed to start etcd");
    logging::plain(&format!("etcd: {reason}"));
    1
}

/// Ends as the signal would have, so that a shell sees 130 or 143; process 1
/// of a container ends with 0.
fn end_by(kind: SignalKind) -> i32 {
    if std::process::id() == 1 {
        return 0;
    }
    128 + kind.as_raw_value()
}

/// A broken invariant anywhere ends the whole member: half of one would be
/// worse than none, and the log is the recovery.
fn end_process_on_panic() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        shown(panic);
        std::process::exit(2);
    }));
}

async fn live(config: &Config, runtime: &tokio::runtime::Handle) -> Result<Option<SignalKind>, String> {
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let mut terminate = listen_for(SignalKind::terminate())?;
    let plan = boot::plan(config).await?;
    // Ports before data: a port that is taken must leave nothing written.
    let peer_listeners = bind_all(&config.listen_peer_urls, "listen-peer-urls").await?;
    let client_listeners = bind_all(&config.listen_client_urls, "listen-client-urls").await?;
    let metrics_listeners = bind_all(&config.listen_metrics_urls, "listen-metrics-urls").await?;

    let Booted { lock, disk, opened, settings, is_known, is_first_start, told } =
        boot::boot(config, plan, clock::seed())?;
    if let Some((file, offset)) = &opened.cut {
        tracing::warn!(file, offset, "the end of the write-ahead log was torn by a crash and has been cut");
    }
    tracing::info!(
        name = config.name,
        member_id = format!("{:x}", settings.member_id),
        cluster_id = format!("{:x}", settings.cluster_id),
        data_dir = %config.data_dir.display(),
        heartbeat_interval = ?config.heartbeat_interval,
        election_timeout = ?config.election_timeout,
        snapshot_count = config.snapshot_count,
        quota_bytes = config.quota_bytes,
        "starting an etcd server"
    );
    let running = run::start(disk.clone(), opened, birth(config, settings), runtime);
    let edge = Edge::start().map_err(|error| format!("cannot start the edge's threads: {error}"))?;
    let edge = Arc::new(edge);
    let (stop, stopped) = watch::channel(false);
    let handle = running.handle.clone();
    if is_first_start {
        handle.peers().be_wary();
    }
    cluster::first_links(&handle, running.roster_changes.clone(), running.committed_at_start, told).await;
    if is_known {
        boot::say_ignored(config, handle.settings().member_id, handle.view().roster());
    }
    for listener in peer_listeners {
        running.links.spawn(handle.peers().clone().serve(listener));
    }
    for listener in metrics_listeners {
        runtime.spawn(listen::serve_http(listener, edge.clone(), handle.clone(), stopped.clone()));
    }
    runtime.spawn(cluster::follow_roster(handle.clone(), running.roster_changes.clone()));
    runtime.spawn(cluster::keep_version(handle.clone()));
    runtime.spawn(lacking::tell(handle.clone(), peer_urls(config)));
    // The only voter of a cluster need not wait for a timeout, and where a cluster begins there is no leader to wait for.
    let begins = is_first_start || handle.view().conf_state().voters.len() == 1;
    if begins && config.initial_election_tick_advance {
        running.campaign();
    }
    let mut has_run = running.has_run.clone();
    let mut lost = None;
    let ended = tokio::select! {
        reason = serve_clients(config, &disk, &edge, handle.clone(), client_listeners, &stopped) => {
            lost = Some(reason);
            None
        }
        _ = interrupt.recv() => Some(SignalKind::interrupt()),
        _ = terminate.recv() => Some(SignalKind::terminate()),
        () = cluster::removed(handle.clone(), running.roster_changes.clone(), running.removed.clone()) => {
            tracing::error!("the member has been permanently removed from the cluster");
            None
        }
        words = known_as_lost(config, &mut has_run) => {
            lost = Some(words);
            None
        }
    };
    if let Some(signal) = ended {
        tracing::info!(signal = name_of(signal), "received signal; shutting down");
    }
    hand_over(&handle).await;
    let _ = stop.send(true);
    // Every listener and connection holds an end of this until it has closed.
    drop(stopped);
    let _ = tokio::time::timeout(DRAIN, stop.closed()).await;
    drop(handle);
    stop_running(running).await;
    // Who waited until now is told that the member has stopped.
    let _ = tokio::time::timeout(LAST_WORDS, stop.closed()).await;
    drop(lock);
    lost.map_or(Ok(ended), Err)
}

/// Resolves when this member has begun anew and another one knows that it has run before.
async fn known_as_lost(config: &Config, has_run: &mut watch::Receiver<Option<(String, Member)>>) -> String {
    match has_run.wait_for(Option::is_some).await.as_deref() {
        Ok(Some((url, me))) => boot::lost_words(config, me, url),
        _ => std::future::pending().await,
    }
}

/// Where other members reach this one.
fn peer_urls(config: &Config) -> Vec<String> {
    config.initial_advertise_peer_urls.iter().map(Url::to_string).collect()
}

/// What a member needs to run besides its data.
pub(crate) fn birth(config: &Config, settings: Settings) -> Birth {
    Birth {
        settings,
        peer_urls: peer_urls(config),
        snapshot_count: config.snapshot_count,
        watch_progress_interval: config.watch_progress_notify_interval,
        lease_checkpoint_interval: config.lease_checkpoint_interval,
        birth: clock::seed(),
    }
}

/// Publishes this member, then serves for ever; returns why it cannot. Connections made earlier wait
/// in the accept queue, as with etcd.
async fn serve_clients(
    config: &Config,
    disk: &OsDisk,
    edge: &Arc<Edge>,
    handle: Handle,
    listeners: Vec<TcpListener>,
    stopped: &watch::Receiver<bool>,
) -> String {
    if let Err(reason) = cluster::settle(&handle, disk).await {
        return reason;
    }
    cluster::publish(&handle, &config.name, &config.advertise_client_urls).await;
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        let address = listener.local_addr().map_or_else(|_| "unknown".to_owned(), |address| address.to_string());
        tracing::info!(
            traffic = "grpc+http",
            address,
            "serving client traffic insecurely; this is strongly discouraged!"
        );
        serving.spawn(listen::serve(listener, edge.clone(), handle.clone(), stopped.clone()));
    }
    tracing::info!("ready to serve client requests");
    notify::ready();
    while serving.join_next().await.is_some() {}
    std::future::pending().await
}

/// A leader that stops hands over first, so that nobody waits for a timeout.
async fn hand_over(handle: &Handle) {
    let status = handle.status();
    if status.leader != status.id {
        return;
    }
    let view = handle.view();
    let heir = view
        .conf_state()
        .voters
        .iter()
        .copied()
        .filter(|&id| id != status.id)
        .max_by_key(|&id| handle.peers().active_since(id).map(|since| since.elapsed()));
    if let Some(heir) = heir
        && handle.peers().active_since(heir).is_some()
        && let Err(error) = tokio::time::timeout(handle.settings().election_timeout, handle.move_leader(heir))
            .await
            .map_err(|_| "it took too long".to_owned())
            .and_then(|moved| moved.map_err(|error| error.to_string()))
    {
        tracing::warn!(error, "leadership was not handed over before stopping");
    }
}

async fn stop_running(running: Running) {
    let stopped = tokio::task::spawn_blocking(move || running.stop()).await;
    assert!(stopped.is_ok(), "stopping does not panic");
}

async fn bind_all(urls: &[Url], flag: &str) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for url in urls {
        let address: SocketAddr = match url.authority().parse() {
            Ok(address) => address,
            Err(_) => tokio::net::lookup_host(url.authority())
                .await
                .ok()
                .and_then(|mut found| found.next())
                .ok_or_else(|| format!("--{flag} {url}: {} is no address of this machine", url.host()))?,
        };
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("--{flag} {url}: cannot listen on port {}: {error}", address.port()))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal, String> {
    signal(kind).map_err(|error| format!("cannot listen for signals: {error}"))
}

fn name_of(kind: SignalKind) -> &'static str {
    if kind == SignalKind::interrupt() { "interrupt" } else { "terminated" }
}
