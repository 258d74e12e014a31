//! What an entry asks for: `InternalRaftRequest`, read field by field.
//!
//! The message has a field for every kind of request and exactly one is set; only that one is decoded, and its bytes
//! share the entry's. What is not known here is said by name and never skipped: an older version that passes over a
//! request would no longer be a copy of the others.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, skip_field};
use proto::etcdserverpb as pb;
use proto::membershippb as mb;

use crate::ids::RequestId;
use crate::nested;
use crate::roster::legacy::{self, LegacyChange};
use crate::store::{Entry, EntryKind};

/// A request of the log.
#[derive(Debug)]
pub(crate) enum Command {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    DeleteRange(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compaction(pb::CompactionRequest),
    LeaseGrant(pb::LeaseGrantRequest),
    LeaseRevoke(pb::LeaseRevokeRequest),
    LeaseCheckpoint(pb::LeaseCheckpointRequest),
    Alarm(pb::AlarmRequest),
    ClusterVersion(mb::ClusterVersionSetRequest),
    Attributes(mb::ClusterMemberAttrSetRequest),
    Downgrade(mb::DowngradeInfoSetRequest),
    Legacy(LegacyChange),
    /// etcd's own test of unknown requests; has no effect by definition.
    Nothing,
}

/// Field numbers that are no request.
const LEGACY_ID: u32 = 1;
const LEGACY_V2: u32 = 2;
const HEADER: u32 = 100;
/// The field of a put; in a put its key, and the last field that asks for nothing from before.
const PUT: u32 = 4;
const PUT_KEY: u32 = 1;
const PUT_LEASE: u32 = 3;

/// Reads the data of a normal entry that is not empty: who waits for it and what it asks for, or what is wrong.
pub(crate) fn decode(data: &Bytes) -> Result<(RequestId, Command), String> {
    let mut rest = &data[..];
    let (mut id, mut legacy_id) = (0, 0);
    let mut request = None;
    while !rest.is_empty() {
        let (field, wire_type) = decode_key(&mut rest).map_err(|_| malformed())?;
        match (field, wire_type) {
            (LEGACY_ID, WireType::Varint) => legacy_id = decode_varint(&mut rest).map_err(|_| malformed())?,
            (_, WireType::LengthDelimited) => {
                let length = decode_varint(&mut rest).map_err(|_| malformed())?;
                let length = usize::try_from(length).map_err(|_| malformed())?;
                let (body, behind) = rest.split_at_checked(length).ok_or_else(malformed)?;
                rest = behind;
                match field {
                    // A bare request of the v2 API has its method here, and is that message as a whole. An embedded
                    // one is a message in the field.
                    LEGACY_V2 if body.first().is_some_and(u8::is_ascii_uppercase) => return decode_legacy(data),
                    LEGACY_V2 => return decode_legacy(body),
                    HEADER => id = request_id(body).ok_or_else(malformed)?,
                    _ if request.is_some() => return Err("two requests at once".into()),
                    _ => request = Some((field, data.slice_ref(body))),
                }
            }
            _ => skip_field(wire_type, field, &mut rest, Default::default()).map_err(|_| malformed())?,
        }
    }
    let Some((field, body)) = request else { return Err("no request".into()) };
    let id = if id == 0 { legacy_id } else { id };
    Ok((id, command(field, body)?))
}

/// How many entries, and bytes of them, are carried out briefly.
const BRIEF_ENTRIES: usize = 4;
const BRIEF_BYTES: usize = 16 << 10;

/// Whether carrying these out takes no longer than a few puts do and looks at no value from before: entries that say
/// nothing, and plain puts of keys for which `blind` says that what they hold now does not matter. Only the shape is
/// looked at; what cannot be read is not brief.
pub(crate) fn are_brief(entries: &[Entry], blind: impl Fn(&[u8]) -> bool) -> bool {
    entries.len() <= BRIEF_ENTRIES
        && entries.iter().map(|entry| entry.data.len()).sum::<usize>() <= BRIEF_BYTES
        && entries.iter().all(|entry| entry.kind == EntryKind::Normal && is_brief(&entry.data, &blind).unwrap_or(false))
}

fn is_brief(mut data: &[u8], blind: impl Fn(&[u8]) -> bool) -> Option<bool> {
    while !data.is_empty() {
        let (field, body) = take_field(&mut data)?;
        if field != HEADER && !(field == PUT && plain_put(body).is_some_and(&blind)) {
            return Some(false);
        }
    }
    Some(true)
}

/// The key of a put without prev_kv, ignore_value and ignore_lease.
fn plain_put(mut put: &[u8]) -> Option<&[u8]> {
    let mut key = &[][..];
    while !put.is_empty() {
        match decode_key(&mut &put[..]).ok()? {
            (PUT_KEY, _) => key = take_field(&mut put)?.1,
            (field, wire_type) if field <= PUT_LEASE => {
                decode_key(&mut put).ok()?;
                skip_field(wire_type, field, &mut put, Default::default()).ok()?;
            }
            _ => return None,
        }
    }
    Some(key)
}

/// Takes a field off the front that has a length; `None` for any other.
fn take_field<'a>(data: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (field, WireType::LengthDelimited) = decode_key(data).ok()? else { return None };
    let length = usize::try_from(decode_varint(data).ok()?).ok()?;
    let (body, behind) = data.split_at_checked(length)?;
    *data = behind;
    Some((field, body))
}

fn malformed() -> String {
    "bytes that are no InternalRaftRequest".into()
}

fn decode_legacy(data: &[u8]) -> Result<(RequestId, Command), String> {
    let (id, change) = legacy::decode(data).map_err(|error| error.to_string())?;
    Ok((id, Command::Legacy(change)))
}

/// Field 1 of a `RequestHeader`.
fn request_id(mut header: &[u8]) -> Option<RequestId> {
    let mut id = 0;
    while !header.is_empty() {
        let (field, wire_type) = decode_key(&mut header).ok()?;
        match (field, wire_type) {
            (1, WireType::Varint) => id = decode_varint(&mut header).ok()?,
            _ => skip_field(wire_type, field, &mut header, Default::default()).ok()?,
        }
    }
    Some(id)
}

fn command(field: u32, body: Bytes) -> Result<Command, String> {
    fn read<T: Message + Default>(name: &str, body: Bytes) -> Result<T, String> {
        T::decode(body).map_err(|error| format!("a malformed {name} ({error})"))
    }
    Ok(match field {
        3 => Command::Range(read("range", body)?),
        4 => Command::Put(read("put", body)?),
        5 => Command::DeleteRange(read("delete_range", body)?),
        6 => Command::Txn(nested::decode(body).map_err(|error| format!("a malformed txn ({error})"))?),
        7 => Command::Compaction(read("compaction", body)?),
        8 => Command::LeaseGrant(read("lease_grant", body)?),
        9 => Command::LeaseRevoke(read("lease_revoke", body)?),
        10 => Command::Alarm(read("alarm", body)?),
        11 => Command::LeaseCheckpoint(read("lease_checkpoint", body)?),
        1300 => Command::ClusterVersion(read("cluster_version_set", body)?),
        1301 => Command::Attributes(read("cluster_member_attr_set", body)?),
        1302 => Command::Downgrade(read("downgrade_info_set", body)?),
        9900 => Command::Nothing,
        unknown => return Err(format!("the request {} (field {unknown})", name_of(unknown))),
    })
}

fn name_of(field: u32) -> &'static str {
    match field {
        1000 => "auth_enable",
        1011 => "auth_disable",
        1012 => "authenticate",
        1013 => "auth_status",
        1100 => "auth_user_add",
        1101 => "auth_user_delete",
        1102 => "auth_user_get",
        1103 => "auth_user_change_password",
        1104 => "auth_user_grant_role",
        1105 => "auth_user_revoke_role",
        1106 => "auth_user_list",
        1107 => "auth_role_list",
        1200 => "auth_role_add",
        1201 => "auth_role_delete",
        1202 => "auth_role_get",
        1203 => "auth_role_grant_permission",
        1204 => "auth_role_revoke_permission",
        _ => "of an unknown kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_header(request: pb::InternalRaftRequest) -> Bytes {
        let header = Some(pb::RequestHeader { id: 77, ..Default::default() });
        pb::InternalRaftRequest { header, ..request }.encode_to_vec().into()
    }

    #[test]
    fn a_request_shares_the_bytes_of_its_entry() {
        let value = Bytes::from(vec![7; 1000]);
        let put = pb::PutRequest { key: Bytes::from_static(b"k"), value, ..Default::default() };
        let data = with_header(pb::InternalRaftRequest { put: Some(put.clone()), ..Default::default() });
        let (id, command) = decode(&data).unwrap();
        let Command::Put(decoded) = command else { panic!("{command:?}") };
        assert_eq!((id, &decoded), (77, &put));
        assert!(data.as_ptr_range().contains(&decoded.value.as_ptr()));
    }

    #[test]
    fn the_old_id_counts_when_there_is_no_header() {
        let request =
            pb::InternalRaftRequest { id: 5, compaction: Some(pb::CompactionRequest::default()), ..Default::default() };
        let data: Bytes = request.encode_to_vec().into();
        assert!(matches!(decode(&data), Ok((5, Command::Compaction(_)))));
    }

    #[test]
    fn what_a_real_3_5_wrote_is_understood() {
        // From the write-ahead log of an etcd 3.5.1 that was started without anything.
        let mut data =
            b"\x08\x84\x86\x91\x91\xc6\xc0\xa8\xf7\xbc\x01\x12\x03PUT\x1a\n/0/version\"\x053.5.0(\x002\x00".to_vec();
        data.extend_from_slice(b"8\x00H\x00P\x00X\x00`\x00h\x00p\x00x\x00\x80\x01\x00");
        let (id, command) = decode(&data.into()).unwrap();
        assert_eq!(id, 0xbcee_a204_6224_4304);
        assert!(matches!(command, Command::Legacy(LegacyChange::ClusterVersion(version)) if version == "3.5.0"));
    }

    #[test]
    fn plain_puts_are_brief() {
        let entry = |data: Bytes| Entry { index: 1, term: 1, kind: EntryKind::Normal, data };
        let put = |put: pb::PutRequest| {
            let key = Bytes::from_static(b"key");
            entry(with_header(pb::InternalRaftRequest {
                put: Some(pb::PutRequest { key, ..put }),
                ..Default::default()
            }))
        };
        let plain = put(pb::PutRequest { value: Bytes::from_static(b"v"), lease: -1, ..Default::default() });
        let empty = entry(Bytes::new());
        let is_key = |key: &[u8]| key == b"key";
        assert!(are_brief(&[plain.clone(), empty.clone()], is_key));
        assert!(!are_brief(std::slice::from_ref(&plain), |_| false));
        assert!(!are_brief(&vec![plain.clone(); BRIEF_ENTRIES + 1], is_key));
        for long in [
            put(pb::PutRequest { prev_kv: true, ..Default::default() }),
            put(pb::PutRequest { ignore_value: true, ..Default::default() }),
            put(pb::PutRequest { ignore_lease: true, ..Default::default() }),
            put(pb::PutRequest { value: vec![0; BRIEF_BYTES].into(), ..Default::default() }),
            entry(with_header(pb::InternalRaftRequest { txn: Some(Default::default()), ..Default::default() })),
            entry(Bytes::from_static(b"\x22\x7f")),
            Entry { kind: EntryKind::ConfChange, ..empty },
        ] {
            assert!(!are_brief(&[plain.clone(), long], is_key));
        }
    }

    #[test]
    fn nothing_unknown_is_passed_over() {
        let enable = pb::InternalRaftRequest { auth_enable: Some(Default::default()), ..Default::default() };
        assert_eq!(decode(&with_header(enable)).unwrap_err(), "the request auth_enable (field 1000)");
        let header_only = with_header(Default::default());
        assert_eq!(decode(&header_only).unwrap_err(), "no request");
        let two = pb::InternalRaftRequest {
            put: Some(Default::default()),
            txn: Some(Default::default()),
            ..Default::default()
        };
        assert_eq!(decode(&with_header(two)).unwrap_err(), "two requests at once");
        let future = Bytes::from_static(b"\xa2\x7d\x00");
        assert!(decode(&future).unwrap_err().contains("unknown kind (field 2004)"));
        for garbage in [&b"\xff"[..], b"\x22\x7f\x00", b"\x22\x02\xff\xff"] {
            assert!(decode(&Bytes::copy_from_slice(garbage)).is_err(), "{garbage:?}");
        }
    }
}
