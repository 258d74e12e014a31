//! Watches: every event once, in order, whole revisions, to the end.

use super::book::{Book, right};
use crate::history::Told;
use proto::etcdserverpb::WatchResponse;

#[test]
fn a_gap_in_a_watch() {
    let mut book = right();
    book.history.watches[2].responses.remove(2);
    book.breaks("the watch of client 2 on \"r/\" from revision 1");
    // And one that all witnesses share.
    let mut book = right();
    book.history.watches.iter_mut().for_each(|told| drop(told.responses.remove(2)));
    book.breaks("no witness was told of 1 revisions, the first of them 4");
}

#[test]
fn an_event_told_twice() {
    let mut book = right();
    let (when, response) = book.history.watches[2].responses[3].clone();
    book.history.watches[2].responses.insert(4, (when, response));
    book.breaks("comes after 5 was told whole");
}

#[test]
fn an_event_that_comes_after_the_notice_that_it_was_told() {
    let mut book = right();
    let responses = &mut book.history.watches[2].responses;
    let notice = responses.pop().unwrap();
    responses.insert(responses.len() - 1, notice);
    book.breaks("revision 9 comes after 9 was told whole");
}

#[test]
fn a_watch_that_was_not_told_what_it_says_it_was() {
    let mut book = right();
    let responses = &mut book.history.watches[2].responses;
    responses.remove(responses.len() - 2);
    book.breaks("the watch of client 2");
}

/// Takes the previous values from all that witnesses were told.
fn without_previous(book: &mut Book) {
    for event in
        book.history.watches.iter_mut().flat_map(|told| &mut told.responses).flat_map(|(_, one)| &mut one.events)
    {
        event.prev_kv = None;
    }
}

#[test]
fn previous_values_that_are_missing() {
    let mut book = right();
    without_previous(&mut book);
    book.breaks("the previous value of");
    // A compaction asked for before they came may have taken them.
    let last = book.model.revision;
    book.history.compactions = vec![(0, last)];
    book.holds();
    // One asked for afterwards has not.
    book.history.compactions = vec![(book.now, last)];
    book.breaks("nobody asked to compact above 0");
    // Nor has one that does not reach so far.
    book.history.compactions = vec![(0, 3)];
    book.breaks("nobody asked to compact above 3");
}

#[test]
fn a_watch_told_of_a_previous_value_that_never_was() {
    let mut book = right();
    let events = book.history.watches[0].responses.iter_mut().flat_map(|(_, response)| &mut response.events);
    events.filter_map(|event| event.prev_kv.as_mut()).for_each(|kv| kv.value = "never".into());
    book.breaks("the previous value of");
}

#[test]
fn a_member_that_says_all_is_compacted_when_it_tells_again() {
    let mut book = right();
    let from = book.model.revision + 1;
    book.history.watches.push(Told { again: true, from, responses: Vec::new(), ..book.history.watches[0].clone() });
    book.breaks("tells again: compacted up to 9, and up to 0 was asked for at all");
    book.history.compactions.push((book.now, 8));
    book.breaks("tells again: compacted up to 9, and up to 8 was asked for at all");
    book.history.compactions.push((book.now, 9));
    book.holds();
}

#[test]
fn a_watch_cancelled_for_a_compaction_that_nobody_asked_for() {
    let mut book = right();
    let cancel = WatchResponse { canceled: true, compact_revision: 20, ..WatchResponse::default() };
    book.history.watches[2].responses.push((book.now, cancel));
    book.breaks("compacted up to 20, and up to 0 was asked for");
}

/// It breaks no rule but one: writes in its range were acknowledged, and it was told nothing.
#[test]
fn a_watch_that_is_told_nothing() {
    let mut book = right();
    book.history.watches[2].stays = true;
    book.holds();
    book.history.watches[2].responses.clear();
    book.breaks(
        "the watch of client 2 on \"r/\" from revision 1 has come to 0 when all was over, and the last revision is 9",
    );
    // Nor is it enough to be told something.
    book.history.watches[2] = Told { stays: true, ..right().history.watches[2].clone() };
    book.history.watches[2].responses.truncate(3);
    book.breaks("has come to 4 when all was over");
    // One that nothing concerns must hear of that.
    let quiet = Told { key: b"l/".to_vec(), range_end: b"l0".to_vec(), ..book.history.watches[2].clone() };
    let mut book = right();
    let notice = book.history.watches[2].responses.pop();
    book.history.watches[2] = Told { responses: notice.into_iter().collect(), ..quiet.clone() };
    book.holds();
    book.history.watches[2] = Told { responses: Vec::new(), ..quiet.clone() };
    book.breaks("the watch of client 2 on \"l/\" from revision 1 has come to 0");
    // One that has left, or waits for what is to come, owes nothing.
    book.history.watches[2] = Told { responses: Vec::new(), stays: false, ..quiet.clone() };
    book.holds();
    book.history.watches[2] = Told { responses: Vec::new(), from: 10, ..quiet };
    book.holds();
}

#[test]
fn an_event_told_twice_in_one_response() {
    let mut book = right();
    let events = &mut book.history.watches[2].responses[3].1.events;
    events.push(events[0].clone());
    book.breaks("the watch of client 2 on \"r/\" from revision 1");
}

#[test]
fn events_out_of_order() {
    let mut book = right();
    book.history.watches[2].responses.swap(2, 3);
    book.breaks("revision 4 comes after 5 was told whole");
    // In one response, between two that are in order.
    let mut book = right();
    let responses = &mut book.history.watches[2].responses;
    let (_, second) = responses.remove(2);
    let (_, first) = responses.remove(1);
    responses[1].1.events.splice(0..0, second.events.into_iter().chain(first.events));
    book.breaks("the watch of client 2 on \"r/\" from revision 1");
}

#[test]
fn a_notice_that_goes_back() {
    let mut book = right();
    let (when, mut notice) = book.history.watches[2].responses[12 - 4].clone();
    assert!(notice.events.is_empty(), "it is the notice");
    notice.header.iter_mut().for_each(|header| header.revision = 5);
    book.history.watches[2].responses.push((when, notice));
    book.breaks("told that it has come to 5 after 9");
}
