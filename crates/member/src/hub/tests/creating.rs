//! How watches begin and end.

use super::*;

#[test]
fn a_watch_from_now_is_told_what_comes() {
    let mut story = Story::after_puts(&["a", "b"]);
    story.watch(watch("a", "", 0));
    story.put("a", "new");
    story.put("b", "not watched");
    story.delete("a");
    assert_eq!(
        story.heard(),
        ["1: watch 0 created at 3", "1: watch 0 at 4: PUT a=new@4", "1: watch 0 at 6: DELETE a@6"]
    );
}

#[test]
fn a_watch_from_the_past_reads_history_first_then_what_comes() {
    let mut story = Story::after_puts(&["a", "b", "a"]);
    story.watch(watch("a", "", 2));
    assert_eq!(story.heard(), ["1: watch 0 created at 4"], "the answer comes before any event");
    story.put("a", "meanwhile");
    assert_eq!(story.heard(), [""; 0], "who is behind is not told out of turn");
    story.catch_up();
    story.put("a", "live");
    assert_eq!(
        story.heard(),
        ["1: watch 0 at 5: PUT a=before@2, PUT a=before@4, PUT a=meanwhile@5", "1: watch 0 at 6: PUT a=live@6"]
    );
}

#[test]
fn a_watch_from_the_present_revision_is_told_that_revision() {
    let mut story = Story::after_puts(&["a", "a"]);
    story.watch(watch("a", "", 3));
    story.catch_up();
    assert_eq!(story.heard(), ["1: watch 0 created at 3", "1: watch 0 at 3: PUT a=before@3"]);
}

#[test]
fn a_watch_from_the_compacted_revision_is_served_and_one_below_it_is_not() {
    let mut story = Story::after_puts(&["a", "a", "a"]);
    story.compact(3);
    story.watch(watch("a", "", 3));
    story.watch(watch("a", "", 2));
    story.catch_up();
    assert_eq!(
        story.heard(),
        [
            "1: watch 0 created at 4",
            "1: watch 1 created at 4",
            "1: watch 1 canceled at 0 compacted 3",
            "1: watch 0 at 4: PUT a=before@3, PUT a=before@4",
        ]
    );
    story.put("a", "live");
    assert_eq!(story.heard(), ["1: watch 0 at 5: PUT a=live@5"], "the cancelled watch is gone");
}

#[test]
fn a_deletion_at_the_compacted_revision_is_still_told() {
    let mut story = Story::after_puts(&["a"]);
    story.delete("a");
    story.compact(3);
    story.store.sweep(1 << 20).unwrap();
    story.watch(watch("a", "", 3));
    story.catch_up();
    assert_eq!(story.heard(), ["1: watch 0 created at 3", "1: watch 0 at 3: DELETE a@3"], "etcd #19179");
}

#[test]
fn a_watch_from_the_future_waits_for_its_revision() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", 5));
    story.catch_up();
    for value in ["three", "four", "five", "six"] {
        story.put("a", value);
    }
    assert_eq!(
        story.heard(),
        ["1: watch 0 created at 2", "1: watch 0 at 5: PUT a=five@5", "1: watch 0 at 6: PUT a=six@6"]
    );
}

#[test]
fn what_cannot_be_watched_is_refused_in_etcds_words() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(watch("a", "", -1));
    story.watch(watch("b", "a", 0));
    story.watch(watch("b", "b", 0));
    story.watch(pb::WatchCreateRequest { watch_id: 7, ..watch("a", "", 0) });
    story.watch(pb::WatchCreateRequest { watch_id: 7, ..watch("b", "", 0) });
    assert_eq!(
        story.heard(),
        [
            "1: watch -1 created canceled at 2 because etcdserver: mvcc: required revision has been compacted",
            "1: watch -1 created canceled at 2 because mvcc: watcher range is empty",
            "1: watch -1 created canceled at 2 because mvcc: watcher range is empty",
            "1: watch 7 created at 2",
            "1: watch -1 created canceled at 2 because mvcc: duplicate watch ID provided on the WatchStream",
        ]
    );
    story.put("b", "x");
    story.put("a", "x");
    assert_eq!(story.heard(), ["1: watch 7 at 4: PUT a=x@4"], "the first holder of the id is unharmed");
}

#[test]
fn given_ids_are_stepped_over_and_each_stream_counts_for_itself() {
    let mut story = Story::begins();
    story.hub.open(2);
    story.watch(pb::WatchCreateRequest { watch_id: 1, ..watch("a", "", 0) });
    for _ in 0..3 {
        story.watch(watch("a", "", 0));
    }
    story.hub.create(2, &watch("a", "", 0));
    story.listen();
    let ids: Vec<(StreamId, WatchId)> = story.told.iter().map(|(stream, told)| (*stream, told.watch_id)).collect();
    assert_eq!(ids, [(1, 1), (1, 0), (1, 2), (1, 3), (2, 0)]);
}

#[test]
fn ranges_follow_etcds_conventions() {
    let mut story = Story::begins();
    story.watch(watch("b", "d", 0));
    story.watch(watch("b", "\0", 0));
    story.watch(watch("", "\0", 0));
    story.watch(watch("", "", 0));
    story.watch(watch("\0", "b", 0));
    for key in ["a", "b", "c", "d"] {
        story.put(key, "x");
    }
    story.put("\0", "the first key of all");
    let all = ["a@2", "b@3", "c@4", "d@5", "\0@6"];
    let expected = BTreeMap::from([
        (0, vec!["b@3", "c@4"]),
        (1, vec!["b@3", "c@4", "d@5"]),
        (2, all.to_vec()),
        (3, vec!["\0@6"]),
        (4, vec!["a@2", "\0@6"]),
    ]);
    let heard = story.events();
    let heard: BTreeMap<WatchId, Vec<&str>> =
        heard.iter().map(|(&id, events)| (id, events.iter().map(String::as_str).collect())).collect();
    assert_eq!(heard, expected);
}

#[test]
fn the_same_ranges_hold_for_history() {
    let mut story = Story::after_puts(&["a", "b", "c", "d", "\0"]);
    for (key, end) in [("b", "d"), ("b", "\0"), ("", "\0"), ("", ""), ("\0", "b")] {
        story.watch(watch(key, end, 1));
    }
    story.catch_up();
    let counts: Vec<usize> = story.events().values().map(Vec::len).collect();
    assert_eq!(counts, [2, 3, 5, 1, 2]);
}

#[test]
fn cancelling_ends_a_watch_and_an_unknown_id_has_no_answer() {
    let mut story = Story::begins();
    story.watch(watch("a", "", 0));
    story.watch(watch("a", "", 0));
    story.heard();
    story.cancel(0);
    story.cancel(0);
    story.cancel(99);
    story.put("a", "x");
    assert_eq!(story.heard(), ["1: watch 0 canceled at 1", "1: watch 1 at 2: PUT a=x@2"]);
    assert_eq!(story.hub.stats().watchers, 1);
}

#[test]
fn a_watch_that_is_behind_or_wants_notices_can_be_cancelled_too() {
    let mut story = Story::after_puts(&["a"]);
    story.watch(pb::WatchCreateRequest { progress_notify: true, ..watch("a", "", 1) });
    story.cancel(0);
    story.catch_up();
    story.time(10 * INTERVAL_MS);
    assert_eq!(story.heard(), ["1: watch 0 created at 2", "1: watch 0 canceled at 2"]);
}

#[test]
fn a_closed_stream_is_told_nothing_more_and_leaves_nothing_behind() {
    let mut story = Story::after_puts(&["a"]);
    story.hub.open(2);
    for stream in [1, 2] {
        story.hub.create(stream, &watch("a", "", 1));
        story.hub.create(stream, &watch("", "\0", 0));
        story.hub.create(stream, &pb::WatchCreateRequest { progress_notify: true, ..watch("a", "", 9) });
    }
    // What is not yet taken goes with the stream.
    story.hub.close(1);
    story.put("a", "x");
    story.catch_up();
    story.time(5 * INTERVAL_MS);
    assert!(story.told.iter().all(|(stream, _)| *stream == 2), "{:?}", story.heard());
    assert!(!story.told.is_empty(), "the other stream is told");
    story.hub.close(2);
    let Stats { streams, watchers, behind, pending, .. } = story.hub.stats();
    assert_eq!((streams, watchers, behind, pending), (0, 0, 0, 0));
    // What a client says after its stream has ended is not an error.
    story.hub.create(2, &watch("a", "", 0));
    story.hub.cancel(2, 0);
    story.hub.progress(2);
    story.hub.credit(2, 1, 0);
    story.hub.close(2);
    story.heard();
    story.put("a", "y");
    assert_eq!(story.heard(), [""; 0]);
}
