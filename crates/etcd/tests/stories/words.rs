//! Words of a command: plain ones in their order, and options `name=value` or bare names.

use bytes::Bytes;

pub struct Words<'a> {
    words: Vec<&'a str>,
    text: &'a str,
}

impl<'a> Words<'a> {
    pub fn of(text: &'a str) -> Words<'a> {
        Words { words: text.split_whitespace().collect(), text }
    }

    /// The first word of what is left.
    pub fn take(&mut self) -> &'a str {
        assert!(!self.words.is_empty(), "{}: a word is missing", self.text);
        self.words.remove(0)
    }

    pub fn take_bytes(&mut self) -> Bytes {
        bytes_of(self.take())
    }

    pub fn take_number(&mut self) -> i64 {
        number(self.take(), self.text)
    }

    /// The next word if it is no option.
    pub fn take_plain(&mut self, options: &[&str]) -> Option<Bytes> {
        let word = self.words.first()?;
        let is_option = options.iter().any(|option| *option == word.split('=').next().unwrap_or_default());
        (!is_option).then(|| self.take_bytes())
    }

    /// Whether this bare option is there.
    pub fn has(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|word| *word == name);
        at.map(|at| self.words.remove(at)).is_some()
    }

    /// The value of `name=value`.
    pub fn option(&mut self, name: &str) -> Option<&'a str> {
        let at = self.words.iter().position(|word| word.split_once('=').is_some_and(|(left, _)| left == name))?;
        self.words.remove(at).split_once('=').map(|(_, value)| value)
    }

    /// The number of `name=number`, or 0.
    pub fn number(&mut self, name: &str) -> i64 {
        let text = self.text;
        self.option(name).map_or(0, |value| number(value, text))
    }

    /// The place of `name=value` in `names`, or the number it is, or 0.
    pub fn choice(&mut self, name: &str, names: &[&str]) -> i32 {
        let text = self.text;
        self.option(name).map_or(0, |value| match names.iter().position(|known| *known == value) {
            Some(at) => at as i32,
            None => number(value, text) as i32,
        })
    }

    /// Nothing may be left over: a story that says what nobody understands proves nothing.
    pub fn end(self) {
        assert!(self.words.is_empty(), "{}: not understood: {:?}", self.text, self.words);
    }
}

fn number(word: &str, text: &str) -> i64 {
    word.parse().unwrap_or_else(|_| panic!("{text}: {word} is no number"))
}

/// `""` is empty, `\0` and `\xff` are bytes, `x*9` is nine x.
pub fn bytes_of(word: &str) -> Bytes {
    if word == "\"\"" {
        return Bytes::new();
    }
    if let Some((unit, times)) = word.split_once('*')
        && let Ok(times) = times.parse()
    {
        return unit.as_bytes().repeat(times).into();
    }
    let mut bytes = Vec::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("\\0") {
            bytes.push(0);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("\\xff") {
            bytes.push(0xff);
            rest = behind;
        } else {
            bytes.extend_from_slice(&rest.as_bytes()[..first.len_utf8()]);
            rest = &rest[first.len_utf8()..];
        }
    }
    bytes.into()
}
