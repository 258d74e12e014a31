//! Splitting a line of `txn` or `watch --interactive` into words.

use super::quote::unquote_prefix;

/// The words of a line. `"…"` is a Go literal, `'…'` is taken as it is, and
/// anything else ends at the next space. A quotation mark without its partner is
/// passed over.
///
/// None when a `"…"` has an escape that Go does not know.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.first() {
        rest = match first {
            b'"' => match closing_quote(rest) {
                None => &rest[1..],
                Some(end) => {
                    let (word, _) = unquote_prefix(&rest[..=end])?;
                    words.push(word);
                    &rest[end + 1..]
                }
            },
            b'\'' => match rest[1..].iter().position(|byte| *byte == b'\'') {
                None => &rest[1..],
                Some(end) => {
                    words.push(rest[1..=end].to_vec());
                    &rest[end + 2..]
                }
            },
            byte if is_space(*byte) => &rest[1..],
            _ => {
                let end = rest.iter().position(|byte| is_space(*byte));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                words.push(word.to_vec());
                after
            }
        };
    }
    Some(words)
}

/// Where the `"` is that closes the one `text` begins with.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// What a regular expression calls `\s`.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = split(line.as_bytes()).unwrap();
        let text = |word| String::from_utf8(word).unwrap();
        words.into_iter().map(text).collect()
    }

    #[test]
    fn splits_like_etcdctl() {
        assert_eq!(words("put  key1 \t value1"), ["put", "key1", "value1"]);
        assert_eq!(words(r#""get" 'a b' "c\x41\u00e9""#), ["get", "a b", "cA\u{e9}"]);
        assert_eq!(words(r#"put a b"c"d"#), ["put", "a", "b\"c\"d"]);
        assert_eq!(words(r#"put a 'open"#), ["put", "a", "open"]);
        assert_eq!(words(r#"put "" ''"#), ["put", "", ""]);
        assert!(words("  ").is_empty());
    }

    #[test]
    fn unknown_escapes_are_refused() {
        assert_eq!(split(br#"put "\q""#), None);
    }
}
