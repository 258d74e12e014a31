//! Moments as text: RFC 3339, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// `2026-01-02T15:04:05.000000Z`, with this many digits after the point.
pub fn rfc3339(moment: SystemTime, digits: usize) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if digits > 0 {
        let fraction = format!("{:09}", since.subsec_nanos());
        text.push('.');
        text.push_str(&fraction[..digits.min(9)]);
    }
    text.push('Z');
    text
}

/// Year, month and day of a number of days since 1970-01-01, by eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn known_moments() {
        let at = |seconds, micros| UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
        assert_eq!(rfc3339(at(0, 0), 6), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(at(1_767_366_245, 7), 6), "2026-01-02T15:04:05.000007Z");
        assert_eq!(rfc3339(at(951_782_399, 999_999), 3), "2000-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(at(951_782_400, 0), 0), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(at(4_107_542_400, 0), 0), "2100-03-01T00:00:00Z");
    }
}
