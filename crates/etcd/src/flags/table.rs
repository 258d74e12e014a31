//! The one table of flags: etcd 3.7's set, with the names 3.5 and 3.6 had for the same things.

use super::value::{Kind, Value};
use Group::{Auth, Clustering, Features, Logging, Member, Monitoring, Security, Tracing, Unsafe};
use Kind::{Bool, Duration, Int, List, OneOf, Text, Uint, Uint32, Urls};

/// One flag.
#[derive(Debug)]
pub struct Flag {
    /// Name on the command line, without dashes.
    pub name: &'static str,
    /// Names that mean the same: those of etcd 3.5 and 3.6.
    pub aliases: &'static [&'static str],
    /// How its text is read.
    pub kind: Kind,
    /// The text it has when not given.
    pub default: &'static str,
    /// Where help lists it.
    pub group: Group,
    /// Its name in the configuration file.
    pub key: Key,
    /// What giving it does.
    pub status: Status,
    /// One line of help.
    pub doc: &'static str,
}

/// Where help lists a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the titles say it")]
pub enum Group {
    Member,
    Clustering,
    Security,
    Auth,
    Monitoring,
    Logging,
    Tracing,
    Features,
    Unsafe,
}

impl Group {
    /// In the order of help.
    pub const ALL: [Group; 9] = [Member, Clustering, Security, Auth, Monitoring, Logging, Tracing, Features, Unsafe];

    /// Heading in help.
    pub fn title(self) -> &'static str {
        match self {
            Member => "Member",
            Clustering => "Clustering",
            Security => "Security",
            Auth => "Auth",
            Monitoring => "Profiling and Monitoring",
            Logging => "Logging",
            Tracing => "Distributed tracing",
            Features => "Features",
            Unsafe => "Unsafe feature",
        }
    }
}

/// A flag's name in the configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The flag's own name.
    Same,
    /// Another path, sections separated by a dot.
    At(&'static str),
    /// It cannot be given there.
    Absent,
}

/// What giving a flag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does what etcd's does.
    Works,
    /// Only its default can be had; anything else is refused.
    Later,
    /// Any value is taken, nothing changes, and the log says why.
    Ignored(&'static str),
}

impl Flag {
    /// The value it has when not given.
    pub fn default_value(&self) -> Value {
        let value = self.kind.parse(self.default);
        assert!(value.is_ok(), "default of --{} is not a value of its kind: {value:?}", self.name);
        value.unwrap_or(Value::Text(String::new()))
    }

    /// Whether this environment variable stands for this flag.
    pub fn has_variable(&self, variable: &str) -> bool {
        self.names().any(|name| variable_of(name) == variable)
    }

    /// The name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The text as it may be logged: a password may not.
    pub fn shown<'a>(&self, text: &'a str) -> &'a str {
        if self.name.contains("password") { "<hidden>" } else { text }
    }

    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn key(mut self, key: &'static str) -> Self {
        self.key = Key::At(key);
        self
    }

    const fn flag_only(mut self) -> Self {
        self.key = Key::Absent;
        self
    }
}

/// The environment variable of a flag.
pub fn variable_of(name: &str) -> String {
    format!("ETCD_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// The row of a flag, by its name or one of its former names.
pub fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.names().any(|known| known == name))
}

/// Words of etcd 0.x and of Go's test runner, which etcd still takes (without a value) and ignores.
pub(super) const OBSOLETE: [&str; 15] = [
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
    "test.coverprofile",
    "test.outputdir",
];

const fn row(
    status: Status,
    group: Group,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Flag {
    Flag { name, aliases: &[], kind, default, group, key: Key::Same, status, doc }
}

const fn works(group: Group, name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Flag {
    row(Status::Works, group, name, kind, default, doc)
}

const fn later(group: Group, name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Flag {
    row(Status::Later, group, name, kind, default, doc)
}

const fn ignored(
    reason: &'static str,
    group: Group,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Flag {
    row(Status::Ignored(reason), group, name, kind, default, doc)
}

const NO_BBOLT: &str = "data is not kept in bbolt";
const NO_FILES: &str = "old log segments and snapshots are removed as soon as nothing needs them";
const NO_DEFRAG: &str = "space is given back by itself, there is no defragmentation";
const NO_V2: &str = "there is no v2 store";

/// Every flag, in the order of help.
#[rustfmt::skip]
pub const FLAGS: &[Flag] = &[
    works(Member, "name", Text, "default", "Human-readable name for this member."),
    works(Member, "data-dir", Text, "${name}.etcd", "Path to the data directory."),
    later(Member, "wal-dir", Text, "", "Path to the dedicated wal directory."),
    works(Member, "snapshot-count", Uint, "10000", "Number of committed transactions to trigger a snapshot to disk."),
    works(Member, "snapshot-catchup-entries", Uint, "5000", "Number of entries for a slow follower to catch up after compacting the raft storage entries.")
        .alias(&["experimental-snapshot-catchup-entries", "experimental-snapshot-catch-up-entries"]),
    works(Member, "heartbeat-interval", Uint, "100", "Time (in milliseconds) of a heartbeat interval."),
    works(Member, "election-timeout", Uint, "1000", "Time (in milliseconds) for an election to timeout. See tuning documentation for details."),
    works(Member, "initial-election-tick-advance", Bool, "true", "Whether to fast-forward initial election ticks on boot for faster election."),
    works(Member, "listen-peer-urls", Urls, "http://localhost:2380", "List of URLs to listen on for peer traffic."),
    works(Member, "listen-client-urls", Urls, "http://localhost:2379", "List of URLs to listen on for client grpc traffic and http as long as --listen-client-http-urls is not specified."),
    later(Member, "listen-client-http-urls", Urls, "", "List of URLs to listen on for http only client traffic. Enabling this flag removes http services from --listen-client-urls."),
    ignored(NO_FILES, Member, "max-snapshots", Uint, "5", "Maximum number of snapshot files to retain (0 is unlimited). Deprecated."),
    ignored(NO_FILES, Member, "max-wals", Uint, "5", "Maximum number of wal files to retain (0 is unlimited)."),
    later(Member, "memory-mlock", Bool, "false", "Enable to enforce etcd pages to stay in RAM.")
        .alias(&["experimental-memory-mlock"]),
    works(Member, "quota-backend-bytes", Int, "0", "Raise alarms when backend size exceeds the given quota (0 defaults to low space quota)."),
    ignored(NO_BBOLT, Member, "backend-bbolt-freelist-type", Text, "map", "Type of freelist that the bbolt backend uses (array and map are supported types)."),
    ignored(NO_BBOLT, Member, "backend-batch-interval", Duration, "0s", "Maximum time before the backend transaction is committed."),
    ignored(NO_BBOLT, Member, "backend-batch-limit", Int, "0", "Maximum operations before the backend transaction is committed."),
    works(Member, "max-txn-ops", Uint, "128", "Maximum number of operations permitted in a transaction."),
    works(Member, "max-request-bytes", Uint, "1572864", "Maximum client request size in bytes the server will accept."),
    works(Member, "max-concurrent-streams", Uint32, "4294967295", "Maximum concurrent streams that each client can open at a time."),
    later(Member, "grpc-keepalive-min-time", Duration, "5s", "Minimum duration interval that a client should wait before pinging server."),
    later(Member, "grpc-keepalive-interval", Duration, "2h", "Frequency duration of server-to-client ping to check if a connection is alive (0 to disable)."),
    later(Member, "grpc-keepalive-timeout", Duration, "20s", "Additional duration of wait before closing a non-responsive connection (0 to disable)."),
    later(Member, "socket-reuse-port", Bool, "false", "Enable to set socket option SO_REUSEPORT on listeners allowing rebinding of a port already in use.")
        .key("socket-options.reuse-port"),
    ignored("listeners always set SO_REUSEADDR", Member, "socket-reuse-address", Bool, "false", "Enable to set socket option SO_REUSEADDR on listeners allowing binding to an address in TIME_WAIT state.")
        .key("socket-options.reuse-address"),
    later(Member, "raft-read-timeout", Duration, "5s", "Read timeout set on each rafthttp connection.").flag_only(),
    later(Member, "raft-write-timeout", Duration, "5s", "Write timeout set on each rafthttp connection.").flag_only(),
    works(Member, "feature-gates", Text, "", "A set of key=value pairs that describe server level feature gates for alpha/experimental features."),

    works(Clustering, "initial-advertise-peer-urls", Urls, "http://localhost:2380", "List of this member's peer URLs to advertise to the rest of the cluster."),
    works(Clustering, "initial-cluster", Text, "default=http://localhost:2380", "Initial cluster configuration for bootstrapping."),
    works(Clustering, "initial-cluster-state", OneOf(&["new", "existing"]), "new", "Initial cluster state ('new' when bootstrapping a new cluster or 'existing' when adding new members to an existing cluster). Ignored once the member has data."),
    works(Clustering, "initial-cluster-token", Text, "etcd-cluster", "Initial cluster token for the etcd cluster during bootstrap. Specifying this can protect you from unintended cross-cluster interaction when running multiple clusters."),
    works(Clustering, "advertise-client-urls", Urls, "http://localhost:2379", "List of this member's client URLs to advertise to the public. They should be accessible to machines that talk to the cluster."),
    later(Clustering, "discovery-token", Text, "", "V3 discovery: discovery token for the etcd cluster to be bootstrapped.").key("discovery-config.token"),
    later(Clustering, "discovery-endpoints", List, "", "V3 discovery: list of gRPC endpoints of the discovery service.").key("discovery-config.client.endpoints"),
    later(Clustering, "discovery-dial-timeout", Duration, "2s", "V3 discovery: dial timeout for client connections.").key("discovery-config.client.dial-timeout"),
    later(Clustering, "discovery-request-timeout", Duration, "5s", "V3 discovery: timeout for discovery requests (excluding dial timeout).").key("discovery-config.client.request-timeout"),
    later(Clustering, "discovery-keepalive-time", Duration, "2s", "V3 discovery: keepalive time for client connections.").key("discovery-config.client.keepalive-time"),
    later(Clustering, "discovery-keepalive-timeout", Duration, "6s", "V3 discovery: keepalive timeout for client connections.").key("discovery-config.client.keepalive-timeout"),
    later(Clustering, "discovery-insecure-transport", Bool, "true", "V3 discovery: disable transport security for client connections.").key("discovery-config.client.secure.insecure-transport"),
    later(Clustering, "discovery-insecure-skip-tls-verify", Bool, "false", "V3 discovery: skip server certificate verification.").key("discovery-config.client.secure.insecure-skip-tls-verify"),
    later(Clustering, "discovery-cert", Text, "", "V3 discovery: identify secure client using this TLS certificate file.").key("discovery-config.client.secure.cert"),
    later(Clustering, "discovery-key", Text, "", "V3 discovery: identify secure client using this TLS key file.").key("discovery-config.client.secure.key"),
    later(Clustering, "discovery-cacert", Text, "", "V3 discovery: verify certificates of TLS-enabled secure servers using this CA bundle.").key("discovery-config.client.secure.cacert"),
    later(Clustering, "discovery-user", Text, "", "V3 discovery: username[:password] for authentication.").key("discovery-config.client.auth.username"),
    later(Clustering, "discovery-password", Text, "", "V3 discovery: password for authentication (if this option is used, --discovery-user should not include a password).").key("discovery-config.client.auth.password"),
    later(Clustering, "discovery-fallback", OneOf(&["exit", "proxy"]), "exit", "Expected behavior ('exit') when discovery services fails.").flag_only(),
    later(Clustering, "discovery-srv", Text, "", "DNS srv domain used to bootstrap the cluster."),
    later(Clustering, "discovery-srv-name", Text, "", "Suffix to the dns srv name queried when bootstrapping."),
    later(Clustering, "strict-reconfig-check", Bool, "true", "Reject reconfiguration requests that would cause quorum loss."),
    works(Clustering, "pre-vote", Bool, "true", "Enable to run an additional Raft election phase."),
    later(Clustering, "auto-compaction-retention", Text, "0", "Auto compaction retention length. 0 means disable auto compaction."),
    later(Clustering, "auto-compaction-mode", OneOf(&["periodic", "revision"]), "periodic", "Interpret 'auto-compaction-retention' one of: periodic|revision."),
    ignored(NO_V2, Clustering, "v2-deprecation", OneOf(&["not-yet", "write-only", "write-only-skip-check", "write-only-drop-data", "gone"]), "write-only", "Phase of v2store deprecation. Deprecated."),

    later(Security, "cert-file", Text, "", "Path to the client server TLS cert file.").key("client-transport-security.cert-file"),
    later(Security, "key-file", Text, "", "Path to the client server TLS key file.").key("client-transport-security.key-file"),
    later(Security, "client-cert-file", Text, "", "Path to an explicit peer client TLS cert file otherwise cert file will be used when client auth is required.").key("client-transport-security.client-cert-file"),
    later(Security, "client-key-file", Text, "", "Path to an explicit peer client TLS key file otherwise key file will be used when client auth is required.").key("client-transport-security.client-key-file"),
    later(Security, "client-cert-auth", Bool, "false", "Enable client cert authentication.").key("client-transport-security.client-cert-auth"),
    later(Security, "client-crl-file", Text, "", "Path to the client certificate revocation list file.").flag_only(),
    later(Security, "client-cert-allowed-hostname", List, "", "Comma-separated list of SAN hostnames for client cert authentication.").key("client-transport-security.allowed-hostname"),
    later(Security, "trusted-ca-file", Text, "", "Path to the client server TLS trusted CA cert file.").key("client-transport-security.trusted-ca-file"),
    later(Security, "auto-tls", Bool, "false", "Client TLS using generated certificates.").key("client-transport-security.auto-tls"),
    later(Security, "peer-cert-file", Text, "", "Path to the peer server TLS cert file.").key("peer-transport-security.cert-file"),
    later(Security, "peer-key-file", Text, "", "Path to the peer server TLS key file.").key("peer-transport-security.key-file"),
    later(Security, "peer-client-cert-file", Text, "", "Path to an explicit peer client TLS cert file otherwise peer cert file will be used when client auth is required.").key("peer-transport-security.client-cert-file"),
    later(Security, "peer-client-key-file", Text, "", "Path to an explicit peer client TLS key file otherwise peer key file will be used when client auth is required.").key("peer-transport-security.client-key-file"),
    later(Security, "peer-client-cert-auth", Bool, "false", "Enable peer client cert authentication.").key("peer-transport-security.client-cert-auth"),
    later(Security, "peer-trusted-ca-file", Text, "", "Path to the peer server TLS trusted CA file.").key("peer-transport-security.trusted-ca-file"),
    later(Security, "peer-cert-allowed-cn", List, "", "Comma-separated list of allowed CNs for inter-peer TLS authentication.").key("peer-transport-security.allowed-cn"),
    later(Security, "peer-cert-allowed-hostname", List, "", "Comma-separated list of allowed SAN hostnames for inter-peer TLS authentication.").key("peer-transport-security.allowed-hostname"),
    later(Security, "peer-auto-tls", Bool, "false", "Peer TLS using self-generated certificates if --peer-key-file and --peer-cert-file are not provided.").key("peer-transport-security.auto-tls"),
    later(Security, "peer-crl-file", Text, "", "Path to the peer certificate revocation list file.").flag_only(),
    later(Security, "peer-skip-client-san-verification", Bool, "false", "Skip verification of SAN field in client certificate for peer connections.")
        .alias(&["experimental-peer-skip-client-san-verification"]).key("peer-transport-security.skip-client-san-verification"),
    later(Security, "self-signed-cert-validity", Uint, "1", "The validity period (in years) of certificates generated for --auto-tls and --peer-auto-tls."),
    later(Security, "cipher-suites", List, "", "Comma-separated list of supported TLS cipher suites between client/server and peers."),
    later(Security, "tls-min-version", OneOf(&["TLS1.2", "TLS1.3"]), "TLS1.2", "Minimum TLS version supported by etcd. Possible values: TLS1.2, TLS1.3."),
    later(Security, "tls-max-version", OneOf(&["", "TLS1.2", "TLS1.3"]), "", "Maximum TLS version supported by etcd. Possible values: TLS1.2, TLS1.3 (empty: the newest)."),
    later(Security, "cors", List, "*", "Comma-separated whitelist of origins for CORS, or cross-origin resource sharing, (empty or * means allow all)."),
    later(Security, "host-whitelist", List, "*", "Acceptable hostnames from HTTP client requests, if server is not secure (empty or * means allow all)."),

    later(Auth, "auth-token", Text, "simple", "Specify a v3 authentication token type and its options ('simple' or 'jwt')."),
    later(Auth, "bcrypt-cost", Uint, "10", "Specify the cost / strength of the bcrypt algorithm for hashing auth passwords. Valid values are between 4 and 31."),
    later(Auth, "auth-token-ttl", Uint, "300", "Time (in seconds) of the auth-token-ttl."),

    ignored("this program has no Go runtime to profile", Monitoring, "enable-pprof", Bool, "false", "Enable runtime profiling data via HTTP server. Address is at client URL + \"/debug/pprof/\"."),
    later(Monitoring, "metrics", OneOf(&["basic", "extensive"]), "basic", "Set level of detail for exported metrics, specify 'extensive' to include server side grpc histogram metrics."),
    works(Monitoring, "listen-metrics-urls", Urls, "", "List of URLs to listen on for the /metrics and /health endpoints."),
    later(Monitoring, "enable-grpc-gateway", Bool, "true", "Enable GRPC gateway."),
    later(Monitoring, "warning-unary-request-duration", Duration, "300ms", "Time duration after which a warning is generated if a unary request takes more time.")
        .alias(&["experimental-warning-unary-request-duration"]),

    works(Logging, "logger", Text, "zap", "Currently only supports 'zap' for structured logging."),
    works(Logging, "log-outputs", List, "default", "Where the log goes: 'default' (stderr), 'stderr' or 'stdout'."),
    works(Logging, "log-level", OneOf(&["debug", "info", "warn", "error", "panic", "fatal"]), "info", "Configures log level. Only supports debug, info, warn, error, panic, or fatal."),
    works(Logging, "log-format", OneOf(&["json", "console"]), "json", "Configures log format. Only supports json, console."),
    later(Logging, "enable-log-rotation", Bool, "false", "Enable log rotation of a single log-outputs file target."),
    later(Logging, "log-rotation-config-json", Text, "{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": false, \"compress\": false}", "Configures log rotation if enabled with a JSON logger config."),

    later(Tracing, "enable-distributed-tracing", Bool, "false", "Enable distributed tracing.")
        .alias(&["experimental-enable-distributed-tracing"]),
    later(Tracing, "distributed-tracing-address", Text, "localhost:4317", "Distributed tracing collector address.")
        .alias(&["experimental-distributed-tracing-address"]),
    later(Tracing, "distributed-tracing-service-name", Text, "etcd", "Distributed tracing service name, must be same across all etcd instances.")
        .alias(&["experimental-distributed-tracing-service-name"]),
    later(Tracing, "distributed-tracing-instance-id", Text, "", "Distributed tracing instance ID, must be unique per each etcd instance.")
        .alias(&["experimental-distributed-tracing-instance-id"]),
    later(Tracing, "distributed-tracing-sampling-rate", Int, "0", "Number of samples to collect per million spans for distributed tracing.")
        .alias(&["experimental-distributed-tracing-sampling-rate"]),

    later(Features, "corrupt-check-time", Duration, "0s", "Duration of time between cluster corruption check passes.")
        .alias(&["experimental-corrupt-check-time"]),
    later(Features, "compact-hash-check-time", Duration, "1m", "Duration of time between leader checks followers compaction hashes.")
        .alias(&["experimental-compact-hash-check-time"]),
    ignored("a compaction never holds up other work", Features, "compaction-batch-limit", Int, "1000", "Sets the maximum revisions deleted in each compaction batch.")
        .alias(&["experimental-compaction-batch-limit"]),
    ignored("a compaction never holds up other work", Features, "compaction-sleep-interval", Duration, "10ms", "Sets the sleep interval between each compaction batch.")
        .alias(&["experimental-compaction-sleep-interval"]),
    works(Features, "watch-progress-notify-interval", Duration, "10m", "Duration of periodical watch progress notification.")
        .alias(&["experimental-watch-progress-notify-interval"]),
    later(Features, "downgrade-check-time", Duration, "5s", "Duration of time between two downgrade status checks.")
        .alias(&["experimental-downgrade-check-time"]),
    later(Features, "warning-apply-duration", Duration, "100ms", "Warning is generated if requests take more than this duration.")
        .alias(&["experimental-warning-apply-duration"]),
    ignored(NO_DEFRAG, Features, "bootstrap-defrag-threshold-megabytes", Uint, "0", "Enable the defrag during etcd server bootstrap on condition that it will free at least the provided threshold of disk space.")
        .alias(&["experimental-bootstrap-defrag-threshold-megabytes"]),
    later(Features, "max-learners", Int, "1", "Sets the maximum number of learners that can be available in the cluster membership."),
    later(Features, "experimental-initial-corrupt-check", Bool, "false", "Former name of the feature gate InitialCorruptCheck.").flag_only(),
    later(Features, "experimental-compact-hash-check-enabled", Bool, "false", "Former name of the feature gate CompactHashCheck.").flag_only(),
    works(Features, "experimental-enable-lease-checkpoint", Bool, "false", "Former name of the feature gate LeaseCheckpoint.").flag_only(),
    works(Features, "experimental-enable-lease-checkpoint-persist", Bool, "false", "Former name of the feature gate LeaseCheckpointPersist.").flag_only(),
    ignored(NO_DEFRAG, Features, "experimental-stop-grpc-service-on-defrag", Bool, "false", "Former name of the feature gate StopGRPCServiceOnDefrag.").flag_only(),
    ignored("reads never wait for writes", Features, "experimental-txn-mode-write-with-shared-buffer", Bool, "true", "Former name of the feature gate TxnModeWriteWithSharedBuffer.").flag_only(),

    later(Unsafe, "force-new-cluster", Bool, "false", "Force to create a new one-member cluster."),
    works(Unsafe, "unsafe-no-fsync", Bool, "false", "Disables fsync, unsafe, will cause data loss."),
    later(Unsafe, "config-file", Text, "", "Path to the server configuration file. Other flags and environment variables are then ignored.").flag_only(),
];
