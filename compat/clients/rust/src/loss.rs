//! The leader is killed under a writer and a watcher.

use crate::{World, connect, watch};
use etcd_client::WatchOptions;
use std::process::Command;
use std::time::Duration;

const NUMBERS: usize = 30;

pub async fn leader_dies(world: World) {
    let mut leader = None;
    for (number, endpoint) in world.endpoints.iter().enumerate() {
        let mut single = connect(std::slice::from_ref(endpoint)).await;
        let status = single.status().await.unwrap();
        if status.leader() == status.header().unwrap().member_id() {
            leader = Some(number);
        }
    }
    let leader = leader.expect("somebody leads");
    // The watch is at a member that stays: this client does not move streams.
    let staying = world.endpoints[(leader + 1) % world.endpoints.len()].clone();
    let mut seen = connect(&[staying]).await.watch("loss/", Some(WatchOptions::new().with_prefix())).await.unwrap();
    let pid = world.pids[leader].clone();
    let writer = tokio::spawn(async move {
        let mut c = world.client;
        for number in 0..NUMBERS {
            if number == NUMBERS / 3 {
                let killed = Command::new("kill").args(["-9", &pid]).status().unwrap();
                assert!(killed.success());
            }
            loop {
                let put = c.put("loss/number", number.to_string(), None);
                if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(1500), put).await {
                    break;
                }
            }
        }
    });
    // Every number, in order; a retry may repeat one, nothing may be missing.
    let (mut wanted, mut revision) = (0, 0);
    while wanted < NUMBERS {
        for event in watch::next(&mut seen).await.events() {
            let kv = event.kv().unwrap();
            assert!(kv.mod_revision() > revision, "revision {} after {revision}", kv.mod_revision());
            revision = kv.mod_revision();
            let number: usize = kv.value_str().unwrap().parse().unwrap();
            assert!(number == wanted || number + 1 == wanted, "the watch tells {number} and should tell {wanted}");
            wanted = number + 1;
        }
    }
    writer.await.unwrap();
}
