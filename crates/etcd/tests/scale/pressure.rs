//! More writes than may wait, while nobody leads.

use crate::harness::{self, Cluster};
use crate::memory::{self, MIB};
use crate::slow;
use proto::etcdserverpb::{PutRequest, RangeRequest};
use std::collections::BTreeMap;

const PUTS: usize = 80;
const VALUE_BYTES: usize = 1_400_000;
/// What may wait (`HELD_PROPOSAL_BYTES_MAX`).
const HELD_BYTES: usize = 64 << 20;
/// What the member may use for it: it is there once, and comes in pieces that are put together.
const MEMORY_BYTES: u64 = 64 * MIB + 128 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_cannot_wait_are_refused_at_once_and_the_others_in_time() {
    let _turn = harness::alone().await;
    let mut cluster = Cluster::start("scale-pressure", 3, &["--unsafe-no-fsync"]).await;
    cluster.members[1].kill();
    cluster.members[2].kill();
    let member = &cluster.members[0];
    harness::until("nobody leads", async || (member.status().await?.leader == 0).then_some(())).await;
    memory::forget_peak(member);
    let before = memory::resident(member);
    let mut connection = slow::connect(member, 65_535).await;
    let calls: Vec<_> = (0..PUTS)
        .map(|number| {
            let value = vec![b'v'; VALUE_BYTES].into();
            let put = PutRequest { key: format!("pressed/{number}").into(), value, ..PutRequest::default() };
            slow::ask(&mut connection, "/etcdserverpb.KV/Put", &put)
        })
        .collect();
    let mut outcomes: BTreeMap<(String, String), usize> = BTreeMap::new();
    for call in calls {
        *outcomes.entry(call.answer().await.grpc()).or_default() += 1;
    }
    let of = |code: &str, words: &str| outcomes.get(&(code.to_owned(), words.to_owned())).copied().unwrap_or(0);
    let refused = of("2", "etcdserver: too many requests");
    let late = of("14", "etcdserver: request timed out");
    assert_eq!(late, HELD_BYTES / (VALUE_BYTES + 40), "{outcomes:?}");
    assert_eq!(refused + late, PUTS, "{outcomes:?}");
    let more = memory::peak(member).saturating_sub(before);
    println!("{PUTS} writes that wait: {} MiB more", more / MIB);
    assert!(more <= MEMORY_BYTES, "it took {} MiB", more / MIB);

    // With the others back it goes on as if nothing had been.
    cluster.start_all();
    cluster.leader().await;
    let client = cluster.client();
    client.put(PutRequest { key: "after".into(), ..PutRequest::default() }).await.expect("a put");
    let range = RangeRequest {
        key: "pressed/".into(),
        range_end: client::range::prefix_end(b"pressed/"),
        count_only: true,
        ..RangeRequest::default()
    };
    assert_eq!(client.range(range).await.expect("a count").count, 0, "what was given up never happens");
    cluster.same_everywhere().await;
}
