//! Sizes in powers of a thousand, as etcdctl shows them.

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// Bytes with two digits, or one and one after the point: `20 kB`, `2.1 GB`.
pub fn si(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog(1000) as usize;
    let value = bytes as f64 / 1000f64.powi(power as i32);
    let rounded = (value * 10.0 + 0.5).floor() / 10.0;
    let places = usize::from(rounded < 10.0);
    format!("{rounded:.places$} {}", UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_are_enough() {
        for (bytes, text) in [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (20_480, "20 kB"),
            (82_854_982, "83 MB"),
            (2_147_483_648, "2.1 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(si(bytes), text);
        }
    }
}
