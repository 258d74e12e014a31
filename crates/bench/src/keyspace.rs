//! The keys and values of a load: the same for every server and every run.
//!
//! Keys are 17 to 45 bytes long, scattered over the order of keys. A value says which key it belongs to and is filled with bytes
//! that do not compress, so a wrong reply cannot look right by chance.

use std::ops::RangeInclusive;

use bytes::Bytes;

/// How long keys are, in bytes.
pub const KEY_BYTES: RangeInclusive<usize> = 17..=45;

/// A value begins with the number of its key.
const STAMP_BYTES: usize = 8;

/// A fixed set of keys, each with its value.
pub struct Keyspace {
    keys: Vec<Bytes>,
    /// What every value looks like behind its stamp.
    filler: Vec<u8>,
}

impl Keyspace {
    /// `count` keys with values of `value_bytes`.
    pub fn new(count: usize, value_bytes: usize) -> Self {
        assert!(count > 0, "a load needs a key");
        assert!(value_bytes >= STAMP_BYTES, "a value has room for its stamp");
        let mut chance = Chance::new(1);
        let lengths = KEY_BYTES.end() - KEY_BYTES.start() + 1;
        let key = |number: usize| {
            let length = KEY_BYTES.start() + chance.below(lengths);
            // The multiplication by an odd number is one to one, so keys differ.
            let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let tail = "/registry/pods/default/objects";
            Bytes::from(format!("{mixed:016x}{tail}")[..length].to_owned())
        };
        let keys = (0..count).map(key).collect();
        let filler = (STAMP_BYTES..value_bytes).map(|_| chance.next() as u8).collect();
        Self { keys, filler }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes of a key and its value, on average.
    pub fn pair_bytes(&self) -> f64 {
        let keys: usize = self.keys.iter().map(Bytes::len).sum();
        keys as f64 / self.keys.len() as f64 + (STAMP_BYTES + self.filler.len()) as f64
    }

    /// The key with this number.
    pub fn key(&self, number: usize) -> Bytes {
        self.keys[number].clone()
    }

    /// Its value. Any number has one, whether it has a key or not.
    pub fn value(&self, number: usize) -> Bytes {
        [&(number as u64).to_be_bytes()[..], &self.filler].concat().into()
    }

    /// Whether this is the value of the key with this number.
    pub fn is_value(&self, number: usize, value: &[u8]) -> bool {
        self.number_of(value) == Some(number)
    }

    /// The number this is the value of.
    pub fn number_of(&self, value: &[u8]) -> Option<usize> {
        let (stamp, filler) = value.split_first_chunk()?;
        (filler == self.filler).then(|| u64::from_be_bytes(*stamp) as usize)
    }
}

/// Numbers without visible order (xorshift64*), the same every time.
pub struct Chance(u64);

impl Chance {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() as usize * end) >> 32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_differ_and_have_every_length() {
        let keyspace = Keyspace::new(5000, 256);
        let keys: BTreeSet<Bytes> = (0..keyspace.len()).map(|number| keyspace.key(number)).collect();
        assert_eq!(keys.len(), 5000);
        let lengths: BTreeSet<usize> = keys.iter().map(Bytes::len).collect();
        assert_eq!(lengths, KEY_BYTES.collect());
        assert!((keyspace.pair_bytes() - (31.0 + 256.0)).abs() < 1.0);
    }

    #[test]
    fn a_value_belongs_to_its_key_only() {
        let keyspace = Keyspace::new(10, 256);
        let value = keyspace.value(3);
        assert_eq!(value.len(), 256);
        assert!(keyspace.is_value(3, &value));
        assert!(!keyspace.is_value(4, &value));
        assert!(!keyspace.is_value(3, &value[..255]));
        assert!(!keyspace.is_value(3, b""));
        assert_eq!(keyspace.number_of(&keyspace.value(1234)), Some(1234));
        assert_eq!(keyspace.number_of(&value[..255]), None);
        assert!(Keyspace::new(1, 8).is_value(0, &[0; 8]));
    }

    #[test]
    fn chance_reaches_everything_evenly() {
        let (mut chance, mut seen) = (Chance::new(7), [0; 10]);
        for _ in 0..10_000 {
            seen[chance.below(10)] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert_ne!(Chance::new(1).next(), Chance::new(2).next());
    }
}
