//! While nobody leads: which members do not answer, and why, said to the operator now and then.
//!
//! A member that waits for its first quorum takes no calls, so its log is the one place to look. Only reads, and says.

use crate::handle::Handle;
use std::time::{Duration, Instant};

/// Election timeouts without a leader until it is worth a line.
const PATIENCE: u32 = 3;
/// The pause between two lines doubles up to this.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Says it for as long as the member runs. At `peer_urls` others reach it, if they can.
pub async fn tell(handle: Handle, peer_urls: Vec<String>) {
    let mut changes = handle.status_changes();
    loop {
        if changes.wait_for(|status| status.leader == 0).await.is_err() {
            return;
        }
        let begun = Instant::now();
        for pause in pauses(handle.settings().election_timeout) {
            match tokio::time::timeout(pause, changes.wait_for(|status| status.leader != 0)).await {
                Ok(Ok(_)) => break,
                Ok(Err(_)) => return,
                Err(_) => say(&handle, &peer_urls, begun.elapsed()),
            }
        }
    }
}

/// Before each line.
fn pauses(election_timeout: Duration) -> impl Iterator<Item = Duration> {
    let first = (election_timeout * PATIENCE).min(PAUSE_MAX);
    std::iter::successors(Some(first), |pause| Some((*pause * 2).min(PAUSE_MAX)))
}

fn say(handle: &Handle, peer_urls: &[String], waited: Duration) {
    let me = handle.settings().member_id;
    let waited = Duration::from_secs(waited.as_secs());
    let view = handle.view();
    let voters = &view.conf_state().voters;
    // Who joins has no configuration until a leader brings it one.
    if voters.is_empty() {
        tracing::warn!(?waited, "peer-urls" = ?peer_urls, "no leader has reached this member yet");
        return;
    }
    let needed = voters.len() / 2 + 1;
    let mut lacking = Vec::new();
    for &id in voters.iter().filter(|&&id| id != me && handle.peers().active_since(id).is_none()) {
        let member = view.roster().members().find(|member| member.id == id);
        let name = member.map(|member| member.name.clone()).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| format!("{id:x}"));
        let why = handle.peers().trouble(id).unwrap_or_else(|| "has not answered yet".to_owned());
        lacking.push(format!("{name}: {why}"));
    }
    let answer = voters.len() - lacking.len();
    let words = match answer >= needed {
        true => "nobody leads, although enough members answer for a quorum",
        false => "nobody leads: too few members answer for a quorum",
    };
    tracing::warn!(?waited, voters = voters.len(), needed, answer, lacking = ?lacking, "{words}");
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
