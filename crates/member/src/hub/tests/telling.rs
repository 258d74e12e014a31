//! What synced watches are told.

use super::*;

#[test]
fn one_revision_is_one_response_with_its_events_in_order() {
    let mut story = Story::begins();
    story.watch(watch("", "\0", 0));
    story.happens(vec![puts_at_once(&["c", "a", "b"], "x"), put("a", "y"), delete("a", "c")]);
    assert_eq!(
        story.heard(),
        [
            "1: watch 0 created at 1",
            "1: watch 0 at 2: PUT c=x@2, PUT a=x@2, PUT b=x@2",
            "1: watch 0 at 3: PUT a=y@3",
            "1: watch 0 at 4: DELETE a@4, DELETE b@4",
        ]
    );
}

#[test]
fn filters_leave_out_a_kind_now_and_in_history() {
    let mut story = Story::after_puts(&["a"]);
    story.delete("a");
    story.watch(pb::WatchCreateRequest { filters: vec![0], ..watch("a", "", 0) });
    story.watch(pb::WatchCreateRequest { filters: vec![1], ..watch("a", "", 0) });
    story.watch(pb::WatchCreateRequest { filters: vec![0, 1], ..watch("a", "", 0) });
    story.watch(pb::WatchCreateRequest { filters: vec![0], ..watch("a", "", 2) });
    story.watch(pb::WatchCreateRequest { filters: vec![1], ..watch("a", "", 2) });
    story.catch_up();
    story.put("a", "again");
    story.delete("a");
    let heard = story.events();
    assert_eq!(heard.get(&0), Some(&vec!["a!5".to_owned()]), "no puts");
    assert_eq!(heard.get(&1), Some(&vec!["a@4".to_owned()]), "no deletions");
    assert_eq!(heard.get(&2), None, "nothing at all");
    assert_eq!(heard.get(&3), Some(&vec!["a!3".to_owned(), "a!5".to_owned()]), "no puts, from history");
    assert_eq!(heard.get(&4), Some(&vec!["a@2".to_owned(), "a@4".to_owned()]), "no deletions, from history");
}

#[test]
fn previous_values_come_if_asked_for_and_there() {
    let mut story = Story::begins();
    story.watch(pb::WatchCreateRequest { prev_kv: true, ..watch("a", "", 0) });
    story.watch(watch("a", "", 0));
    story.put("a", "1");
    story.put("a", "2");
    story.delete("a");
    story.put("a", "3");
    story.delete("a");
    let heard = story.heard();
    let asked: Vec<&str> = heard.iter().filter(|words| words.contains("watch 0 at")).map(String::as_str).collect();
    assert_eq!(
        asked,
        [
            "1: watch 0 at 2: PUT a=1@2",
            "1: watch 0 at 3: PUT a=2@3 was 1",
            "1: watch 0 at 4: DELETE a@4 was 2",
            "1: watch 0 at 5: PUT a=3@5",
            "1: watch 0 at 6: DELETE a@6 was 3",
        ]
    );
    assert!(heard.iter().all(|words| !words.contains("watch 1") || !words.contains("was")), "{heard:?}");
}

#[test]
fn a_previous_value_that_was_compacted_is_left_out_and_the_event_is_told() {
    let mut story = Story::begins();
    story.put("a", "1");
    story.put("a", "2");
    story.put("a", "3");
    story.compact(3);
    story.watch(pb::WatchCreateRequest { prev_kv: true, ..watch("a", "", 3) });
    story.catch_up();
    assert_eq!(story.heard()[1..], ["1: watch 0 at 4: PUT a=2@3, PUT a=3@4 was 2"]);
    // In one batch: the compaction takes the value before the event can be told.
    story.happens(vec![put("a", "4"), compact(5)]);
    assert_eq!(story.heard(), ["1: watch 0 at 5: PUT a=4@5"]);
}

#[test]
fn many_watches_of_one_key_are_all_told_once() {
    let mut story = Story::begins();
    for stream in 2..=40 {
        story.hub.open(stream);
    }
    for stream in 1..=40 {
        for _ in 0..25 {
            story.hub.create(stream, &watch("a", "", 0));
        }
    }
    story.listen();
    story.heard();
    story.put("a", "x");
    assert_eq!(story.told.len(), 1_000);
    let whom: BTreeSet<WatcherId> = story.told.iter().map(|(stream, told)| (*stream, told.watch_id)).collect();
    assert_eq!(whom.len(), 1_000);
    assert!(story.told.iter().all(|(_, told)| told.events.len() == 1 && told.revision == 2));
}

#[test]
fn overlapping_ranges_each_get_their_own() {
    let mut story = Story::begins();
    for (key, end) in [("a", ""), ("a", "c"), ("a", "\0"), ("b", "\0"), ("", "\0")] {
        story.watch(watch(key, end, 0));
    }
    story.happens(vec![puts_at_once(&["a", "b", "c"], "x")]);
    let counts: Vec<usize> = story.events().values().map(Vec::len).collect();
    assert_eq!(counts, [1, 2, 3, 2, 3]);
}

#[test]
fn a_large_revision_goes_in_fragments_and_all_but_the_last_say_so() {
    let mut story = Story::begins();
    story.watch(pb::WatchCreateRequest { fragment: true, ..watch("", "\0", 0) });
    story.watch(watch("", "\0", 0));
    story.heard();
    let keys: Vec<String> = (0..40).map(|number| format!("key/{number:02}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    story.happens(vec![puts_at_once(&keys, "some value that takes room")]);
    let (parts, whole): (Vec<Response>, Vec<Response>) =
        std::mem::take(&mut story.told).into_iter().map(|(_, response)| response).partition(|told| told.watch_id == 0);
    assert_eq!(whole.len(), 1, "who does not ask for fragments gets none");
    assert!(!whole[0].fragment);
    assert!(parts.len() > 3, "{} parts", parts.len());
    let (last, before) = parts.split_last().unwrap();
    assert!(!last.fragment && before.iter().all(|part| part.fragment));
    assert!(parts.iter().all(|part| !part.events.is_empty() && part.size_bytes() < FRAGMENT_BYTES));
    assert!(parts.iter().all(|part| part.revision == whole[0].revision));
    let joined: Vec<Delivered> = parts.iter().flat_map(|part| part.events.clone()).collect();
    assert_eq!(joined, whole[0].events, "together they are the whole");
}

#[test]
fn a_single_event_is_never_split() {
    let mut story = Story::begins();
    story.watch(pb::WatchCreateRequest { fragment: true, ..watch("a", "", 0) });
    story.put("a", &"x".repeat(5 * FRAGMENT_BYTES));
    let (_, told) = story.told.last().unwrap();
    assert_eq!((told.fragment, told.events.len()), (false, 1));
}
