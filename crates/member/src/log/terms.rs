//! Which term each position of the log has, kept as runs: terms change rarely.

use crate::ids::{Index, Term};

/// Runs of equal terms, from the position before the first entry on.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// (first index of the run, term), ascending; never empty.
    runs: Vec<(Index, Term)>,
    last: Index,
}

impl Terms {
    /// Knows only the position `index`, with `term`.
    pub fn from(index: Index, term: Term) -> Terms {
        Terms { runs: vec![(index, term)], last: index }
    }

    /// The highest position.
    pub fn last(&self) -> Index {
        self.last
    }

    /// The highest position and its term.
    pub fn end(&self) -> (Index, Term) {
        (self.last, self.runs.last().expect("there is always a run").1)
    }

    /// Adds the position after the last.
    pub fn push(&mut self, index: Index, term: Term) {
        assert_eq!(index, self.last + 1, "entries are contiguous");
        let (_, newest) = self.end();
        assert!(term >= newest, "terms never fall within a log: {newest} then {term} at {index}");
        if term != newest {
            self.runs.push((index, term));
        }
        self.last = index;
    }

    /// Forgets `index` and everything after it.
    pub fn truncate(&mut self, index: Index) {
        assert!(index > self.runs[0].0, "cannot cut at {index}, before the first known position {}", self.runs[0].0);
        while self.runs.last().is_some_and(|run| run.0 >= index) {
            self.runs.pop();
        }
        assert!(!self.runs.is_empty(), "the position before the first entry stays");
        self.last = index - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_brings_back_the_term_before_it() {
        let mut terms = Terms::from(10, 2);
        for (index, term) in [(11, 2), (12, 3), (13, 3), (14, 7)] {
            terms.push(index, term);
        }
        assert_eq!(terms.end(), (14, 7));
        terms.truncate(14);
        assert_eq!(terms.end(), (13, 3));
        terms.truncate(12);
        assert_eq!(terms.end(), (11, 2));
        terms.truncate(11);
        assert_eq!(terms.end(), (10, 2));
    }
}
