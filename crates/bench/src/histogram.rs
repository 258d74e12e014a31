//! Latencies counted in buckets whose width grows with their value, so that a
//! percentile is never off by more than one part in 128 and recording is two
//! shifts and an addition. It knows nothing of clocks.

use std::time::Duration;

/// Each power of two is cut into this many buckets (as a power of two).
const PRECISION_BITS: u32 = 7;
const PER_OCTAVE: usize = 1 << PRECISION_BITS;

/// Buckets enough for any number of nanoseconds in 64 bits.
const BUCKETS: usize = PER_OCTAVE * (64 - PRECISION_BITS as usize + 1);

/// A count of durations.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    /// One without durations.
    pub fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// Counts everything the other counted.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, more)| *own += more);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration that this part of all (0 to 1) did not exceed; zero when
    /// there are none. Rounded up to the end of its bucket.
    pub fn quantile(&self, part: f64) -> Duration {
        assert!((0.0..=1.0).contains(&part), "a part of a whole");
        let wanted = ((self.count as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(last_of(index).min(self.max));
            }
        }
        Duration::ZERO
    }
}

/// Which bucket counts this value. Below 128 every value has its own.
fn bucket(value: u64) -> usize {
    let octave = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION_BITS + 1);
    octave as usize * PER_OCTAVE + (value >> octave) as usize
}

/// The largest value in this bucket.
fn last_of(index: usize) -> u64 {
    // Beyond the first octave the upper half of each is what is used.
    let octave = (index / PER_OCTAVE).saturating_sub(1) as u32;
    let mantissa = (index - octave as usize * PER_OCTAVE) as u64;
    (u128::from(mantissa + 1) << octave).saturating_sub(1).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut last = 0;
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) + (1 << shift) / 3, u64::MAX >> (63 - shift)] {
                let index = bucket(value);
                assert!(index >= last && index < BUCKETS, "buckets go up with the value");
                last = index;
                assert!(last_of(index) >= value);
                assert!(last_of(index) - value <= value / PER_OCTAVE as u64, "{value} ends at {}", last_of(index));
                assert!(index == 0 || last_of(index - 1) < value);
            }
        }
    }

    #[test]
    fn quantiles_of_a_known_count() {
        let mut histogram = Histogram::new();
        for microseconds in 1..=1000 {
            histogram.record(Duration::from_micros(microseconds));
        }
        let near = |part, wanted: f64| {
            let got = histogram.quantile(part).as_secs_f64() * 1e6;
            assert!((got - wanted).abs() <= wanted / 100.0, "{part}: {got} is not {wanted}");
        };
        near(0.5, 500.0);
        near(0.99, 990.0);
        near(1.0, 1000.0);
        near(0.0, 1.0);
        assert_eq!(histogram.count(), 1000);
    }

    #[test]
    fn two_counts_merge_and_none_is_zero() {
        let (mut one, mut other) = (Histogram::new(), Histogram::new());
        assert_eq!(one.quantile(0.99), Duration::ZERO);
        one.record(Duration::from_nanos(5));
        other.record(Duration::from_secs(u64::MAX));
        one.merge(&other);
        assert_eq!(one.count(), 2);
        assert_eq!(one.quantile(0.5), Duration::from_nanos(5));
        assert_eq!(one.quantile(1.0), Duration::from_nanos(u64::MAX));
    }
}
