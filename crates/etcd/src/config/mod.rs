//! What a member is told before it starts: typed, checked, and then never changed.
//!
//! [`Config::new`] takes the values of the flag table and refuses what cannot be run, with etcd's words where etcd has
//! words. It reads nothing but its arguments. What can only be judged at boot (the data directory, whether the cluster is
//! new, what names resolve to) is asked for later, by methods here and in [`cluster`].

pub mod cluster;
pub mod gates;
pub mod url;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use cluster::{InitialCluster, Resolve};
pub use gates::Gates;
pub use url::Url;

use crate::flags::{Value, Values};
use crate::logging::{self, Level, Note};

/// Flags that say which cluster a new member belongs to. With data they are not asked.
pub const FOR_FIRST_START: [&str; 3] = ["initial-cluster", "initial-cluster-token", "initial-advertise-peer-urls"];
/// The name a member has when none is given.
pub const DEFAULT_NAME: &str = "default";
/// The quota of the store when `--quota-backend-bytes` is 0.
pub const QUOTA_BYTES_DEFAULT: u64 = 2 * 1024 * 1024 * 1024;
/// The longest election timeout taken.
pub const ELECTION_TIMEOUT_MS_MAX: u64 = 50_000;
/// Progress notifications come at most this often.
pub const WATCH_PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Time between two checkpoints of a lease, where they are made. As with etcd there is no flag for it.
pub const LEASE_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Requests above this size are taken when asked for, with a warning.
const REQUEST_BYTES_RECOMMENDED: u64 = 10 * 1024 * 1024;

/// Whether the cluster is to be started or exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    /// All members of `--initial-cluster` start it together.
    New,
    /// It runs, and this member was added to it.
    Existing,
}

/// Everything a member is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Human-readable name of this member.
    pub name: String,
    /// Where it keeps its data.
    pub data_dir: PathBuf,
    /// Where it listens for members. Never empty.
    pub listen_peer_urls: Vec<Url>,
    /// Where it listens for clients. Never empty.
    pub listen_client_urls: Vec<Url>,
    /// Where it answers `/metrics` and `/health` besides.
    pub listen_metrics_urls: Vec<Url>,
    /// Where other members reach it, at first.
    pub initial_advertise_peer_urls: Vec<Url>,
    /// Where clients reach it.
    pub advertise_client_urls: Vec<Url>,
    /// Text of `--initial-cluster`; see [`Config::new_cluster`] and [`Config::join_cluster`].
    pub initial_cluster: String,
    /// New or existing; without meaning once there is data.
    pub initial_cluster_state: ClusterState,
    /// Goes into the ids of a new cluster and its members.
    pub initial_cluster_token: String,
    /// Which flags that only count at a first start were given.
    pub given_for_first_start: Vec<&'static str>,
    /// Time between a leader's heartbeats: one tick.
    pub heartbeat_interval: Duration,
    /// Silence after which a follower asks for votes. At least five ticks.
    pub election_timeout: Duration,
    /// Applied entries between persisted snapshots.
    pub snapshot_count: u64,
    /// Entries kept for slow followers.
    pub snapshot_catchup_entries: u64,
    /// Size at which the store refuses to grow. None: no bound.
    pub quota_bytes: Option<u64>,
    /// Largest request taken.
    pub max_request_bytes: usize,
    /// Most operations in one transaction.
    pub max_txn_ops: usize,
    /// Streams one client connection may have open.
    pub max_concurrent_streams: u32,
    /// Ask whether one would be elected before disturbing a leader.
    pub pre_vote: bool,
    /// Shorten the first election when starting.
    pub initial_election_tick_advance: bool,
    /// How often an idle watch is told where it stands.
    pub watch_progress_notify_interval: Duration,
    /// Time between two checkpoints of a lease, if the gate `LeaseCheckpoint` is on.
    pub lease_checkpoint_interval: Option<Duration>,
    /// Do not wait for the disk. Loses data on power failure.
    pub unsafe_no_fsync: bool,
    /// Level, format and place of the log.
    pub log: logging::Settings,
}

impl Config {
    /// Reads and checks the values. What is only worth a remark is added to `notes`.
    pub fn new(values: &Values, notes: &mut Vec<Note>) -> Result<Config, String> {
        let log = log_settings(values)?;
        let name = text(values, "name");
        if values.is_given("listen-client-urls") && !values.is_given("advertise-client-urls") {
            return Err("--advertise-client-urls is required when --listen-client-urls is set explicitly".to_owned());
        }
        let initial_advertise_peer_urls = urls(values, "initial-advertise-peer-urls");
        let config = Config {
            data_dir: PathBuf::from(data_dir(values, &name)),
            listen_peer_urls: urls(values, "listen-peer-urls"),
            listen_client_urls: urls(values, "listen-client-urls"),
            listen_metrics_urls: urls(values, "listen-metrics-urls"),
            advertise_client_urls: urls(values, "advertise-client-urls"),
            initial_cluster: initial_cluster(values, &name, &initial_advertise_peer_urls),
            initial_advertise_peer_urls,
            initial_cluster_state: match text(values, "initial-cluster-state").as_str() {
                "new" => ClusterState::New,
                "existing" => ClusterState::Existing,
                other => return Err(format!("unexpected clusterState {other:?}")),
            },
            initial_cluster_token: text(values, "initial-cluster-token"),
            given_for_first_start: FOR_FIRST_START.into_iter().filter(|name| values.is_given(name)).collect(),
            heartbeat_interval: Duration::from_millis(uint(values, "heartbeat-interval")),
            election_timeout: Duration::from_millis(uint(values, "election-timeout")),
            snapshot_count: uint(values, "snapshot-count"),
            snapshot_catchup_entries: uint(values, "snapshot-catchup-entries"),
            quota_bytes: quota(int(values, "quota-backend-bytes")),
            max_request_bytes: size(values, "max-request-bytes")?,
            max_txn_ops: size(values, "max-txn-ops")?,
            max_concurrent_streams: u32::try_from(uint(values, "max-concurrent-streams")).unwrap_or(u32::MAX),
            pre_vote: boolean(values, "pre-vote"),
            initial_election_tick_advance: boolean(values, "initial-election-tick-advance"),
            watch_progress_notify_interval: progress_interval(values)?,
            lease_checkpoint_interval: gates(values)?.lease_checkpoint.then_some(LEASE_CHECKPOINT_INTERVAL),
            unsafe_no_fsync: boolean(values, "unsafe-no-fsync"),
            log,
            name,
        };
        config.check()?;
        config.remark(values, notes);
        Ok(config)
    }

    /// What the values mean together, in etcd's order.
    fn check(&self) -> Result<(), String> {
        for (flag, urls) in [
            ("listen-peer-urls", &self.listen_peer_urls),
            ("listen-client-urls", &self.listen_client_urls),
            ("listen-metrics-urls", &self.listen_metrics_urls),
        ] {
            let refused = |reason| format!("{reason} (--{flag})");
            urls.iter().try_for_each(Url::check_listen).map_err(refused)?;
        }
        for (flag, urls) in [
            ("listen-peer-urls", &self.listen_peer_urls),
            ("listen-client-urls", &self.listen_client_urls),
            ("listen-metrics-urls", &self.listen_metrics_urls),
            ("initial-advertise-peer-urls", &self.initial_advertise_peer_urls),
        ] {
            if let Some(url) = urls.iter().find(|url| url.scheme() != "http") {
                return Err(format!("--{flag} has {url}, but {} is not supported yet", url.scheme()));
            }
        }
        for url in &self.initial_advertise_peer_urls {
            url.check_advertise().map_err(|reason| {
                format!("--initial-advertise-peer-urls {:?} must be \"host:port\" ({reason})", url.to_string())
            })?;
        }
        for url in &self.advertise_client_urls {
            url.check_advertise().map_err(|reason| {
                format!(
                    "--advertise-client-urls {:?} must be in the format \"host:port\", \"unix:/path/to/socket\" or \
                     \"unixs:/path/to/socket\" ({reason})",
                    url.to_string()
                )
            })?;
        }
        let tick_ms = self.heartbeat_interval.as_millis();
        let election_ms = self.election_timeout.as_millis();
        if tick_ms == 0 {
            return Err("--heartbeat-interval must be >0 (set to 0ms)".to_owned());
        }
        if election_ms == 0 {
            return Err("--election-timeout must be >0 (set to 0ms)".to_owned());
        }
        if tick_ms.saturating_mul(5) > election_ms {
            return Err(format!(
                "--election-timeout[{election_ms}ms] should be at least as 5 times as --heartbeat-interval[{tick_ms}ms]"
            ));
        }
        if election_ms > u128::from(ELECTION_TIMEOUT_MS_MAX) {
            return Err(format!(
                "--election-timeout[{election_ms}ms] is too long, and should be set less than \
                 {ELECTION_TIMEOUT_MS_MAX}ms"
            ));
        }
        if self.max_txn_ops == 0 || self.max_request_bytes == 0 {
            return Err("--max-txn-ops and --max-request-bytes must be >0".to_owned());
        }
        Ok(())
    }

    fn remark(&self, values: &Values, notes: &mut Vec<Note>) {
        if self.name == DEFAULT_NAME {
            let message = "it isn't recommended to use default name, please set a value for --name. Note that etcd might \
                           run into issue when multiple members have the same default name";
            notes.push(Note::new(Level::Warn, message).with("name", self.name.as_str()));
        }
        for (flag, urls) in [
            ("advertise-client-urls", &self.advertise_client_urls),
            ("initial-advertise-peer-urls", &self.initial_advertise_peer_urls),
        ] {
            for url in urls.iter().filter(|url| matches!(url.host(), "0.0.0.0" | "::" | "[::]")) {
                let message = "advertised URL names no machine: whoever is told so looks on its own";
                notes.push(Note::new(Level::Warn, message).with("flag", flag).with("url", url.to_string()));
            }
        }
        if !values.is_given("data-dir") {
            let note = Note::new(Level::Warn, "'data-dir' was empty; using default");
            notes.push(note.with("data-dir", self.data_dir.display().to_string()));
        }
        let request_bytes = self.max_request_bytes as u64;
        if request_bytes > REQUEST_BYTES_RECOMMENDED {
            let note = Note::new(Level::Warn, "exceeded recommended request limit");
            let note = note.with("max-request-bytes", request_bytes);
            notes.push(note.with("recommended-request-bytes", REQUEST_BYTES_RECOMMENDED));
        }
        if self.unsafe_no_fsync {
            notes.push(Note::new(Level::Warn, "fsync is off: acknowledged writes are lost if the machine stops"));
        }
    }

    /// One election timeout in ticks.
    pub fn election_ticks(&self) -> u64 {
        let ticks = self.election_timeout.as_millis() / self.heartbeat_interval.as_millis();
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// Says why the data directory cannot be used, naming it. A directory that is not there yet is fine.
    pub fn check_data_dir(&self) -> Result<(), String> {
        check_directory(&self.data_dir)
    }
}

fn check_directory(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match std::fs::read_link(path) {
            Ok(target) => Err(format!(
                "--data-dir {shown} is a symbolic link to {}, which is not there: a volume that is not mounted?",
                target.display()
            )),
            Err(_) => Ok(()),
        },
        Err(error) => Err(format!("cannot access data directory {shown}: {error}")),
        Ok(found) if !found.is_dir() => Err(format!("--data-dir {shown} is not a directory")),
        Ok(_) => match std::fs::read_dir(path) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("failed to list data directory {shown}: {error}")),
        },
    }
}

fn log_settings(values: &Values) -> Result<logging::Settings, String> {
    let logger = text(values, "logger");
    if logger != "zap" {
        return Err(format!("unknown logger option {logger:?}"));
    }
    let Value::List(outputs) = values.get("log-outputs") else { return Err("log-outputs is no list".to_owned()) };
    let mut output = None;
    for word in &outputs {
        let this = match word.as_str() {
            "default" | "stderr" => logging::Output::Stderr,
            "stdout" => logging::Output::Stdout,
            other => return Err(format!("--log-outputs {other} is not supported yet (use default, stderr or stdout)")),
        };
        if output.is_some_and(|earlier| earlier != this) {
            return Err(
                "--log-outputs takes one of default, stderr and stdout; several are not supported yet".to_owned()
            );
        }
        output = Some(this);
    }
    Ok(logging::Settings {
        level: Level::parse(&text(values, "log-level")).unwrap_or(Level::Info),
        format: match text(values, "log-format").as_str() {
            "console" => logging::Format::Console,
            _ => logging::Format::Json,
        },
        output: output.unwrap_or(logging::Output::Stderr),
    })
}

fn data_dir(values: &Values, name: &str) -> String {
    let given = text(values, "data-dir");
    if values.is_given("data-dir") && !given.is_empty() { given } else { format!("{name}.etcd") }
}

/// What was given, else this member alone under the URLs it advertises.
fn initial_cluster(values: &Values, name: &str, advertised: &[Url]) -> String {
    if values.is_given("initial-cluster") {
        return text(values, "initial-cluster");
    }
    advertised.iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>().join(",")
}

fn quota(given: i64) -> Option<u64> {
    match given {
        0 => Some(QUOTA_BYTES_DEFAULT),
        _ => u64::try_from(given).ok(),
    }
}

fn progress_interval(values: &Values) -> Result<Duration, String> {
    let Value::Duration(nanoseconds) = values.get("watch-progress-notify-interval") else {
        return Err("watch-progress-notify-interval is no duration".to_owned());
    };
    let interval = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    Ok(interval.max(WATCH_PROGRESS_INTERVAL_MIN))
}

/// The gates, and what they were called before there were gates.
fn gates(values: &Values) -> Result<Gates, String> {
    let former = |name| values.is_given(name).then(|| boolean(values, name));
    let checkpoint = former("experimental-enable-lease-checkpoint");
    let persist = former("experimental-enable-lease-checkpoint-persist");
    Gates::read(&text(values, "feature-gates"), checkpoint, persist)
}

fn text(values: &Values, name: &str) -> String {
    match values.get(name) {
        Value::Text(text) => text,
        other => other.to_string(),
    }
}

fn boolean(values: &Values, name: &str) -> bool {
    values.get(name) == Value::Bool(true)
}

fn uint(values: &Values, name: &str) -> u64 {
    let value = values.get(name);
    assert!(matches!(value, Value::Uint(_)), "--{name} is an unsigned number");
    if let Value::Uint(value) = value { value } else { 0 }
}

fn int(values: &Values, name: &str) -> i64 {
    let value = values.get(name);
    assert!(matches!(value, Value::Int(_)), "--{name} is a number");
    if let Value::Int(value) = value { value } else { 0 }
}

fn size(values: &Values, name: &str) -> Result<usize, String> {
    usize::try_from(uint(values, name)).map_err(|_| format!("--{name} is too large"))
}

/// The URLs given; empty text stands for the default.
fn urls(values: &Values, name: &str) -> Vec<Url> {
    let default = || crate::flags::table::find(name).map(crate::flags::Flag::default_value);
    match (values.get(name), default()) {
        (Value::Urls(Some(urls)), _) | (_, Some(Value::Urls(Some(urls)))) => urls,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
