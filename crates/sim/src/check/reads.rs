//! Reads: what the state at some index says, and for a linearizable read that
//! index is not before what was known when it was asked.

use super::answers::same_bytes;
use crate::model::Model;
use crate::record::{Read, Record};
use std::collections::BTreeMap;

/// Reads waiting for the model to reach their index.
pub struct Reads<'a> {
    waiting: BTreeMap<u64, Vec<&'a Read>>,
}

impl<'a> Reads<'a> {
    /// All reads of a run.
    pub fn new(record: &'a Record) -> Reads<'a> {
        let mut waiting: BTreeMap<u64, Vec<&Read>> = BTreeMap::new();
        for read in &record.reads {
            assert!(
                read.applied >= read.known_before,
                "a linearizable read was answered from index {} when {} was known before it was asked: {:?}",
                read.applied,
                read.known_before,
                read.request
            );
            waiting.entry(read.applied).or_default().push(read);
        }
        Reads { waiting }
    }

    /// The model stands at `index`.
    pub fn at(&mut self, index: u64, model: &Model) {
        for read in self.waiting.remove(&index).unwrap_or_default() {
            let expected = model.range(&read.request);
            match (&read.outcome, &expected) {
                (Ok(bytes), Ok(expected)) => same_bytes("a read", expected, &read.header, bytes),
                (Err(got), Err(expected)) => assert_eq!(got, expected, "read at index {index}: {:?}", read.request),
                (got, expected) => {
                    panic!("read at index {index}: {:?}: {got:?}, but {expected:?} is right", read.request)
                }
            }
        }
    }

    /// All reads have been looked at.
    pub fn finish(self) {
        assert!(self.waiting.is_empty(), "reads were answered from indexes that nobody committed: {:?}", self.waiting);
    }
}
