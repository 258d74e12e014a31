//! What is printed of a difference: the part that differs, and of that not
//! more than a screen holds.

use crate::answer::Answer;
use std::fmt::Debug;

/// Characters that are shown of one value.
const SHOWN: usize = 3_000;

/// A value, cut where it is too long to be read.
pub fn short(value: &impl Debug) -> String {
    cut(value, SHOWN)
}

/// A value, cut after so many characters.
pub fn cut(value: &impl Debug, most: usize) -> String {
    let whole = format!("{value:?}");
    match whole.char_indices().nth(most) {
        Some((end, _)) => format!("{} … ({} bytes in all)", &whole[..end], whole.len()),
        None => whole,
    }
}

/// Both answers; of two lists of watch responses only the first that differ.
pub fn difference(real: &Answer, ours: &Answer) -> String {
    if let (Answer::Watch(left), Answer::Watch(right)) = (real, ours) {
        let at = left.iter().zip(right).take_while(|(left, right)| left == right).count();
        return format!(
            "of {} and {} responses number {at} differs\nthe real one: {}\nours:         {}",
            left.len(),
            right.len(),
            short(&left.get(at)),
            short(&right.get(at))
        );
    }
    format!("the real one: {}\nours:         {}", short(real), short(ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::etcdserverpb::WatchResponse;

    #[test]
    fn only_what_differs_is_shown() {
        let watch = |ids: &[i64]| {
            let response = |&watch_id| WatchResponse { watch_id, ..WatchResponse::default() };
            Answer::Watch(ids.iter().map(response).collect())
        };
        let words = difference(&watch(&[1, 2, 3]), &watch(&[1, 2]));
        assert!(words.starts_with("of 3 and 2 responses number 2 differs"), "{words}");
        assert!(words.contains("watch_id: 3") && !words.contains("watch_id: 1,"), "{words}");
        let long = short(&"x".repeat(10_000));
        assert!(long.len() < SHOWN + 50 && long.ends_with("(10002 bytes in all)"), "{long}");
    }
}
