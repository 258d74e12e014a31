//! What a [`Client`](crate::Client) is made from.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// Endpoints and habits of a client. The defaults are those of etcd's own tools.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the members listen for clients: `host:port`, `http://host:port` or
    /// `unix:path`. At least one.
    pub endpoints: Vec<String>,
    /// How long one attempt to connect may take, until the server has spoken. 2 s.
    pub connect_timeout: Duration,
    /// Time without traffic after which a connection in use is probed. Values
    /// below [`KEEP_ALIVE_TIME_MIN`] are raised to it. 10 s.
    pub keep_alive_time: Duration,
    /// How long a probe may stay unanswered before the connection is given up. 6 s.
    pub keep_alive_timeout: Duration,
    /// How long one call may take, with all its repetitions; streams are not
    /// limited. None by default, which bounds the number of tries instead.
    pub timeout: Option<Duration>,
    /// Ask members to refuse, and to end streams, while they see no leader.
    pub require_leader: bool,
    /// Largest request this client sends, in bytes. 2 MiB.
    pub request_bytes_max: usize,
    /// Largest response this client accepts, in bytes. 2³¹−1.
    pub response_bytes_max: usize,
    /// Who is calling, when the cluster has authentication on.
    pub credentials: Option<Credentials>,
}

/// Who is calling.
#[derive(Clone)]
pub enum Credentials {
    /// A name and its password, traded for a token with the first call.
    User {
        /// Name of the user.
        name: String,
        /// The user's password.
        password: String,
    },
    /// A token made elsewhere, sent as it is.
    Token(String),
}

impl fmt::Debug for Credentials {
    /// Shows the name, never the secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::User { name, .. } => out.debug_struct("User").field("name", name).finish(),
            Credentials::Token(_) => out.write_str("Token"),
        }
    }
}

/// Servers close connections that are probed more often than every 5 s, so no
/// probe interval is shorter than what etcd's own client uses at least.
pub const KEEP_ALIVE_TIME_MIN: Duration = Duration::from_secs(10);

impl Config {
    /// The defaults, with these endpoints.
    pub fn to<I>(endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            connect_timeout: Duration::from_secs(2),
            keep_alive_time: KEEP_ALIVE_TIME_MIN,
            keep_alive_timeout: Duration::from_secs(6),
            timeout: None,
            require_leader: false,
            request_bytes_max: 2 * 1024 * 1024,
            response_bytes_max: i32::MAX as usize,
            credentials: None,
        }
    }
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Host and port.
    Tcp(String),
    /// A socket of this machine.
    Unix(PathBuf),
}

impl Address {
    /// What an endpoint says, of which scheme and path may be left out.
    pub(crate) fn of(endpoint: &str) -> Result<Address> {
        let bad = |why: &str| Error::Config(format!("bad endpoint {endpoint:?}: {why}"));
        if endpoint.is_empty() {
            return Err(bad("it is empty"));
        }
        if endpoint.starts_with("https://") || endpoint.starts_with("unixs:") {
            return Err(bad("TLS is not supported yet"));
        }
        if let Some(path) = endpoint.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(bad("it has no path")),
                path => Ok(Address::Unix(path.into())),
            };
        }
        let host = match endpoint.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => return Err(bad(&format!("unknown scheme {scheme:?}"))),
            None => endpoint,
        };
        // etcd's client looks at the host alone; a trailing slash is common.
        match host.split('/').next() {
            None | Some("") => Err(bad("it has no host")),
            // What comes after the brackets of an IPv6 address, or all of it.
            Some(host) if !host.rsplit(']').next().is_some_and(|end| end.contains(':')) => Err(bad("it has no port")),
            Some(host) => Ok(Address::Tcp(host.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_is_optional_and_path_is_dropped() {
        let address = |endpoint| Address::of(endpoint).unwrap();
        let tcp = |host: &str| Address::Tcp(host.to_owned());
        assert_eq!(address("127.0.0.1:2379"), tcp("127.0.0.1:2379"));
        assert_eq!(address("http://host:1/"), tcp("host:1"));
        assert_eq!(address("[::1]:2379"), tcp("[::1]:2379"));
        assert_eq!(address("unix:///run/etcd.sock"), Address::Unix("/run/etcd.sock".into()));
        assert_eq!(address("unix:etcd.sock"), Address::Unix("etcd.sock".into()));
    }

    #[test]
    fn refusals_say_why() {
        let refusal = |endpoint| Address::of(endpoint).unwrap_err().to_string();
        assert_eq!(refusal("https://h:1"), "bad endpoint \"https://h:1\": TLS is not supported yet");
        assert_eq!(refusal(""), "bad endpoint \"\": it is empty");
        assert_eq!(refusal("ftp://h"), "bad endpoint \"ftp://h\": unknown scheme \"ftp\"");
        assert_eq!(refusal("http://"), "bad endpoint \"http://\": it has no host");
        assert_eq!(refusal("127.0.0.1"), "bad endpoint \"127.0.0.1\": it has no port");
        assert_eq!(refusal("http://[::1]/"), "bad endpoint \"http://[::1]/\": it has no port");
    }

    #[test]
    fn secrets_are_not_shown() {
        let user = Credentials::User { name: "root".into(), password: "secret".into() };
        let token = Credentials::Token("secret".into());
        assert!(!format!("{user:?}{token:?}").contains("secret"));
    }
}
