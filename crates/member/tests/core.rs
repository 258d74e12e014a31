//! Core alone, as stories: what it holds back, what it hands on and when.

mod desks;

use bytes::Bytes;
use desks::*;
use member::core::{Apply, Input, Proposal, TurnedBack};
use member::limits;
use raft::{ConfState, Message, MessageKind, Role, Snapshot, SnapshotMeta};

/// A leader of one.
fn alone() -> Desk {
    let mut desk = Desk::new(1, &[1]);
    desk.step(Input::Campaign);
    assert_eq!(desk.role(), Role::Leader);
    desk
}

#[test]
fn proposals_wait_for_a_leader_and_go_in_order_when_one_appears() {
    let mut desk = Desk::new(1, &[1]);
    for id in 1..=5 {
        desk.propose(id);
    }
    assert_eq!(desk.core.status().held, 5);
    assert_eq!(desk.turned_back, []);
    desk.step(Input::Campaign);
    assert_eq!(desk.core.status().held, 0);
    assert_eq!(desk.words(), ["proposal 1", "proposal 2", "proposal 3", "proposal 4", "proposal 5"]);
}

#[test]
fn a_followers_proposals_go_to_the_leader_once() {
    let mut office = Office::led(3);
    office.at(2).propose(7);
    office.deliver();
    office.ticks(2);
    for desk in office.desks.values() {
        assert_eq!(desk.words(), ["proposal 7"]);
    }
    let forwards = office.delivered.iter().filter(|message| message.kind == MessageKind::Prop).count();
    assert_eq!(forwards, 1);
}

#[test]
fn proposals_that_nobody_waits_for_any_more_are_turned_back() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.propose(1);
    desk.ticks(HOLD_TICKS);
    assert_eq!(desk.turned_back, []);
    desk.propose(2);
    desk.ticks(1);
    assert_eq!(desk.turned_back, [(1, TurnedBack::NoLeader)]);
    desk.ticks(HOLD_TICKS);
    assert_eq!(desk.turned_back, [(1, TurnedBack::NoLeader), (2, TurnedBack::NoLeader)]);
    assert_eq!(desk.core.status().held, 0);
}

#[test]
fn beyond_the_bound_the_newest_are_turned_back() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    let bound = limits::HELD_PROPOSALS_MAX as u64;
    for id in 1..=bound + 3 {
        desk.core.step(Input::Propose(proposal(id)));
    }
    desk.settle();
    let late = |id| (id, TurnedBack::TooMany);
    assert_eq!(desk.turned_back, [late(bound + 3), late(bound + 2), late(bound + 1)]);
    assert_eq!(desk.core.status().held as u64, bound);
}

/// A snapshot as leader 2 sends it in its term 5.
fn snapshot(index: u64, voters: &[u64]) -> Message {
    let conf_state = ConfState { voters: voters.to_vec(), ..ConfState::default() };
    let meta = SnapshotMeta { index, term: 5, conf_state };
    let snapshot = Some(Snapshot { meta, data: Bytes::new() });
    Message { from: 2, term: 5, snapshot, ..Message::new(MessageKind::Snap, 1) }
}

#[test]
fn a_snapshot_that_is_not_taken_is_named_so_that_its_file_goes() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.hold_store = true;
    desk.step(Input::Message(snapshot(40, &[1, 2, 3])));
    assert_eq!((desk.applies.len(), &desk.unwanted_snapshots[..]), (1, &[][..]), "it is taken");
    desk.step(Input::Message(snapshot(40, &[1, 2, 3])));
    assert!(desk.unwanted_snapshots.is_empty(), "a second receipt of what is being installed");
    desk.step(Input::Message(snapshot(39, &[1, 2, 3])));
    assert_eq!(desk.unwanted_snapshots, [39], "of the past");
    desk.step(Input::Message(snapshot(50, &[2, 3])));
    assert_eq!(desk.unwanted_snapshots, [39, 50], "it is not for this member");
    desk.step(Input::Message(Message { term: 4, ..snapshot(60, &[1, 2, 3]) }));
    assert_eq!(desk.unwanted_snapshots, [39, 50, 60], "of a deposed leader");
    desk.apply_one();
    desk.step(Input::Message(snapshot(40, &[1, 2, 3])));
    assert_eq!(desk.unwanted_snapshots, [39, 50, 60, 40], "installed already");
}

/// A large command each, so that few are many bytes.
fn large(id: u64, bytes: usize) -> Proposal {
    Proposal { id, data: Bytes::from(vec![7; bytes]), only_in: None }
}

#[test]
fn beyond_so_many_bytes_the_newest_are_turned_back() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    let half = limits::HELD_PROPOSAL_BYTES_MAX / 2;
    for id in 1..=3 {
        desk.step(Input::Propose(large(id, half)));
    }
    assert_eq!(desk.turned_back, [(3, TurnedBack::TooMany)]);
    // What has gone makes room, and one may wait however large it is.
    desk.ticks(HOLD_TICKS + 1);
    assert_eq!(desk.core.status().held, 0);
    desk.step(Input::Propose(large(4, 3 * half)));
    desk.step(Input::Propose(large(5, 1)));
    assert_eq!(desk.core.status().held, 1);
    assert_eq!(desk.turned_back.last(), Some(&(5, TurnedBack::TooMany)));
}

#[test]
fn proposals_travel_in_messages_of_bounded_size() {
    let mut office = Office::led(3);
    let most = config(2).raft.message_bytes_max;
    for (id, bytes) in [(1, most / 2), (2, most / 2), (3, most / 2), (4, 3 * most), (5, 1), (6, 1)] {
        office.at(2).core.step(Input::Propose(large(id, bytes)));
    }
    office.at(2).settle();
    let forwards = office.at(2).sent.iter().filter(|message| message.kind == MessageKind::Prop);
    let counts: Vec<usize> = forwards.map(|message| message.entries.len()).collect();
    assert_eq!(counts, [2, 1, 1, 2], "only what is larger than a message has one of its own");
    office.deliver();
    office.ticks(1);
    assert!(office.desks.values().all(|desk| desk.applied.len() == office.desks[&2].applied.len()));
    assert_eq!(office.at(2).applied.iter().filter(|(_, words)| !words.is_empty()).count(), 6);
}

#[test]
fn too_much_committed_and_not_applied_turns_proposals_away() {
    let mut desk = alone();
    desk.hold_store = true;
    // Each entry is committed and waits for the store.
    for id in 1..=limits::APPLY_BACKLOG_MAX + 1 {
        desk.propose(id);
    }
    assert_eq!(desk.turned_back, []);
    desk.propose(9_999);
    assert_eq!(desk.turned_back, [(9_999, TurnedBack::TooMany)]);
    desk.hold_store = false;
    desk.settle();
    desk.propose(10_000);
    assert_eq!(desk.turned_back.len(), 1, "there is room again");
    assert_eq!(desk.words().last(), Some(&"proposal 10000"));
}

#[test]
fn too_many_bytes_committed_and_not_applied_turn_proposals_away() {
    let mut desk = alone();
    desk.hold_store = true;
    let half = BACKLOG_BYTES as usize / 2;
    for id in 1..=3 {
        desk.step(Input::Propose(large(id, half)));
    }
    assert_eq!(desk.turned_back, []);
    desk.propose(4);
    assert_eq!(desk.turned_back, [(4, TurnedBack::TooMany)]);
    desk.hold_store = false;
    desk.settle();
    desk.propose(5);
    assert_eq!(desk.turned_back.len(), 1, "there is room again");
    assert_eq!(desk.words().last(), Some(&"proposal 5"));
}

#[test]
fn a_follower_whose_store_is_behind_takes_no_more_entries_until_it_has_caught_up() {
    let mut office = Office::led(3);
    office.at(3).hold_store = true;
    let half = BACKLOG_BYTES as usize / 2;
    for id in 1..=12 {
        office.at(1).step(Input::Propose(large(id, half)));
        office.ticks(1);
    }
    let waiting = |office: &mut Office| -> usize {
        let bytes = |apply: &Apply| match apply {
            Apply::Entries(entries) => entries.iter().map(|entry| entry.data.len()).sum(),
            Apply::Restore(_) => 0,
        };
        office.at(3).applies.iter().map(bytes).sum()
    };
    let most = BACKLOG_BYTES as usize + 2 * half;
    assert!(waiting(&mut office) <= most, "{} bytes wait for the store", waiting(&mut office));
    assert_eq!(office.at(2).applied.len(), office.at(1).applied.len(), "the others go on");
    office.at(3).hold_store = false;
    office.at(3).settle();
    office.ticks(20);
    let expected = office.at(1).applied.clone();
    assert_eq!(office.at(3).applied, expected, "and it catches up");
}

#[test]
fn what_is_meant_for_one_term_is_not_proposed_in_another() {
    let mut desk = alone();
    let term = desk.term();
    let meant = |id, term| Input::Propose(Proposal { only_in: Some(term), ..proposal(id) });
    desk.step(meant(1, term));
    desk.step(meant(2, term - 1));
    desk.step(meant(3, term + 1));
    assert_eq!(desk.words(), ["proposal 1"]);
    assert_eq!(desk.turned_back, [(2, TurnedBack::NotLeader), (3, TurnedBack::NotLeader)]);
}

#[test]
fn what_is_meant_for_a_term_is_never_forwarded_and_never_held() {
    let mut office = Office::led(3);
    let term = office.at(1).term();
    let meant = |id| Input::Propose(Proposal { only_in: Some(term), ..proposal(id) });
    office.at(2).step(meant(1));
    office.deliver();
    assert_eq!(office.at(2).turned_back, [(1, TurnedBack::NotLeader)], "a follower does not pass it on");
    let mut lonely = Desk::new(1, &[1, 2, 3]);
    lonely.propose(5);
    lonely.step(meant(6));
    assert_eq!(lonely.turned_back, [(6, TurnedBack::NotLeader)], "without a leader it does not wait");
    assert_eq!(lonely.core.status().held, 1);
}

#[test]
fn what_comes_while_leadership_is_handed_over_waits_for_the_next_leader() {
    let mut office = Office::led(3);
    // Nobody hears of the transfer yet.
    office.at(1).step(Input::Transfer(2));
    office.at(1).propose(1);
    assert_eq!(office.at(1).turned_back, []);
    assert_eq!(office.at(1).core.status().held, 1);
    office.deliver();
    office.ticks(3);
    assert_eq!(office.at(2).role(), Role::Leader);
    for desk in office.desks.values() {
        assert_eq!(desk.words(), ["proposal 1"]);
    }
}

#[test]
fn what_waited_for_a_transfer_that_came_to_nothing_is_proposed() {
    let mut office = Office::led(3);
    office.isolate(2);
    office.at(1).step(Input::Transfer(2));
    office.deliver();
    office.at(1).propose(1);
    office.at(3).propose(2);
    office.deliver();
    assert_eq!(office.at(1).core.status().held, 1);
    assert_eq!(office.at(1).words(), [""; 0]);
    office.ticks(25);
    assert_eq!(office.at(1).role(), Role::Leader);
    for id in [1, 3] {
        let mut words = office.at(id).words();
        words.sort_unstable();
        assert_eq!(words, ["proposal 1", "proposal 2"]);
    }
    assert_eq!(office.at(1).turned_back, []);
}

#[test]
fn what_others_hand_on_while_leadership_is_handed_over_reaches_the_next_leader() {
    let mut office = Office::led(3);
    // The one that shall lead hears of it only when the proposal is with the one that led.
    office.cut.push((1, 2));
    office.at(1).step(Input::Transfer(2));
    office.deliver();
    office.at(3).propose(1);
    office.deliver();
    office.cut.clear();
    office.isolate(1);
    office.elect_another(1);
    office.heal();
    office.ticks(15);
    for desk in office.desks.values() {
        assert_eq!(desk.words(), ["proposal 1"]);
    }
}

#[test]
fn a_deposed_leaders_revocations_are_dropped() {
    let mut office = Office::led(3);
    let term = office.at(1).term();
    office.isolate(1);
    office.elect_another(1);
    // Member 1 still believes in itself: its entry is lost with its term.
    assert_eq!(office.at(1).role(), Role::Leader);
    office.at(1).step(Input::Propose(Proposal { only_in: Some(term), ..proposal(1) }));
    office.heal();
    office.ticks(15);
    office.at(1).step(Input::Propose(Proposal { only_in: Some(term), ..proposal(2) }));
    assert_eq!(office.at(1).turned_back, [(2, TurnedBack::NotLeader)]);
    for desk in office.desks.values() {
        assert_eq!(desk.words(), [""; 0]);
    }
}

impl Office {
    /// Another member comes to lead while `old` hears nothing.
    fn elect_another(&mut self, old: u64) {
        for _ in 0..60 {
            for desk in self.desks.iter_mut().filter(|(id, _)| **id != old).map(|(_, desk)| desk) {
                desk.step(Input::Tick);
            }
            self.deliver();
            if self.desks.iter().any(|(&id, desk)| id != old && desk.role() == Role::Leader) {
                return;
            }
        }
        panic!("nobody comes to lead");
    }
}

#[test]
fn a_leader_does_not_hand_on_what_its_own_disk_does_not_hold() {
    let mut desk = alone();
    desk.hold_log = true;
    desk.propose(1);
    assert_eq!(desk.words(), [""; 0], "one member alone: not durable, not committed (etcd #14370)");
    desk.hold_log = false;
    desk.settle();
    assert_eq!(desk.words(), ["proposal 1"]);
}

#[test]
fn a_leader_with_a_slow_disk_commits_by_others_and_still_waits_for_its_own() {
    let mut office = Office::led(3);
    office.at(1).hold_log = true;
    office.at(1).propose(1);
    office.deliver();
    office.ticks(1);
    let desk = office.at(1);
    assert!(desk.core.status().commit > desk.core.status().applied, "the others made it committed");
    assert_eq!(desk.words(), [""; 0], "but this disk does not hold it");
    assert_eq!(office.at(2).words(), ["proposal 1"]);
    let desk = office.at(1);
    desk.hold_log = false;
    desk.settle();
    assert_eq!(desk.words(), ["proposal 1"]);
}

/// How many entries there are in each batch when proposals of so many bytes have waited for the disk.
fn batches(count: u64, bytes: usize) -> Vec<usize> {
    let mut desk = alone();
    desk.hold_store = true;
    desk.hold_log = true;
    for id in 1..=count {
        let mut proposal = proposal(id);
        if bytes > 0 {
            proposal.data = vec![0; bytes].into();
        }
        desk.core.step(Input::Propose(proposal));
    }
    desk.settle();
    desk.hold_log = false;
    desk.settle();
    let size = |apply: &Apply| match apply {
        Apply::Entries(entries) => entries.len(),
        Apply::Restore(_) => 0,
    };
    desk.applies.iter().map(size).collect()
}

#[test]
fn large_backlogs_are_handed_on_in_bounded_batches() {
    let most = limits::APPLY_BATCH_MAX;
    assert_eq!(batches(most as u64 + 10, 0), [most, 10]);
    // By their bytes too; one goes, however large it is.
    let bytes = limits::APPLY_BATCH_BYTES_MAX;
    assert_eq!(batches(10, bytes / 4), [4, 4, 2]);
    assert_eq!(batches(3, bytes + 1), [1, 1, 1]);
}

#[test]
fn reads_asked_together_share_one_round() {
    let mut office = Office::led(3);
    office.delivered.clear();
    for id in 1..=50 {
        office.at(1).core.step(Input::Read(id));
    }
    office.at(1).settle();
    office.deliver();
    assert_eq!(office.at(1).reads, (1..=50).collect::<Vec<u64>>());
    let beats = office.delivered.iter().filter(|message| message.kind == MessageKind::Heartbeat).count();
    assert_eq!(beats, 2, "one to each");
}

#[test]
fn a_followers_reads_travel_as_one_question() {
    let mut office = Office::led(3);
    for id in 1..=20 {
        office.at(3).core.step(Input::Read(id));
    }
    office.at(3).settle();
    office.deliver();
    assert_eq!(office.at(3).reads.len(), 20);
    let asked = office.delivered.iter().filter(|message| message.kind == MessageKind::ReadIndex).count();
    assert_eq!(asked, 1);
}

#[test]
fn a_read_waits_until_its_index_is_applied_here() {
    let mut office = Office::led(3);
    office.at(2).hold_store = true;
    office.at(1).propose(1);
    office.deliver();
    office.ticks(1);
    office.at(2).read(9);
    office.deliver();
    assert_eq!(office.at(2).reads, [0; 0], "confirmed, and not applied yet");
    let desk = office.at(2);
    desk.hold_store = false;
    desk.settle();
    assert_eq!(desk.reads, [9]);
    assert_eq!(desk.words(), ["proposal 1"]);
}

#[test]
fn reads_wait_for_a_leader_and_are_answered_when_one_appears() {
    let mut office = Office::new(3);
    office.at(2).read(1);
    office.ticks(3);
    assert_eq!(office.at(2).reads, [0; 0]);
    office.campaign(1);
    office.ticks(1);
    assert_eq!(office.at(2).reads, [1]);
    assert_eq!(office.at(2).failed_reads, [], "the new leader is no reason to turn it back");
}

#[test]
fn an_unanswered_round_is_asked_again_under_another_number() {
    let mut office = Office::led(3);
    office.cut.push((2, 1));
    office.at(2).read(1);
    office.deliver();
    office.ticks(RETRY_TICKS + 1);
    assert_eq!(office.at(2).reads, [0; 0], "the question was lost");
    let asked = |office: &mut Office| -> Vec<Bytes> {
        let of =
            |message: &raft::Message| (message.kind == MessageKind::ReadIndex).then(|| message.entries[0].data.clone());
        office.delivered.iter().filter_map(of).collect()
    };
    assert_eq!(asked(&mut office).len(), 0);
    office.cut.clear();
    office.cut.push((1, 2));
    office.ticks(RETRY_TICKS);
    office.cut.clear();
    office.ticks(RETRY_TICKS + 1);
    assert_eq!(office.at(2).reads, [1]);
    let numbers = asked(&mut office);
    assert!(numbers.len() >= 2, "{numbers:?}");
    let mut unique = numbers.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), numbers.len(), "no number twice: {numbers:?}");
}

#[test]
fn a_late_answer_to_an_earlier_round_answers_nothing() {
    let mut office = Office::led(3);
    office.at(2).read(1);
    // The question arrives, the answer is delayed.
    let question = std::mem::take(&mut office.at(2).sent);
    for message in question {
        office.at(1).step(Input::Message(message));
    }
    office.cut.push((1, 2));
    let beats: Vec<raft::Message> =
        std::mem::take(&mut office.at(1).sent).into_iter().filter(|message| message.to == 3).collect();
    for message in beats {
        office.at(3).step(Input::Message(message));
    }
    let replies = std::mem::take(&mut office.at(3).sent);
    for message in replies {
        office.at(1).step(Input::Message(message));
    }
    let is_answer = |message: &raft::Message| message.kind == MessageKind::ReadIndexResp;
    let late: Vec<raft::Message> = office.at(1).sent.iter().filter(|message| is_answer(message)).cloned().collect();
    assert_eq!(late.len(), 1);
    office.deliver();
    for _ in 0..=RETRY_TICKS {
        office.at(2).step(Input::Tick);
    }
    office.at(2).step(Input::Message(late[0].clone()));
    assert_eq!(office.at(2).reads, [0; 0], "its round was given up (etcd #20418)");
    office.at(2).sent.clear();
    office.heal();
    office.ticks(RETRY_TICKS + 1);
    assert_eq!(office.at(2).reads, [1]);
}

#[test]
fn a_change_of_leader_turns_rounds_under_way_back() {
    let mut office = Office::led(3);
    office.cut.push((1, 3));
    office.at(3).read(1);
    office.cut.push((3, 1));
    office.deliver();
    office.cut.clear();
    office.at(1).step(Input::Transfer(2));
    office.deliver();
    assert_eq!(office.at(3).core.status().leader, 2);
    assert_eq!(office.at(3).failed_reads, [(1, TurnedBack::LeaderChanged)]);
    assert_eq!(office.at(3).reads, [0; 0]);
}

#[test]
fn reads_that_nobody_waits_for_any_more_are_turned_back() {
    let mut desk = Desk::new(1, &[1, 2, 3]);
    desk.read(1);
    desk.ticks(HOLD_TICKS);
    assert_eq!(desk.failed_reads, []);
    desk.ticks(1);
    assert_eq!(desk.failed_reads, [(1, TurnedBack::NoLeader)]);
}

/// Store may stand still, on a full disk for example: a read that it holds up is given up like any other, and what needs no
/// more than is applied is served.
#[test]
fn reads_that_the_store_holds_up_are_turned_back() {
    let mut desk = alone();
    desk.read(1);
    assert_eq!(desk.reads, [1]);
    desk.hold_store = true;
    desk.propose(1);
    desk.read(2);
    assert!(desk.core.waits_for_applied());
    desk.ticks(HOLD_TICKS);
    assert_eq!(desk.failed_reads, []);
    desk.ticks(1);
    assert_eq!(desk.failed_reads, [(2, TurnedBack::NotApplied)]);
    assert!(!desk.core.waits_for_applied(), "nothing is remembered of it");
    desk.read(3);
    desk.hold_store = false;
    desk.settle();
    assert_eq!(desk.reads, [1, 3]);
}

#[test]
fn a_leader_without_a_quorum_answers_no_read() {
    let mut office = Office::led(3);
    office.isolate(1);
    office.at(1).read(1);
    office.ticks(HOLD_TICKS + RETRY_TICKS + 2);
    assert_eq!(office.at(1).reads, [0; 0]);
    assert_eq!(office.at(1).failed_reads.len(), 1);
}

#[test]
fn the_log_forgets_only_what_the_store_holds_durably() {
    let mut desk = alone();
    for id in 1..=200 {
        desk.propose(id);
    }
    assert_eq!(desk.releases, [0; 0], "the store has synced nothing");
    desk.step(Input::Synced(60));
    let released = *desk.releases.last().expect("something may go");
    assert!(released <= 60 && released > 50, "{released}");
    desk.step(Input::Synced(150));
    let released = *desk.releases.last().unwrap();
    assert!(released <= 150 && released > 140, "{released}");
    let applied = desk.core.status().applied;
    desk.step(Input::Synced(applied));
    let released = *desk.releases.last().unwrap();
    assert!(released <= applied - CATCH_UP, "{released}: the last {CATCH_UP} stay for members that lag");
    assert!(desk.releases.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", desk.releases);
}

#[test]
fn large_entries_are_forgotten_by_their_bytes() {
    let mut desk = alone();
    let size = limits::TAIL_BYTES_MAX / 8;
    let large = Bytes::from(vec![0; size as usize]);
    for id in 1..=12 {
        desk.step(Input::Propose(Proposal { data: large.clone(), ..proposal(id) }));
        desk.applied.clear();
    }
    desk.step(Input::Synced(desk.core.status().applied));
    let released = *desk.releases.last().expect("fewer than the count, but too many bytes");
    let kept = desk.core.status().applied - released;
    assert!(kept * size <= limits::TAIL_BYTES_MAX, "{kept} kept");
    assert!(kept >= 7, "{kept} kept: no more goes than must");
}

#[test]
#[should_panic(expected = "applied went back")]
fn applied_never_goes_back() {
    let mut desk = alone();
    desk.propose(1);
    desk.core.step(Input::Applied(member::core::Applied { index: 0, changes: Vec::new() }));
}

#[test]
#[should_panic(expected = "never handed on")]
fn nothing_is_applied_that_was_not_handed_on() {
    let mut desk = alone();
    desk.core.step(Input::Applied(member::core::Applied { index: 99, changes: Vec::new() }));
}

#[test]
fn a_malformed_message_harms_nobody() {
    let mut office = Office::led(3);
    use MessageKind::{AppResp, HeartbeatResp, Hup, Prop, ReadIndexResp, Snap, Unreachable, VoteResp};
    for kind in [AppResp, HeartbeatResp, Hup, Prop, ReadIndexResp, Snap, Unreachable, VoteResp] {
        let mut message = raft::Message::new(kind, 2);
        message.from = match kind {
            Snap => 1,
            Prop => 3,
            _ => 99,
        };
        message.term = office.at(1).term();
        message.index = u64::MAX / 2;
        office.at(2).step(Input::Message(message.clone()));
        if kind != Snap {
            message.to = 1;
            office.at(1).step(Input::Message(message));
        }
    }
    // Each is told, but for answers of those who may just have left.
    let told = |desk: &Desk| desk.strange.iter().map(|strange| strange.kind).collect::<Vec<_>>();
    assert_eq!(told(&office.desks[&1]), [Hup, Prop, Unreachable]);
    assert_eq!(told(&office.desks[&2]), [Hup, Prop, Snap, Unreachable]);
    office.at(1).propose(1);
    office.deliver();
    office.ticks(1);
    assert!(office.desks.values().all(|desk| desk.words() == ["proposal 1"]));
}

/// What cannot be true is told with its reason, only so often in a round, and ends nothing.
#[test]
fn a_contradiction_is_told_and_harms_nobody() {
    let mut office = Office::led(3);
    let term = office.at(1).term();
    for _ in 0..100 {
        let mut message = raft::Message::new(MessageKind::Heartbeat, 1);
        (message.from, message.term) = (2, term);
        office.at(1).core.step(Input::Message(message));
    }
    office.at(1).settle();
    let strange = &office.at(1).strange;
    assert_eq!(strange.len(), limits::REFUSED_TOLD_MAX);
    let words = strange[0].why.to_string();
    assert_eq!((strange[0].from, strange[0].kind), (2, MessageKind::Heartbeat));
    assert!(words.contains("claims to lead in term") && words.contains("but 1 leads"), "{words}");
    office.at(1).propose(1);
    office.deliver();
    office.ticks(1);
    assert!(office.desks.values().all(|desk| desk.words() == ["proposal 1"]));
}
