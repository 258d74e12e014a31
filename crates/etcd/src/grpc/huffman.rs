//! Texts as HTTP/2 squeezes them (RFC 7541, section 5.2 and appendix B).

use std::sync::LazyLock;

/// How many bits each byte takes. The code is canonical, so these say all: shorter codes come first, and among those of one
/// length smaller bytes.
const BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26,
];
const BITS_MAX: usize = 30;

struct Code {
    /// All bytes, those with shorter codes first.
    bytes: Vec<u8>,
    /// For each length: the first code, where its byte stands, how many there are.
    lengths: [(u32, usize, u32); BITS_MAX + 1],
}

static CODE: LazyLock<Code> = LazyLock::new(|| {
    let mut bytes: Vec<u8> = (0..=u8::MAX).collect();
    bytes.sort_by_key(|byte| BITS[usize::from(*byte)]);
    let mut lengths = [(0, 0, 0); BITS_MAX + 1];
    let (mut first, mut at) = (0, 0);
    for (length, entry) in lengths.iter_mut().enumerate() {
        let count = bytes[at..].iter().take_while(|byte| usize::from(BITS[usize::from(**byte)]) == length).count();
        first *= 2;
        *entry = (first, at, count as u32);
        first += count as u32;
        at += count;
    }
    Code { bytes, lengths }
});

/// The text, unless it ends in the middle of a byte's code.
pub fn decode(squeezed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(squeezed.len() * 2);
    let (mut code, mut length) = (0_u32, 0);
    for bit in squeezed.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        let (first, at, count) = *CODE.lengths.get(length)?;
        if let Some(further) = code.checked_sub(first).filter(|further| *further < count) {
            text.push(CODE.bytes[at + further as usize]);
            (code, length) = (0, 0);
        }
    }
    // What is left over of the last byte is ones.
    (length < 8 && code == (1 << length) - 1).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7541, appendix C.4 and C.6.
    #[test]
    fn texts_of_the_standard() {
        for (squeezed, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x64, 0x02], "302"),
            (
                &[0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae, 0x43, 0xd3],
                "https://www.example.com",
            ),
            (&[], ""),
        ] {
            assert_eq!(decode(squeezed).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_text() {
        // A byte of padding, padding of zeros, and the code that stands for the end.
        for squeezed in [&[0x64, 0x02, 0xff][..], &[0x18], &[0xff; 4], &[0xff; 40]] {
            assert_eq!(decode(squeezed), None, "{squeezed:x?}");
        }
    }
}
