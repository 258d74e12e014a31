//! Range ends: how etcd says "a prefix" and "from here on".

use bytes::Bytes;

/// The range end that means every key from the start on; as a start key, the
/// least key there is.
pub const FROM_KEY: Bytes = Bytes::from_static(&[0]);

/// The end of the range of all keys that begin with `prefix`.
///
/// It is the least key greater than all of them: the prefix with its last byte
/// that is not 0xff raised by one, and cut there. A prefix of 0xff alone, or
/// none, has no such key, so the range is open.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    match prefix.iter().rposition(|byte| *byte < u8::MAX) {
        None => FROM_KEY,
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end.into()
        }
    }
}

/// Makes a key the beginning of a range: everything that begins with it
/// (`prefix`), or everything from it on (`from_key`). An empty key then stands
/// for the first there can be.
pub fn widen(key: &mut Bytes, range_end: &mut Bytes, prefix: bool, from_key: bool) {
    if prefix {
        *range_end = prefix_end(key);
    }
    if from_key {
        *range_end = FROM_KEY;
    }
    if (prefix || from_key) && key.is_empty() {
        *key = FROM_KEY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends() {
        assert_eq!(prefix_end(b"a"), &b"b"[..]);
        assert_eq!(prefix_end(b"a\xff\xff"), &b"b"[..]);
        assert_eq!(prefix_end(b"ab"), &b"ac"[..]);
        assert_eq!(prefix_end(b"\xff"), FROM_KEY);
        assert_eq!(prefix_end(b""), FROM_KEY);
    }
}
