//! How results look: a table for people. JSON is made by the values themselves.

use crate::figure::{Goal, Line, Unit};

/// The lines as a table, every column as wide as it must be.
pub fn table(lines: &[Line]) -> String {
    let head = ["", "ours", "etcd", "ratio", "first goal", "met"].map(str::to_owned);
    let row = |line: &Line| {
        let cell = |median: Option<f64>, rounds: &[f64]| {
            median.map_or("-".to_owned(), |value| with_spread(value, rounds, line.unit))
        };
        [
            line.name.to_owned(),
            cell(line.ours, &line.ours_rounds),
            cell(line.etcd, &line.etcd_rounds),
            line.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            line.goal.map_or("-".to_owned(), goal_words),
            line.met.map_or("-", |met| if met { "yes" } else { "NO" }).to_owned(),
        ]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(lines.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            line.push_str(&format!("  {cell:>width$}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The median and, with more than one round, the least and the most.
fn with_spread(median: f64, rounds: &[f64], unit: Unit) -> String {
    let value = format!("{} {}", number(median, unit), unit_words(unit));
    if rounds.len() < 2 {
        return value;
    }
    let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{value} ({}..{})", number(least, unit), number(most, unit))
}

fn unit_words(unit: Unit) -> &'static str {
    match unit {
        Unit::PerSecond => "/s",
        Unit::Milliseconds => "ms",
        Unit::Microseconds => "us",
        Unit::Megabytes => "MB",
        Unit::Times => "x",
    }
}

fn goal_words(goal: Goal) -> String {
    match goal {
        Goal::AtLeast(ratio) => format!(">= {ratio}"),
        Goal::AtMost(ratio) => format!("<= {ratio}"),
    }
}

/// As many digits as mean something in this unit.
fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond => thousands(value.round() as u64),
        Unit::Milliseconds | Unit::Times => format!("{value:.2}"),
        Unit::Microseconds | Unit::Megabytes => format!("{value:.1}"),
    }
}

/// A whole number with a comma before every three digits.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (value, words) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(value), words);
        }
    }

    #[test]
    fn a_table_lines_up() {
        let line = Line {
            name: "put",
            unit: Unit::PerSecond,
            ours: Some(40_000.4),
            etcd: Some(18_500.0),
            ours_rounds: vec![40_000.4, 39_000.0, 41_000.0],
            etcd_rounds: vec![18_500.0],
            ratio: Some(2.162),
            goal: Some(Goal::AtLeast(2.0)),
            met: Some(true),
        };
        let latency = Line {
            name: "one client",
            unit: Unit::Milliseconds,
            ours: None,
            ratio: None,
            met: None,
            goal: Some(Goal::AtMost(0.5)),
            etcd: Some(1.5),
            ..line.clone()
        };
        let wanted = "                                  ours       etcd  ratio  first goal  met\n\
                      put         40,000 /s (39,000..41,000)  18,500 /s   2.16        >= 2  yes\n\
                      one client                           -    1.50 ms      -      <= 0.5    -\n";
        assert_eq!(table(&[line, latency]), wanted);
    }
}
