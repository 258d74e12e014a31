//! Every metric of this member by name. Names, types and buckets are etcd's (`06-metrics`).

use super::API_VERSIONS_MAX;
use super::calls::Calls;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};
use std::collections::BTreeSet;
use std::sync::{LazyLock, RwLock};

pub(super) static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

/// Kinds of requests that are timed, as etcd labels them.
const REQUEST_KINDS: [&str; 6] = ["Range", "Put", "DeleteRange", "ReadonlyTxn", "Txn", "Compaction"];

pub(super) struct Table {
    pub(super) registry: Registry,
    pub(super) calls: Calls,

    pub(super) requests: IntCounterVec,
    pub(super) requests_unary: IntCounter,
    pub(super) requests_stream: IntCounter,
    api_versions: RwLock<BTreeSet<String>>,
    request_seconds: Vec<[Histogram; 2]>,
    pub(super) received_bytes: IntCounter,
    pub(super) sent_bytes: IntCounter,

    pub(super) cluster_version: IntGaugeVec,
    pub(super) server_version: IntGaugeVec,
    pub(super) server_id: IntGaugeVec,
    pub(super) has_leader: IntGauge,
    pub(super) is_leader: IntGauge,
    pub(super) is_learner: IntGauge,
    pub(super) leader_changes: IntCounter,
    pub(super) proposals_applied: IntGauge,
    pub(super) proposals_committed: IntGauge,
    pub(super) proposals_pending: IntGauge,
    pub(super) proposals_failed: IntCounter,
    pub(super) reads_failed: IntCounter,
    pub(super) quota: IntGauge,
    pub(super) health_good: IntCounter,
    pub(super) health_bad: IntCounter,
    pub(super) check: IntGaugeVec,
    pub(super) checks: IntCounterVec,
    pub(super) alarms: IntGaugeVec,
    pub(super) range_good: Histogram,
    pub(super) range_bad: Histogram,

    pub(super) wal_fsync: Histogram,
    pub(super) wal_written: IntGauge,
    pub(super) commit: Histogram,

    pub(super) size: IntGauge,
    pub(super) size_in_use: IntGauge,
    pub(super) puts: IntCounter,
    pub(super) deletes: IntCounter,
    pub(super) txns: IntCounter,
    /// `etcd_mvcc_range_total` is the sum of the next two, which are not shown.
    pub(super) ranges: IntCounter,
    pub(super) ranges_applied: IntCounter,
    pub(super) ranges_read: IntCounter,
    pub(super) keys: IntGauge,
    pub(super) events: IntCounter,
    pub(super) pending_events: IntGauge,
    pub(super) slow_watchers: IntGauge,
    pub(super) watchers: IntGauge,
    pub(super) watch_streams: IntGauge,
    pub(super) current_revision: IntGauge,
    pub(super) compact_revision: IntGauge,
    pub(super) leases_expired: IntCounter,
    pub(super) leases_renewed: IntCounter,

    pub(super) known_peers: IntGaugeVec,
    pub(super) active_peers: IntGaugeVec,
}

/// Registers what it makes.
struct Maker {
    registry: Registry,
}

impl Maker {
    fn keep<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("the table's names and labels are valid");
        self.registry.register(Box::new(collector.clone())).expect("the table's names are distinct");
        collector
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Upper bounds `first`·2^k, `count` of them.
    fn histograms(&self, name: &str, help: &str, labels: &[&str], first: f64, count: usize) -> HistogramVec {
        let bounds = exponential_buckets(first, 2.0, count).expect("the bounds grow");
        self.keep(HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds), labels))
    }

    fn histogram(&self, name: &str, help: &str, first: f64, count: usize) -> Histogram {
        self.histograms(name, help, &[], first, count).with_label_values(&[] as &[&str])
    }
}

impl Table {
    fn new() -> Table {
        let make = Maker { registry: Registry::new() };
        let unshown = |name: &str| IntCounter::new(name, "not shown").expect("the name is valid");
        let requests = make.counters(
            "etcd_server_client_requests_total",
            "The total number of client requests per client version.",
            &["type", "client_api_version"],
        );
        let request_seconds = make.histograms(
            "etcd_server_request_duration_seconds",
            "Response latency distribution in seconds for each type.",
            &["type", "success"],
            0.001,
            14,
        );
        let of_kind = |kind| ["false", "true"].map(|good| request_seconds.with_label_values(&[kind, good]));
        let range_seconds = make.histograms(
            "etcd_server_range_duration_seconds",
            "The latency distributions of txn.Range",
            &["success"],
            0.0001,
            20,
        );
        Table {
            calls: Calls::new(&make.registry),
            requests_unary: requests.with_label_values(&["unary", "unknown"]),
            requests_stream: requests.with_label_values(&["stream", "unknown"]),
            requests,
            api_versions: RwLock::default(),
            request_seconds: REQUEST_KINDS.map(of_kind).into(),
            received_bytes: make.counter(
                "etcd_network_client_grpc_received_bytes_total",
                "The total number of bytes received from grpc clients.",
            ),
            sent_bytes: make.counter(
                "etcd_network_client_grpc_sent_bytes_total",
                "The total number of bytes sent to grpc clients.",
            ),
            cluster_version: make.gauges(
                "etcd_cluster_version",
                "Which version is running. 1 for 'cluster_version' label with current cluster version",
                &["cluster_version"],
            ),
            server_version: make.gauges(
                "etcd_server_version",
                "Which version is running. 1 for 'server_version' label with current version.",
                &["server_version"],
            ),
            server_id: make.gauges(
                "etcd_server_id",
                "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
                &["server_id"],
            ),
            has_leader: make
                .gauge("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not."),
            is_leader: make
                .gauge("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise."),
            is_learner: make
                .gauge("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise."),
            leader_changes: make.counter("etcd_server_leader_changes_seen_total", "The number of leader changes seen."),
            proposals_applied: make
                .gauge("etcd_server_proposals_applied_total", "The total number of consensus proposals applied."),
            proposals_committed: make
                .gauge("etcd_server_proposals_committed_total", "The total number of consensus proposals committed."),
            proposals_pending: make
                .gauge("etcd_server_proposals_pending", "The current number of pending proposals to commit."),
            proposals_failed: make
                .counter("etcd_server_proposals_failed_total", "The total number of failed proposals seen."),
            reads_failed: make
                .counter("etcd_server_read_indexes_failed_total", "The total number of failed read indexes seen."),
            quota: make.gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes."),
            health_good: make.counter("etcd_server_health_success", "The total number of successful health checks"),
            health_bad: make.counter("etcd_server_health_failures", "The total number of failed health checks"),
            check: make.gauges("etcd_server_healthcheck", "The result of each kind of healthcheck.", &["type", "name"]),
            checks: make.counters(
                "etcd_server_healthchecks_total",
                "The total number of each kind of healthcheck.",
                &["type", "name", "status"],
            ),
            alarms: make.gauges(
                "etcd_debugging_server_alarms",
                "Alarms for every member in cluster. 1 for 'server_id' label with current ID. 2 for 'alarm_type' label \
                 with type of this alarm",
                &["server_id", "alarm_type"],
            ),
            range_good: range_seconds.with_label_values(&["true"]),
            range_bad: range_seconds.with_label_values(&["false"]),
            wal_fsync: make.histogram(
                "etcd_disk_wal_fsync_duration_seconds",
                "The latency distributions of fsync called by WAL.",
                0.001,
                14,
            ),
            wal_written: make.gauge("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL."),
            commit: make.histogram(
                "etcd_disk_backend_commit_duration_seconds",
                "The latency distributions of commit called by backend.",
                0.001,
                14,
            ),
            size: make.gauge(
                "etcd_mvcc_db_total_size_in_bytes",
                "Total size of the underlying database physically allocated in bytes.",
            ),
            size_in_use: make.gauge(
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "Total size of the underlying database logically in use in bytes.",
            ),
            puts: make.counter("etcd_mvcc_put_total", "Total number of puts seen by this member."),
            deletes: make.counter("etcd_mvcc_delete_total", "Total number of deletes seen by this member."),
            txns: make.counter("etcd_mvcc_txn_total", "Total number of txns seen by this member."),
            ranges: make.counter("etcd_mvcc_range_total", "Total number of ranges seen by this member."),
            ranges_applied: unshown("ranges_applied"),
            ranges_read: unshown("ranges_read"),
            keys: make.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys."),
            events: make.counter("etcd_debugging_mvcc_events_total", "Total number of events sent by this member."),
            pending_events: make
                .gauge("etcd_debugging_mvcc_pending_events_total", "Total number of pending events to be sent."),
            slow_watchers: make
                .gauge("etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers."),
            watchers: make.gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers."),
            watch_streams: make.gauge("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams."),
            current_revision: make.gauge("etcd_debugging_mvcc_current_revision", "The current revision of store."),
            compact_revision: make
                .gauge("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store."),
            leases_expired: make
                .counter("etcd_debugging_server_lease_expired_total", "The total number of expired leases."),
            leases_renewed: make
                .counter("etcd_debugging_lease_renewed_total", "The number of renewed leases seen by the leader."),
            known_peers: make.gauges(
                "etcd_network_known_peers",
                "The current number of known peers.",
                &["Local", "Remote"],
            ),
            active_peers: make.gauges(
                "etcd_network_active_peers",
                "The current number of active peer connections.",
                &["Local", "Remote"],
            ),
            registry: make.registry,
        }
    }

    /// The histogram of a kind of request.
    pub(super) fn request(&self, kind: &'static str, good: bool) -> &Histogram {
        let row = REQUEST_KINDS.iter().position(|known| *known == kind).expect("the kind is in the table");
        &self.request_seconds[row][usize::from(good)]
    }

    /// Whether this version has a label of its own: the first few that come do.
    pub(super) fn api_version_is_told_apart(&self, version: &str) -> bool {
        let unharmed = "nobody panics while holding the versions";
        if self.api_versions.read().expect(unharmed).contains(version) {
            return true;
        }
        let mut versions = self.api_versions.write().expect(unharmed);
        versions.len() < API_VERSIONS_MAX && (versions.insert(version.to_owned()) || versions.contains(version))
    }
}
