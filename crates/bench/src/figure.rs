//! The figures a comparison gives, each as a row: which load it comes from, how
//! to read it off, and the first goal.
//!
//! Rows and arithmetic only: nothing here starts, measures or prints.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::request::Kind;

/// Whose server was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Ours,
    Etcd,
}

impl Side {
    /// In the order in which they take turns.
    pub const BOTH: [Self; 2] = [Self::Ours, Self::Etcd];
}

/// Which member a load goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Leader,
    Follower,
}

/// One load of the comparison.
pub struct Row {
    pub name: &'static str,
    /// On a cluster of one, whatever the other loads run on.
    pub single: bool,
    pub kind: Kind,
    pub to: To,
    pub connections: usize,
    pub in_flight: usize,
}

/// The name of the measurement of memory, which is no load of its own: it comes
/// before all others, because it needs the same history on both sides.
pub const MEMORY: &str = "memory";

/// The name of the measurement of a start with data, on a cluster of its own.
pub const RESTART: &str = "restart";

const fn row(name: &'static str, kind: Kind, to: To, connections: usize, in_flight: usize) -> Row {
    Row { name, single: false, kind, to, connections, in_flight }
}

/// Every load, in the order in which they run.
pub const ROWS: [Row; 10] = [
    row("put-leader", Kind::Put, To::Leader, 10, 100),
    row("put-follower", Kind::Put, To::Follower, 10, 100),
    row("put-100", Kind::Put, To::Leader, 100, 1),
    row("put-one", Kind::Put, To::Leader, 1, 1),
    row("range", Kind::Range, To::Follower, 10, 100),
    row("serializable-range", Kind::SerializableRange, To::Follower, 10, 100),
    row("watch", Kind::Watch, To::Leader, 10, 1),
    row("watch-10", Kind::Watch, To::Leader, 10, 10),
    row("keepalive", Kind::KeepAlive, To::Leader, 10, 100),
    Row { single: true, ..row("put-single", Kind::Put, To::Leader, 10, 100) },
];

/// What one load on one cluster gave.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measurement {
    pub rate: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    /// Replies that went well, warm-up included.
    pub answered: u64,
    pub failures: BTreeMap<String, u64>,
    /// Processor time of all members, and of the load, per answered request.
    pub server_us_per_request: f64,
    pub load_us_per_request: f64,
    /// Bytes each member wrote to disk per byte of keys and values that were put.
    pub written_per_byte: f64,
    /// From the start of a process to its first answer.
    pub first_read_us: f64,
    /// Cores that everything else on the machine kept busy meanwhile.
    pub other_cores: f64,
    /// Resident bytes of each member, before (for memory: idle) and after.
    pub resident_before: Vec<u64>,
    pub resident_after: Vec<u64>,
}

/// Which measurement came when.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    pub round: usize,
    pub side: Side,
    pub load: &'static str,
    #[serde(flatten)]
    pub measurement: Measurement,
}

/// In what a figure is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    PerSecond,
    Milliseconds,
    Microseconds,
    Megabytes,
    Times,
}

/// The ratio of ours to etcd that is aimed for first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// Whether a ratio is good enough.
    pub fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(goal) => ratio >= goal,
            Self::AtMost(goal) => ratio <= goal,
        }
    }
}

/// One line of the result.
pub struct Figure {
    pub name: &'static str,
    /// The load it is read off.
    pub load: &'static str,
    pub unit: Unit,
    pub goal: Option<Goal>,
    pub read: fn(&Measurement) -> f64,
}

/// Every figure, in the order of the table.
#[rustfmt::skip]
pub const FIGURES: [Figure; 22] = {
    use {Goal::*, Unit::*};
    const fn figure(
        name: &'static str, load: &'static str, unit: Unit, goal: Option<Goal>, read: fn(&Measurement) -> f64,
    ) -> Figure {
        Figure { name, load, unit, goal, read }
    }
    [
        figure("put to the leader, c10 m100", "put-leader", PerSecond, Some(AtLeast(2.0)), |m| m.rate),
        figure("p99 of a put under that load", "put-leader", Milliseconds, Some(AtMost(0.5)), |m| m.p99_us / 1e3),
        figure("put to a follower, c10 m100", "put-follower", PerSecond, Some(AtLeast(2.0)), |m| m.rate),
        figure("put, c100 m1", "put-100", PerSecond, None, |m| m.rate),
        figure("put, one client, median", "put-one", Milliseconds, Some(AtMost(0.5)), |m| m.p50_us / 1e3),
        figure("put, one client, p99", "put-one", Milliseconds, None, |m| m.p99_us / 1e3),
        figure("put, single member, c10 m100", "put-single", PerSecond, Some(AtLeast(2.0)), |m| m.rate),
        figure("linearizable range, c10 m100", "range", PerSecond, Some(AtLeast(1.5)), |m| m.rate),
        figure("serializable range, c10 m100", "serializable-range", PerSecond, Some(AtLeast(1.5)), |m| m.rate),
        figure("watch events, 10 x 100, one put", "watch", PerSecond, Some(AtLeast(2.0)), |m| m.rate),
        figure("p99 from a put to its events", "watch", Milliseconds, None, |m| m.p99_us / 1e3),
        figure("watch events, 10 x 100, ten puts", "watch-10", PerSecond, Some(AtLeast(2.0)), |m| m.rate),
        figure("lease keepalive, c10 m100", "keepalive", PerSecond, Some(AtLeast(1.0)), |m| m.rate),
        figure("restart to first read", RESTART, Milliseconds, Some(AtMost(0.5)), |m| m.first_read_us / 1e3),
        figure("resident, restarted", RESTART, Megabytes, Some(AtMost(0.5)), |m| megabytes(&m.resident_after)),
        figure("resident, idle, per member", MEMORY, Megabytes, Some(AtMost(0.5)), |m| megabytes(&m.resident_before)),
        figure("resident, filled, per member", MEMORY, Megabytes, Some(AtMost(0.5)), |m| megabytes(&m.resident_after)),
        figure("written to disk per byte put", MEMORY, Times, Some(AtMost(0.5)), |m| m.written_per_byte),
        figure("servers' CPU per put", "put-leader", Microseconds, None, |m| m.server_us_per_request),
        figure("servers' CPU per single put", "put-single", Microseconds, None, |m| m.server_us_per_request),
        figure("servers' CPU per range", "range", Microseconds, None, |m| m.server_us_per_request),
        figure("servers' CPU per watch event", "watch-10", Microseconds, None, |m| m.server_us_per_request),
    ]
};

/// The mean of some numbers of bytes, in MB.
fn megabytes(bytes: &[u64]) -> f64 {
    bytes.iter().sum::<u64>() as f64 / bytes.len().max(1) as f64 / 1e6
}

/// One line of the result, worked out.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub name: &'static str,
    pub unit: Unit,
    /// Medians, and the rounds they are medians of.
    pub ours: Option<f64>,
    pub etcd: Option<f64>,
    pub ours_rounds: Vec<f64>,
    pub etcd_rounds: Vec<f64>,
    pub ratio: Option<f64>,
    pub goal: Option<Goal>,
    pub met: Option<bool>,
}

/// Every figure for which there is a sample.
pub fn lines(samples: &[Sample]) -> Vec<Line> {
    let line = |figure: &Figure| {
        let of = |side: Side| -> Vec<f64> {
            let matching = samples.iter().filter(|sample| sample.side == side && sample.load == figure.load);
            matching.map(|sample| (figure.read)(&sample.measurement)).collect()
        };
        let (ours_rounds, etcd_rounds) = (of(Side::Ours), of(Side::Etcd));
        let (ours, etcd) = (median(&ours_rounds), median(&etcd_rounds));
        let ratio = ours.zip(etcd).filter(|(_, etcd)| *etcd > 0.0).map(|(ours, etcd)| ours / etcd);
        let met = figure.goal.zip(ratio).map(|(goal, ratio)| goal.is_met(ratio));
        let (name, unit, goal) = (figure.name, figure.unit, figure.goal);
        Line { name, unit, ours, etcd, ours_rounds, etcd_rounds, ratio, goal, met }
    };
    FIGURES.iter().map(line).filter(|line| line.ours.is_some() || line.etcd.is_some()).collect()
}

/// The value in the middle; of an even number, the mean of the two there.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn every_figure_has_its_load() {
        for figure in FIGURES {
            assert!(
                [MEMORY, RESTART].contains(&figure.load) || ROWS.iter().any(|row| row.name == figure.load),
                "{}",
                figure.load
            );
        }
        for row in ROWS {
            assert!(FIGURES.iter().any(|figure| figure.load == row.name), "{}", row.name);
        }
    }

    #[test]
    fn a_line_is_the_ratio_of_medians_and_knows_its_goal() {
        let sample = |side, rate, p99_us| Sample {
            round: 1,
            side,
            load: "put-leader",
            measurement: Measurement { rate, p99_us, ..Default::default() },
        };
        let samples = [
            sample(Side::Ours, 100.0, 10.0),
            sample(Side::Etcd, 40.0, 10.0),
            sample(Side::Ours, 1.0, 10.0),
            sample(Side::Ours, 90.0, 10.0),
        ];
        let lines = lines(&samples);
        assert_eq!(lines.len(), 3, "put-leader gives three figures and nothing else was measured");
        assert_eq!((lines[0].ratio, lines[0].met), (Some(2.25), Some(true)));
        assert_eq!((lines[1].ratio, lines[1].met), (Some(1.0), Some(false)));
        assert_eq!(lines[0].ours_rounds, [100.0, 1.0, 90.0]);
        assert_eq!(lines[2].ratio, None, "etcd used no measurable time");
    }

    #[test]
    fn memory_is_per_member() {
        assert_eq!(megabytes(&[1_000_000, 3_000_000]), 2.0);
        assert_eq!(megabytes(&[]), 0.0);
    }
}
