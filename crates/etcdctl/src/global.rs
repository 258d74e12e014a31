//! The flags every command has, the environment that stands in for them, and
//! the session they describe.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ArgMatches;
use client::{Client, Config, Credentials};

use crate::fail::{Exit, Failure, Result};
use crate::flag::{Flag, Kind};
use crate::go;
use crate::log;
use crate::out;
use crate::password;
use crate::print::{Format, Style};

const ENDPOINTS: Flag = Flag::new("endpoints", Kind::Texts, "127.0.0.1:2379", "gRPC endpoints");
const DEBUG: Flag = Flag::switch("debug", "enable client-side debug logging");
const WRITE_OUT: Flag =
    Flag::text("write-out", "simple", "set the output format (fields, json, protobuf, simple, table)").short('w');
const HEX: Flag = Flag::switch("hex", "print byte strings as hex encoded strings");
const DIAL_TIMEOUT: Flag = Flag::new("dial-timeout", Kind::Duration, "2s", "dial timeout for client connections");
const COMMAND_TIMEOUT: Flag =
    Flag::new("command-timeout", Kind::Duration, "5s", "timeout for short running command (excluding dial timeout)");
const KEEPALIVE_TIME: Flag = Flag::new("keepalive-time", Kind::Duration, "2s", "keepalive time for client connections");
const KEEPALIVE_TIMEOUT: Flag =
    Flag::new("keepalive-timeout", Kind::Duration, "6s", "keepalive timeout for client connections");
const MAX_REQUEST_BYTES: Flag = Flag::int(
    "max-request-bytes",
    "client-side request send limit in bytes (if 0, it defaults to 2.0 MiB (2 * 1024 * 1024).)",
);
const MAX_RECV_BYTES: Flag =
    Flag::int("max-recv-bytes", "client-side response receive limit in bytes (if 0, it defaults to \"math.MaxInt32\")");
const INSECURE_TRANSPORT: Flag =
    Flag::new("insecure-transport", Kind::Bool, "true", "disable transport security for client connections");
const INSECURE_DISCOVERY: Flag =
    Flag::new("insecure-discovery", Kind::Bool, "true", "accept insecure SRV records describing cluster endpoints");
const INSECURE_SKIP_TLS_VERIFY: Flag = Flag::switch(
    "insecure-skip-tls-verify",
    "skip server certificate verification (CAUTION: this option should be enabled only for \
     testing purposes)",
);
const CERT: Flag = Flag::text("cert", "", "identify secure client using this TLS certificate file");
const KEY: Flag = Flag::text("key", "", "identify secure client using this TLS key file");
const CACERT: Flag = Flag::text("cacert", "", "verify certificates of TLS-enabled secure servers using this CA bundle");
const AUTH_JWT_TOKEN: Flag = Flag::text(
    "auth-jwt-token",
    "",
    "JWT token used for authentication (if this option is used, --user and --password should \
     not be set)",
);
const USER: Flag =
    Flag::text("user", "", "username[:password] for authentication (prompt if password is not supplied)");
const PASSWORD: Flag = Flag::text(
    "password",
    "",
    "password for authentication (if this option is used, --user option shouldn't include \
     password)",
);
const DISCOVERY_SRV: Flag =
    Flag::text("discovery-srv", "", "domain name to query for SRV records describing cluster endpoints").short('d');
const DISCOVERY_SRV_NAME: Flag = Flag::text("discovery-srv-name", "", "service name to query when using DNS discovery");

/// All of them.
pub const GLOBAL: &[Flag] = &[
    ENDPOINTS,
    DEBUG,
    WRITE_OUT,
    HEX,
    DIAL_TIMEOUT,
    COMMAND_TIMEOUT,
    KEEPALIVE_TIME,
    KEEPALIVE_TIMEOUT,
    MAX_REQUEST_BYTES,
    MAX_RECV_BYTES,
    INSECURE_TRANSPORT,
    INSECURE_DISCOVERY,
    INSECURE_SKIP_TLS_VERIFY,
    CERT,
    KEY,
    CACERT,
    AUTH_JWT_TOKEN,
    USER,
    PASSWORD,
    DISCOVERY_SRV,
    DISCOVERY_SRV_NAME,
];

/// Least time between two looks at what does not answer.
const TROUBLES_PAUSE_MIN: Duration = Duration::from_secs(1);
/// A command with a time limit has ended by then, and has named them itself.
const TROUBLES_GRACE: Duration = Duration::from_millis(500);

const PREFIX: &str = "ETCDCTL_";
/// Read by `watch` itself.
const WATCH_VARIABLES: [&str; 2] = ["ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"];

/// A client, and how to show what it learns.
#[derive(Debug)]
pub struct Session {
    /// Without a time limit.
    pub client: Client,
    /// How to show answers.
    pub style: Style,
    /// How long a short command may take.
    pub command_timeout: Duration,
    /// Values of the environment, by name of the flag they stand in for.
    environment: BTreeMap<&'static str, String>,
}

impl Session {
    /// What the flags and the environment describe. Nothing is sent yet, except
    /// that a user is logged in.
    pub async fn open(matches: &ArgMatches) -> Result<Self> {
        Self::open_with(matches, &[]).await
    }

    /// The same, for a command that shares more flags with its group.
    pub async fn open_with(matches: &ArgMatches, shared: &[Flag]) -> Result<Self> {
        let environment = environment(matches, shared)?;
        let values = Values { matches, environment: &environment };
        if values.is_on(&DEBUG)? {
            values.print(shared)?;
        }
        for flag in [&CERT, &KEY, &CACERT] {
            if values.text(flag).is_empty() && matches.contains_id(flag.name) {
                let name = flag.name;
                let text = format!("empty string is passed to --{name} option");
                return Err(Failure::arguments(text));
            }
        }
        let wants_tls = [&CERT, &KEY, &CACERT].iter().any(|flag| !values.text(flag).is_empty());
        if wants_tls || !values.is_on(&INSECURE_TRANSPORT)? {
            let text = "TLS is not supported yet";
            return Err(Failure::new(Exit::BadFeature, text));
        }
        if !values.text(&DISCOVERY_SRV).is_empty() {
            let text = "DNS discovery is not supported yet";
            return Err(Failure::new(Exit::BadFeature, text));
        }
        let mut config = Config::to(values.texts(&ENDPOINTS));
        config.connect_timeout = values.duration(&DIAL_TIMEOUT)?;
        config.keep_alive_time = values.duration(&KEEPALIVE_TIME)?;
        config.keep_alive_timeout = values.duration(&KEEPALIVE_TIMEOUT)?;
        if let Some(max) = values.limit(&MAX_REQUEST_BYTES)? {
            config.request_bytes_max = max;
        }
        if let Some(max) = values.limit(&MAX_RECV_BYTES)? {
            config.response_bytes_max = max;
        }
        config.credentials = credentials(&values)?;
        let style =
            Style { format: Format::parse(&values.text(&WRITE_OUT))?, hex: values.is_on(&HEX)?, value_only: false };
        let command_timeout = values.duration(&COMMAND_TIMEOUT)?;
        let connect_timeout = config.connect_timeout;
        let bad_connection = |error| Failure::from(error).exiting(Exit::BadConnection);
        let client = Client::new(config).map_err(bad_connection)?;
        let hurried = client.clone().with_timeout(Some(connect_timeout));
        hurried.log_in().await.map_err(bad_connection)?;
        tokio::spawn(tell_troubles(client.clone(), command_timeout));
        Ok(Self { client, style, command_timeout, environment })
    }

    /// The client, for a short command.
    pub fn timed(&self) -> Client {
        let timeout = Some(self.command_timeout);
        self.client.clone().with_timeout(timeout)
    }

    /// Whether a flag that is not global is on, here or in the environment.
    pub fn is_on(&self, flag: &Flag, matches: &ArgMatches) -> Result<bool> {
        let environment = &self.environment;
        let values = Values { matches, environment };
        values.is_on(flag)
    }
}

/// Names the endpoints that do not answer while none does, and those that say they cannot, as long as the command runs: a
/// command without a time limit would wait without a word. Each is named once, and again when it has answered meanwhile.
async fn tell_troubles(client: Client, command_timeout: Duration) {
    let pause = command_timeout.max(TROUBLES_PAUSE_MIN) + TROUBLES_GRACE;
    let mut told: Vec<String> = Vec::new();
    loop {
        tokio::time::sleep(pause).await;
        let mut news = client.troubles();
        let served = client.is_connected();
        news.retain(|trouble| trouble.answered || !served);
        let present: Vec<String> = news.iter().map(|trouble| trouble.endpoint.clone()).collect();
        news.retain(|trouble| !told.contains(&trouble.endpoint));
        log::troubles(&news);
        told = present;
    }
}

/// Flags, or what the environment says in their place.
struct Values<'a> {
    matches: &'a ArgMatches,
    environment: &'a BTreeMap<&'static str, String>,
}

impl Values<'_> {
    fn of<T>(
        &self,
        flag: &Flag,
        given: impl Fn(&ArgMatches) -> T,
        parse: impl Fn(&str) -> std::result::Result<T, String>,
    ) -> Result<T> {
        let Some(text) = self.environment.get(flag.name) else {
            return Ok(given(self.matches));
        };
        parse(text).map_err(|error| {
            let text = go::quote(text.as_bytes());
            let variable = variable(flag);
            Failure::new(Exit::Error, format!("invalid value {text} for {variable}: {error}"))
        })
    }

    fn is_on(&self, flag: &Flag) -> Result<bool> {
        self.of(flag, |matches| flag.is_on(matches), go::number::parse_bool)
    }

    fn duration(&self, flag: &Flag) -> Result<Duration> {
        let given = |matches: &ArgMatches| flag.duration(matches);
        Ok(self.of(flag, given, go::Duration::parse)?.to_std())
    }

    /// A number of bytes, unless it is 0.
    fn limit(&self, flag: &Flag) -> Result<Option<usize>> {
        let parse = |text: &str| go::number::parse_int(text.as_bytes(), 0);
        let number = self.of(flag, |matches| flag.number(matches), parse)?;
        Ok(usize::try_from(number).ok().filter(|number| *number > 0))
    }

    fn text(&self, flag: &Flag) -> String {
        let of_environment = self.environment.get(flag.name);
        of_environment.map_or_else(|| flag.value(self.matches), String::clone)
    }

    fn texts(&self, flag: &Flag) -> Vec<String> {
        let split = |text: &String| -> Vec<String> {
            let parts = text.split(',').filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        if let Some(text) = self.environment.get(flag.name) {
            return split(text);
        }
        match self.matches.get_many::<String>(flag.name) {
            None => split(&flag.default.to_owned()),
            Some(given) => given.flat_map(split).collect(),
        }
    }

    /// What `--debug` shows first: every flag as a variable.
    fn print(&self, shared: &[Flag]) -> Result<()> {
        let mut lines = Vec::new();
        for flag in GLOBAL.iter().chain(shared) {
            let value = match flag.kind {
                Kind::Bool => self.is_on(flag)?.to_string(),
                Kind::Int => self.limit(flag)?.unwrap_or(0).to_string(),
                Kind::Duration => go::Duration::from(self.duration(flag)?).to_string(),
                Kind::Text => self.text(flag),
                Kind::Texts => format!("[{}]", self.texts(flag).join(",")),
            };
            lines.push(format!("{}={value}", variable(flag)));
        }
        lines.sort();
        for line in lines {
            out::complain(format_args!("{line}"));
        }
        Ok(())
    }
}

/// The environment variable that stands in for a flag.
fn variable(flag: &Flag) -> String {
    format!("{PREFIX}{}", flag.name.to_uppercase().replace('-', "_"))
}

/// The variables that stand in for flags not given.
///
/// One whose flag is given too is an error that nobody can miss; one that no
/// flag answers to is a warning.
fn environment(matches: &ArgMatches, shared: &[Flag]) -> Result<BTreeMap<&'static str, String>> {
    let mut found = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if !name.starts_with(PREFIX) {
            continue;
        }
        let flag = GLOBAL.iter().chain(shared).find(|flag| variable(flag) == name);
        match flag {
            Some(flag) if matches.contains_id(flag.name) => {
                let message = "conflicting environment variable is shadowed by corresponding \
                               command-line flag (either unset environment variable or disable \
                               flag))";
                log::line("fatal", message, &[("environment-variable", &name)]);
                return Err(Failure::silent(Exit::Error));
            }
            Some(flag) if !value.is_empty() => {
                found.insert(flag.name, value.into_owned());
            }
            None if WATCH_VARIABLES.contains(&&*name) && !value.is_empty() => {}
            _ => {
                let message = "unrecognized environment variable";
                let both = format!("{name}={value}");
                log::line("warn", message, &[("environment-variable", &both)]);
            }
        }
    }
    Ok(found)
}

fn credentials(values: &Values<'_>) -> Result<Option<Credentials>> {
    let token = values.text(&AUTH_JWT_TOKEN);
    if !token.is_empty() {
        return Ok(Some(Credentials::Token(token)));
    }
    let (user, password) = (values.text(&USER), values.text(&PASSWORD));
    if user.is_empty() {
        return Ok(None);
    }
    let (name, password) = if !password.is_empty() {
        (user, password)
    } else if let Some((name, password)) = user.split_once(':') {
        (name.to_owned(), password.to_owned())
    } else {
        let password = password::ask()?;
        (user, password)
    };
    Ok(Some(Credentials::User { name, password }))
}
