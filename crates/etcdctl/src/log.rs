//! Warnings on stderr, one JSON object a line, as etcd's tools write them.

use std::time::{SystemTime, UNIX_EPOCH};

use client::Trouble;

use crate::out;

/// Names each endpoint that was tried in vain, and says why.
pub fn troubles(all: &[Trouble]) {
    for Trouble { endpoint, answered, reason } in all {
        let message = if *answered { "an endpoint could not do it" } else { "an endpoint did not answer" };
        line("warn", message, &[("target", endpoint), ("error", reason)]);
    }
}

/// Writes one line: level, time in seconds, message, more fields.
pub fn line(level: &str, message: &str, fields: &[(&str, &str)]) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0.0, |since| since.as_secs_f64());
    let fields: String = fields.iter().map(|(name, value)| format!(",{}:{}", string(name), string(value))).collect();
    out::complain(
        format_args!("{{\"level\":{},\"ts\":{seconds},\"msg\":{}{fields}}}", string(level), string(message),),
    );
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
