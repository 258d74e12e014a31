//! HPACK's Huffman code (RFC 7541, appendix B), decoding only.
//!
//! The code is canonical, so the lengths of the codes say everything: within a
//! length, codes go up with the symbol. This module must never be asked to be
//! fast; a header is Huffman-coded when it is new, and the replies of a load
//! are almost all references into the dynamic table.

/// Length in bits of each byte's code.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The longest code of a byte. The end-of-string code is as long.
const LENGTH_MAX: usize = 30;

/// The codes sorted by length, ready to decode with.
pub struct Code {
    /// Symbols by (length, symbol).
    symbols: Vec<u8>,
    /// For each length: the first code, and where its symbol stands.
    first: [(u32, usize); LENGTH_MAX + 1],
    /// For each length: how many codes there are.
    count: [u32; LENGTH_MAX + 1],
}

impl Code {
    /// Works the code out of its lengths.
    pub fn new() -> Self {
        let mut symbols: Vec<u8> = (0..=u8::MAX).collect();
        symbols.sort_by_key(|symbol| (LENGTHS[usize::from(*symbol)], *symbol));
        let mut count = [0; LENGTH_MAX + 1];
        for length in LENGTHS {
            count[usize::from(length)] += 1;
        }
        let mut first = [(0, 0); LENGTH_MAX + 1];
        let (mut code, mut at) = (0u32, 0);
        for length in 1..=LENGTH_MAX {
            code <<= 1;
            first[length] = (code, at);
            code += count[length];
            at += count[length] as usize;
        }
        assert_eq!(at, symbols.len(), "every symbol has a code");
        Self { symbols, first, count }
    }

    /// The bytes that `coded` stands for, or `None` when it is not a coding.
    pub fn decode(&self, coded: &[u8]) -> Option<Vec<u8>> {
        let mut plain = Vec::with_capacity(coded.len() * 2);
        let (mut code, mut length) = (0u32, 0);
        for byte in coded {
            for bit in (0..8).rev() {
                code = code << 1 | u32::from(byte >> bit & 1);
                length += 1;
                if length > LENGTH_MAX {
                    return None; // End of string, or nothing at all.
                }
                let (first, at) = self.first[length];
                if code >= first && code - first < self.count[length] {
                    plain.push(self.symbols[at + (code - first) as usize]);
                    (code, length) = (0, 0);
                }
            }
        }
        // What is left is padding: fewer than eight bits, all ones.
        (length < 8 && code == (1 << length) - 1).then_some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_the_examples_of_the_rfc() {
        let code = Code::new();
        let examples: [(&[u8], &[u8]); 4] = [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff], b"www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], b"no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], b"custom-key"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf], b"custom-value"),
        ];
        for (coded, plain) in examples {
            assert_eq!(code.decode(coded).as_deref(), Some(plain));
        }
    }

    #[test]
    fn refuses_bad_padding_and_the_end_of_string() {
        let code = Code::new();
        assert_eq!(code.decode(&[]), Some(vec![]));
        assert_eq!(code.decode(&[0xff]), None, "a whole byte of padding");
        assert_eq!(code.decode(&[0b0000_0000]), None, "padding of zeros");
        assert_eq!(code.decode(&[0xff; 4]), None, "end of string");
    }
}
