//! The roster's JSON, as Go writes it and etcd stores and sends it.
//!
//! Names of fields and which of them are left out when empty are etcd's; a missing
//! list may come as `null`. Unknown fields are ignored.

use proto::raftpb::ConfState;
use serde::{Deserialize, Serialize};

use super::{Downgrade, Member};

/// Bytes of the roster that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {why}")]
pub struct Malformed {
    what: &'static str,
    why: String,
}

impl Malformed {
    pub(crate) fn new(what: &'static str, why: impl ToString) -> Malformed {
        Malformed { what, why: why.to_string() }
    }
}

#[derive(Serialize, Deserialize)]
struct MemberJson {
    id: u64,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Option<Vec<String>>,
    #[serde(rename = "isLearner", default, skip_serializing_if = "is_false")]
    is_learner: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(rename = "clientURLs", default, skip_serializing_if = "Option::is_none")]
    client_urls: Option<Vec<String>>,
}

/// The context of a ConfChange is a member with one more field.
#[derive(Deserialize)]
struct ChangeJson {
    #[serde(flatten)]
    member: MemberJson,
    #[serde(rename = "isPromote", default)]
    is_promote: bool,
}

#[derive(Serialize, Deserialize)]
struct DowngradeJson {
    #[serde(rename = "target-version", default)]
    target_version: String,
    #[serde(default)]
    enabled: bool,
}

#[derive(Serialize, Deserialize)]
struct ConfStateJson {
    #[serde(default, skip_serializing_if = "is_none_or_empty")]
    voters: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "is_none_or_empty")]
    learners: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "is_none_or_empty")]
    voters_outgoing: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "is_none_or_empty")]
    learners_next: Option<Vec<u64>>,
    #[serde(default)]
    auto_leave: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_none_or_empty(list: &Option<Vec<u64>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

impl From<MemberJson> for Member {
    fn from(json: MemberJson) -> Member {
        Member {
            id: json.id,
            peer_urls: json.peer_urls.unwrap_or_default(),
            is_learner: json.is_learner,
            name: json.name,
            client_urls: json.client_urls.unwrap_or_default(),
        }
    }
}

fn write(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs of numbers and strings always serialize")
}

fn read<'a, T: Deserialize<'a>>(what: &'static str, json: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(json).map_err(|error| Malformed::new(what, error))
}

/// A member as in the bucket `members`.
pub fn member_to_json(member: &Member) -> Vec<u8> {
    let client_urls = (!member.client_urls.is_empty()).then(|| member.client_urls.clone());
    write(&MemberJson {
        id: member.id,
        peer_urls: Some(member.peer_urls.clone()),
        is_learner: member.is_learner,
        name: member.name.clone(),
        client_urls,
    })
}

/// Reads a value of the bucket `members`.
pub fn member_from_json(json: &[u8]) -> Result<Member, Malformed> {
    Ok(read::<MemberJson>("member", json)?.into())
}

/// Reads the context of a ConfChange: the member, and whether it is promoted.
pub(super) fn change_from_json(json: &[u8]) -> Result<(Member, bool), Malformed> {
    let change: ChangeJson = read("context of a configuration change", json)?;
    Ok((change.member.into(), change.is_promote))
}

/// A downgrade as in the bucket `cluster`.
pub fn downgrade_to_json(downgrade: &Downgrade) -> Vec<u8> {
    let target_version = downgrade.target_version.clone();
    write(&DowngradeJson { target_version, enabled: downgrade.enabled })
}

/// Reads `cluster/downgrade`.
pub fn downgrade_from_json(json: &[u8]) -> Result<Downgrade, Malformed> {
    let DowngradeJson { target_version, enabled } = read("downgrade", json)?;
    Ok(Downgrade { target_version, enabled })
}

/// Raft's configuration as in `meta/confState`.
pub fn conf_state_to_json(state: &ConfState) -> Vec<u8> {
    write(&ConfStateJson {
        voters: Some(state.voters.clone()),
        learners: Some(state.learners.clone()),
        voters_outgoing: Some(state.voters_outgoing.clone()),
        learners_next: Some(state.learners_next.clone()),
        auto_leave: state.auto_leave,
    })
}

/// Reads `meta/confState`.
pub fn conf_state_from_json(json: &[u8]) -> Result<ConfState, Malformed> {
    let state: ConfStateJson = read("confState", json)?;
    Ok(ConfState {
        voters: state.voters.unwrap_or_default(),
        learners: state.learners.unwrap_or_default(),
        voters_outgoing: state.voters_outgoing.unwrap_or_default(),
        learners_next: state.learners_next.unwrap_or_default(),
        auto_leave: state.auto_leave,
    })
}
