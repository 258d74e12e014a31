//! Warnings on stderr, one JSON object a line, as etcd's tools write them.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes one line: level, time in seconds, message, one more field.
pub fn line(level: &str, message: &str, field: &str, value: &str) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0.0, |since| since.as_secs_f64());
    // Without a reader the exit code has to do.
    let _ = writeln!(
        std::io::stderr(),
        "{{\"level\":{},\"ts\":{seconds},\"msg\":{},{}:{}}}",
        string(level),
        string(message),
        string(field),
        string(value)
    );
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
