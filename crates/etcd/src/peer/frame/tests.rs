use super::*;
use raft::{ConfState, EntryKind, Snapshot, SnapshotMeta};

fn entry(index: u64, term: u64, data: &[u8]) -> Entry {
    Entry { kind: EntryKind::Normal, term, index, data: Bytes::copy_from_slice(data) }
}

fn append(index: u64, term: u64, log_term: u64, data: &[&[u8]]) -> Message {
    let mut message = Message::new(MessageKind::App, 2);
    (message.from, message.term, message.log_term, message.index, message.commit) = (1, term, log_term, index, index);
    message.entries = data.iter().enumerate().map(|(at, data)| entry(index + 1 + at as u64, term, data)).collect();
    message
}

fn encode_all(kind: StreamKind, messages: &[Message]) -> Vec<u8> {
    let (mut encoder, shared, mut out) = (Encoder::new(kind), SharedAppends::default(), Pieces::default());
    for message in messages {
        encoder.encode(message, &shared, &mut out);
    }
    collect(out)
}

fn collect(mut out: Pieces) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = out.pop() {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(out.len(), 0);
    bytes
}

/// Feeds the bytes in parts of `step` and collects what comes out.
fn decode_all(kind: StreamKind, bytes: &[u8], step: usize) -> Result<Vec<Received>, FrameError> {
    let mut decoder = Decoder::new(kind, 2, 1);
    let mut received = Vec::new();
    for part in bytes.chunks(step) {
        decoder.push(Bytes::copy_from_slice(part));
        while let Some(one) = decoder.next()? {
            received.push(one);
        }
    }
    Ok(received)
}

#[test]
fn appends_survive_any_cut() {
    let large = vec![9u8; 40_000];
    let messages = [
        append(5, 3, 2, &[b"first"]),
        append(6, 3, 3, &[b"a", b"", &large]),
        append(9, 3, 3, &[]),
        append(4, 3, 3, &[b"again"]),
        append(5, 4, 3, &[b"new term"]),
        append(6, 4, 4, &[b"z"]),
    ];
    let bytes = encode_all(StreamKind::MsgApp, &messages);
    for step in [1, 7, 1000, bytes.len()] {
        let received = decode_all(StreamKind::MsgApp, &bytes, step).unwrap();
        let expected: Vec<_> = messages.iter().cloned().map(Received::Message).collect();
        assert_eq!(received, expected, "in parts of {step}");
    }
}

#[test]
fn an_append_where_it_is_expected_is_the_short_frame() {
    let bytes = encode_all(StreamKind::MsgApp, &[append(5, 3, 2, &[b"x"]), append(6, 3, 3, &[b"y"])]);
    let first = 9 + wire::encode(&append(5, 3, 2, &[b"x"])).len();
    assert_eq!(bytes[0], 2);
    // Type 0 is left out as a zero: term 3, index 7, data "y".
    let entry = [0x10, 3, 0x18, 7, 0x22, 1, b'y'];
    let mut expected = vec![1];
    expected.extend(1u64.to_be_bytes());
    expected.extend((entry.len() as u64).to_be_bytes());
    expected.extend(entry);
    expected.extend(6u64.to_be_bytes());
    assert_eq!(bytes[first..], expected);
}

#[test]
fn every_field_survives_the_message_stream() {
    let mut snap = Message::new(MessageKind::Snap, 2);
    (snap.from, snap.term) = (1, 7);
    let conf_state = ConfState {
        voters: vec![1, 2],
        learners: vec![3],
        voters_outgoing: vec![4],
        learners_next: vec![5],
        auto_leave: true,
    };
    let meta = SnapshotMeta { index: 10, term: 6, conf_state };
    snap.snapshot = Some(Snapshot { meta, data: Bytes::from_static(b"v2") });
    let mut answer = Message::new(MessageKind::AppResp, 2);
    (answer.from, answer.term, answer.log_term, answer.index) = (1, u64::MAX, 3, 4);
    (answer.reject, answer.reject_hint, answer.commit, answer.vote) = (true, 5, 6, 8);
    answer.context = Bytes::from_static(b"context");
    let mut prop = Message::new(MessageKind::Prop, 2);
    prop.from = 1;
    prop.entries = vec![Entry { kind: EntryKind::ConfChange, ..Entry::default() }];

    let messages = [snap, answer, prop];
    let bytes = encode_all(StreamKind::Message, &messages);
    for step in [1, 5, bytes.len()] {
        let received = decode_all(StreamKind::Message, &bytes, step).unwrap();
        assert_eq!(received, messages.clone().map(Received::Message), "in parts of {step}");
    }
}

#[test]
fn heartbeats_of_the_link_are_not_for_raft() {
    for kind in StreamKind::ALL {
        let mut out = Pieces::default();
        Encoder::new(kind).heartbeat(&mut out);
        let bytes = collect(out);
        assert_eq!(decode_all(kind, &bytes, 1).unwrap(), [Received::Heartbeat]);
    }
    // As members up to 3.6 write it: every scalar, and an empty snapshot.
    let old = [8, 8, 16, 0, 24, 0, 32, 0, 40, 0, 48, 0, 64, 0, 0x4a, 6, 0x12, 4, 0x0a, 0, 16, 0, 80, 0, 88, 0, 104, 0];
    let mut bytes = (old.len() as u64).to_be_bytes().to_vec();
    bytes.extend(old);
    assert_eq!(decode_all(StreamKind::Message, &bytes, 64).unwrap(), [Received::Heartbeat]);
}

#[test]
fn an_empty_snapshot_of_an_older_member_is_none() {
    let mut wire = wire::to_wire(&append(1, 1, 1, &[]));
    wire.snapshot = Some(Default::default());
    assert_eq!(wire::decode(Bytes::from(wire.encode_to_vec())).unwrap().snapshot, None);
}

#[test]
fn announcements_above_the_limit_are_refused_before_anything_arrives() {
    let huge = (FRAME_BYTES_MAX + 1).to_be_bytes();
    let too_large = FrameError::TooLarge { announced: FRAME_BYTES_MAX + 1, limit: FRAME_BYTES_MAX };
    assert_eq!(decode_all(StreamKind::Message, &huge, 8).unwrap_err(), too_large);
    for first in [1, 2] {
        let bytes = [&[first][..], &huge].concat();
        assert_eq!(decode_all(StreamKind::MsgApp, &bytes, 8).unwrap_err(), too_large, "type {first}");
    }
    let entry = [&[1][..], &1u64.to_be_bytes(), &huge].concat();
    assert_eq!(decode_all(StreamKind::MsgApp, &entry, 8).unwrap_err(), too_large);

    let mut decoder = Decoder::before_snapshot();
    decoder.push(Bytes::copy_from_slice(&(SNAPSHOT_MESSAGE_BYTES_MAX + 1).to_be_bytes()));
    assert!(matches!(decoder.next(), Err(FrameError::TooLarge { limit: SNAPSHOT_MESSAGE_BYTES_MAX, .. })));
}

#[test]
fn an_announcement_within_the_limit_allocates_nothing() {
    let mut decoder = Decoder::new(StreamKind::MsgApp, 2, 1);
    decoder.push(Bytes::copy_from_slice(&[&[1][..], &FRAME_BYTES_MAX.to_be_bytes()].concat()));
    assert_eq!(decoder.next(), Ok(None));
    let State::Entries { message, left, .. } = &decoder.state else { panic!("entries are awaited") };
    assert_eq!((*left, message.entries.capacity()), (FRAME_BYTES_MAX, 0));
}

#[test]
fn nonsense_is_an_error_and_never_a_panic() {
    assert_eq!(decode_all(StreamKind::MsgApp, &[7], 1).unwrap_err(), FrameError::UnknownType(7));
    let garbage = [&8u64.to_be_bytes()[..], &[0xff; 8]].concat();
    assert!(matches!(decode_all(StreamKind::Message, &garbage, 3), Err(FrameError::Wire(_))));
    let unknown = [&2u64.to_be_bytes()[..], &[8, 99]].concat();
    let error = decode_all(StreamKind::Message, &unknown, 3).unwrap_err();
    assert_eq!(error.to_string(), "unknown message type 99");

    let mut gap = append(5, 3, 2, &[b"a", b"b"]);
    gap.entries[1].index = 9;
    let error = decode_all(StreamKind::Message, &encode_all(StreamKind::Message, &[gap]), 9).unwrap_err();
    assert_eq!(error.to_string(), "append after index 5 carries entry 9 where 7 belongs");

    // An entry that is not the expected one, in the short frame: nothing came before, so index 1 is expected.
    let entry = [0x10, 3, 0x18, 7];
    let bytes = [&[1][..], &1u64.to_be_bytes(), &4u64.to_be_bytes(), &entry, &0u64.to_be_bytes()].concat();
    assert!(matches!(decode_all(StreamKind::MsgApp, &bytes, 2), Err(FrameError::Wire(WireError::Gap { .. }))));
}

#[test]
fn cut_streams_wait_and_random_bytes_never_panic() {
    let messages = [append(5, 3, 2, &[b"first"]), append(6, 3, 3, &[b"a", b"b"])];
    let bytes = encode_all(StreamKind::MsgApp, &messages);
    for end in 0..bytes.len() {
        assert!(decode_all(StreamKind::MsgApp, &bytes[..end], 3).unwrap().len() < 2, "cut at {end}");
    }
    // Flip every byte once: an error, or another message, but never a panic.
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 0x55;
        let outcome = decode_all(StreamKind::MsgApp, &bent, 11);
        assert!(outcome.is_err() || outcome.is_ok_and(|received| received.len() <= bytes.len()));
    }
}

#[test]
fn a_large_append_is_encoded_once_for_all_followers() {
    let large = vec![1u8; 2 * SHARED_BYTES_MIN];
    let shared = SharedAppends::default();
    let first = shared.encoded(&append(6, 3, 3, &[&large]).entries);
    let second = shared.encoded(&append(6, 3, 3, &[&large]).entries);
    assert_eq!(first.as_ptr(), second.as_ptr());
    let other_term = shared.encoded(&append(6, 4, 3, &[&large]).entries);
    assert_ne!(other_term.as_ptr(), first.as_ptr());
    assert_ne!(other_term, first);
    let small = shared.encoded(&append(6, 3, 3, &[b"x"]).entries);
    assert_eq!(small.len(), 8 + 7);
}

#[test]
fn what_follows_the_message_of_a_snapshot_is_its_body() {
    let mut snap = Message::new(MessageKind::Snap, 2);
    snap.from = 1;
    snap.snapshot = Some(Snapshot::default());
    let mut decoder = Decoder::before_snapshot();
    decoder.push(framed(&snap));
    decoder.push(Bytes::from_static(b"body"));
    assert_eq!(decoder.next().unwrap(), Some(Received::Message(snap)));
    assert_eq!(decoder.rest(), ["body"]);
}
