//! Slow streams and long histories: nothing lost, nothing doubled, nobody
//! waits.

use super::*;

fn expected(revisions: std::ops::RangeInclusive<i64>) -> Vec<String> {
    revisions.map(|revision| format!("a@{revision}")).collect()
}

#[test]
fn a_slow_stream_falls_behind_while_others_are_told_at_once() {
    let mut story = Story::begins();
    story.reads = false;
    story.hub.open(2);
    story.hub.create(2, &watch("a", "", 0));
    story.watch(watch("a", "", 0));
    let most = limits::WATCH_RESPONSES_MAX as i64;
    for number in 0..3 * most {
        story.put("a", &number.to_string());
        // Stream 1 reads what it gets, stream 2 never.
        for (stream, response) in std::mem::take(&mut story.told) {
            if stream == 1 {
                story.hub.credit(1, 1, response.size_bytes());
                assert!(response.created || response.revision == number + 2, "at once: {response:?}");
            }
        }
    }
    let Stats { behind, pending, .. } = story.hub.stats();
    assert_eq!((behind, pending), (1, limits::WATCH_RESPONSES_MAX));
    assert!(!story.hub.has_work(), "without room there is nothing to do");
}

#[test]
fn a_stream_that_has_room_again_gets_the_rest_from_history() {
    let mut story = Story::begins();
    story.reads = false;
    story.watch(watch("a", "", 0));
    for number in 0..400 {
        story.put("a", &number.to_string());
    }
    let first = story.events().remove(&0).unwrap();
    assert_eq!(first, expected(2..=limits::WATCH_RESPONSES_MAX as i64), "the created answer took one place");
    // One place is free: one response, which holds all that was missed.
    story.hub.credit(STREAM, 1, 0);
    story.catch_up();
    let rest = story.events().remove(&0).unwrap();
    assert_eq!(rest, expected(first.len() as i64 + 2..=401));
    story.put("a", "no room again");
    assert_eq!(story.hub.stats().behind, 1);
    story.hub.credit(STREAM, 1, 0);
    story.catch_up();
    story.put("a", "no room once more");
    assert_eq!(story.events().remove(&0).unwrap(), expected(402..=402));
}

#[test]
fn bytes_fill_a_stream_as_responses_do() {
    let mut story = Story::begins();
    story.reads = false;
    story.watch(watch("a", "", 0));
    let value = "x".repeat(limits::WATCH_BYTES_MAX / 4);
    for _ in 0..8 {
        story.put("a", &value);
    }
    let told = std::mem::take(&mut story.told);
    assert_eq!(told.len(), 1 + 4, "the fourth fills it");
    assert_eq!(story.hub.stats().behind, 1);
    for (_, response) in &told {
        story.hub.credit(STREAM, 1, response.size_bytes());
    }
    story.reads = true;
    story.catch_up();
    assert_eq!(story.events().remove(&0).unwrap(), expected(6..=9));
}

#[test]
fn a_long_history_comes_in_slices_of_bounded_length() {
    let mut story = Story::begins();
    let revisions = 2 * limits::WATCH_CATCH_UP_REVISIONS + 500;
    for chunk in 0..revisions / 100 {
        story.happens((0..100).map(|number| put("a", &format!("{chunk}/{number}"))).collect());
    }
    story.watch(watch("a", "", 1));
    story.heard();
    let mut slices = Vec::new();
    while story.hub.has_work() {
        story.hub.catch_up().unwrap();
        story.listen();
        slices.push(std::mem::take(&mut story.told));
        if slices.len() == 1 {
            // Meanwhile life goes on, and is told in its place.
            story.put("a", "meanwhile");
        }
    }
    assert_eq!(slices.len(), 3);
    let all: Vec<Delivered> = slices.into_iter().flatten().flat_map(|(_, response)| response.events).collect();
    let words: Vec<String> = all.iter().map(event_words).collect();
    assert_eq!(words, expected(2..=revisions + 2));
}

#[test]
fn watches_that_are_behind_at_different_places_read_together_and_each_gets_its_own() {
    let mut story = Story::begins();
    for _ in 0..1_500 {
        story.put("a", "x");
    }
    let starts = [1, 2, 700, 1_100, 1_400, 1_501];
    for start in starts {
        story.watch(watch("a", "", start));
    }
    story.watch(watch("", "\0", 1_490));
    story.catch_up();
    story.put("a", "live");
    let heard = story.events();
    for (id, start) in starts.into_iter().enumerate() {
        assert_eq!(heard[&(id as i64)], expected(start.max(2)..=1_502), "from {start}");
    }
    assert_eq!(heard[&6], expected(1_490..=1_502));
    assert_eq!(story.hub.stats().behind, 0);
}

#[test]
fn more_watches_than_one_pass_serves_all_get_their_turn() {
    let mut story = Story::after_puts(&["a"]);
    let count = 2 * limits::WATCH_CATCH_UP_BATCH + 10;
    for _ in 0..count {
        story.watch(watch("a", "", 1));
    }
    story.heard();
    for pass in 1..=3 {
        assert!(story.hub.has_work(), "pass {pass}");
        story.hub.catch_up().unwrap();
        story.listen();
    }
    assert!(!story.hub.has_work());
    assert_eq!(story.events().len(), count);
}

#[test]
fn a_full_stream_does_not_take_the_turn_of_others() {
    let mut story = Story::after_puts(&["a"]);
    story.reads = false;
    // Stream 1 is full of answers; it is behind and cannot be served.
    for _ in 0..limits::WATCH_RESPONSES_MAX {
        story.watch(watch("a", "", 1));
    }
    story.hub.open(2);
    story.hub.create(2, &watch("a", "", 1));
    story.listen();
    story.heard();
    story.catch_up();
    assert_eq!(story.heard(), ["2: watch 0 at 2: PUT a=before@2"]);
    assert_eq!(story.hub.stats().behind, limits::WATCH_RESPONSES_MAX);
}

#[test]
fn a_compaction_ends_a_watch_that_lags_behind_it() {
    let mut story = Story::begins();
    story.watch(watch("a", "", 0));
    story.reads = false;
    for _ in 0..200 {
        story.put("a", "x");
    }
    story.heard();
    story.compact(190);
    assert_eq!(story.heard(), [""; 0], "no room to say so");
    story.hub.credit(STREAM, limits::WATCH_RESPONSES_MAX, story.hub.streams[&STREAM].in_flight_bytes);
    story.catch_up();
    assert_eq!(story.heard(), ["1: watch 0 canceled at 0 compacted 190"]);
    assert_eq!(story.hub.stats().watchers, 0);
}

#[test]
fn the_id_of_a_watch_that_a_compaction_ended_is_taken_until_it_is_cancelled() {
    let mut story = Story::begins();
    for _ in 0..9 {
        story.put("a", "x");
    }
    story.compact(8);
    story.watch(pb::WatchCreateRequest { watch_id: 5, ..watch("a", "", 2) });
    story.catch_up();
    assert!(story.heard().contains(&"1: watch 5 canceled at 0 compacted 8".to_owned()));
    story.watch(pb::WatchCreateRequest { watch_id: 5, ..watch("a", "", 0) });
    let heard = story.heard();
    assert!(heard.len() == 1 && heard[0].contains("duplicate watch ID"), "{heard:?}");
    story.hub.cancel(STREAM, 5);
    story.listen();
    assert_eq!(story.heard(), ["1: watch 5 canceled at 10"]);
    story.watch(pb::WatchCreateRequest { watch_id: 5, ..watch("a", "", 0) });
    assert_eq!(story.heard(), ["1: watch 5 created at 10"]);
}

#[test]
fn a_compaction_does_not_concern_a_watch_that_is_synced_or_waits() {
    let mut story = Story::begins();
    story.watch(watch("a", "", 0));
    story.watch(watch("a", "", 12));
    story.heard();
    for _ in 0..9 {
        story.put("b", "x");
    }
    story.compact(10);
    story.catch_up();
    story.put("a", "eleven");
    story.put("a", "twelve");
    assert_eq!(
        story.heard(),
        ["1: watch 0 at 11: PUT a=eleven@11", "1: watch 0 at 12: PUT a=twelve@12", "1: watch 1 at 12: PUT a=twelve@12"]
    );
}

#[test]
fn a_quiet_watch_that_then_falls_behind_is_not_taken_for_one_that_is_compacted() {
    let mut story = Story::begins();
    story.watch(watch("a", "", 0));
    story.watch(watch("b", "", 0));
    story.reads = false;
    for _ in 0..200 {
        story.put("b", "x");
    }
    // The watch of `a` has been told nothing since revision 1, but it has seen
    // all up to 201.
    story.compact(201);
    story.put("a", "no room");
    story.heard();
    story.hub.credit(STREAM, limits::WATCH_RESPONSES_MAX, story.hub.streams[&STREAM].in_flight_bytes);
    story.catch_up();
    let heard = story.heard();
    assert!(heard.contains(&"1: watch 0 at 202: PUT a=no room@202".to_owned()), "{heard:?}");
    assert!(heard.contains(&"1: watch 1 canceled at 0 compacted 201".to_owned()), "{heard:?}");
}

#[test]
fn fragments_of_history_join_to_what_one_response_would_hold() {
    let mut story = Story::begins();
    for number in 0..60 {
        story.put(&format!("key/{number:02}"), "some value that takes room");
    }
    story.watch(pb::WatchCreateRequest { fragment: true, ..watch("", "\0", 1) });
    story.watch(watch("", "\0", 1));
    story.heard();
    story.catch_up();
    let flags: Vec<bool> =
        story.told.iter().filter(|(_, told)| told.watch_id == 0).map(|(_, told)| told.fragment).collect();
    assert!(flags.len() > 3 && !flags[flags.len() - 1] && flags[..flags.len() - 1].iter().all(|&flag| flag));
    let heard = story.events();
    assert_eq!(heard[&0], heard[&1]);
    assert_eq!(heard[&0].len(), 60);
}
