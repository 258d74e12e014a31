use super::*;
use crate::flags::{Action, Exit, parse};
use std::net::SocketAddr;

fn run(line: &str) -> Result<(Config, Vec<Note>), Exit> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match parse(&words, &[])? {
        Action::Run(config, notes) => Ok((*config, notes)),
        other => panic!("{line:?} should run, but: {other:?}"),
    }
}

fn config(line: &str) -> Config {
    run(line).unwrap().0
}

/// Knows only numbers and localhost, so that tests ask no network.
fn resolve(place: &str) -> Option<SocketAddr> {
    place.replace("localhost", "127.0.0.1").parse().ok()
}

fn new_cluster(line: &str) -> Result<InitialCluster, String> {
    config(line).new_cluster(&resolve)
}

#[test]
fn defaults_are_etcds() {
    let config = config("");
    assert_eq!(config.name, "default");
    assert_eq!(config.data_dir, PathBuf::from("default.etcd"));
    assert_eq!(config.initial_cluster, "default=http://localhost:2380");
    assert_eq!(config.initial_cluster_state, ClusterState::New);
    assert_eq!(config.heartbeat_interval, Duration::from_millis(100));
    assert_eq!((config.election_timeout, config.election_ticks()), (Duration::from_secs(1), 10));
    assert_eq!((config.snapshot_count, config.snapshot_catchup_entries), (10_000, 5_000));
    assert_eq!(config.quota_bytes, Some(2 * 1024 * 1024 * 1024));
    assert_eq!((config.max_request_bytes, config.max_txn_ops), (1_572_864, 128));
    assert_eq!(config.watch_progress_notify_interval, Duration::from_secs(600));
    assert_eq!(config.log, logging::Settings::default());
    assert!(config.pre_vote && config.initial_election_tick_advance && !config.unsafe_no_fsync);
    assert!(config.listen_metrics_urls.is_empty());
    assert_eq!(config.new_cluster(&resolve).unwrap().members.len(), 1);
}

#[test]
fn refusals_have_etcds_words() {
    let cases = [
        (
            "--listen-client-urls http://127.0.0.1:1",
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        ("--heartbeat-interval=0", "--heartbeat-interval must be >0 (set to 0ms)"),
        ("--election-timeout=0", "--election-timeout must be >0 (set to 0ms)"),
        (
            "--heartbeat-interval=600",
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[600ms]",
        ),
        ("--election-timeout 60000", "--election-timeout[60000ms] is too long, and should be set less than 50000ms"),
        (
            "--listen-peer-urls http://foo.bar:2380",
            "expected IP in URL for binding (http://foo.bar:2380) (--listen-peer-urls)",
        ),
        (
            "--initial-advertise-peer-urls http://:2380",
            "--initial-advertise-peer-urls \"http://:2380\" must be \"host:port\" (unexpected empty host (http://:2380))",
        ),
        ("--logger foo", "unknown logger option \"foo\""),
        (
            "--listen-peer-urls https://127.0.0.1:2380",
            "--listen-peer-urls has https://127.0.0.1:2380, but https is not supported yet",
        ),
        ("--log-outputs a.log", "--log-outputs a.log is not supported yet (use default, stderr or stdout)"),
    ];
    for (line, message) in cases {
        let exit = run(line).unwrap_err();
        assert_eq!((exit.code, exit.message.as_str()), (1, message), "{line}");
    }
}

#[test]
fn quota_zero_is_the_default_and_below_is_none() {
    assert_eq!(config("--quota-backend-bytes=-1").quota_bytes, None);
    assert_eq!(config("--quota-backend-bytes 8589934592").quota_bytes, Some(8 << 30));
}

#[test]
fn advertised_urls_that_name_no_machine_are_said() {
    let told = |line: &str| -> Vec<String> {
        let (_, notes) = run(line).unwrap();
        let notes = notes.into_iter().filter(|note| note.message.starts_with("advertised URL names no machine"));
        notes.map(|note| format!("{} {}", note.fields[0].1, note.fields[1].1).replace('"', "")).collect()
    };
    assert!(told("--advertise-client-urls http://10.0.0.1:1,http://localhost:2").is_empty());
    assert!(told("--listen-client-urls http://0.0.0.0:1 --advertise-client-urls http://10.0.0.1:1").is_empty());
    assert_eq!(told("--advertise-client-urls http://0.0.0.0:1"), ["advertise-client-urls http://0.0.0.0:1"]);
    let peers = "--initial-advertise-peer-urls http://10.0.0.1:1,http://[::]:1";
    assert_eq!(told(peers), ["initial-advertise-peer-urls http://[::]:1"]);
}

#[test]
fn progress_notifications_are_bounded() {
    let asked = config("--watch-progress-notify-interval 1ms").watch_progress_notify_interval;
    assert_eq!(asked, WATCH_PROGRESS_INTERVAL_MIN);
}

#[test]
fn a_cluster_reads_names_and_urls() {
    let line = "--name b --initial-advertise-peer-urls http://b:1,http://b:2 \
                --initial-cluster a=http://a:1,b=http://b:2,c=http://c:1,b=http://b:1";
    let cluster = new_cluster(line).unwrap();
    assert_eq!(cluster.to_string(), "a=http://a:1,b=http://b:1,b=http://b:2,c=http://c:1");
    assert_eq!(cluster.warning(), None);
}

#[test]
fn the_same_place_under_two_names_is_the_same() {
    let line = "--initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://localhost:2380";
    assert_eq!(new_cluster(line).unwrap().members.len(), 1);
}

#[test]
fn a_cluster_that_cannot_be_started_says_why() {
    let cases = [
        (
            "--initial-cluster a=http://localhost:2380",
            "couldn't find local name \"default\" in the initial cluster configuration",
        ),
        (
            "--initial-cluster default=http://localhost:2390",
            "--initial-cluster has default=http://localhost:2390 but missing from \
             --initial-advertise-peer-urls=http://localhost:2380 (\"http://127.0.0.1:2380\"(resolved from \
             \"http://localhost:2380\") != \"http://127.0.0.1:2390\"(resolved from \"http://localhost:2390\"))",
        ),
        (
            "--initial-cluster default=http://localhost:2380,default=http://localhost:2380",
            "failed to resolve http://localhost:2380 to match --initial-cluster=default=http://localhost:2380 \
             (len([\"http://localhost:2380\"]) != len([\"http://localhost:2380\" \"http://localhost:2380\"]))",
        ),
        (
            "--initial-cluster default=http://localhost:2380,b=http://localhost:2380",
            "initial cluster b=http://localhost:2380,default=http://localhost:2380 has duplicate url",
        ),
        (
            "--initial-cluster default=localhost:2380",
            "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: localhost:2380",
        ),
        ("--initial-cluster foo", "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: "),
        (
            "--initial-advertise-peer-urls http://a:1,http://b:1 --initial-cluster default=http://a:1",
            "--initial-advertise-peer-urls has http://b:1 but missing from --initial-cluster=default=http://a:1",
        ),
    ];
    for (line, message) in cases {
        assert_eq!(new_cluster(line).unwrap_err(), message, "{line}");
    }
}

#[test]
fn joining_does_not_compare_own_urls() {
    let line = "--initial-cluster-state existing --initial-cluster default=http://elsewhere:1,b=http://b:1";
    let config = config(line);
    assert_eq!(config.initial_cluster_state, ClusterState::Existing);
    assert_eq!(config.join_cluster().unwrap().members.len(), 2);
    assert!(config.new_cluster(&resolve).is_err());
}

#[test]
fn an_even_cluster_is_remarked_on() {
    let cluster = InitialCluster::parse("a=http://a:1,b=http://b:1").unwrap();
    let note = cluster.warning().unwrap();
    assert_eq!(note.level, Level::Warn);
    assert_eq!(note.fields[1], ("tolerated-failures", serde_json::json!(0)));
}

#[test]
fn remarks_on_what_works_but_should_not_be_so() {
    let (_, notes) = run("--unsafe-no-fsync --max-request-bytes 20000000").unwrap();
    let said: Vec<_> = notes.iter().skip(1).map(|note| note.message.as_str()).collect();
    assert!(said[0].starts_with("it isn't recommended to use default name"));
    assert_eq!(said[1], "'data-dir' was empty; using default");
    assert_eq!(said[2], "exceeded recommended request limit");
    assert!(said[3].starts_with("fsync is off"));
    let (_, notes) = run("--name a --data-dir d").unwrap();
    assert_eq!(notes.len(), 1, "only the command line: {notes:?}");
}

#[test]
fn a_data_directory_that_is_none_is_named() {
    let mut config = config("");
    config.data_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let message = config.check_data_dir().unwrap_err();
    assert!(message.starts_with("--data-dir ") && message.ends_with("Cargo.toml is not a directory"), "{message}");
    config.data_dir = PathBuf::from("does/not/exist/yet");
    assert_eq!(config.check_data_dir(), Ok(()));
}
