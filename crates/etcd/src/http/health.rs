//! `/health`: alarms, then the leader, then a read; the first that fails is the reason.

use super::page::{error, text};
use super::query_values;
use crate::handle::Handle;
use crate::metrics;
use bytes::Bytes;
use http::{Response, StatusCode};
use store::{AlarmKind, Alarms};

pub(super) async fn answer(handle: &Handle, query: &str) -> Response<Bytes> {
    let reason = reason(handle, query).await;
    metrics::health(reason.is_none());
    match reason {
        None => text(r#"{"health":"true","reason":""}"#.to_owned()),
        Some(reason) => {
            let reason = serde_json::Value::from(reason);
            error(StatusCode::SERVICE_UNAVAILABLE, &format!(r#"{{"health":"false","reason":{reason}}}"#))
        }
    }
}

/// Why the member is not healthy.
async fn reason(handle: &Handle, query: &str) -> Option<String> {
    let excluded: Vec<String> = query_values(query, "exclude").collect();
    let is_serializable = query_values(query, "serializable").next().is_some_and(|value| value == "true");
    let alarm = alarm_reason(handle.view().alarms(), &excluded);
    if alarm.is_some() {
        return alarm;
    }
    if is_serializable {
        return None;
    }
    if !handle.has_leader() {
        return Some("RAFT NO LEADER".to_owned());
    }
    match handle.linearizable().await {
        Ok(()) => None,
        Err(error) => Some(format!("RANGE ERROR:{}", error.message())),
    }
}

fn alarm_reason(alarms: &Alarms, excluded: &[String]) -> Option<String> {
    let name = |kind| match kind {
        AlarmKind::NO_SPACE => "NOSPACE",
        AlarmKind::CORRUPT => "CORRUPT",
        _ => "UNKNOWN",
    };
    let mut names = alarms.iter().map(|alarm| name(alarm.kind));
    let counted = names.find(|name| !excluded.iter().any(|excluded| excluded == name))?;
    Some(format!("ALARM {counted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_can_be_excluded() {
        let mut alarms = Alarms::default();
        assert_eq!(alarm_reason(&alarms, &[]), None);
        alarms.activate(3, AlarmKind::NO_SPACE);
        alarms.activate(4, AlarmKind::CORRUPT);
        assert_eq!(alarm_reason(&alarms, &[]).as_deref(), Some("ALARM NOSPACE"));
        let excluded = ["NOSPACE".to_owned()];
        assert_eq!(alarm_reason(&alarms, &excluded).as_deref(), Some("ALARM CORRUPT"));
    }
}
