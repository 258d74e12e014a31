//! Numbers seen in etcd 3.5.1, for a history that everyone can repeat:
//!
//! ```text
//! curl localhost:2379/v3/lease/grant -d '{"ID":77,"TTL":600}'
//! etcdctl put a 1;  etcdctl put b 1;  etcdctl put a 2;  etcdctl del b
//! etcdctl put c 3 --lease 4d
//! printf '\nput d 4\nput e 5\n\n\n' | etcdctl txn
//! etcdctl put b 6;  etcdctl del d f           # now at revision 9
//! etcdctl endpoint hashkv --rev N -w json     # for the N below
//! ```
//!
//! Every compaction was made with `--physical`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::reply::key_value::KeyValueRef;

#[derive(Clone)]
struct Row {
    revision: Revision,
    tombstone: bool,
    key: Vec<u8>,
    kv: Vec<u8>,
}

/// Rows of the key bucket, and how far they are compacted.
struct Rows {
    rows: Vec<Row>,
    compacted: i64,
}

impl Rows {
    fn new() -> Rows {
        Rows { rows: Vec::new(), compacted: 0 }
    }

    fn put(&mut self, at: (i64, u32), key: &str, value: &str, lease: i64) {
        let revision = Revision { main: at.0, sub: at.1 };
        let before = self.rows.iter().rev().find(|row| row.key == key.as_bytes());
        let before = before.filter(|row| !row.tombstone).map(|row| KeyValueRef::decode(&row.kv).unwrap());
        let kv = KeyValueRef {
            key: key.as_bytes(),
            create_revision: before.map_or(at.0, |kv| kv.create_revision),
            mod_revision: at.0,
            version: before.map_or(1, |kv| kv.version + 1),
            value: value.as_bytes(),
            lease,
        };
        let kv = kv.encode().to_vec();
        self.rows.push(Row { revision, tombstone: false, key: key.into(), kv });
    }

    fn delete(&mut self, at: (i64, u32), key: &str) {
        let revision = Revision { main: at.0, sub: at.1 };
        let kv = KeyValueRef { key: key.as_bytes(), ..KeyValueRef::default() }.encode().to_vec();
        self.rows.push(Row { revision, tombstone: true, key: key.into(), kv });
    }

    fn newest(&self, at: i64) -> BTreeMap<Vec<u8>, Revision> {
        let until = self.rows.iter().filter(|row| row.revision.main <= at);
        until.map(|row| (row.key.clone(), row.revision)).collect()
    }

    /// Drops what etcd 3.7 does: a delete at the revision itself stays.
    fn compact(&mut self, at: i64) {
        let newest = self.newest(at);
        self.rows.retain(|row| {
            let kept = newest.get(&row.key) == Some(&row.revision);
            row.revision.main > at || (kept && (!row.tombstone || row.revision.main == at))
        });
        self.compacted = at;
    }

    fn hash(&self, at: i64) -> u32 {
        let newest = self.newest(at);
        let mut hash = KvHash::new(at, self.compacted);
        for row in &self.rows {
            let is_newest = || Ok::<_, Infallible>(newest.get(&row.key) == Some(&row.revision));
            let Ok(()) = hash.add(row.revision, row.tombstone, &row.kv, is_newest);
        }
        hash.finish()
    }

    #[track_caller]
    fn seen(&self, hashes: &[(i64, u32)]) {
        for &(revision, hash) in hashes {
            assert_eq!(self.hash(revision), hash, "revision {revision}, compacted {}", self.compacted);
        }
    }
}

#[test]
fn a_history_hashes_as_in_etcd() {
    let mut rows = Rows::new();
    rows.put((2, 0), "a", "1", 0);
    rows.put((3, 0), "b", "1", 0);
    rows.put((4, 0), "a", "2", 0);
    rows.delete((5, 0), "b");
    rows.put((6, 0), "c", "3", 77);
    rows.put((7, 0), "d", "4", 0);
    rows.put((7, 1), "e", "5", 0);
    rows.put((8, 0), "b", "6", 0);
    rows.delete((9, 0), "d");
    rows.delete((9, 1), "e");
    rows.seen(&[(1, 1084519789), (2, 2587454935), (3, 2143169314), (4, 3086679940), (5, 1416966122)]);
    rows.seen(&[(6, 475812695), (7, 1481006477), (8, 2011865904), (9, 872676344)]);

    rows.compact(5);
    let compacted_at_5 = [(6, 2583243264), (7, 3590859194), (8, 533223637), (9, 3487939115)];
    rows.seen(&compacted_at_5);

    // A row below the compacted revision counts until it is overwritten.
    rows.put((10, 0), "a", "7", 0);
    rows.seen(&compacted_at_5);
    rows.seen(&[(10, 2865186253)]);

    // Compaction at a revision that consists of deletes.
    rows.compact(9);
    rows.seen(&[(10, 1028298495)]);

    // Nothing lives: what is left below the compacted revision counts after all.
    rows.delete((11, 0), "a");
    rows.delete((11, 1), "b");
    rows.delete((11, 2), "c");
    rows.seen(&[(10, 1028298495), (11, 4044182256)]);
    rows.compact(10);
    rows.seen(&[(11, 2499911931)]);
    rows.put((12, 0), "z", "1", 0);
    rows.seen(&[(11, 2499911931), (12, 270466146)]);
    rows.delete((13, 0), "z");
    rows.compact(12);
    rows.seen(&[(13, 2660710121)]);
}

#[test]
fn rows_sort_as_revisions() {
    let of = |main, sub, tombstone| {
        let (row, length) = row_key(Revision { main, sub }, tombstone);
        row[..length].to_vec()
    };
    assert_eq!(of(1, 2, false), b"\0\0\0\0\0\0\0\x01_\0\0\0\0\0\0\0\x02");
    assert_eq!(of(1, 2, true), b"\0\0\0\0\0\0\0\x01_\0\0\0\0\0\0\0\x02t");
    assert!(of(1, 2, true) < of(1, 3, false));
    assert!(of(1, 3, false) < of(2, 0, false));
}
