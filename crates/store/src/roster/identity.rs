//! How members and clusters get their ids: the first eight bytes of a SHA-1.
//!
//! Every member of a new cluster computes the same ids from the same flags, so the
//! rule is a promise to etcd members too (`membership.computeMemberID`, `genID`).

use sha1::{Digest, Sha1};

use crate::ids::MemberId;

/// The id of a member: from its peer URLs, the cluster token and, for a member
/// added to a running cluster, the time in seconds since 1970.
///
/// The order of the URLs does not matter.
pub fn member_id(peer_urls: &[String], token: &str, unix_seconds: Option<i64>) -> MemberId {
    let mut sorted: Vec<&String> = peer_urls.iter().collect();
    sorted.sort();
    let mut hash = Sha1::new();
    for url in sorted {
        hash.update(url);
    }
    hash.update(token);
    if let Some(seconds) = unix_seconds {
        hash.update(seconds.to_string());
    }
    first_eight(hash)
}

/// The id of a cluster: from the ids of its first members, in any order.
pub fn cluster_id(members: &[MemberId]) -> u64 {
    let mut sorted = members.to_vec();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    for id in sorted {
        hash.update(id.to_be_bytes());
    }
    first_eight(hash)
}

fn first_eight(hash: Sha1) -> u64 {
    hash.finalize().iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_an_etcd_started_without_flags() {
        // Seen in the log of etcd 3.5.1 with its default flags.
        let id = member_id(&["http://localhost:2380".into()], "etcd-cluster", None);
        assert_eq!(id, 0x8e9e_05c5_2164_694d);
        assert_eq!(cluster_id(&[id]), 0xcdf8_1819_4e3a_8c32);
    }

    #[test]
    fn order_does_not_matter_and_time_does() {
        let (a, b) = ("http://a:1".to_string(), "http://b:1".to_string());
        let id = member_id(&[a.clone(), b.clone()], "t", None);
        assert_eq!(id, member_id(&[b.clone(), a.clone()], "t", None));
        assert_ne!(id, member_id(&[a, b], "t", Some(1_700_000_000)));
        assert_eq!(cluster_id(&[1, 2]), cluster_id(&[2, 1]));
    }
}
