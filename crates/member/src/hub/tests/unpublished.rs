//! Hub is shown a View without its events: what lies between is read from
//! history, by all that are synced together.

use super::*;

/// Applies requests of one revision each, and Hub hears of a later View alone.
fn unpublished(story: &mut Story, requests: Vec<pb::InternalRaftRequest>) {
    story.apply(requests);
    story.hub.refresh(story.store.view());
    story.listen();
}

fn expected(key: &str, revisions: std::ops::RangeInclusive<i64>) -> Vec<String> {
    revisions.map(|revision| format!("{key}@{revision}")).collect()
}

#[test]
fn all_that_are_synced_are_told_once_in_order() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", 0));
    story.watch(watch("", "\0", 0));
    story.watch(watch("b", "", 0));
    unpublished(&mut story, vec![put("a", "3"), put("b", "4")]);
    // What is published meanwhile waits for its turn.
    story.put("a", "5");
    assert!(story.events().is_empty());
    story.catch_up();
    story.put("a", "6");
    let heard = story.events();
    assert_eq!(heard[&0], ["a@3", "a@5", "a@6"]);
    assert_eq!(heard[&1], ["a@3", "b@4", "a@5", "a@6"]);
    assert_eq!(heard[&2], ["b@4"]);
    assert_eq!(story.hub.stats().behind, 0);
}

#[test]
fn a_watch_from_now_begins_behind_all_that_the_view_shows() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", 0));
    unpublished(&mut story, vec![put("a", "3"), put("a", "4")]);
    story.watch(watch("a", "", 0));
    story.watch(watch("a", "", 4));
    story.watch(watch("a", "", 2));
    story.put("a", "5");
    story.catch_up();
    let heard = story.events();
    assert_eq!(heard[&0], expected("a", 3..=5));
    assert_eq!(heard[&1], expected("a", 5..=5), "who has read 4 is not told of it");
    assert_eq!(heard[&2], expected("a", 4..=5));
    assert_eq!(heard[&3], expected("a", 2..=5));
}

#[test]
fn nobody_is_told_what_lies_before_the_first_watch() {
    let mut story = Story::after_puts(&["a"]);
    let late = (story.apply(vec![put("a", "3")]), story.store.view());
    story.hub.refresh(story.store.view());
    assert!(!story.hub.has_work());
    story.watch(watch("a", "", 0));
    story.hub.publish(late.1, &late.0.events).unwrap();
    story.ask_progress();
    assert_eq!(story.heard(), ["1: watch 0 created at 3", "1: watch -1 at 3"]);
}

#[test]
fn a_long_way_is_gone_in_slices_and_a_full_stream_does_not_stop_others() {
    let mut story = Story::begins();
    story.hub.open(2);
    story.hub.create(2, &watch("a", "", 0));
    story.watch(watch("b", "", 0));
    story.listen();
    story.heard();
    story.reads = false;
    let revisions = 2 * limits::WATCH_CATCH_UP_REVISIONS;
    unpublished(&mut story, (0..revisions).map(|_| put("a", "x")).collect());
    unpublished(&mut story, vec![put("b", "last")]);
    let mut slices = 0;
    while story.hub.has_work() {
        story.hub.catch_up().unwrap();
        slices += 1;
    }
    assert_eq!(slices, 3);
    story.listen();
    let told = std::mem::take(&mut story.told);
    let (full, other): (Vec<_>, Vec<_>) = told.into_iter().partition(|(stream, _)| *stream == 2);
    assert_eq!(full.len(), limits::WATCH_RESPONSES_MAX, "no more room");
    assert_eq!(other.len(), 1, "the last revision is told");
    assert_eq!(story.hub.stats().behind, 1);
    // It reads, and is told the rest.
    story.hub.credit(2, full.len(), full.iter().map(|(_, response)| response.size_bytes()).sum());
    story.told = full;
    story.catch_up();
    assert_eq!(story.events()[&0], expected("a", 2..=revisions + 1));
}

#[test]
fn what_a_compaction_took_meanwhile_ends_the_watch() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", 0));
    story.watch(watch("a", "", 9));
    story.heard();
    unpublished(&mut story, vec![put("a", "3"), put("a", "4"), compact(4)]);
    story.catch_up();
    assert_eq!(story.heard(), ["1: watch 0 canceled at 0 compacted 4"]);
    story.happens((5..=9).map(|_| put("a", "later")).collect());
    assert_eq!(story.events()[&1], expected("a", 9..=9), "who waits for the future goes on waiting");
}

#[test]
fn a_deletion_at_the_compacted_revision_is_still_told() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", 0));
    unpublished(&mut story, vec![delete("a", ""), compact(3)]);
    story.catch_up();
    assert_eq!(story.events()[&0], ["a!3"]);
}

#[test]
fn a_snapshot_in_between_leaves_nothing_out() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", 0));
    unpublished(&mut story, vec![put("a", "3")]);
    story.apply(vec![put("a", "4")]);
    story.hub.replaced(story.store.view());
    story.catch_up();
    story.put("a", "5");
    assert_eq!(story.events()[&0], expected("a", 3..=5));
}
