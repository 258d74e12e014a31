//! The log, in etcd's form, so that tools that read etcd's log read ours.
//!
//! Two ways in, one way out. Code says `tracing::info!("local-member-id" = %id, "msg")`; the flag parser, which is pure and
//! may not log, returns [`Note`]s that are emitted later. Both become a [`Record`], a record becomes one line, and a line
//! is written with one call.
//!
//! A JSON line is `{"level","ts","logger"?,"caller","msg", fields…}`; a console line is the same, parted by tabs. Fields named
//! `logger` and `level` go to those places: tracing has no panic and fatal, so `error!(level = "fatal", …)` says it.
//! Lists in fields: a `Debug` value that reads as a JSON array is written as one. etcd's sampling (the first 100 equal
//! lines a second) is not done.

pub mod throttle;
pub mod timestamp;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// How important a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
    Panic,
    Fatal,
}

impl Level {
    const NAMES: [(Level, &'static str); 6] = [
        (Level::Debug, "debug"),
        (Level::Info, "info"),
        (Level::Warn, "warn"),
        (Level::Error, "error"),
        (Level::Panic, "panic"),
        (Level::Fatal, "fatal"),
    ];

    /// Reads a level's name.
    pub fn parse(text: &str) -> Option<Level> {
        Self::NAMES.into_iter().find(|(_, name)| *name == text).map(|(level, _)| level)
    }

    /// The name in records.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    fn of(level: &tracing::Level) -> Level {
        match *level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            _ => Level::Debug,
        }
    }
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Format {
    Json,
    Console,
}

/// Where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Output {
    Stderr,
    Stdout,
}

/// What is logged, how and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Records below it are not written.
    pub level: Level,
    /// How.
    pub format: Format,
    /// Where.
    pub output: Output,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { level: Level::Info, format: Format::Json, output: Output::Stderr }
    }
}

/// A record that waits to be written: said by code that may not write.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// How important.
    pub level: Level,
    /// The words.
    pub message: String,
    /// In order.
    pub fields: Vec<(&'static str, Value)>,
    caller: String,
}

impl Note {
    /// A note without fields.
    #[track_caller]
    pub fn new(level: Level, message: &str) -> Note {
        let place = std::panic::Location::caller();
        Note { level, message: message.to_owned(), fields: Vec::new(), caller: caller(place.file(), place.line()) }
    }

    /// Adds a field.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Note {
        self.fields.push((name, value.into()));
        self
    }
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Sets the log up for the whole process. The first call counts.
pub fn install(settings: Settings) {
    if SETTINGS.set(settings).is_ok() {
        let subscriber = tracing_subscriber::registry().with(Lines { settings });
        // Somebody else's subscriber (a test's) may already be there; then it stays.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }
}

/// Writes a note, as JSON on stderr if [`install`] was not called yet.
pub fn emit(note: &Note) {
    let settings = SETTINGS.get().copied().unwrap_or_default();
    if note.level < settings.level {
        return;
    }
    let record = Record {
        level: note.level,
        logger: None,
        caller: note.caller.clone(),
        message: note.message.clone(),
        fields: note.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    };
    write(settings, &record.line(settings.format, SystemTime::now()));
}

/// Writes a line for people on stderr, if anybody reads it.
pub fn plain(text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

fn write(settings: Settings, line: &str) {
    // A log that cannot be written has nobody to tell.
    let _ = match settings.output {
        Output::Stderr => std::io::stderr().lock().write_all(line.as_bytes()),
        Output::Stdout => std::io::stdout().lock().write_all(line.as_bytes()),
    };
}

/// `dir/file.rs:line`, as zap shortens it.
fn caller(file: &str, line: u32) -> String {
    let mut parts = file.rsplit(['/', '\\']);
    let name = parts.next().unwrap_or("unknown");
    match parts.next() {
        Some(folder) => format!("{folder}/{name}:{line}"),
        None => format!("{name}:{line}"),
    }
}

/// One line of the log, before it is written.
struct Record {
    level: Level,
    logger: Option<String>,
    caller: String,
    message: String,
    fields: Vec<(String, Value)>,
}

impl Record {
    fn line(&self, format: Format, moment: SystemTime) -> String {
        let ts = timestamp::rfc3339(moment, 6);
        match format {
            Format::Json => self.json(&ts),
            Format::Console => self.console(&ts),
        }
    }

    fn json(&self, ts: &str) -> String {
        let mut line = format!(r#"{{"level":"{}","ts":"{ts}""#, self.level.name());
        if let Some(logger) = &self.logger {
            let _ = write!(line, r#","logger":{}"#, json!(logger));
        }
        let _ = write!(line, r#","caller":{},"msg":{}"#, json!(self.caller), json!(self.message));
        for (name, value) in &self.fields {
            let _ = write!(line, ",{}:{value}", json!(name));
        }
        line.push_str("}\n");
        line
    }

    fn console(&self, ts: &str) -> String {
        let mut line = format!("{ts}\t{}", self.level.name());
        if let Some(logger) = &self.logger {
            let _ = write!(line, "\t{logger}");
        }
        let _ = write!(line, "\t{}\t{}", self.caller, self.message);
        if !self.fields.is_empty() {
            let pairs: Vec<String> =
                self.fields.iter().map(|(name, value)| format!("{}: {value}", json!(name))).collect();
            let _ = write!(line, "\t{{{}}}", pairs.join(", "));
        }
        line.push('\n');
        line
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        match text.starts_with('[').then(|| serde_json::from_str(&text)) {
            Some(Ok(list)) if field.name() != "message" => self.fields.push((field.name().to_owned(), list)),
            _ => self.record_str(field, &text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            "logger" => self.logger = Some(value.to_owned()),
            "level" => self.level = Level::parse(value).unwrap_or(self.level),
            name => self.fields.push((name.to_owned(), json!(value))),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name().to_owned(), json!(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name().to_owned(), json!(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name().to_owned(), json!(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name().to_owned(), json!(value)));
    }
}

/// Turns tracing's events into lines.
struct Lines {
    settings: Settings,
}

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        // An error may turn out to be fatal, which is known only once its fields are read.
        is_ours(metadata.target()) && *metadata.level() <= self.max_level()
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.max_level().into())
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut record = Record {
            level: Level::of(metadata.level()),
            logger: None,
            caller: caller(metadata.file().unwrap_or("unknown"), metadata.line().unwrap_or(0)),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut record);
        if record.level >= self.settings.level {
            write(self.settings, &record.line(self.settings.format, SystemTime::now()));
        }
    }
}

impl Lines {
    fn max_level(&self) -> tracing::Level {
        match self.settings.level {
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error | Level::Panic | Level::Fatal => tracing::Level::ERROR,
        }
    }
}

/// Libraries have much to say that means nothing to an operator.
fn is_ours(target: &str) -> bool {
    !["h2", "hyper", "hyper_util", "tokio", "mio"]
        .iter()
        .any(|library| target.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn record() -> Record {
        Record {
            level: Level::Warn,
            logger: None,
            caller: caller("crates/etcd/src/flags/mod.rs", 7),
            message: "said \"so\"".to_owned(),
            fields: vec![("urls".to_owned(), json!(["http://a:1"])), ("n".to_owned(), json!(3))],
        }
    }

    #[test]
    fn one_record_in_both_formats() {
        let moment = std::time::UNIX_EPOCH;
        assert_eq!(
            record().line(Format::Json, moment),
            "{\"level\":\"warn\",\"ts\":\"1970-01-01T00:00:00.000000Z\",\"caller\":\"flags/mod.rs:7\",\
             \"msg\":\"said \\\"so\\\"\",\"urls\":[\"http://a:1\"],\"n\":3}\n"
        );
        let named = Record { logger: Some("raft".to_owned()), ..record() };
        assert_eq!(
            named.line(Format::Console, moment),
            "1970-01-01T00:00:00.000000Z\twarn\traft\tflags/mod.rs:7\tsaid \"so\"\t{\"urls\": [\"http://a:1\"], \"n\": 3}\n"
        );
    }

    /// Keeps records instead of writing them.
    struct Keep(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let mut record = Record { caller: "c".to_owned(), message: String::new(), fields: Vec::new(), ..record() };
            event.record(&mut record);
            self.0.lock().unwrap().push(record.json("T"));
        }
    }

    #[test]
    fn events_become_records() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Keep(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(logger = "raft", "local-member-id" = %"8e9e", urls = ?["a", "b"], n = 3u64, "became leader");
            tracing::error!(level = "fatal", ok = true, text = ?"[no list", "gave up");
        });
        let lines = lines.lock().unwrap();
        assert_eq!(
            lines[0],
            "{\"level\":\"warn\",\"ts\":\"T\",\"logger\":\"raft\",\"caller\":\"c\",\"msg\":\"became leader\",\
             \"local-member-id\":\"8e9e\",\"urls\":[\"a\",\"b\"],\"n\":3}\n"
        );
        assert!(lines[1].starts_with("{\"level\":\"fatal\","), "{}", lines[1]);
        assert!(lines[1].contains("\"ok\":true"), "{}", lines[1]);
    }

    #[test]
    fn levels_have_an_order_and_names() {
        for (level, name) in Level::NAMES {
            assert_eq!((Level::parse(name), level.name()), (Some(level), name));
        }
        assert!(Level::Debug < Level::Info && Level::Error < Level::Fatal);
        assert_eq!(Level::parse("loud"), None);
    }

    #[test]
    fn libraries_are_not_heard() {
        assert!(!is_ours("hyper::proto::h1"));
        assert!(!is_ours("h2"));
        assert!(is_ours("etcd::peer"));
        assert!(is_ours("hyperbole"));
    }
}
