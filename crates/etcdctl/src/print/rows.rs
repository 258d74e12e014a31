//! Answers that are tables by nature, shared by the simple format (joined by
//! commas) and the table format.

use proto::etcdserverpb::{AlarmType, HashKvResponse, MemberListResponse, StatusResponse};

use crate::go::size::si;

use super::Health;

/// Titles and rows, all of the same width.
#[derive(Debug)]
pub struct Table {
    /// Titles, as etcdctl writes them before they become capitals.
    pub titles: Vec<&'static str>,
    /// Rows of cells.
    pub rows: Vec<Vec<String>>,
}

/// `member list`
pub fn members(response: &MemberListResponse) -> Table {
    let row = |member: &proto::etcdserverpb::Member| {
        let status = match member.name.as_str() {
            "" => "unstarted",
            _ => "started",
        };
        vec![
            format!("{:x}", member.id),
            status.to_owned(),
            member.name.clone(),
            member.peer_urls.join(","),
            member.client_urls.join(","),
            member.is_learner.to_string(),
        ]
    };
    Table {
        titles: vec!["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"],
        rows: response.members.iter().map(row).collect(),
    }
}

/// `endpoint health`
pub fn healths(all: &[Health]) -> Table {
    let row = |health: &Health| {
        vec![health.endpoint.clone(), health.error.is_empty().to_string(), health.took.clone(), health.error.clone()]
    };
    Table { titles: vec!["endpoint", "health", "took", "error"], rows: all.iter().map(row).collect() }
}

/// `endpoint status`
pub fn statuses(all: &[(String, StatusResponse)]) -> Table {
    let row = |(endpoint, status): &(String, StatusResponse)| {
        let member = status.header.as_ref().map_or(0, |header| header.member_id);
        let downgrade = status.downgrade_info.clone().unwrap_or_default();
        vec![
            endpoint.clone(),
            format!("{member:x}"),
            status.version.clone(),
            status.storage_version.clone(),
            si(status.db_size.max(0).unsigned_abs()),
            si(status.db_size_in_use.max(0).unsigned_abs()),
            percentage_not_in_use(status),
            si(status.db_size_quota.max(0).unsigned_abs()),
            (status.leader == member).to_string(),
            status.is_learner.to_string(),
            status.raft_term.to_string(),
            status.raft_index.to_string(),
            status.raft_applied_index.to_string(),
            status.errors.join(", "),
            downgrade.target_version,
            downgrade.enabled.to_string(),
        ]
    };
    Table {
        titles: vec![
            "endpoint",
            "ID",
            "version",
            "storage version",
            "db size",
            "in use",
            "percentage not in use",
            "quota",
            "is leader",
            "is learner",
            "raft term",
            "raft index",
            "raft applied index",
            "errors",
            "downgrade target version",
            "downgrade enabled",
        ],
        rows: all.iter().map(row).collect(),
    }
}

/// `endpoint hashkv`
pub fn hashes(all: &[(String, HashKvResponse)]) -> Table {
    let row = |(endpoint, response): &(String, HashKvResponse)| {
        vec![endpoint.clone(), response.hash.to_string(), response.hash_revision.to_string()]
    };
    Table { titles: vec!["endpoint", "hash", "hash revision"], rows: all.iter().map(row).collect() }
}

/// An alarm as etcd names it, or its number.
pub fn alarm_name(alarm: i32) -> String {
    match AlarmType::try_from(alarm) {
        Ok(alarm) => alarm.as_str_name().to_owned(),
        Err(_) => alarm.to_string(),
    }
}

fn percentage_not_in_use(status: &StatusResponse) -> String {
    let used = i128::from(status.db_size_in_use) * 100;
    match i128::from(status.db_size) {
        0 => "0%".to_owned(),
        size => format!("{}%", 100 - used / size),
    }
}
