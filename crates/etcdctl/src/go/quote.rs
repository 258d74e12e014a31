//! Quoted strings: what `%q` prints and `strconv.Unquote` reads.

use std::fmt::Write;

/// Bytes between double quotes, with Go's escapes.
///
/// Printable characters stay; bytes that are no UTF-8 become `\xNN`.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape(&mut out, character);
        }
        for byte in chunk.invalid() {
            push(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

fn escape(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        _ if is_printable(character) => out.push(character),
        _ => match u32::from(character) {
            code @ (..0x20 | 0x7f) => push(out, format_args!("\\x{code:02x}")),
            code @ ..0x1_0000 => push(out, format_args!("\\u{code:04x}")),
            code => push(out, format_args!("\\U{code:08x}")),
        },
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
}

/// Letters, marks, numbers, punctuation, symbols and the space.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return (' '..='~').contains(&character);
    }
    // The standard library's notion is the same, but it would escape a
    // combining mark at the start of a string; so something stands before it.
    let text: String = ['a', character].iter().collect();
    text.escape_debug().count() == 2
}

/// Reads a Go string literal at the start of `text`: quoted with `"`, or with
/// a backquote, between which nothing is escaped.
///
/// Gives the bytes it stands for and what follows. None when there is no whole
/// and valid literal.
pub fn unquote_prefix(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mark, mut rest) = text.split_first()?;
    match mark {
        b'`' => {
            let end = rest.iter().position(|byte| *byte == b'`')?;
            let raw = rest[..end].iter().copied().filter(|byte| *byte != b'\r');
            Some((raw.collect(), &rest[end + 1..]))
        }
        b'"' => {
            let mut out = Vec::new();
            loop {
                let (byte, after) = rest.split_first()?;
                rest = after;
                match byte {
                    b'"' => return Some((out, rest)),
                    b'\n' => return None,
                    b'\\' => rest = unescape(&mut out, rest)?,
                    byte => out.push(*byte),
                }
            }
        }
        _ => None,
    }
}

/// One escape, after its backslash. Gives what follows.
fn unescape<'a>(out: &mut Vec<u8>, text: &'a [u8]) -> Option<&'a [u8]> {
    let (kind, rest) = text.split_first()?;
    let plain = match kind {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' | b'"' => *kind,
        b'x' => {
            let (code, rest) = digits(rest, 2, 16)?;
            out.push(code as u8);
            return Some(rest);
        }
        b'0'..=b'7' => {
            let (code, rest) = digits(text, 3, 8)?;
            out.push(u8::try_from(code).ok()?);
            return Some(rest);
        }
        b'u' | b'U' => {
            let count = if *kind == b'u' { 4 } else { 8 };
            let (code, rest) = digits(rest, count, 16)?;
            let character = char::from_u32(code)?;
            out.extend(character.encode_utf8(&mut [0; 4]).bytes());
            return Some(rest);
        }
        _ => return None,
    };
    out.push(plain);
    Some(rest)
}

fn digits(text: &[u8], count: usize, radix: u32) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    if !digits.iter().all(|byte| char::from(*byte).is_digit(radix)) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    Some((u32::from_str_radix(digits, radix).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_like_go() {
        let cases: [(&[u8], &str); 9] = [
            (b"", r#""""#),
            (b"plain key/1", r#""plain key/1""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\x00\x01\x7f", r#""\x00\x01\x7f""#),
            (b"\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("x\u{1}é世".as_bytes(), "\"x\\x01é世\""),
            (b"\xff\xc3\xa9", "\"\\xffé\""),
            ("\u{a0}\u{200b}\u{e000}\u{10ffff}".as_bytes(), r#""\u00a0\u200b\ue000\U0010ffff""#),
            ("\u{301}".as_bytes(), "\"\u{301}\""),
        ];
        for (bytes, expected) in cases {
            assert_eq!(quote(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn reads_back_what_it_quotes() {
        let all: Vec<u8> = (0..=255).collect();
        let quoted = quote(&all);
        let (bytes, rest) = unquote_prefix(quoted.as_bytes()).unwrap();
        assert_eq!(bytes, all);
        assert!(rest.is_empty());
    }

    #[test]
    fn reads_every_escape() {
        let (bytes, rest) = unquote_prefix(br#""\x61\142\u00e9\U0001f600\t" tail"#).unwrap();
        assert_eq!(bytes, "ab\u{e9}\u{1f600}\t".as_bytes());
        assert_eq!(rest, b" tail");
        assert_eq!(unquote_prefix(b"`a\\n`)"), Some((b"a\\n".to_vec(), &b")"[..])));
    }

    #[test]
    fn refuses_what_go_refuses() {
        let broken: [&[u8]; 9] =
            [b"", b"a", b"'a'", b"\"open", b"\"\\q\"", b"\"\\x4\"", b"\"\\'\"", b"\"\\ud800\"", b"\"\\777\""];
        for text in broken {
            assert_eq!(unquote_prefix(text), None, "{text:?}");
        }
    }
}
