//! Watches: live, filtered, from the past, cancelled, progress.

use crate::{World, settle};
use etcd_client::{EventType, WatchFilterType, WatchOptions, WatchResponse, WatchStream};
use std::time::Duration;

/// The next response that is not about the watch itself.
pub async fn next(stream: &mut WatchStream) -> WatchResponse {
    loop {
        let response = stream.message().await.expect("the stream goes on").expect("the stream has not ended");
        if !response.created() {
            return response;
        }
    }
}

/// The next `count` events, each as "PUT key=value<previous".
pub async fn events(stream: &mut WatchStream, count: usize) -> String {
    let mut told = Vec::new();
    while told.len() < count {
        for event in next(stream).await.events() {
            let kv = event.kv().expect("an event has a key");
            let kind = if event.event_type() == EventType::Put { "PUT" } else { "DELETE" };
            let previous = event.prev_kv().map(|kv| format!("<{}", kv.value_str().unwrap())).unwrap_or_default();
            told.push(format!("{kind} {}={}{previous}", kv.key_str().unwrap(), kv.value_str().unwrap()));
        }
    }
    told.join(", ")
}

pub async fn live(world: World) {
    let mut c = world.client;
    let prefix = || WatchOptions::new().with_prefix();
    let mut all = c.watch("watch/", Some(prefix().with_prev_key())).await.unwrap();
    let mut deletions = c.watch("watch/", Some(prefix().with_filters([WatchFilterType::NoPut]))).await.unwrap();
    for (key, value) in [("watch/a", "1"), ("watch/b", "2"), ("watch/a", "3")] {
        c.put(key, value, None).await.unwrap();
    }
    c.delete("watch/a", None).await.unwrap();
    let wanted = "PUT watch/a=1, PUT watch/b=2, PUT watch/a=3<1, DELETE watch/a=<3";
    assert_eq!(events(&mut all, 4).await, wanted);
    assert_eq!(events(&mut deletions, 1).await, "DELETE watch/a=");

    // A second watch on the same stream has its own id, until it is cancelled.
    all.watch("watch2/", Some(prefix())).await.unwrap();
    let created = all.message().await.unwrap().unwrap();
    assert!(created.created() && !created.canceled());
    c.put("watch2/a", "1", None).await.unwrap();
    let told = next(&mut all).await;
    assert_eq!((told.watch_id(), told.events().len()), (created.watch_id(), 1));
    all.cancel(created.watch_id()).await.unwrap();
    let cancelled = next(&mut all).await;
    assert!(cancelled.canceled() && cancelled.watch_id() == created.watch_id());
    let put = c.put("watch2/a", "2", None).await.unwrap();
    c.put("watch/b", "4", None).await.unwrap();
    assert_eq!(events(&mut all, 1).await, "PUT watch/b=4<2");

    // Progress, until a request is not dropped.
    loop {
        all.request_progress().await.unwrap();
        if let Ok(response) = tokio::time::timeout(Duration::from_millis(200), next(&mut all)).await {
            assert!(response.events().is_empty());
            assert!(response.header().unwrap().revision() > put.header().unwrap().revision());
            break;
        }
    }
}

pub async fn history(world: World) {
    let mut c = world.client.clone();
    let mut revisions = Vec::new();
    for value in ["1", "2", "3"] {
        revisions.push(c.put("history/a", value, None).await.unwrap().header().unwrap().revision());
    }
    let from = |revision| Some(WatchOptions::new().with_start_revision(revision));
    let mut past = c.watch("history/a", from(revisions[1])).await.unwrap();
    assert_eq!(events(&mut past, 2).await, "PUT history/a=2, PUT history/a=3");
    c.compact(revisions[2], None).await.unwrap();
    settle(&world).await;
    let mut lost = c.watch("history/a", from(revisions[0])).await.unwrap();
    let end = next(&mut lost).await;
    assert!(end.canceled());
    assert_eq!(end.compact_revision(), revisions[2]);
    c.put("history/a", "4", None).await.unwrap();
    assert_eq!(events(&mut past, 1).await, "PUT history/a=4");
}
