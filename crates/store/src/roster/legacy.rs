//! What etcd 3.5 says through its oldest language.
//!
//! A 3.5 leader still writes two things about the cluster as requests of the v2
//! API: a member's name and client URLs, and the cluster version. Such an entry is
//! a bare `etcdserverpb.Request`, which never decodes as an `InternalRaftRequest`
//! (its field 5 is a number there). A member that shares a cluster with 3.5 has to
//! understand these two; everything else of the v2 API leaves no trace in the
//! replicated state and is passed over, as etcd 3.6 does.

use prost::Message;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Roster;
use super::json::Malformed;
use crate::chain::{Carried, Link, VERSION};
use crate::ids::{MemberId, RequestId};

/// What a v2 request changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegacyChange {
    /// A member publishes what it is called and where clients reach it.
    Attributes {
        /// The member.
        id: MemberId,
        /// Its name.
        name: String,
        /// Its client URLs.
        client_urls: Vec<String>,
    },
    /// The cluster version, as `X.Y.Z`.
    ClusterVersion(String),
    /// Nothing that the cluster keeps.
    Nothing,
}

/// The fields of `etcdserverpb.Request` that matter here.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(string, tag = "3")]
    path: String,
    #[prost(string, tag = "4")]
    value: String,
}

#[derive(Deserialize)]
struct AttributesJson {
    #[serde(default)]
    name: String,
    #[serde(rename = "clientURLs", default)]
    client_urls: Option<Vec<String>>,
}

/// Reads the data of a normal entry that is no `InternalRaftRequest`: who waits
/// for it, and what it changes.
pub fn decode(data: &[u8]) -> Result<(RequestId, LegacyChange), Malformed> {
    let request = Request::decode(data).map_err(|error| Malformed::new("request of the v2 API", error))?;
    Ok((request.id, change(&request)?))
}

/// The attributes of the members that a 3.5 leader sends beside its image: the v2 store's JSON in a raft snapshot's data.
///
/// 3.5 keeps names and client URLs there and not in the image. Data of another form, or none, has no attributes.
pub(crate) fn attributes_in_store(data: &[u8]) -> Vec<LegacyChange> {
    let Ok(store) = serde_json::from_slice::<Value>(data) else { return Vec::new() };
    let members = store.pointer("/Root/Children/0/Children/members/Children").and_then(Value::as_object);
    let change = |(id, member): (&String, &Value)| {
        let value = member.pointer("/Children/attributes/Value")?.as_str()?;
        let path = format!("/0/members/{id}/attributes");
        change(&Request { id: 0, method: "PUT".into(), path, value: value.into() }).ok()
    };
    members.into_iter().flatten().filter_map(change).collect()
}

/// The v2 store that a member up to 3.7 expects in a raft snapshot's data: one that finds none there ends itself. It holds
/// what is known of the cluster's members, and no keys. `chain` is a field of its own, which etcd skips as it skips every
/// field it does not know.
pub(crate) fn store_with(roster: &Roster, chain: Option<Carried>) -> Vec<u8> {
    let members = roster.members().map(|member| {
        let path = format!("/0/members/{:x}", member.id);
        let mut raft = json!({ "peerURLs": member.peer_urls });
        if member.is_learner {
            raft["isLearner"] = true.into();
        }
        let mut parts = vec![("raftAttributes".to_owned(), file(&format!("{path}/raftAttributes"), &raft.to_string()))];
        if !member.name.is_empty() {
            let published = json!({ "name": member.name, "clientURLs": member.client_urls }).to_string();
            parts.push(("attributes".to_owned(), file(&format!("{path}/attributes"), &published)));
        }
        (format!("{:x}", member.id), directory(&path, parts))
    });
    let removed = roster.removed().map(|id| (format!("{id:x}"), file(&format!("/0/removed_members/{id:x}"), "")));
    let mut cluster = vec![("members".to_owned(), directory("/0/members", members))];
    if roster.removed().next().is_some() {
        cluster.push(("removed_members".to_owned(), directory("/0/removed_members", removed)));
    }
    if let Some(version) = roster.cluster_version() {
        cluster.push(("version".to_owned(), file("/0/version", version)));
    }
    let top = [("0".to_owned(), directory("/0", cluster)), ("1".to_owned(), directory("/1", []))];
    let mut store = json!({ "Root": directory("/", top), "CurrentIndex": 0, "CurrentVersion": 2 });
    if let Some(Carried { base, dropped, link: Link { keys, rest } }) = chain {
        store[CHAIN] = format!("{VERSION}:{base:016x}:{dropped:016x}:{keys:016x}:{rest:016x}").into();
    }
    store.to_string().into_bytes()
}

/// The field of the hash chain: version, and in hexadecimal base, what no row adds to it, and the chain itself.
const CHAIN: &str = "QuorateChain";

/// What a member of ours that sent a snapshot says of its hash chain. None: an etcd sent it, or another version of ours.
pub(crate) fn chain_in_store(data: &[u8]) -> Option<Carried> {
    let store = serde_json::from_slice::<Value>(data).ok()?;
    let mut parts = store.get(CHAIN)?.as_str()?.split(':');
    let version: u8 = parts.next()?.parse().ok()?;
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    let carried = Carried { base: number()?, dropped: number()?, link: Link { keys: number()?, rest: number()? } };
    (version == VERSION).then_some(carried)
}

/// A file of the v2 store.
fn file(path: &str, value: &str) -> Value {
    node(path, value, Value::Null)
}

/// A directory of the v2 store.
fn directory(path: &str, children: impl IntoIterator<Item = (String, Value)>) -> Value {
    node(path, "", Value::Object(children.into_iter().collect::<Map<_, _>>()))
}

fn node(path: &str, value: &str, children: Value) -> Value {
    /// Go's way to write that there is none.
    const NO_TIME: &str = "0001-01-01T00:00:00Z";
    json!({
        "Path": path, "CreatedIndex": 0, "ModifiedIndex": 0, "ExpireTime": NO_TIME, "Value": value, "Children": children,
    })
}

fn change(request: &Request) -> Result<LegacyChange, Malformed> {
    if request.method != "PUT" {
        return Ok(LegacyChange::Nothing);
    }
    if request.path == "/0/version" {
        return Ok(LegacyChange::ClusterVersion(request.value.clone()));
    }
    let id = request.path.strip_prefix("/0/members/");
    let Some(id) = id.and_then(|rest| rest.strip_suffix("/attributes")) else {
        return Ok(LegacyChange::Nothing);
    };
    let id = MemberId::from_str_radix(id, 16).map_err(|error| Malformed::new("member id of a v2 request", error))?;
    let attributes: AttributesJson =
        serde_json::from_str(&request.value).map_err(|error| Malformed::new("attributes of a v2 request", error))?;
    let client_urls = attributes.client_urls.unwrap_or_default();
    Ok(LegacyChange::Attributes { id, name: attributes.name, client_urls })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, value: &str) -> Vec<u8> {
        let id = 7;
        Request { id, method: method.into(), path: path.into(), value: value.into() }.encode_to_vec()
    }

    #[test]
    fn two_requests_matter() {
        let json = r#"{"name":"m1","clientURLs":["http://a:2379"]}"#;
        let publish = request("PUT", "/0/members/8e9e05c52164694d/attributes", json);
        let attributes = LegacyChange::Attributes {
            id: 0x8e9e_05c5_2164_694d,
            name: "m1".into(),
            client_urls: vec!["http://a:2379".into()],
        };
        assert_eq!(decode(&publish), Ok((7, attributes)));
        let version = request("PUT", "/0/version", "3.5.0");
        assert_eq!(decode(&version), Ok((7, LegacyChange::ClusterVersion("3.5.0".into()))));
        let sync = request("SYNC", "", "");
        assert_eq!(decode(&sync), Ok((7, LegacyChange::Nothing)));
        let key = request("PUT", "/1/foo", "bar");
        assert_eq!(decode(&key), Ok((7, LegacyChange::Nothing)));
    }

    #[test]
    fn a_request_as_3_5_1_wrote_it() {
        let mut data = b"\x08\x81\xf8\xed\xc0\xc7\xc0\xe8\xb9\xcf\x01\x12\x03PUT".to_vec();
        data.extend(b"\x1a%/0/members/2943212f5e2cf73/attributes");
        data.extend(b"\":{\"name\":\"default\",\"clientURLs\":[\"http://127.0.0.1:23792\"]}");
        data.extend(b"\x28\x00\x32\x00\x38\x00\x48\x00\x50\x00\x58\x00\x60\x00\x68\x00\x70\x00\x78\x00\x80\x01\x00");
        assert!(proto::etcdserverpb::InternalRaftRequest::decode(&data[..]).is_err(), "it must not pass for one");
        let attributes = LegacyChange::Attributes {
            id: 0x0294_3212_f5e2_cf73,
            name: "default".into(),
            client_urls: vec!["http://127.0.0.1:23792".into()],
        };
        assert_eq!(decode(&data), Ok((0xcf73_a204_781b_7c01, attributes)));
    }

    #[test]
    fn a_store_names_its_members() {
        let attributes = r#""{\"name\":\"m1\",\"clientURLs\":[\"http://a:2379\"]}""#;
        let member =
            format!(r#"{{"Children":{{"attributes":{{"Value":{attributes}}},"raftAttributes":{{"Value":"{{}}"}}}}}}"#);
        let members = format!(r#"{{"members":{{"Children":{{"1f":{member},"2f":{{}}}}}}}}"#);
        let store = format!(r#"{{"Root":{{"Children":{{"0":{{"Children":{members}}}}}}},"CurrentVersion":2}}"#);
        let one = LegacyChange::Attributes { id: 0x1f, name: "m1".into(), client_urls: vec!["http://a:2379".into()] };
        assert_eq!(attributes_in_store(store.as_bytes()), [one]);
        assert_eq!(attributes_in_store(b""), []);
        assert_eq!(attributes_in_store(b"[]"), []);
    }

    #[test]
    fn the_store_sent_is_the_store_read() {
        let member = |id, name: &str| super::super::Member {
            id,
            peer_urls: vec![format!("http://{id}:2380")],
            is_learner: false,
            name: name.to_owned(),
            client_urls: vec!["http://a:2379".to_owned()],
        };
        let members = [member(0x1f, "m1"), member(0x2f, "")];
        let roster = Roster::restore(members, [7], Some("3.5.0".to_owned()), None, Default::default());
        let chain = Carried { base: 5, dropped: u64::MAX, link: Link { keys: 1 << 63, rest: 9 } };
        let store = store_with(&roster, Some(chain));
        assert_eq!(chain_in_store(&store), Some(chain));
        assert_eq!(chain_in_store(&store_with(&roster, None)), None);
        let one = LegacyChange::Attributes { id: 0x1f, name: "m1".into(), client_urls: vec!["http://a:2379".into()] };
        assert_eq!(attributes_in_store(&store), [one]);
        let read: Value = serde_json::from_slice(&store).unwrap();
        let at = |path: &str| read.pointer(path).unwrap_or_else(|| panic!("no {path} in {read}")).clone();
        let cluster = "/Root/Children/0/Children";
        assert_eq!(at(&format!("{cluster}/version/Value")), "3.5.0");
        assert_eq!(at(&format!("{cluster}/removed_members/Children/7/Children")), Value::Null);
        let raft = at(&format!("{cluster}/members/Children/2f/Children/raftAttributes"));
        assert_eq!(
            (&raft["Path"], &raft["Value"]),
            (&json!("/0/members/2f/raftAttributes"), &json!(r#"{"peerURLs":["http://47:2380"]}"#))
        );
        assert_eq!(at("/Root/Children/1/Children"), json!({}));
    }

    #[test]
    fn damage_is_said() {
        assert!(decode(&request("PUT", "/0/members/zz/attributes", "{}")).is_err());
        assert!(decode(&request("PUT", "/0/members/1/attributes", "{")).is_err());
        assert!(decode(b"\xff").is_err());
    }
}
