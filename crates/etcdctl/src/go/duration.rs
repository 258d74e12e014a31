//! Durations: signed nanoseconds, written like `1.5s` or `2m0s`.

use std::fmt;

use super::quote;

/// A signed span of time in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, micro sign
    ("μs", 1_000), // U+03BC, Greek letter mu
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];
const SECOND: i64 = 1_000_000_000;

impl Duration {
    /// What `time.ParseDuration` makes of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let quoted = quote(text.as_bytes());
        let invalid = || format!("time: invalid duration {quoted}");
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Duration(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let number_len = span(rest, |byte| byte.is_ascii_digit() || byte == b'.');
            let (number, after) = rest.split_at(number_len);
            let unit_len = span(after, |byte| !byte.is_ascii_digit() && byte != b'.');
            let (unit, after) = after.split_at(unit_len);
            let digits = number.bytes().filter(u8::is_ascii_digit).count();
            if digits == 0 || digits + 1 < number.len() {
                return Err(invalid());
            }
            if unit.is_empty() {
                return Err(format!("time: missing unit in duration {quoted}"));
            }
            let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                let unit = quote(unit.as_bytes());
                return Err(format!("time: unknown unit {unit} in duration {quoted}"));
            };
            total += nanoseconds(number, i128::from(*scale)).ok_or_else(invalid)?;
            if total > i128::from(i64::MAX) + i128::from(negative) {
                return Err(invalid());
            }
            rest = after;
        }
        let total = if negative { -total } else { total };
        Ok(Duration(i64::try_from(total).map_err(|_| invalid())?))
    }

    /// As a span that cannot be negative; what is, becomes nothing.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.max(0).unsigned_abs())
    }
}

impl From<std::time::Duration> for Duration {
    fn from(value: std::time::Duration) -> Self {
        Duration(i64::try_from(value.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// How many bytes at the start are of this kind.
fn span(text: &str, is: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| is(*byte)).count()
}

fn nanoseconds(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut total = match whole {
        "" => 0,
        whole => whole.parse::<i128>().ok()?.checked_mul(scale)?,
    };
    let mut place = scale;
    for digit in fraction.bytes() {
        // Beyond a nanosecond every digit counts for nothing.
        if place == 0 {
            break;
        }
        total += i128::from(digit - b'0') * place / 10;
        place /= 10;
    }
    Some(total)
}

impl fmt::Display for Duration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            out.write_str("-")?;
        }
        let total = self.0.unsigned_abs();
        let second = SECOND.unsigned_abs();
        match total {
            0 => out.write_str("0s"),
            1..1_000 => write!(out, "{total}ns"),
            1_000..1_000_000 => write!(out, "{}µs", decimal(total, 1_000)),
            1_000_000..1_000_000_000 => write!(out, "{}ms", decimal(total, 1_000_000)),
            _ => {
                let minutes = total / second / 60;
                if minutes >= 60 {
                    write!(out, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(out, "{}m", minutes % 60)?;
                }
                write!(out, "{}s", decimal(total % (60 * second), second))
            }
        }
    }
}

/// A quotient with as many digits after the point as it needs.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let places = unit.ilog10() as usize;
    let fraction = format!("{rest:0places$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_go() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_057_690, "2.05769ms"),
            (5_100_000_000, "5.1s"),
            (60_000_000_000, "1m0s"),
            (3_661_000_000_001, "1h1m1.000000001s"),
            (-1_500_000_000, "-1.5s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(Duration(nanoseconds).to_string(), text);
        }
    }

    #[test]
    fn parses_like_go() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("-1.5h", -5_400_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("100ms", 100_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("0.1ns", 0),
            ("3µs2μs1us", 6_000),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(Duration::parse(text), Ok(Duration(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_like_go() {
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            ("s", "time: invalid duration \"s\""),
            (".s", "time: invalid duration \".s\""),
            ("1..5s", "time: invalid duration \"1..5s\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
        ] {
            assert_eq!(Duration::parse(text).unwrap_err(), error);
        }
    }
}
