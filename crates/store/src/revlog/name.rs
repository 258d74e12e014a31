//! Names of the files of the revision log.
//!
//! ```text
//!   0000000000000003-0000000000000003-00000000.rev     segment 3 as it was written
//!   0000000000000003-0000000000000007-00000002.rev     what a sweep left of 3 to 7, at its second attempt on them
//!   ….tmp                                              a sweep that did not finish; removed at start
//! ```
//!
//! A file whose range lies in that of another one with a higher generation has been replaced and is only waiting to be
//! removed.

/// What the name of a segment's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// The first sequence number it stands for.
    pub(crate) first: u64,
    /// The last one.
    pub(crate) last: u64,
    /// 0 as written; a sweep makes one more than the highest generation it replaces.
    pub(crate) generation: u32,
}

pub(crate) const TEMPORARY: &str = ".tmp";
const EXTENSION: &str = ".rev";

impl Name {
    /// The segment of this sequence number, as written.
    pub(crate) fn of(sequence: u64) -> Name {
        Name { first: sequence, last: sequence, generation: 0 }
    }

    pub(crate) fn parse(file: &str) -> Option<Name> {
        let mut parts = file.strip_suffix(EXTENSION)?.split('-');
        let mut number = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            u64::from_str_radix(part, 16).ok()
        };
        let (first, last, generation) = (number(16)?, number(16)?, number(8)? as u32);
        let name = Name { first, last, generation };
        (first <= last && name.file() == file).then_some(name)
    }

    pub(crate) fn file(&self) -> String {
        format!("{:016x}-{:016x}-{:08x}{EXTENSION}", self.first, self.last, self.generation)
    }

    pub(crate) fn path(&self, dir: &str) -> String {
        if dir.is_empty() { self.file() } else { format!("{dir}/{}", self.file()) }
    }

    /// Whether `other` has taken the place of this one.
    pub(crate) fn is_replaced_by(&self, other: &Name) -> bool {
        other.first <= self.first && self.last <= other.last && other.generation > self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_nothing_else_is_one() {
        let name = Name { first: 3, last: 0x1f, generation: 2 };
        assert_eq!(name.file(), "0000000000000003-000000000000001f-00000002.rev");
        assert_eq!(Name::parse(&name.file()), Some(name));
        for other in [
            "",
            "lock",
            "0000000000000003-000000000000001F-00000002.rev",
            "0000000000000003-000000000000001f-00000002.rev.tmp",
            "0000000000000004-0000000000000003-00000000.rev",
            "3-4-0.rev",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
        assert!(Name::of(4).is_replaced_by(&name));
        assert!(!name.is_replaced_by(&name));
        assert!(!Name::of(0x20).is_replaced_by(&name));
    }
}
