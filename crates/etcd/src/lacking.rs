//! While nobody leads, or the leader that is known says nothing: which members do not answer, and why, said to the operator now and
//! then.
//!
//! A member that waits for its first quorum takes no calls, so its log is the one place to look. Only reads, and says.

use crate::handle::Handle;
use crate::peer::hex;
use member::core::Status;
use std::time::{Duration, Instant};

/// Election timeouts without a leader until it is worth a line.
const PATIENCE: u32 = 3;
/// The pause between two lines doubles up to this.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Says it for as long as the member runs. At `peer_urls` others reach it, if they can.
pub async fn tell(handle: Handle, peer_urls: Vec<String>) {
    let mut changes = handle.status_changes();
    loop {
        if changes.wait_for(|status| !is_led(status)).await.is_err() {
            return;
        }
        let begun = Instant::now();
        for pause in pauses(handle.settings().election_timeout) {
            match tokio::time::timeout(pause, changes.wait_for(|status| is_led(status))).await {
                Ok(Ok(_)) => break,
                Ok(Err(_)) => return,
                Err(_) => say(&handle, &peer_urls, begun.elapsed()),
            }
        }
    }
}

fn is_led(status: &Status) -> bool {
    status.leader != 0 && !status.leader_is_silent
}

/// Before each line.
fn pauses(election_timeout: Duration) -> impl Iterator<Item = Duration> {
    let first = (election_timeout * PATIENCE).min(PAUSE_MAX);
    std::iter::successors(Some(first), |pause| Some((*pause * 2).min(PAUSE_MAX)))
}

fn say(handle: &Handle, peer_urls: &[String], waited: Duration) {
    let waited = Duration::from_secs(waited.as_secs());
    let leader = handle.status().leader;
    let view = handle.view();
    let voters = &view.conf_state().voters;
    // Who joins has no configuration until a leader brings it one, and knows only those whom it was told of when it started.
    if voters.is_empty() {
        let others = handle.peers().members();
        let lacking = lacking(handle, &others);
        match leader {
            0 => {
                tracing::warn!(?waited, "peer-urls" = ?peer_urls, lacking = ?lacking, "no leader has reached this member yet")
            }
            _ => {
                tracing::warn!(?waited, leader = hex(leader), "peer-urls" = ?peer_urls, lacking = ?lacking, "the leader has reached this member and says nothing since");
            }
        }
        return;
    }
    let needed = voters.len() / 2 + 1;
    let lacking = lacking(handle, voters);
    let answer = voters.len() - lacking.len();
    let led = match leader {
        0 => "nobody leads",
        _ => "the leader says nothing",
    };
    let words = match answer >= needed {
        true => format!("{led}, although enough members answer for a quorum"),
        false => format!("{led}: too few members answer for a quorum"),
    };
    let leader = (leader != 0).then(|| name_of(handle, leader));
    tracing::warn!(?waited, leader, voters = voters.len(), needed, answer, lacking = ?lacking, "{words}");
}

/// Which of these do not answer, and why.
fn lacking(handle: &Handle, among: &[u64]) -> Vec<String> {
    let me = handle.settings().member_id;
    let peers = handle.peers();
    let why = |id| match peers.active_since(id) {
        Some(_) => peers.why_deaf_to(id),
        None => Some(peers.trouble(id).unwrap_or_else(|| "has not answered yet".to_owned())),
    };
    let others = among.iter().copied().filter(|&id| id != me);
    others.filter_map(|id| why(id).map(|why| format!("{}: {why}", name_of(handle, id)))).collect()
}

/// A member's name, or its id while it has none.
fn name_of(handle: &Handle, id: u64) -> String {
    let view = handle.view();
    let member = view.roster().members().find(|member| member.id == id);
    member.map(|member| member.name.clone()).filter(|name| !name.is_empty()).unwrap_or_else(|| hex(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_grow_rare() {
        let seconds =
            |timeout| pauses(Duration::from_secs(timeout)).take(7).map(|pause| pause.as_secs()).collect::<Vec<_>>();
        assert_eq!(seconds(1), [3, 6, 12, 24, 48, 60, 60]);
        assert_eq!(seconds(50), [60; 7]);
    }
}
