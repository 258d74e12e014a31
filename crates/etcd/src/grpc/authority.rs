//! What clients name as the host of a request where it is none.
//!
//! etcd looks at it nowhere, and clients send what they like: Go's client 3.5.0 `#initially=[http://a:2379]`, gRPC's C core
//! all the addresses of a target that has several. The HTTP/2 library resets such a request. So the heads of a connection are
//! read here before the library reads them, and an authority that is none becomes as many x: no shorter and no longer, so
//! that the tables of fields on both sides go on alike (RFC 7541, section 4.1). A connection whose first request names a
//! host, or none at all, is not looked at any more, and costs nothing.
//!
//! Nothing is judged here. What cannot be understood goes on as it is, and so the library still resets
//! - an authority that is none behind a first request that was in order: a proxy's connection with several clients on it,
//! - one in a head that goes on in CONTINUATION,
//! - one whose name is taken from the fields that both sides remember, not from those that everybody knows,
//! - one in a head that fills a frame, or would when its texts are no longer squeezed.
//!
//! A client with one target says the same host from its first request on, and none is known that does one of these.

use super::huffman;
use bytes::{Buf, BytesMut};
use http::uri::Authority;
use std::ops::Range;

/// Behind it come frames (RFC 9113, section 3.4).
pub const PREFACE_BYTES: usize = 24;
/// A frame's own head: length, kind, flags, stream.
const FRAME_HEAD_BYTES: usize = 9;
/// Longest frame that the library takes.
const FRAME_BYTES_MAX: usize = 16_384;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The place of `:authority` among the fields that everybody knows.
const AUTHORITY: usize = 1;
const AUTHORITY_NAME: &[u8] = b":authority";

/// The heads of one connection, on their way to the library.
pub struct Heads {
    next: Next,
    /// An authority that is none has come, so others will.
    mends: bool,
    /// Waits for the rest of its frame.
    begun: BytesMut,
    /// May go on.
    ready: BytesMut,
}

enum Next {
    /// So many bytes go on as they are.
    Pass(usize),
    Frame,
    /// Everything goes on as it is.
    Over,
}

impl Heads {
    /// Of a connection of which `read` bytes have been read already.
    pub fn after(read: usize) -> Heads {
        let next = Next::Pass(PREFACE_BYTES.saturating_sub(read));
        Heads { next, mends: false, begun: BytesMut::new(), ready: BytesMut::new() }
    }

    /// What the client has sent.
    pub fn take(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        loop {
            match &mut self.next {
                Next::Over => {
                    self.ready.unsplit(self.begun.split());
                    return;
                }
                Next::Pass(left) => {
                    let count = self.begun.len().min(*left);
                    *left -= count;
                    let ended = *left == 0;
                    self.ready.extend_from_slice(&self.begun[..count]);
                    self.begun.advance(count);
                    if !ended {
                        return;
                    }
                    self.next = Next::Frame;
                }
                Next::Frame => {
                    let Some(&[high, middle, low, kind, flags, ..]) = self.begun.first_chunk::<FRAME_HEAD_BYTES>()
                    else {
                        return;
                    };
                    let length = FRAME_HEAD_BYTES + u32::from_be_bytes([0, high, middle, low]) as usize;
                    if kind != HEADERS {
                        self.next = Next::Pass(length);
                    } else if flags & END_HEADERS == 0 || length > FRAME_BYTES_MAX {
                        // No client says so much before it is answered.
                        self.next = if self.mends { Next::Pass(length) } else { Next::Over };
                    } else if self.begun.len() < length {
                        return;
                    } else {
                        let frame = self.begun.split_to(length);
                        let mended = mend_frame(&frame);
                        self.mends |= mended.is_some();
                        self.ready.extend_from_slice(mended.as_deref().unwrap_or(&frame));
                        self.next = if self.mends { Next::Frame } else { Next::Over };
                    }
                }
            }
        }
    }

    /// The client sends nothing more.
    pub fn end(&mut self) {
        self.next = Next::Over;
        self.take(&[]);
    }

    /// What may go on. Whoever takes it advances.
    pub fn ready(&mut self) -> &mut BytesMut {
        &mut self.ready
    }

    /// Whether the rest may come to the library without this.
    pub fn is_over(&self) -> bool {
        matches!(self.next, Next::Over) && self.ready.is_empty()
    }
}

/// The frame with another authority, if it has one that is none.
fn mend_frame(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, payload) = frame.split_at(FRAME_HEAD_BYTES);
    let flags = head[4];
    let front = usize::from(flags & PADDED != 0) + if flags & PRIORITY != 0 { 5 } else { 0 };
    let padding = if flags & PADDED != 0 { usize::from(*payload.first()?) } else { 0 };
    let end = payload.len().checked_sub(padding)?;
    let mended = mend(payload.get(front..end)?)?;
    let payload = [&payload[..front], &mended, &payload[end..]].concat();
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= FRAME_BYTES_MAX)?;
    Some([&length.to_be_bytes()[1..], &head[3..], &payload].concat())
}

/// The fields likewise.
fn mend(fields: &[u8]) -> Option<Vec<u8>> {
    let mut walk = Walk { fields, at: 0 };
    loop {
        let first = *fields.get(walk.at)?;
        // RFC 7541, section 6: a field that is known, a table's size, a literal.
        if first & 0x80 != 0 {
            walk.integer(7)?;
            continue;
        }
        if first & 0xe0 == 0x20 {
            walk.integer(5)?;
            continue;
        }
        let place = walk.integer(if first & 0x40 != 0 { 6 } else { 4 })?;
        let names_it = match place {
            0 => {
                let name = walk.text()?;
                name.bytes.len() <= AUTHORITY_NAME.len() && walk.read(&name)? == AUTHORITY_NAME
            }
            place => place == AUTHORITY,
        };
        let value_at = walk.at;
        let value = walk.text()?;
        if !names_it {
            continue;
        }
        let said = walk.read(&value)?;
        if said.is_empty() || Authority::try_from(&said[..]).is_ok() {
            return None;
        }
        let mut mended = fields[..value_at].to_vec();
        put_length(&mut mended, said.len());
        mended.resize(mended.len() + said.len(), b'x');
        mended.extend_from_slice(&fields[walk.at..]);
        return Some(mended);
    }
}

struct Walk<'a> {
    fields: &'a [u8],
    at: usize,
}

/// A text where it stands.
struct Text {
    is_squeezed: bool,
    bytes: Range<usize>,
}

impl Walk<'_> {
    /// RFC 7541, section 5.1.
    fn integer(&mut self, bits: u32) -> Option<usize> {
        let most = (1 << bits) - 1;
        let mut value = usize::from(*self.fields.get(self.at)?) & most;
        self.at += 1;
        if value < most {
            return Some(value);
        }
        for shift in [0, 7, 14] {
            let byte = *self.fields.get(self.at)?;
            self.at += 1;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Text> {
        let is_squeezed = self.fields.get(self.at)? & 0x80 != 0;
        let length = self.integer(7)?;
        let bytes = self.at..self.at + length;
        self.fields.get(bytes.clone())?;
        self.at = bytes.end;
        Some(Text { is_squeezed, bytes })
    }

    fn read(&self, text: &Text) -> Option<Vec<u8>> {
        let bytes = &self.fields[text.bytes.clone()];
        if text.is_squeezed { huffman::decode(bytes) } else { Some(bytes.to_vec()) }
    }
}

/// The length of a text that is not squeezed.
fn put_length(out: &mut Vec<u8>, length: usize) {
    const MOST: usize = 0x7f;
    if length < MOST {
        out.push(length as u8);
        return;
    }
    out.push(MOST as u8);
    let mut rest = length - MOST;
    while rest > MOST {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /// `#initially=[a:1]`, squeezed.
    const INITIALLY: [u8; 14] = [0xff, 0xa3, 0x54, 0x64, 0x98, 0x74, 0x51, 0xea, 0x0f, 0xfd, 0x8e, 0xe0, 0x7f, 0xf9];

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn head(authority: &str) -> Vec<u8> {
        let mut fields = vec![0x83, 0x86, 0x41];
        put_length(&mut fields, authority.len());
        [&fields, authority.as_bytes(), &[0x84]].concat()
    }

    /// All that goes on, and whether more would be looked at.
    fn told(pieces: &[&[u8]], read: usize) -> (Vec<u8>, bool) {
        let mut heads = Heads::after(read);
        let mut out = Vec::new();
        for piece in pieces {
            heads.take(piece);
            out.extend(heads.ready().split());
        }
        let over = heads.is_over();
        heads.end();
        out.extend(heads.ready().split());
        (out, over)
    }

    #[test]
    fn a_host_stays_and_ends_the_looking() {
        let said =
            [PREFACE, &frame(4, 0, &[]), &frame(HEADERS, END_HEADERS, &head("127.0.0.1:2379")), b"anything"].concat();
        for length in [1, 7, said.len()] {
            let pieces: Vec<&[u8]> = said.chunks(length).collect();
            assert_eq!(told(&pieces, 0), (said.clone(), true));
        }
        assert_eq!(told(&[&said[14..]], 14), (said[14..].to_vec(), true));
    }

    #[test]
    fn what_is_no_host_becomes_as_many_letters_in_every_request() {
        for authority in
            ["#initially=[http://a:1;http://b:1]", "a:1,b:2", "a b", "[::1", &format!("{}:x:y", "a".repeat(300))]
        {
            let one = |fields: &[u8]| frame(HEADERS, END_HEADERS, fields);
            let data = frame(0, 1, b"data");
            let said = [PREFACE, &one(&head(authority)), &data, &one(&[0x83, 0xbe]), &one(&head(authority))].concat();
            let mended = one(&head(&"x".repeat(authority.len())));
            let expected = [PREFACE, &mended, &data, &one(&[0x83, 0xbe]), &mended].concat();
            for length in [1, 10, said.len()] {
                let pieces: Vec<&[u8]> = said.chunks(length).collect();
                assert_eq!(told(&pieces, 0), (expected.clone(), false), "{authority}");
            }
        }
    }

    #[test]
    fn squeezed_padded_and_named_in_full() {
        assert_eq!(huffman::decode(&INITIALLY).as_deref(), Some(&b"#initially=[a:1]"[..]));
        let squeezed = [&[0x41, 0x80 | INITIALLY.len() as u8][..], &INITIALLY, &[0x84]].concat();
        let expected = [&[0x41, 16][..], &[b'x'; 16], &[0x84]].concat();
        assert_eq!(mend(&squeezed), Some(expected.clone()));
        let named = [&[0x3f, 0xe1, 0x1f, 0, 10][..], b":authority", &[7], b"a:1,b:2", &[0x84]].concat();
        let mended = [&[0x3f, 0xe1, 0x1f, 0, 10][..], b":authority", &[7], b"xxxxxxx", &[0x84]].concat();
        assert_eq!(mend(&named), Some(mended));
        let padded = |fields: &[u8]| [&[2, 0, 0, 0, 0, 7][..], fields, &[0, 0]].concat();
        let framed = |fields: &[u8]| frame(HEADERS, END_HEADERS | PADDED | PRIORITY, &padded(fields));
        assert_eq!(mend_frame(&framed(&squeezed)), Some(framed(&expected)));
    }

    #[test]
    fn what_is_not_understood_goes_on() {
        let cut = head("a:1,b:2");
        for length in 0..cut.len() {
            let fields = &cut[..length];
            // Nothing is wrong with what has come before the authority ends.
            assert_eq!(mend(fields).is_some(), length == cut.len() - 1, "{length}");
        }
        for payload in
            [&[0xff; 40][..], &[0x41, 0x7f, 0xff, 0xff, 0xff, 0x7f], &[0x41, 0x82, 0xff, 0xff], &[0x40, 0x7f]]
        {
            let said = [PREFACE, &frame(HEADERS, END_HEADERS, payload), &[1, 2, 3]].concat();
            assert_eq!(told(&[&said], 0), (said.clone(), true), "{payload:x?}");
        }
        for flags in [PADDED | END_HEADERS, PRIORITY | END_HEADERS, 0] {
            let said = [PREFACE, &frame(HEADERS, flags, &[9])].concat();
            assert_eq!(told(&[&said], 0).0, said);
        }
        let empty = frame(HEADERS, END_HEADERS | PADDED, &[]);
        assert_eq!(mend_frame(&empty), None);
    }
}
