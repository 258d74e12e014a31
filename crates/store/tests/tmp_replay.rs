mod support;
use store::{Entry, EntryKind, Store, Header};
use support::*;
#[test]
fn replay_real() {
    let data = std::fs::read("/tmp/q/storework/entries.bin").unwrap();
    let answers = std::fs::read("/tmp/q/storework/answers.bin").unwrap();
    let hashes = std::fs::read_to_string("/tmp/q/storework/hashes.json").unwrap();
    let hashes: serde_json::Value = serde_json::from_str(&hashes).unwrap();
    let mut store = Store::create(disk(), "r", settings()).unwrap();
    let mut p = 0; let mut a = 0; let (mut compared, mut hashed) = (0, 0);
    while p < data.len() {
        let kind = data[p];
        let index = u64::from_le_bytes(data[p+1..p+9].try_into().unwrap());
        let term = u64::from_le_bytes(data[p+9..p+17].try_into().unwrap());
        let len = u32::from_le_bytes(data[p+17..p+21].try_into().unwrap()) as usize;
        let body = data[p+21..p+21+len].to_vec();
        p += 21 + len;
        let kind = if kind == 1 { EntryKind::ConfChange } else { EntryKind::Normal };
        let applied = store.apply(&[Entry { index, term, kind, data: body.into() }], &|_| true).unwrap();
        for (_, outcome) in applied.outcomes {
            if index < 5 { continue; }
            let n = u32::from_le_bytes(answers[a..a+4].try_into().unwrap()) as usize;
            let want = &answers[a+4..a+4+n]; a += 4 + n;
            let got = match outcome {
                Ok(reply) => { let mut v = b"R".to_vec(); v.extend(reply.encode(&Header::default())); v }
                Err(refusal) => { let mut v = b"E".to_vec(); v.extend(refusal.message().as_bytes()); v }
            };
            assert_eq!(got, want, "entry {index}\n{:?}\n{:?}", String::from_utf8_lossy(&got), String::from_utf8_lossy(want));
            compared += 1;
        }
        if index % 7 == 0 { store.sweep(5000).unwrap(); }
        for h in hashes.as_array().unwrap() {
            if h[1].as_u64().unwrap() == index {
                let view = store.view();
                assert_eq!(view.revision(), h[0].as_i64().unwrap());
                let mine = view.hash_kv(0).unwrap();
                assert_eq!(mine.compact_revision, h[2]["compact_revision"].as_i64().unwrap_or(0));
                assert_eq!(u64::from(mine.hash), h[2]["hash"].as_u64().unwrap(), "at {index}");
                hashed += 1;
            }
        }
    }
    assert_eq!(a, answers.len());
    eprintln!("compared {compared} answers, {hashed} hashes {:?}", store.stats());
}
