//! A JSON object, field after field, as Go's encoder writes it.
//!
//! Go omits what is zero, keeps the order of the fields, writes 64-bit numbers
//! as numbers and escapes what HTML would read. `serde_json` supplies strings.

use std::fmt::{Display, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// An object being written.
#[derive(Debug, Default)]
pub struct Object {
    text: String,
}

impl Object {
    /// Without fields yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A field whose value is JSON already.
    pub fn raw(mut self, name: &str, json: impl Display) -> Self {
        let separator = if self.text.is_empty() { '{' } else { ',' };
        write!(self.text, "{separator}\"{name}\":{json}").expect("a string takes everything");
        self
    }

    /// A field that may be missing.
    pub fn maybe(self, name: &str, json: Option<impl Display>) -> Self {
        match json {
            Some(json) => self.raw(name, json),
            None => self,
        }
    }

    /// A number, unless it is 0.
    pub fn number<N: Display + Default + PartialEq>(self, name: &str, number: N) -> Self {
        if number == N::default() {
            return self;
        }
        self.raw(name, number)
    }

    /// True, unless it is false.
    pub fn truth(self, name: &str, value: bool) -> Self {
        if value { self.raw(name, true) } else { self }
    }

    /// A text, unless it is empty.
    pub fn text(self, name: &str, text: &str) -> Self {
        if text.is_empty() {
            return self;
        }
        self.raw(name, string(text))
    }

    /// Bytes, unless there are none.
    pub fn bytes(self, name: &str, bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return self;
        }
        self.raw(name, base64(bytes))
    }

    /// A list, unless it is empty.
    pub fn list<T>(self, name: &str, items: &[T], json: impl Fn(&T) -> String) -> Self {
        if items.is_empty() {
            return self;
        }
        self.raw(name, array(items, json))
    }

    /// The object as JSON.
    pub fn finish(mut self) -> String {
        if self.text.is_empty() {
            self.text.push('{');
        }
        self.text.push('}');
        self.text
    }
}

/// A list, also when it is empty.
pub fn array<T>(items: &[T], json: impl Fn(&T) -> String) -> String {
    let items: Vec<String> = items.iter().map(json).collect();
    format!("[{}]", items.join(","))
}

/// Bytes in base64, as a string.
pub fn base64(bytes: &[u8]) -> String {
    format!("\"{}\"", STANDARD.encode(bytes))
}

/// A string, safe in HTML too.
pub fn string(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let code = u32::from(character);
                write!(out, "\\u{code:04x}").expect("a string takes everything");
            }
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_left_out() {
        let object = Object::new()
            .number("a", 0u64)
            .number("b", -1i64)
            .truth("c", false)
            .text("d", "")
            .bytes("e", b"\xff")
            .list("f", &[] as &[u8], u8::to_string)
            .list("g", &[1u8, 2], u8::to_string);
        assert_eq!(object.finish(), r#"{"b":-1,"e":"/w==","g":[1,2]}"#);
        assert_eq!(Object::new().finish(), "{}");
    }

    #[test]
    fn strings_are_safe_in_html() {
        assert_eq!(string("<a&b>\"\\\n\u{2028}é"), "\"\\u003ca\\u0026b\\u003e\\\"\\\\\\n\\u2028é\"");
    }
}
