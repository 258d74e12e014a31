use bolt::{Image, Planner};
use bytes::Bytes;
use proto::raftpb::ConfState;

use super::*;
use crate::Fault;
use crate::alarm::AlarmKind;
use crate::records::Record;
use crate::reply::key_value::KeyValueRef;
use crate::revision::Revision;
use crate::roster::{Downgrade, Member};

fn put(at: (i64, u32), key: &str, value: &str, lease: i64, history: (i64, i64)) -> Record {
    let (create_revision, version) = history;
    let kv = KeyValueRef {
        key: key.as_bytes(),
        create_revision,
        mod_revision: at.0,
        version,
        value: value.as_bytes(),
        lease,
    };
    let (kv, key) = (kv.encode(), key.to_owned().into());
    Record { revision: Revision { main: at.0, sub: at.1 }, tombstone: false, key, kv }
}

fn delete(at: (i64, u32), key: &str) -> Record {
    let revision = Revision { main: at.0, sub: at.1 };
    Record {
        revision,
        tombstone: true,
        key: key.to_owned().into(),
        kv: KeyValueRef { key: key.as_bytes(), ..KeyValueRef::default() }.encode(),
    }
}

fn rows() -> Vec<Record> {
    vec![
        put((5, 0), "a", "1", 7, (2, 3)),
        put((6, 0), "b", "1", 7, (6, 1)),
        put((6, 1), "c", "1", -1, (6, 1)),
        put((7, 0), "b", "2", 0, (6, 2)),
        delete((8, 0), "c"),
        delete((8, 1), "b"),
        put((9, 0), "b", &"3".repeat(9000), 7, (9, 1)),
        put((9, 1), "d", "", 99, (9, 1)),
    ]
}

fn facts() -> Facts {
    let mut leases = Leases::default();
    for (id, ttl, remaining, keys) in [(7, 60, 5, vec!["a", "b"]), (-1, 9, 0, vec![]), (i64::MAX, 9, 0, vec![])] {
        leases.restore(id, ttl, remaining);
        assert!(keys.iter().all(|key| leases.attach(id, key.as_bytes())));
    }
    let mut alarms = Alarms::default();
    alarms.activate(0x20, AlarmKind::NO_SPACE);
    alarms.activate(0, AlarmKind::CORRUPT);
    let member = |id: u64, name: &str| Member {
        id,
        peer_urls: vec![format!("http://{name}:2380")],
        is_learner: id == 3,
        name: name.into(),
        client_urls: vec![],
    };
    let roster = Roster::restore(
        [member(0x20, "two"), member(0x100, "one"), member(3, "")],
        [9, 0xabc],
        Some("3.7.0".into()),
        Some(Downgrade { target_version: "3.6.0".into(), enabled: true }),
        ConfState { voters: vec![0x20, 0x100], learners: vec![3], ..ConfState::default() },
    );
    let (roster, alarms) = (Arc::new(roster), Arc::new(alarms));
    Facts { applied: 1000, term: 12, revision: 9, compacted: 5, leases, roster, alarms }
}

fn fed(rows: &[Record]) -> impl Iterator<Item = Result<Record, Fault>> + '_ {
    rows.iter().cloned().map(Ok)
}

fn image(facts: &Facts, rows: &[Record]) -> Vec<u8> {
    let plan = Plan::new(facts.clone(), fed(rows)).unwrap();
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    plan.write(fed(rows), &mut sink).unwrap();
    assert_eq!(bytes.len() as u64, plan.size_bytes());
    bytes
}

fn read(bytes: &[u8]) -> Result<(Facts, Vec<Record>), Fault> {
    let mut rows = Vec::new();
    let facts = Reader::open(bytes)?.rows(|row| {
        rows.push(row);
        Ok(())
    })?;
    Ok((facts, rows))
}

#[track_caller]
fn refused(bytes: &[u8], why: &str) {
    let fault = read(bytes).expect_err(why).to_string();
    assert!(fault.contains(why), "{fault}");
}

type Pair<'a> = (&'a [u8], &'a [u8]);

/// An image with only these buckets.
fn bare(buckets: &[(&str, &[Pair<'_>])]) -> Vec<u8> {
    let mut planner = Planner::new();
    for (bucket, pairs) in buckets {
        planner.bucket(bucket.as_bytes()).unwrap();
        pairs.iter().for_each(|(key, value)| planner.entry(key.len(), value.len()).unwrap());
    }
    let mut bytes = Vec::new();
    let sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let mut writer = planner.finish().write(sink).unwrap();
    for (bucket, pairs) in buckets {
        writer.bucket(bucket.as_bytes()).unwrap();
        pairs.iter().for_each(|(key, value)| writer.entry(key, value).unwrap());
    }
    writer.finish().unwrap();
    bytes
}

const TERM: Pair<'_> = (b"term", &[0, 0, 0, 0, 0, 0, 0, 2]);

#[test]
fn an_image_gives_back_what_went_in() {
    let bytes = image(&facts(), &rows());
    let (read_facts, read_rows) = read(&bytes).unwrap();
    let given = rows();
    assert_eq!(read_rows, given);

    let Facts { applied, term, revision, compacted, leases, roster, alarms } = read_facts;
    assert_eq!((applied, term, revision, compacted), (1000, 12, 9, 5));
    assert_eq!((roster, alarms), (facts().roster, facts().alarms));
    let told = |leases: &Leases| -> Vec<_> {
        let keys = |lease: &crate::lease::Lease| lease.keys().cloned().collect::<Vec<_>>();
        leases.iter().map(|(id, it)| (id, it.ttl_seconds(), it.remaining_seconds(), keys(it))).collect()
    };
    assert_eq!(told(&leases), told(&facts().leases), "the last row of a key says where it hangs");
}

#[test]
fn an_empty_store_has_all_buckets() {
    let empty = Facts { revision: 1, compacted: -1, ..Facts::default() };
    let bytes = image(&empty, &[]);
    let names = Image::open(&bytes[..]).unwrap().bucket_names().unwrap();
    let all =
        ["alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta"];
    assert_eq!(names, all);
    let (facts, rows) = read(&bytes).unwrap();
    assert_eq!((facts.revision, facts.compacted, rows.len()), (1, -1, 0));
}

#[test]
fn the_revision_is_never_lower_than_what_was_compacted() {
    let facts = Facts { revision: 30, compacted: 30, ..facts() };
    assert_eq!(read(&image(&facts, &rows())).unwrap().0.revision, 30);
}

#[test]
fn a_promised_compaction_is_finished() {
    let scheduled = crate::hash::row_key(Revision { main: 8, sub: 0 }, false).0;
    let pairs: Vec<(Vec<u8>, Bytes)> = rows()
        .into_iter()
        .map(|row| {
            let (key, length) = crate::hash::row_key(row.revision, row.tombstone);
            (key[..length].to_vec(), row.kv)
        })
        .collect();
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    let meta = [(&b"scheduledCompactRev"[..], &scheduled[..17]), TERM];
    let (facts, left) = read(&bare(&[("key", &pairs), ("meta", &meta)])).unwrap();
    assert_eq!((facts.compacted, facts.revision), (8, 9));
    let all = rows();
    let expected = [&all[0], &all[4], &all[5], &all[6], &all[7]];
    assert_eq!(left.iter().collect::<Vec<_>>(), expected, "deletes at the compacted revision stay");
}

#[test]
fn rows_that_make_no_sense_are_faults() {
    let at = |main| crate::hash::row_key(Revision { main, sub: 0 }, false).0;
    let image = |key: &[u8], value: &[u8]| bare(&[("key", &[(key, value)]), ("meta", &[TERM])]);
    let good = put((3, 0), "k", "v", 0, (3, 1)).kv;
    assert!(read(&image(&at(3)[..17], &good)).is_ok());
    refused(&image(&at(4)[..17], &good), "another revision");
    refused(&image(&at(3)[..16], &good), "is not a revision");
    refused(&image(&[&at(3)[..17], b"x"].concat(), &good), "nobody knows");
    refused(&image(&at(3)[..17], b"\xff"), "does not hold a KeyValue");

    // What a restored backup with a raised revision begins with.
    let (facts, rows) = read(&image(&at(500)[..17], b"")).unwrap();
    assert_eq!((facts.revision, rows.len()), (500, 0));
}

#[test]
fn images_of_others_are_doubted() {
    refused(b"no database", "not a bbolt database");
    refused(&bare(&[("key", &[])]), "no bucket meta");
    refused(&bare(&[("key", &[]), ("meta", &[])]), "older than 3.5");
    refused(&bare(&[("meta", &[TERM])]), "no bucket key");
    refused(&bare(&[("key", &[]), ("meta", &[(b"term", b"2")])]), "term is not a number");
    let with = |bucket, key: &[u8], value: &[u8]| bare(&[(bucket, &[(key, value)]), ("key", &[]), ("meta", &[TERM])]);
    refused(&with("auth", b"authEnabled", &[1]), "enabled authentication");
    assert!(read(&with("auth", b"authEnabled", &[0])).is_ok());
    refused(&with("authUsers", b"root", b""), "holds users");
    refused(&with("authRoles", b"root", b""), "holds roles");
    refused(&with("lease", b"12345678", b"\x08\x07"), "lease 7 under key");
    refused(&with("members", b"ff", br#"{"id":1,"peerURLs":[]}"#), "member 1 under key");
    refused(&with("members", b"1", b"{"), "malformed member");
    refused(&with("members_removed", b"zz", b"removed"), "not the id of a member");
    refused(&with("alarm", b"\xff", b""), "an alarm");
}

#[test]
fn a_sink_that_fails_is_not_our_fault() {
    let plan = Plan::new(facts(), fed(&rows())).unwrap();
    let broken = &mut |_: &[u8]| Err(std::io::ErrorKind::BrokenPipe.into());
    assert!(matches!(plan.write(fed(&rows()), broken), Err(WriteError::Sink(_))));
    let silent = &mut |_: &[u8]| Ok(());
    let lost = || [Ok(rows()[0].clone()), Err(Fault::Image("lost".into()))];
    assert!(matches!(plan.write(lost(), silent), Err(WriteError::Fault(_))));
    assert!(matches!(plan.write(fed(&rows()[1..]), silent), Err(WriteError::Fault(_))), "other rows than planned");
}

#[test]
fn the_hash_of_all_does_not_know_the_position() {
    let number = hash(&facts(), fed(&rows())).unwrap();
    let later = Facts { applied: 1001, term: 13, ..facts() };
    assert_eq!(hash(&later, fed(&rows())).unwrap(), number);
    assert_ne!(hash(&Facts { compacted: 4, ..facts() }, fed(&rows())).unwrap(), number);
    assert_ne!(hash(&facts(), fed(&rows()[1..])).unwrap(), number);
}

#[test]
fn storage_versions_begin_with_3_6() {
    assert_eq!(storage_version(Some("3.5.0")), None);
    assert_eq!(storage_version(Some("3.6.0")), Some("3.6.0"));
    assert_eq!(storage_version(Some("3.10.0")), Some("3.10.0"));
    assert_eq!(storage_version(Some("4.0.0")), Some("4.0.0"));
    assert_eq!(storage_version(Some("no version")), None);
    assert_eq!(storage_version(None), None);
}
