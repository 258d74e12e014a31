//! Which alarms are on, for which members.
//!
//! An alarm is a pair of a member's id and a kind. Both act as literal values:
//! member 0 is a member like any other here, and "disarm all" is a loop that the
//! client runs. Kinds this version does not know are kept, because a newer member
//! of the cluster may have raised one and every member must hold the same set.
//!
//! This module never decides what an active alarm forbids; admission does.

use std::collections::BTreeSet;

use crate::ids::MemberId;

/// The number of an alarm on the wire (`etcdserverpb.AlarmType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmKind(pub i32);

impl AlarmKind {
    /// No alarm; in a question, every kind.
    pub const NONE: AlarmKind = AlarmKind(0);
    /// The member's quota is used up.
    pub const NO_SPACE: AlarmKind = AlarmKind(1);
    /// The member's content differs from the others'.
    pub const CORRUPT: AlarmKind = AlarmKind(2);
}

/// One active alarm. Orders as etcd's alarm bucket lists them: by member, then kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alarm {
    /// Whose alarm it is; 0 when nobody in particular could be blamed.
    pub member: MemberId,
    /// What is wrong.
    pub kind: AlarmKind,
}

/// The set of active alarms. Empty nearly always, so that clones cost nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    active: BTreeSet<Alarm>,
}

impl Alarms {
    /// Turns an alarm on. `None` when nothing changes: it was on already or is
    /// of kind [`AlarmKind::NONE`].
    pub fn activate(&mut self, member: MemberId, kind: AlarmKind) -> Option<Alarm> {
        let alarm = Alarm { member, kind };
        (kind != AlarmKind::NONE && self.active.insert(alarm)).then_some(alarm)
    }

    /// Turns an alarm off. `None` (an empty answer) when it was not on.
    pub fn deactivate(&mut self, member: MemberId, kind: AlarmKind) -> Option<Alarm> {
        let alarm = Alarm { member, kind };
        self.active.remove(&alarm).then_some(alarm)
    }

    /// All alarms of a kind, or all of them for [`AlarmKind::NONE`].
    pub fn list(&self, kind: AlarmKind) -> Vec<Alarm> {
        let wanted = |alarm: &&Alarm| kind == AlarmKind::NONE || alarm.kind == kind;
        self.active.iter().filter(wanted).copied().collect()
    }

    /// Whether any member has an alarm of this kind.
    pub fn any(&self, kind: AlarmKind) -> bool {
        self.active.iter().any(|alarm| alarm.kind == kind)
    }

    /// Every active alarm, ordered.
    pub fn iter(&self) -> impl Iterator<Item = Alarm> + '_ {
        self.active.iter().copied()
    }

    /// Whether no alarm is on.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_answers_once_when_it_changes() {
        let mut alarms = Alarms::default();
        let full = Alarm { member: 7, kind: AlarmKind::NO_SPACE };

        assert_eq!(alarms.activate(7, AlarmKind::NONE), None);
        assert_eq!(alarms.activate(7, AlarmKind::NO_SPACE), Some(full));
        assert_eq!(alarms.activate(7, AlarmKind::NO_SPACE), None);
        assert!(alarms.any(AlarmKind::NO_SPACE));

        assert_eq!(alarms.deactivate(0, AlarmKind::NO_SPACE), None, "0 is not a wildcard");
        assert_eq!(alarms.deactivate(7, AlarmKind::NO_SPACE), Some(full));
        assert_eq!(alarms.deactivate(7, AlarmKind::NO_SPACE), None);
        assert!(alarms.is_empty());
    }

    #[test]
    fn a_list_is_by_kind() {
        let mut alarms = Alarms::default();
        alarms.activate(2, AlarmKind::CORRUPT);
        alarms.activate(1, AlarmKind::NO_SPACE);
        alarms.activate(0, AlarmKind::CORRUPT);
        let members = |kind| -> Vec<u64> { alarms.list(kind).iter().map(|alarm| alarm.member).collect() };
        assert_eq!(members(AlarmKind::NONE), [0, 1, 2]);
        assert_eq!(members(AlarmKind::CORRUPT), [0, 2]);
        assert_eq!(members(AlarmKind::NO_SPACE), [1]);
    }
}
