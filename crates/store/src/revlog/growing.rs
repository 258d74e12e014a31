//! A list that only grows, whose copies cost nothing and stay as they were.
//!
//! The owner appends; every view keeps its own copy. Full chunks are shared for ever, so what an append behind a view
//! copies is at most one chunk and, once a chunk, the list of chunks.

use std::sync::Arc;

const CHUNK: usize = 64;

/// An append-only list. Cloning takes an immutable moment of it in constant time.
#[derive(Debug)]
pub(crate) struct Growing<T> {
    full: Arc<Vec<Arc<Vec<T>>>>,
    tail: Arc<Vec<T>>,
    /// Elements taken off the front, in whole chunks.
    dropped: usize,
}

impl<T> Clone for Growing<T> {
    fn clone(&self) -> Growing<T> {
        Growing { full: self.full.clone(), tail: self.tail.clone(), dropped: self.dropped }
    }
}

impl<T: Clone> Growing<T> {
    pub(crate) fn new() -> Growing<T> {
        Growing { full: Arc::default(), tail: Arc::default(), dropped: 0 }
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.full.len() * CHUNK + self.tail.len()
    }

    /// The element at `at`, counted from the oldest that is still there.
    pub(crate) fn get(&self, at: usize) -> &T {
        match self.full.get(at / CHUNK) {
            Some(chunk) => &chunk[at % CHUNK],
            None => &self.tail[at - self.full.len() * CHUNK],
        }
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.len().checked_sub(1).map(|at| self.get(at))
    }

    pub(crate) fn push(&mut self, value: T) {
        let tail = Arc::make_mut(&mut self.tail);
        if tail.capacity() == 0 {
            tail.reserve_exact(CHUNK);
        }
        tail.push(value);
        if tail.len() == CHUNK {
            let chunk = std::mem::take(&mut self.tail);
            Arc::make_mut(&mut self.full).push(chunk);
        }
    }

    /// Takes the oldest whole chunks off as long as `enough` says so of the chunk's elements.
    pub(crate) fn drop_front(&mut self, mut enough: impl FnMut(&[T]) -> bool) {
        let count = self.full.iter().take_while(|chunk| enough(chunk)).count();
        if count > 0 {
            Arc::make_mut(&mut self.full).drain(..count);
            self.dropped += count * CHUNK;
        }
    }

    /// How many elements from the front satisfy `predicate`, which must hold for a beginning of the list only.
    pub(crate) fn partition_point(&self, mut predicate: impl FnMut(&T) -> bool) -> usize {
        let chunks = self.full.partition_point(|chunk| chunk.last().is_some_and(&mut predicate));
        let within = match self.full.get(chunks) {
            Some(chunk) => chunk.partition_point(predicate),
            None => self.tail.partition_point(predicate),
        };
        chunks * CHUNK + within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut list = Growing::new();
        let mut moments = Vec::new();
        for number in 0..1000usize {
            moments.push(list.clone());
            list.push(number * 2);
        }
        for (count, moment) in moments.iter().enumerate() {
            assert_eq!(moment.len(), count);
            assert_eq!(moment.last().copied(), count.checked_sub(1).map(|last| last * 2));
        }
        assert!((0..1000).all(|at| *list.get(at) == at * 2));
        for value in [0, 1, 2, 127, 128, 129, 1997, 1998, 5000] {
            assert_eq!(list.partition_point(|element| *element < value), value.div_ceil(2).min(1000));
        }
    }

    #[test]
    fn the_front_goes_in_whole_chunks() {
        let mut list = Growing::new();
        (0..200usize).for_each(|number| list.push(number));
        list.drop_front(|chunk| chunk[0] < 100);
        assert_eq!(*list.get(0), 128);
        assert_eq!(list.len(), 72);
        assert_eq!(list.partition_point(|element| *element < 150), 22);
    }
}
