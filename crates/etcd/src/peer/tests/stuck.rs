//! A disk that stands still under what the leader appends.

use super::*;

#[test]
fn appends_wait_for_their_disk_and_nothing_else_does() {
    let appends = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let links = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    links.block_on(story(appends.handle().clone()));
}

async fn story(appends: tokio::runtime::Handle) {
    let leader = site(1).await;
    let runtimes = Runtimes { links: tokio::runtime::Handle::current(), appends };
    // It hears nothing for longer than a stream may be silent.
    let timeouts = Timeouts { read: Duration::from_millis(400), ..patient() };
    let mut follower = site_on(2, "127.0.0.1:0", None, timeouts, runtimes).await;
    leader.knows(&[&follower]);
    follower.knows(&[&leader]);
    leader.linked(&follower).await;
    let (go_on, stuck) = std::sync::mpsc::channel();
    *follower.local.stuck.lock().unwrap() = Some(stuck);

    leader.send(append(1, 2, 7, 100));
    assert_eq!(follower.delivered().await, append(1, 2, 7, 100));
    follower.expect(Event::Stuck).await;
    leader.send(append(1, 2, 8, 100));
    let began = Instant::now();
    let mut index = 100;
    while began.elapsed() < timeouts.read * 2 {
        index += 1;
        leader.send(message(MessageKind::Heartbeat, 1, 2, index));
        assert_eq!(
            follower.delivered().await,
            message(MessageKind::Heartbeat, 1, 2, index),
            "a heartbeat does not wait"
        );
    }
    go_on.send(()).unwrap();
    assert_eq!(follower.delivered().await, append(1, 2, 8, 100), "what came meanwhile is there");
    leader.stop().await;
    follower.stop().await;
}
