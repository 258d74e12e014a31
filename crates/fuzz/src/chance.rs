//! Chance from a seed, and what it does to bytes.

/// The same numbers in every run (xorshift64*).
#[derive(Clone, Debug)]
pub struct Chance(u64);

/// Numbers at which lengths and counts go wrong.
const ODD: [u64; 10] = [0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }

    /// `bytes` with one to four changes.
    pub fn change(&mut self, bytes: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        for _ in 0..=self.below(4) {
            self.change_once(&mut changed, others);
        }
        changed
    }

    fn change_once(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        if bytes.is_empty() {
            bytes.push(self.draw() as u8);
            return;
        }
        let at = self.below(bytes.len());
        match self.below(7) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.draw() as u8,
            2 => {
                // A number, of some width and either order.
                let number = ODD[self.below(ODD.len())];
                let width = [1, 2, 4, 8][self.below(4)];
                let little = number.to_le_bytes();
                let mut number = little[..width].to_vec();
                if self.below(2) == 0 {
                    number.reverse();
                }
                let width = width.min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            3 => bytes.truncate(at),
            4 => {
                let until = at + self.below(bytes.len() - at + 1);
                bytes.drain(at..until);
            }
            5 => {
                let until = at + self.below((bytes.len() - at).min(64) + 1);
                let part = bytes[at..until].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let other = &others[self.below(others.len())];
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}
