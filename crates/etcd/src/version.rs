//! Which etcd this member says it is, and how versions of members are compared.

use std::fmt;

/// The version of etcd whose behaviour this server has; what `Status`, `/version` and peers see.
pub const SERVER: &str = "3.7.1";
/// The oldest cluster version this server can live in.
pub const MIN_CLUSTER: &str = "3.0.0";
/// The cluster version a cluster made only of such servers comes to.
pub const CLUSTER: &str = "3.7.0";

/// Commit the binary was built from, when the build said so.
pub const GIT_SHA: &str = match option_env!("QUORATE_GIT_SHA") {
    Some(sha) => sha,
    None => "unknown",
};

/// A semantic version without pre-release parts: what members tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number; etcd compares versions by these two.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
}

impl Version {
    /// Reads `3.7.1`, also with `-pre` or `+build` after it, which are dropped.
    pub fn parse(text: &str) -> Option<Version> {
        let plain = text.split(['-', '+']).next()?;
        let mut numbers = plain.split('.').map(|number| number.parse().ok());
        let version = Version { major: numbers.next()??, minor: numbers.next()??, patch: numbers.next()?? };
        numbers.next().is_none().then_some(version)
    }

    /// Major and minor, by which compatibility is decided.
    pub fn major_minor(self) -> (u64, u64) {
        (self.major, self.minor)
    }

    /// The cluster version that goes with this server version: the patch is always 0.
    pub fn cluster(self) -> Version {
        Version { patch: 0, ..self }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Whether a peer with these headers and this server can talk: each must be at least what the other asks for.
pub fn peers_compatible(remote_server: Version, remote_min_cluster: Version) -> bool {
    let local = Version::parse(SERVER).map(Version::major_minor);
    let local_min = Version::parse(MIN_CLUSTER).map(Version::major_minor);
    assert!(local.is_some() && local_min.is_some(), "our own versions parse");
    local >= Some(remote_min_cluster.major_minor()) && Some(remote_server.major_minor()) >= local_min
}

/// The version the cluster agrees on: the lowest of its members' server versions, patch 0. None: somebody is unknown.
pub fn decide_cluster(servers: impl IntoIterator<Item = Option<Version>>) -> Option<Version> {
    let mut lowest: Option<Version> = None;
    for server in servers {
        let server = server?.cluster();
        lowest = Some(lowest.map_or(server, |known| known.min(server)));
    }
    lowest
}

/// The body of `GET /version`: no newline; the cluster's part is known only once a version was agreed on.
pub fn json(cluster: Option<&str>) -> String {
    let (cluster, storage) = match cluster {
        Some(cluster) => (cluster, cluster),
        None => ("not_decided", "unknown"),
    };
    format!(r#"{{"etcdserver":"{SERVER}","etcdcluster":"{cluster}","storage":"{storage}"}}"#)
}

/// The four lines of `--version`. Tools read them by position; the third names the language, which is not Go.
pub fn banner() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!(
        "etcd Version: {SERVER}\nGit SHA: {GIT_SHA}\nGo Version: none (Rust)\nGo OS/Arch: {}/{arch}\n",
        std::env::consts::OS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_parse_and_order() {
        assert_eq!(version("3.5.1").to_string(), "3.5.1");
        assert_eq!(version("3.8.0-alpha.0+git"), Version { major: 3, minor: 8, patch: 0 });
        assert!(version("3.10.0") > version("3.9.9"));
        for wrong in ["", "3", "3.5", "3.5.x", "3.5.1.2", "v3.5.1"] {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn older_and_newer_peers_are_welcome_until_they_ask_too_much() {
        assert!(peers_compatible(version("3.5.1"), version("3.0.0")));
        assert!(peers_compatible(version("3.9.0"), version("3.7.9")));
        assert!(!peers_compatible(version("3.9.0"), version("3.8.0")), "it needs a cluster newer than we are");
        assert!(!peers_compatible(version("2.3.0"), version("2.3.0")), "it is older than we can live with");
    }

    #[test]
    fn the_cluster_is_as_old_as_its_oldest_member() {
        assert_eq!(decide_cluster([Some(version("3.7.1")), Some(version("3.5.9"))]), Some(version("3.5.0")));
        assert_eq!(decide_cluster([Some(version("3.7.1")), None]), None);
        assert_eq!(decide_cluster([]), None);
    }

    #[test]
    fn version_endpoint_before_and_after_the_decision() {
        assert_eq!(json(None), r#"{"etcdserver":"3.7.1","etcdcluster":"not_decided","storage":"unknown"}"#);
        assert_eq!(json(Some("3.7.0")), r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#);
        assert_eq!(banner().lines().count(), 4);
    }
}
