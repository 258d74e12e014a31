//! What other members send on a stream, and what an operator types.

use bytes::Bytes;
use etcd::peer::frame::{StreamKind, read_all};

/// The first byte says which stream and how long its chunks are.
pub fn peer(bytes: &[u8]) {
    let Some((habits, bytes)) = bytes.split_first() else { return };
    let kind = StreamKind::ALL[usize::from(*habits & 1)];
    let chunk = usize::from(*habits >> 1).max(1) * 8;
    let chunks = || bytes.chunks(chunk).map(Bytes::copy_from_slice);
    let cut = read_all(kind, chunks());
    let whole = read_all(kind, [Bytes::copy_from_slice(bytes)]);
    assert_eq!(cut, whole, "where chunks end does not matter");
}

/// Heartbeats and messages as a member writes them.
pub fn peer_seeds() -> Vec<Vec<u8>> {
    let heartbeat = b"\x00\x00\x00\x00\x00\x00\x00\x06\x08\x08\x10\x00\x18\x00";
    let append = b"\x00\x02\x00\x00\x00\x00\x00\x00\x00\x0e\x08\x03\x10\x01\x18\x02\x20\x05\x28\x05\x30\x07\x40\x07";
    let entries = b"\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x04\x10\x05\x18\x08\
                    \x00\x00\x00\x00\x00\x00\x00\x08";
    let seed = |habits: u8, bytes: &[u8]| [&[habits], bytes].concat();
    vec![seed(0x7f, heartbeat), seed(0x7e, append), seed(0x08, &[&append[..], &entries[..]].concat())]
}

/// Lines: arguments, then after an empty line the environment.
pub fn flags(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let arguments: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).map(str::to_owned).collect();
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment: Vec<(String, String)> = lines.filter_map(pair).collect();
    if let Err(exit) = etcd::flags::parse(&arguments, &environment) {
        assert!(exit.code != 0, "a refusal has an exit code");
    }
}

/// What operators write.
pub fn flag_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "--name\nm1\n--data-dir=/var/lib/etcd\n--listen-client-urls=http://127.0.0.1:2379\n\
         --advertise-client-urls=http://127.0.0.1:2379\n--initial-cluster=m1=http://127.0.0.1:2380\n\
         --initial-advertise-peer-urls=http://127.0.0.1:2380\n--heartbeat-interval=100\n\n\
         ETCD_ELECTION_TIMEOUT=1000\nETCD_NAME=m2",
        "--quota-backend-bytes=8589934592\n--log-level=debug\n--auto-compaction-retention=1h",
        "--help",
        "--version",
        "--listen-peer-urls\nhttps://[::1]:2380,unix://m:1",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
