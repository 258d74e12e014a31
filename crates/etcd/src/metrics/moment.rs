//! What is only known when it is asked for: gauges set from the member's present state.

use super::table::Table;
use super::{raise, whole};
use crate::handle::Handle;
use crate::rpc;
use crate::version;
use prometheus::IntGaugeVec;

pub(super) fn take(handle: &Handle, table: &Table) {
    let numbers = handle.status();
    let view = handle.view();
    let settings = handle.settings();
    let me = hex(settings.member_id);

    table.has_leader.set(i64::from(numbers.leader != 0));
    table.is_leader.set(i64::from(numbers.leader == numbers.id));
    table.is_learner.set(i64::from(numbers.is_learner));
    raise(&table.leader_changes, numbers.leader_changes);
    table.proposals_applied.set(whole(numbers.applied));
    table.proposals_committed.set(whole(numbers.commit));
    table.quota.set(settings.quota_bytes.map_or(0, whole));
    only(&table.server_id, &[&me]);
    only(&table.server_version, &[version::SERVER]);
    if let Some(version) = view.roster().cluster_version() {
        only(&table.cluster_version, &[major_minor(version)]);
    }

    table.size.set(whole(view.size_bytes()));
    table.size_in_use.set(whole(view.size_in_use_bytes()));
    table.current_revision.set(view.revision());
    table.compact_revision.set(view.compacted());
    raise(&table.ranges, table.ranges_applied.get() + table.ranges_read.get());
    table.alarms.reset();
    for alarm in view.alarms().iter() {
        let kind = rpc::alarm_name(alarm.kind.0);
        table.alarms.with_label_values(&[hex(alarm.member), kind]).set(1);
    }

    table.known_peers.reset();
    table.active_peers.reset();
    for member in view.roster().members().filter(|member| member.id != settings.member_id) {
        let labels = [&me, &hex(member.id)];
        let is_active = handle.peers().active_since(member.id).is_some();
        table.known_peers.with_label_values(&labels).set(1);
        table.active_peers.with_label_values(&labels).set(i64::from(is_active));
    }
}

/// One row with a 1: the fact is in the label.
fn only(gauges: &IntGaugeVec, labels: &[&str]) {
    gauges.reset();
    gauges.with_label_values(labels).set(1);
}

/// A member's id as labels have it.
fn hex(id: u64) -> String {
    format!("{id:x}")
}

/// `3.7.0` → `3.7`.
fn major_minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(major_minor, _)| major_minor)
}

#[cfg(test)]
mod tests {
    use super::major_minor;

    #[test]
    fn the_label_has_two_numbers() {
        assert_eq!(major_minor("3.7.0"), "3.7");
        assert_eq!(major_minor("odd"), "odd");
    }
}
