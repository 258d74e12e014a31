//! A revision: the position of one change in the history of the whole store.

/// `main` counts transactions that wrote; `sub` counts the changes within one, from 0. Ordered by `main`, then `sub`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision {
    /// The revision of the store after the transaction, as clients see it (`mod_revision`).
    pub main: i64,
    /// The position of the change in its transaction.
    pub sub: u32,
}
