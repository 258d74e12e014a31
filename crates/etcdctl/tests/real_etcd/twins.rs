//! Two members that agree in everything, one for each etcdctl.

use crate::support::{Member, Outcome, free_ports, ours, real, run, run_until};

/// Two members alike: one for each etcdctl.
pub struct Twins {
    pub for_ours: Member,
    pub for_real: Member,
}

impl Twins {
    pub fn new() -> Self {
        let [client, peer] = free_ports();
        Self { for_ours: Member::alone((client, peer)), for_real: Member::alone((client, peer)) }
    }

    pub fn both(&self, arguments: &[&str], input: &str) -> (Outcome, Outcome) {
        (
            run(&ours(), &self.for_ours.endpoint, arguments, input),
            run(&real("etcdctl"), &self.for_real.endpoint, arguments, input),
        )
    }

    /// Both must do the same.
    pub fn same(&self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split(' ').collect();
        self.same_with(&words, "")
    }

    pub fn same_with(&self, arguments: &[&str], input: &str) -> Outcome {
        let (ours, theirs) = self.both(arguments, input);
        assert_eq!(ours.text(), theirs.text(), "{arguments:?}");
        assert_eq!(ours, theirs, "{arguments:?}");
        ours
    }

    /// Both must write the same lines before they are stopped.
    pub fn same_until(&self, line: &str, input: &str, lines: usize) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let ours = run_until(&ours(), &self.for_ours.endpoint, &words, input, lines);
        let theirs = run_until(&real("etcdctl"), &self.for_real.endpoint, &words, input, lines);
        assert_eq!(without_reason(&ours), theirs, "{line}");
        ours
    }
}

/// 3.7 tells the reason in JSON, 3.5 does not.
pub fn without_reason(text: &str) -> String {
    text.replace(",\"CancelReason\":\"\"", "")
}
