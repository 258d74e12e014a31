//! What a flag's text may be, with Go's rules for numbers, booleans and durations.

use std::fmt;

use crate::config::url::{Url, parse_list};

/// How a flag's text is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Go's ParseBool: 1, t, T, TRUE, true, True and their opposites.
    Bool,
    /// A signed 64-bit number; 0x, 0o, 0b and `_` are understood.
    Int,
    /// An unsigned 64-bit number.
    Uint,
    /// An unsigned 32-bit number.
    Uint32,
    /// A Go duration such as `1h30m`, `100ms`, `0`.
    Duration,
    /// Comma-separated URLs, sorted, without repetition. Empty text stands for the default.
    Urls,
    /// Comma-separated words.
    List,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// A flag's value, typed.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// [`Kind::Text`] and [`Kind::OneOf`].
    Text(String),
    /// [`Kind::Bool`].
    Bool(bool),
    /// [`Kind::Int`].
    Int(i64),
    /// [`Kind::Uint`] and [`Kind::Uint32`].
    Uint(u64),
    /// [`Kind::Duration`], in nanoseconds.
    Duration(i64),
    /// [`Kind::Urls`]. None: empty text was given.
    Urls(Option<Vec<Url>>),
    /// [`Kind::List`].
    List(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Bool(value) => value.fmt(f),
            Value::Int(value) => value.fmt(f),
            Value::Uint(value) => value.fmt(f),
            Value::Duration(nanoseconds) => write!(f, "{nanoseconds}ns"),
            Value::Urls(urls) => {
                let urls: Vec<String> = urls.iter().flatten().map(Url::to_string).collect();
                f.write_str(&urls.join(","))
            }
            Value::List(words) => f.write_str(&words.join(",")),
        }
    }
}

impl Kind {
    /// The typed value, or the reason in Go's and etcd's words.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Kind::Text => Ok(Value::Text(text.to_owned())),
            Kind::Bool => parse_bool(text).map(Value::Bool).ok_or_else(|| "parse error".to_owned()),
            Kind::Int => parse_int(text).map(Value::Int),
            Kind::Uint => parse_uint(text).map(Value::Uint),
            Kind::Uint32 => match parse_uint(text)? {
                value if value <= u64::from(u32::MAX) => Ok(Value::Uint(value)),
                _ => Err("value out of range".to_owned()),
            },
            Kind::Duration => parse_duration(text).map(Value::Duration).ok_or_else(|| "parse error".to_owned()),
            Kind::Urls if text.is_empty() => Ok(Value::Urls(None)),
            Kind::Urls => parse_list(text).map(|urls| Value::Urls(Some(urls))),
            Kind::List if text.is_empty() => Ok(Value::List(Vec::new())),
            Kind::List => Ok(Value::List(text.split(',').map(|word| word.trim().to_owned()).collect())),
            Kind::OneOf(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Kind::OneOf(words) => Err(format!("invalid value (expected one of: {})", words.join(", "))),
        }
    }
}

/// As Go reads booleans.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn parse_uint(text: &str) -> Result<u64, String> {
    let wrong = || "parse error".to_owned();
    let (digits, radix) = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (&text[2..], 16),
        Some("0o") => (&text[2..], 8),
        Some("0b") => (&text[2..], 2),
        _ if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        _ => (text, 10),
    };
    if digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__") {
        return Err(wrong());
    }
    let digits: String = digits.chars().filter(|letter| *letter != '_').collect();
    if digits.is_empty() || !digits.chars().all(|letter| letter.is_digit(radix)) {
        return Err(wrong());
    }
    u64::from_str_radix(&digits, radix).map_err(|_| "value out of range".to_owned())
}

fn parse_int(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let size = parse_uint(digits)?;
    let signed = if negative { 0i64.checked_sub_unsigned(size) } else { i64::try_from(size).ok() };
    signed.ok_or_else(|| "value out of range".to_owned())
}

/// Nanoseconds of a Go duration: signs, fractions and the units ns, us, ms, s, m, h; a bare `0` needs no unit.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(rest.len());
        let scale = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[unit..];
        total += number * scale;
    }
    if total >= i64::MAX as f64 {
        return None;
    }
    let total = total.round() as i64;
    Some(if negative { -total } else { total })
}
