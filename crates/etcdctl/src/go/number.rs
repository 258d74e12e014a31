//! Numbers and booleans as `strconv` reads them, with the same refusals.

use super::quote;

/// What `strconv.ParseInt` makes of the text in this base; base 0 takes the base
/// from a prefix (`0x`, `0o`, `0b`, `0`) and allows underscores between digits.
pub fn parse_int(text: &[u8], base: u32) -> Result<i64, String> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let signed = |magnitude: u128| {
        let magnitude = i128::try_from(magnitude).map_err(|_| Refusal::Range)?;
        let value = if negative { -magnitude } else { magnitude };
        i64::try_from(value).map_err(|_| Refusal::Range)
    };
    let value = magnitude(digits, base).and_then(signed);
    value.map_err(|refusal| refusal.text("ParseInt", text))
}

/// What `strconv.ParseUint` makes of the text in this base.
pub fn parse_uint(text: &[u8], base: u32) -> Result<u64, String> {
    let unsigned = |magnitude: u128| u64::try_from(magnitude).map_err(|_| Refusal::Range);
    let value = magnitude(text, base).and_then(unsigned);
    value.map_err(|refusal| refusal.text("ParseUint", text))
}

/// What `strconv.ParseBool` makes of the text.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Refusal::Syntax.text("ParseBool", text.as_bytes())),
    }
}

#[derive(Clone, Copy)]
enum Refusal {
    Syntax,
    Range,
}

impl Refusal {
    fn text(self, function: &str, text: &[u8]) -> String {
        let why = match self {
            Refusal::Syntax => "invalid syntax",
            Refusal::Range => "value out of range",
        };
        format!("strconv.{function}: parsing {}: {why}", quote(text))
    }
}

fn magnitude(digits: &[u8], base: u32) -> Result<u128, Refusal> {
    let text = std::str::from_utf8(digits).map_err(|_| Refusal::Syntax)?;
    let (base, text) = match base {
        0 => prefixed(text)?,
        base => (base, text.to_owned()),
    };
    if text.is_empty() || !text.chars().all(|character| character.is_digit(base)) {
        return Err(Refusal::Syntax);
    }
    u128::from_str_radix(&text, base).map_err(|_| Refusal::Range)
}

/// The base a prefix names, and the digits without it and without underscores.
fn prefixed(text: &str) -> Result<(u32, String), Refusal> {
    let lower = text.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    // An underscore stands between digits, or between prefix and digit.
    let doubled = digits.contains("__") || digits.ends_with('_');
    let leading = digits.starts_with('_') && base == 10;
    if doubled || leading {
        return Err(Refusal::Syntax);
    }
    Ok((base, digits.replace('_', "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal() {
        assert_eq!(parse_int(b"-42", 10), Ok(-42));
        assert_eq!(parse_int(b"+7", 10), Ok(7));
        assert_eq!(parse_int(b"9223372036854775807", 10), Ok(i64::MAX));
        assert_eq!(parse_int(b"-9223372036854775808", 10), Ok(i64::MIN));
        assert_eq!(
            parse_int(b"9223372036854775808", 10).unwrap_err(),
            "strconv.ParseInt: parsing \"9223372036854775808\": value out of range"
        );
        assert_eq!(parse_int(b"zz", 10).unwrap_err(), "strconv.ParseInt: parsing \"zz\": invalid syntax");
        assert_eq!(parse_int(b"", 10).unwrap_err(), "strconv.ParseInt: parsing \"\": invalid syntax");
        assert_eq!(parse_int(b"\xff", 10).unwrap_err(), "strconv.ParseInt: parsing \"\\xff\": invalid syntax");
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(parse_int(b"694d77aa9e38260f", 16), Ok(0x694d_77aa_9e38_260f));
        assert_eq!(parse_uint(b"FFFFFFFFFFFFFFFF", 16), Ok(u64::MAX));
        assert_eq!(parse_uint(b"-1", 16).unwrap_err(), "strconv.ParseUint: parsing \"-1\": invalid syntax");
        assert!(parse_int(b"0x12", 16).is_err());
    }

    #[test]
    fn base_from_prefix() {
        for (text, value) in
            [("0", 0), ("0x1F", 31), ("0b101", 5), ("0o17", 15), ("017", 15), ("1_000", 1000), ("-0x_1", -1)]
        {
            assert_eq!(parse_int(text.as_bytes(), 0), Ok(value), "{text}");
        }
        for text in ["_1", "1__0", "1_", "08", "0x", "x"] {
            assert!(parse_int(text.as_bytes(), 0).is_err(), "{text}");
        }
    }

    #[test]
    fn booleans() {
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(parse_bool("0"), Ok(false));
        assert_eq!(parse_bool("yes").unwrap_err(), "strconv.ParseBool: parsing \"yes\": invalid syntax");
    }
}
