//! Progress: asked for, and by the clock.

use super::*;

#[test]
fn progress_is_told_when_all_watches_of_the_stream_are_synced() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", 0));
    story.watch(watch("b", "", 0));
    story.heard();
    story.put("a", "x");
    story.ask_progress();
    assert_eq!(story.heard(), ["1: watch 0 at 3: PUT a=x@3", "1: watch -1 at 3"], "after the events it covers");
}

#[test]
fn progress_without_a_watch_is_not_answered() {
    let mut story = Story::after_puts(&["a"]);
    story.ask_progress();
    assert_eq!(story.heard(), [""; 0]);
}

#[test]
fn progress_is_dropped_while_a_watch_is_behind_and_told_after() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", 0));
    story.watch(watch("a", "", 1));
    story.heard();
    story.ask_progress();
    assert_eq!(story.heard(), [""; 0], "dropped");
    story.catch_up();
    assert_eq!(story.heard(), ["1: watch 1 at 2: PUT a=before@2"], "and not kept for later");
    story.ask_progress();
    assert_eq!(story.heard(), ["1: watch -1 at 2"]);
}

#[test]
fn progress_is_dropped_while_a_watch_waits_for_the_future() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", 4));
    story.heard();
    story.ask_progress();
    assert_eq!(story.heard(), [""; 0], "revision 3 has not been");
    story.put("a", "three");
    story.ask_progress();
    assert_eq!(story.heard(), ["1: watch -1 at 3"], "all below 4 is none of its business");
}

#[test]
fn another_streams_lag_does_not_matter() {
    let mut story = Story::after_puts(&["a"]);
    story.hub.open(2);
    story.hub.create(2, &watch("a", "", 1));
    story.watch(watch("a", "", 0));
    story.heard();
    story.ask_progress();
    assert_eq!(story.heard(), ["1: watch -1 at 2"]);
}

#[test]
fn a_quiet_watch_is_told_how_far_it_is_once_an_interval() {
    let mut story = Story::begins();
    story.time(50);
    story.watch(pb::WatchCreateRequest { progress_notify: true, ..watch("a", "", 0) });
    story.watch(watch("a", "", 0));
    story.heard();
    story.time(50 + INTERVAL_MS - 1);
    assert_eq!(story.heard(), [""; 0], "not before its time");
    story.put("b", "another key");
    story.time(50 + INTERVAL_MS + INTERVAL_MS / 10);
    assert_eq!(story.heard(), ["1: watch 0 at 2"], "who asked for it, with the present revision");
    story.time(50 + INTERVAL_MS + INTERVAL_MS / 10);
    assert_eq!(story.heard(), [""; 0], "once");
    story.time(50 + 3 * INTERVAL_MS);
    assert_eq!(story.heard(), ["1: watch 0 at 2"]);
}

#[test]
fn an_interval_with_events_has_no_notice() {
    let mut story = Story::begins();
    story.watch(pb::WatchCreateRequest { progress_notify: true, ..watch("a", "", 0) });
    story.put("a", "x");
    story.heard();
    story.time(INTERVAL_MS + INTERVAL_MS / 10);
    assert_eq!(story.heard(), [""; 0]);
    story.time(3 * INTERVAL_MS);
    assert_eq!(story.heard(), ["1: watch 0 at 2"], "the next one is quiet");
}

#[test]
fn no_notice_while_behind_or_waiting_for_the_future() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(pb::WatchCreateRequest { progress_notify: true, ..watch("a", "", 1) });
    story.watch(pb::WatchCreateRequest { progress_notify: true, ..watch("a", "", 9) });
    story.heard();
    story.time(2 * INTERVAL_MS);
    assert_eq!(story.heard(), [""; 0]);
    story.catch_up();
    story.heard();
    story.time(4 * INTERVAL_MS);
    story.time(6 * INTERVAL_MS);
    assert_eq!(story.heard(), ["1: watch 0 at 2"], "after the events of one interval, in the next");
}

#[test]
fn progress_is_of_what_was_told_when_the_view_is_further_on() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(pb::WatchCreateRequest { progress_notify: true, ..watch("a", "", 0) });
    story.heard();
    let three = (story.apply(vec![put("a", "three")]), story.store.view());
    let four = (story.apply(vec![put("a", "four")]), story.store.view());
    // Another stream opens, and what it may see is published and still on its way.
    story.hub.refresh(story.store.view());
    story.ask_progress();
    story.time(2 * INTERVAL_MS);
    assert_eq!(story.heard(), ["1: watch -1 at 2", "1: watch 0 at 2"]);
    for (applied, view) in [three, four] {
        story.hub.publish(view, &applied.events).unwrap();
        story.listen();
    }
    story.catch_up();
    story.ask_progress();
    assert_eq!(story.heard(), ["1: watch 0 at 3: PUT a=three@3", "1: watch 0 at 4: PUT a=four@4", "1: watch -1 at 4"]);
}
