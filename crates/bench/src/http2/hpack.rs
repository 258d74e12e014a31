//! Header compression (RFC 7541): all of reading, and as much of writing as a
//! client with one path needs.
//!
//! Reading must follow every change a server makes to the dynamic table, or the
//! next header means something else. A block that cannot be read is fatal to
//! the connection and never skipped.

use std::collections::VecDeque;

use super::huffman::Code;

/// What a dynamic table may hold when nobody said otherwise, in octets.
pub const TABLE_SIZE: usize = 4096;

/// What each entry counts beyond its name and value.
const ENTRY_OVERHEAD: usize = 32;

/// The static table; its first entry has index 1.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

/// One header field.
struct Field {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// The reading side of one connection.
pub struct Decoder {
    code: Code,
    /// Newest first.
    dynamic: VecDeque<Field>,
    /// Octets the dynamic table holds, overhead included.
    size: usize,
    /// Octets it may hold, as the server last chose.
    size_max: usize,
}

impl Decoder {
    /// A decoder with an empty table of the default size.
    pub fn new() -> Self {
        Self { code: Code::new(), dynamic: VecDeque::new(), size: 0, size_max: TABLE_SIZE }
    }

    /// Calls `each` with the name and value of every field of a whole block.
    ///
    /// `None` when the block is malformed; the decoder is then of no more use.
    pub fn read(&mut self, mut block: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Option<()> {
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let (name, value) = self.entry(index)?;
                each(name, value);
            } else if first & 0xc0 == 0x40 {
                let field = self.literal(&mut block, 6)?;
                each(&field.name, &field.value);
                self.insert(field);
            } else if first & 0xe0 == 0x20 {
                let size = integer(&mut block, 5)?;
                if size > TABLE_SIZE {
                    return None; // We never allowed more.
                }
                self.size_max = size;
                self.evict();
            } else {
                // Not indexed, or never to be indexed: the same to us.
                let field = self.literal(&mut block, 4)?;
                each(&field.name, &field.value);
            }
        }
        Some(())
    }

    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let field = self.dynamic.get(index - STATIC.len())?;
        Some((&field.name, &field.value))
    }

    fn literal(&self, block: &mut &[u8], prefix: u32) -> Option<Field> {
        let index = integer(block, prefix)?;
        let name = if index == 0 { self.string(block)? } else { self.entry(index)?.0.to_vec() };
        let value = self.string(block)?;
        Some(Field { name, value })
    }

    fn string(&self, block: &mut &[u8]) -> Option<Vec<u8>> {
        let coded = block.first()? & 0x80 != 0;
        let length = integer(block, 7)?;
        let (bytes, rest) = block.split_at_checked(length)?;
        *block = rest;
        if coded { self.code.decode(bytes) } else { Some(bytes.to_vec()) }
    }

    fn insert(&mut self, field: Field) {
        self.size += field.name.len() + field.value.len() + ENTRY_OVERHEAD;
        self.dynamic.push_front(field);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.size_max {
            let oldest = self.dynamic.pop_back().expect("a table with a size has an entry");
            self.size -= oldest.name.len() + oldest.value.len() + ENTRY_OVERHEAD;
        }
    }
}

/// An integer whose first bits share a byte with something else (section 5.1).
fn integer(block: &mut &[u8], prefix: u32) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let full = (1usize << prefix) - 1;
    let mut value = usize::from(*first) & full;
    if value == full {
        for shift in [0, 7, 14, 21] {
            let (byte, after) = rest.split_first()?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *block = rest;
                return Some(value);
            }
        }
        return None; // Larger than anything a reply can hold.
    }
    *block = rest;
    Some(value)
}

/// The header block of a gRPC request, twice: as the first on a connection and
/// as every later one.
pub struct RequestBlocks {
    /// Teaches the server the fields.
    pub first: Vec<u8>,
    /// Only refers to them.
    pub later: Vec<u8>,
}

impl RequestBlocks {
    /// Blocks for this path, for a server whose table may hold `table_size`.
    pub fn new(authority: &str, path: &str, table_size: usize) -> Self {
        let own = [
            (4u8, "", path),              // :path
            (1, "", authority),           // :authority
            (31, "", "application/grpc"), // content-type
            (58, "", "quorate-bench"),    // user-agent
            (0, "te", "trailers"),
        ];
        let fixed = [0x80 | 3, 0x80 | 6]; // :method POST, :scheme http
        if table_size < TABLE_SIZE {
            // A small table is not worth managing: teach it nothing.
            let mut block = vec![0x20];
            block.extend_from_slice(&fixed);
            own.iter().for_each(|field| write_literal(&mut block, 0x00, 4, *field));
            let later = block[1..].to_vec();
            return Self { first: block, later };
        }
        let mut first = fixed.to_vec();
        own.iter().for_each(|field| write_literal(&mut first, 0x40, 6, *field));
        let mut later = fixed.to_vec();
        // The newest entry of the dynamic table comes right after the static one.
        later.extend((0..own.len()).rev().map(|age| 0x80 | (STATIC.len() + 1 + age) as u8));
        Self { first, later }
    }
}

/// Appends a literal field: its name by index, or in full when the index is 0.
fn write_literal(out: &mut Vec<u8>, pattern: u8, prefix: u32, (index, name, value): (u8, &str, &str)) {
    write_integer(out, pattern, prefix, usize::from(index));
    if index == 0 {
        write_integer(out, 0, 7, name.len());
        out.extend_from_slice(name.as_bytes());
    }
    write_integer(out, 0, 7, value.len());
    out.extend_from_slice(value.as_bytes());
}

/// Appends an integer of which `prefix` bits share a byte with `pattern`.
fn write_integer(out: &mut Vec<u8>, pattern: u8, prefix: u32, value: usize) {
    let full = (1usize << prefix) - 1;
    if value < full {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<String>> {
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        decoder.read(block, |name, value| fields.push(format!("{}={}", text(name), text(value))))?;
        Some(fields)
    }

    /// RFC 7541, appendix C.4: three requests on one connection, Huffman-coded.
    #[test]
    fn reads_the_examples_of_the_rfc() {
        let mut decoder = Decoder::new();
        let first =
            [0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        let base = [":method=GET", ":scheme=http", ":path=/", ":authority=www.example.com"];
        assert_eq!(read(&mut decoder, &first).unwrap(), base);
        assert_eq!(decoder.size, 57);

        let second = [0x82, 0x86, 0x84, 0xbe, 0x58, 0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
        assert_eq!(read(&mut decoder, &second).unwrap(), [&base[..], &["cache-control=no-cache"]].concat());
        assert_eq!(decoder.size, 110);

        let third = [
            0x82, 0x87, 0x85, 0xbf, 0x40, 0x88, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f, 0x89, 0x25, 0xa8, 0x49,
            0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf,
        ];
        let last = read(&mut decoder, &third).unwrap();
        assert_eq!(last[1..4], [":scheme=https", ":path=/index.html", ":authority=www.example.com"]);
        assert_eq!(last[4], "custom-key=custom-value");
        assert_eq!(decoder.size, 164);
    }

    #[test]
    fn a_smaller_table_forgets_the_oldest() {
        let mut decoder = Decoder::new();
        let mut block = Vec::new();
        write_literal(&mut block, 0x40, 6, (0, "old", "1"));
        write_literal(&mut block, 0x40, 6, (0, "new", "2"));
        assert_eq!(read(&mut decoder, &block).unwrap(), ["old=1", "new=2"]);
        block.clear();
        write_integer(&mut block, 0x20, 5, 40);
        block.push(0x80 | 62);
        assert_eq!(read(&mut decoder, &block).unwrap(), ["new=2"]);
        assert_eq!(read(&mut decoder, &[0x80 | 63]), None, "the old one is gone");
    }

    #[test]
    fn refuses_what_is_no_block() {
        for block in [&[0x80][..], &[0xff, 0xff], &[0x40], &[0x40, 5, b'a'], &[0x3f, 0xe2, 0x7f]] {
            assert_eq!(read(&mut Decoder::new(), block), None, "{block:x?}");
        }
    }

    #[test]
    fn both_blocks_of_a_request_mean_the_same() {
        let long = format!("/{}", "x".repeat(300));
        for (path, table_size) in [("/a.B/C", TABLE_SIZE), (long.as_str(), TABLE_SIZE), ("/a.B/C", 0)] {
            let blocks = RequestBlocks::new("127.0.0.1:2379", path, table_size);
            let mut decoder = Decoder::new();
            let first = read(&mut decoder, &blocks.first).unwrap();
            let path = format!(":path={path}");
            let wanted = [
                ":method=POST",
                ":scheme=http",
                &path,
                ":authority=127.0.0.1:2379",
                "content-type=application/grpc",
                "user-agent=quorate-bench",
                "te=trailers",
            ];
            assert_eq!(first, wanted);
            assert_eq!(read(&mut decoder, &blocks.later).unwrap(), wanted);
            assert_eq!(read(&mut decoder, &blocks.later).unwrap(), wanted);
        }
    }
}
