//! Whom a member hears on its first start.

use super::*;

/// The member that everybody's roster here knows as one that has run, and the one that it knows as added only.
const HAS_RUN: u64 = 9372538179322589801;
const ADDED: u64 = 2;
/// Without its URLs, so that nobody can ask it.
const GOOD: &str =
    "x-server-from: 1\r\nx-server-version: 3.5.1\r\nx-min-cluster-version: 3.0.0\r\nx-etcd-cluster-id: c1\r\n";

#[tokio::test]
async fn who_is_only_added_hears_others_once_they_were_asked() {
    let (one, mut two) = (site(1).await, site(ADDED).await);
    two.peers.be_wary();
    // By the pipeline, of somebody who is in no roster yet and cannot be asked.
    let posted = wire::encode(&message(MessageKind::Heartbeat, 1, ADDED, 4));
    assert_eq!(ask(&two, "POST /raft", GOOD, posted).await.0, 204);
    let snapshot = "\0\0\0\0\0\0\0\x0c\x08\x07\x10\x02\x18\x01\x4a\x04\x12\x02\x10\x07";
    assert_eq!(ask(&two, "POST /raft/snapshot", GOOD, snapshot).await.0, 503);
    two.knows(&[&one]);
    one.knows(&[&two]);
    let asked = async {
        while !two.peers.inner.wary.hears(1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("it is asked");
    one.linked(&two).await;
    one.send(message(MessageKind::Heartbeat, 1, ADDED, 5));
    assert_eq!(two.delivered().await.index, 5, "nothing that came before");
}

#[tokio::test]
async fn who_has_run_hears_nobody_and_is_told() {
    let (one, mut lost) = (site(1).await, site(HAS_RUN).await);
    lost.peers.be_wary();
    lost.knows(&[&one]);
    lost.expect(Event::HasRun(one.url.clone())).await;
    for (index, trusts) in [(5, false), (6, true)] {
        if trusts {
            lost.peers.be_trusting();
        }
        let posted = wire::encode(&message(MessageKind::Heartbeat, 1, HAS_RUN, index));
        assert_eq!(ask(&lost, "POST /raft", GOOD, &posted).await.0, 204);
    }
    assert_eq!(lost.delivered().await.index, 6, "what came before is gone");
}
