//! Frames by hand, as a server might send them.

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Head { length: payload.len(), kind, flags, stream }.write(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

fn ready() -> Connection {
    let mut connection = Connection::new("a", "/p");
    let settings = frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 2]);
    assert!(!connection.is_ready());
    assert!(deliver(&mut connection, &settings).unwrap().is_empty());
    assert!(connection.is_ready());
    connection.outbox.clear();
    connection
}

/// The tag of a reply, and the reply.
type Taken = (u32, Result<Vec<u8>, String>);

fn deliver(connection: &mut Connection, bytes: &[u8]) -> Result<Vec<Taken>> {
    let mut replies = Vec::new();
    let mut inbox = BytesMut::from(bytes);
    connection.receive(&mut inbox, |tag, reply| replies.push((tag, reply.map(<[u8]>::to_vec))))?;
    assert!(inbox.is_empty(), "whole frames are taken");
    Ok(replies)
}

/// `:status 200`, then `grpc-status` with this value.
fn reply(stream: u32, body: &[u8], status: u8) -> Vec<u8> {
    let trailers = [&[0x00, 11][..], b"grpc-status", &[1, status]].concat();
    [
        frame(kind::HEADERS, flag::END_HEADERS, stream, &[0x88]),
        frame(kind::DATA, 0, stream, body),
        frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &trailers),
    ]
    .concat()
}

#[test]
fn replies_come_back_under_their_tag_in_any_order() {
    let mut connection = ready();
    connection.request(7, b"one");
    connection.request(8, b"two");
    assert!(!connection.has_room(1).unwrap(), "the server allows two streams");
    let bytes = [reply(3, b"second", b'0'), reply(1, b"first", b'5')].concat();
    let replies = deliver(&mut connection, &bytes).unwrap();
    assert_eq!(replies, [(8, Ok(b"second".to_vec())), (7, Err("grpc-status 5 ".to_owned()))]);
    assert_eq!(connection.in_flight(), 0);
    assert_eq!(connection.oldest, 5);
    assert!(connection.has_room(1).unwrap());
}

#[test]
fn a_frame_may_come_in_pieces() {
    let mut connection = ready();
    connection.request(1, b"x");
    let (mut inbox, mut replies) = (BytesMut::new(), Vec::new());
    for byte in reply(1, b"body", b'0') {
        inbox.extend_from_slice(&[byte]);
        connection.receive(&mut inbox, |tag, reply| replies.push((tag, reply.unwrap().to_vec()))).unwrap();
    }
    assert_eq!(replies, [(1, b"body".to_vec())]);
}

#[test]
fn padding_priority_and_continuation_are_understood() {
    let mut connection = ready();
    connection.request(1, b"x");
    let bytes = [
        frame(kind::HEADERS, flag::PADDED | flag::PRIORITY, 1, &[2, 0, 0, 0, 0, 0, 0x88, 0, 0]),
        frame(kind::CONTINUATION, flag::END_HEADERS, 1, &[]),
        frame(kind::DATA, flag::PADDED, 1, &[1, b'y', 0]),
        reply(1, b"z", b'0'),
    ]
    .concat();
    assert_eq!(deliver(&mut connection, &bytes).unwrap(), [(1, Ok(b"yz".to_vec()))]);
}

#[test]
fn the_window_is_respected_and_grows() {
    let mut connection = ready();
    connection.allowed.window = 10;
    connection.request(1, b"12345678");
    assert!(connection.has_room(2).unwrap());
    assert!(!connection.has_room(3).unwrap());
    deliver(&mut connection, &frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).unwrap();
    assert!(connection.has_room(3).unwrap());
    assert!(connection.has_room(PAYLOAD_MAX + 1).is_err());
}

#[test]
fn pings_are_answered_and_resets_reported() {
    let mut connection = ready();
    connection.request(4, b"x");
    connection.outbox.clear();
    deliver(&mut connection, &frame(kind::PING, 0, 0, b"12345678")).unwrap();
    assert_eq!(connection.outbox, frame(kind::PING, flag::ACK, 0, b"12345678"));
    let replies = deliver(&mut connection, &frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8])).unwrap();
    assert_eq!(replies, [(4, Err("no grpc-status stream reset by the server, code 8".to_owned()))]);
}

#[test]
fn a_broken_server_is_an_error() {
    for bytes in [
        frame(kind::GOAWAY, 0, 0, &[0; 8]),
        frame(kind::DATA, 0, 9, b"x"),
        frame(kind::HEADERS, flag::END_HEADERS, 1, &[0x80]),
        frame(kind::HEADERS, flag::END_HEADERS, 9, &[0x88]),
        frame(kind::DATA, flag::PADDED, 1, &[9]),
        frame(kind::SETTINGS, 0, 0, &[1]),
        frame(kind::CONTINUATION, 0, 1, &[]),
    ] {
        let mut connection = ready();
        connection.request(1, b"x");
        assert!(deliver(&mut connection, &bytes).is_err(), "{bytes:x?}");
    }
}

/// A gRPC frame around these bytes.
fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, bytes.len() as u8][..], bytes].concat()
}

#[test]
fn an_open_stream_gives_each_message_however_the_frames_cut_it() {
    let mut connection = ready();
    let stream = connection.open(5);
    connection.send(stream, b"hello");
    let messages = [message(b"one"), message(b""), message(b"three")].concat();
    for cut in 0..=messages.len() {
        let bytes = [frame(kind::DATA, 0, 1, &messages[..cut]), frame(kind::DATA, 0, 1, &messages[cut..])].concat();
        let wanted = [message(b"one"), message(b""), message(b"three")].map(|message| (5, Ok(message)));
        assert_eq!(deliver(&mut connection, &bytes).unwrap(), wanted, "cut after {cut}");
    }
    assert_eq!(connection.in_flight(), 1);
    let end = reply(1, &message(b"last"), b'0');
    let ended = (5, Err("the server ended the stream".to_owned()));
    assert_eq!(deliver(&mut connection, &end).unwrap(), [(5, Ok(message(b"last"))), ended]);
    assert_eq!(connection.in_flight(), 0);
    assert!(connection.has_room_on(stream, 1).is_err());
    connection.request(6, b"x");
    assert_eq!(deliver(&mut connection, &reply(3, b"plain", b'0')).unwrap(), [(6, Ok(b"plain".to_vec()))]);
}

#[test]
fn an_open_stream_writes_frames_without_an_end() {
    let mut connection = ready();
    let stream = connection.open(1);
    connection.outbox.clear();
    connection.send(stream, b"a");
    connection.send(stream, b"b");
    assert_eq!(connection.outbox, [frame(kind::DATA, 0, 1, b"a"), frame(kind::DATA, 0, 1, b"b")].concat());
}

#[test]
fn an_open_stream_has_a_window_of_its_own_each_way() {
    let mut connection = ready();
    deliver(&mut connection, &frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10])).unwrap();
    let stream = connection.open(1);
    connection.send(stream, b"12345678");
    assert!(connection.has_room_on(stream, 2).unwrap());
    assert!(!connection.has_room_on(stream, 3).unwrap());
    deliver(&mut connection, &frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).unwrap();
    assert!(connection.has_room_on(stream, 3).unwrap());
    deliver(&mut connection, &frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 12])).unwrap();
    assert!(connection.has_room_on(stream, 5).unwrap() && !connection.has_room_on(stream, 6).unwrap());
    assert!(connection.has_room_on(stream, PAYLOAD_MAX + 1).is_err());

    connection.outbox.clear();
    let frames = STREAM_REFILL_BYTES as usize / 16_000;
    for _ in 0..=frames {
        assert!(connection.outbox.is_empty(), "the window is opened only after many bytes");
        let bytes = [&[0, 0, 0][..], &15_995u16.to_be_bytes(), &[b'x'; 15_995]].concat();
        assert_eq!(deliver(&mut connection, &frame(kind::DATA, 0, 1, &bytes)).unwrap().len(), 1);
    }
    let opened = (frames as u32 + 1) * 16_000;
    assert_eq!(connection.outbox, frame(kind::WINDOW_UPDATE, 0, 1, &opened.to_be_bytes()));
}
