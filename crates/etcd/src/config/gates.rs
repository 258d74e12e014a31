//! `--feature-gates`: etcd's gates by name, and what they are set to.
//!
//! A gate that changes nothing here can only have its default, like a flag that does nothing yet.

use crate::flags::parse_bool;

/// etcd 3.7's gates.
const GATES: [Gate; 9] = [
    // There is no defragmentation.
    alpha("StopGRPCServiceOnDefrag", Effect::Nothing),
    alpha("InitialCorruptCheck", Effect::NotYet),
    alpha("CompactHashCheck", Effect::NotYet),
    // Reads never wait for writes.
    beta("TxnModeWriteWithSharedBuffer", Effect::Nothing),
    alpha(LEASE_CHECKPOINT, Effect::Works),
    alpha(LEASE_CHECKPOINT_PERSIST, Effect::Works),
    alpha("SetMemberLocalAddr", Effect::NotYet),
    // A renewal always proves first that the leader still leads.
    beta("FastLeaseKeepAlive", Effect::Nothing),
    alpha("PriorityRequest", Effect::NotYet),
];

const LEASE_CHECKPOINT: &str = "LeaseCheckpoint";
const LEASE_CHECKPOINT_PERSIST: &str = "LeaseCheckpointPersist";

struct Gate {
    name: &'static str,
    /// On by default.
    is_beta: bool,
    effect: Effect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Works,
    /// Only the default can be had.
    NotYet,
    /// Taken, and without meaning here.
    Nothing,
}

const fn alpha(name: &'static str, effect: Effect) -> Gate {
    Gate { name, is_beta: false, effect }
}

const fn beta(name: &'static str, effect: Effect) -> Gate {
    Gate { name, is_beta: true, effect }
}

/// What the gates are set to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// A leader makes checkpoints of leases, so that they need not begin anew with the next one. They are always kept.
    pub lease_checkpoint: bool,
}

impl Gates {
    /// Reads `Name=true,Other=false`. The former flags count where the gate itself is not named.
    ///
    /// # Errors
    /// An unknown gate, a value that is no boolean, a gate that does not work yet, or etcd's refusal of
    /// `LeaseCheckpointPersist` without `LeaseCheckpoint`.
    pub fn read(text: &str, checkpoint: Option<bool>, persist: Option<bool>) -> Result<Gates, String> {
        let mut given: Vec<(&str, bool)> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("missing bool value for {pair}"))?;
            let (name, value) = (name.trim(), value.trim());
            let value = parse_bool(value).ok_or_else(|| format!("invalid value of {name}={value}, --feature-gates"))?;
            if !matches!(name, "AllAlpha" | "AllBeta") && GATES.iter().all(|gate| gate.name != name) {
                return Err(format!("unrecognized feature gate: {name}"));
            }
            given.push((name, value));
        }
        let of = |name: &str| given.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| *value);
        let set = |gate: &Gate| {
            let former = match gate.name {
                LEASE_CHECKPOINT => checkpoint,
                LEASE_CHECKPOINT_PERSIST => persist,
                _ => None,
            };
            let stage = of(if gate.is_beta { "AllBeta" } else { "AllAlpha" });
            of(gate.name).or(former).or(stage).unwrap_or(gate.is_beta)
        };
        for gate in &GATES {
            if gate.effect == Effect::NotYet && set(gate) != gate.is_beta {
                return Err(format!("--feature-gates {}={} is not supported yet", gate.name, set(gate)));
            }
        }
        let is_on = |name| GATES.iter().any(|gate| gate.name == name && set(gate));
        if is_on(LEASE_CHECKPOINT_PERSIST) && !is_on(LEASE_CHECKPOINT) {
            return Err("enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
                .to_owned());
        }
        Ok(Gates { lease_checkpoint: is_on(LEASE_CHECKPOINT) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<bool, String> {
        Gates::read(text, None, None).map(|gates| gates.lease_checkpoint)
    }

    #[test]
    fn checkpoints_are_off_unless_asked_for() {
        assert_eq!(read(""), Ok(false));
        assert_eq!(read("LeaseCheckpoint=true"), Ok(true));
        assert_eq!(read(" LeaseCheckpoint=T , LeaseCheckpointPersist=true"), Ok(true));
        assert_eq!(read("LeaseCheckpoint=true,LeaseCheckpoint=false"), Ok(false), "the last one counts");
        assert_eq!(read("AllBeta=true,TxnModeWriteWithSharedBuffer=false,FastLeaseKeepAlive=false"), Ok(false));
        assert_eq!(Gates::read("", Some(true), None), Ok(Gates { lease_checkpoint: true }), "its former name");
        assert_eq!(Gates::read("LeaseCheckpoint=false", Some(true), None), Ok(Gates { lease_checkpoint: false }));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, words) in [
            ("LeaseCheckpoints=true", "unrecognized feature gate: LeaseCheckpoints"),
            ("LeaseCheckpoint", "missing bool value for LeaseCheckpoint"),
            ("LeaseCheckpoint=yes", "invalid value of LeaseCheckpoint=yes"),
            ("LeaseCheckpointPersist=true", "requires enabling feature gate LeaseCheckpoint"),
            ("InitialCorruptCheck=true", "InitialCorruptCheck=true is not supported yet"),
            ("AllAlpha=true", "InitialCorruptCheck=true is not supported yet"),
        ] {
            let refused = read(text).expect_err(text);
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
