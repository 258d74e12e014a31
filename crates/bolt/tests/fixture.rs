//! A database written by etcd 3.5.1 (`testdata/etcd-3.5.1.db`): `put a 1`, `put b 2`, `del a`, `lease grant 1000`, taken by
//! `snapshot save` without its hash.

use bolt::Image;

const DATABASE: &[u8] = include_bytes!("../testdata/etcd-3.5.1.db");

#[test]
fn a_database_of_etcd_is_read() {
    let image = Image::open(DATABASE).unwrap();
    assert_eq!(image.page_bytes(), 4096);
    assert_eq!(image.size_bytes(), DATABASE.len() as u64);
    let names = image.bucket_names().unwrap();
    let expected =
        ["alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta"];
    assert_eq!(names, expected);

    let bucket = |name: &str| {
        let bucket = image.bucket(name.as_bytes()).unwrap().unwrap();
        bucket.entries().map(|pair| pair.unwrap()).collect::<Vec<_>>()
    };
    // Revision 4 is the deletion; of the deleted key only the name is left.
    let keys = bucket("key");
    let revision = |main: u8, mark: &str| [&[0, 0, 0, 0, 0, 0, 0, main, b'_'][..], &[0; 8], mark.as_bytes()].concat();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0].0, revision(2, ""));
    assert_eq!(&keys[0].1[..], b"\x0a\x01a\x10\x02\x18\x02\x20\x01\x2a\x011");
    assert_eq!(keys[1].0, revision(3, ""));
    assert_eq!(&keys[1].1[..], b"\x0a\x01b\x10\x03\x18\x03\x20\x01\x2a\x012");
    assert_eq!(keys[2].0, revision(4, "t"));
    assert_eq!(&keys[2].1[..], b"\x0a\x01a");

    assert_eq!(bucket("lease").len(), 1);
    assert!(bucket("alarm").is_empty());
    let cluster = image.bucket(b"cluster").unwrap().unwrap();
    assert_eq!(cluster.get(b"clusterVersion").unwrap().unwrap(), "3.5.0");
    let meta: Vec<_> = bucket("meta").into_iter().map(|(key, _)| key).collect();
    assert_eq!(meta, ["confState", "consistent_index", "term"]);
}
