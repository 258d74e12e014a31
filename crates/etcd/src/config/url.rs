//! URLs as etcd takes them: a scheme, a host and a port, and nothing behind them.

use std::fmt;

/// One URL of a listener or a member. Equal and ordered by its text, as etcd compares them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    scheme: &'static str,
    /// Host and port, or a path for unix sockets.
    authority: String,
}

const SCHEMES: [&str; 4] = ["http", "https", "unix", "unixs"];

impl Url {
    /// Reads one URL. The reason of a refusal is in etcd's words.
    pub fn parse(text: &str) -> Result<Url, String> {
        let text = text.trim();
        let scheme_wrong = || format!("URL scheme must be http, https, unix, or unixs: {text}");
        let Some((scheme, rest)) = text.split_once("://") else {
            let before_colon = text.split(':').next().unwrap_or("");
            return Err(match before_colon.bytes().next() {
                _ if !text.contains(':') => scheme_wrong(),
                None => format!("parse {text:?}: missing protocol scheme"),
                Some(first) if !first.is_ascii_alphabetic() => {
                    format!("parse {text:?}: first path segment in URL cannot contain colon")
                }
                Some(_) => scheme_wrong(),
            });
        };
        let lower = scheme.to_ascii_lowercase();
        let Some(scheme) = SCHEMES.into_iter().find(|known| *known == lower) else {
            return Err(scheme_wrong());
        };
        if scheme.starts_with("unix") {
            return Ok(Url { scheme, authority: rest.to_owned() });
        }
        let (authority, tail) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        check_authority(text, authority)?;
        if !tail.is_empty() {
            return Err(format!("URL must not contain a path: {text}"));
        }
        Ok(Url { scheme, authority: authority.to_owned() })
    }

    /// `http`, `https`, `unix` or `unixs`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Whether connections are encrypted.
    pub fn is_secure(&self) -> bool {
        matches!(self.scheme, "https" | "unixs")
    }

    /// Whether it names a unix socket.
    pub fn is_unix(&self) -> bool {
        self.scheme.starts_with("unix")
    }

    /// `host:port` as written, or the path of a unix socket.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host without brackets; empty for a unix socket.
    pub fn host(&self) -> &str {
        split_host_port(&self.authority).map_or("", |(host, _)| host)
    }

    /// The port; empty for a unix socket.
    pub fn port(&self) -> &str {
        split_host_port(&self.authority).map_or("", |(_, port)| port)
    }

    /// Why one cannot listen on it, if so: a listener needs an address, not a domain name.
    pub fn check_listen(&self) -> Result<(), String> {
        let host = self.host();
        if self.is_unix() || host == "localhost" || host.parse::<std::net::IpAddr>().is_ok() {
            return Ok(());
        }
        Err(format!("expected IP in URL for binding ({self})"))
    }

    /// Why it cannot be given to others, if so.
    pub fn check_advertise(&self) -> Result<(), String> {
        if self.is_unix() || !self.host().is_empty() {
            return Ok(());
        }
        Err(format!("unexpected empty host ({self})"))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// Comma-separated URLs, sorted, each once.
pub fn parse_list(text: &str) -> Result<Vec<Url>, String> {
    let mut urls = text.split(',').map(Url::parse).collect::<Result<Vec<_>, _>>()?;
    urls.sort();
    urls.dedup();
    Ok(urls)
}

fn check_authority(text: &str, authority: &str) -> Result<(), String> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    if let Some(letter) = host.chars().find(|letter| *letter == ' ' || "\"<>\\^`{|}".contains(*letter)) {
        return Err(format!("parse {text:?}: invalid character \"{letter}\" in host name"));
    }
    let Some((_, port)) = split_host_port(authority) else {
        return Err(format!("URL address does not have the form \"host:port\": {text}"));
    };
    if !port.bytes().all(|letter| letter.is_ascii_digit()) {
        return Err(format!("parse {text:?}: invalid port \":{port}\" after host"));
    }
    if port.is_empty() || port.parse::<u16>().is_err() {
        return Err(format!("invalid port {port:?} (expected 0 to 65535): {text}"));
    }
    Ok(())
}

/// Go's SplitHostPort: the last colon parts them, a host with colons must be in brackets.
fn split_host_port(authority: &str) -> Option<(&str, &str)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        return Some((host, port));
    }
    let (host, port) = authority.rsplit_once(':')?;
    (!host.contains(':')).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_urls_keep_their_text() {
        for text in ["http://localhost:2379", "https://10.0.0.1:1", "http://[::1]:2380", "unix://localhost:27994"] {
            assert_eq!(Url::parse(text).unwrap().to_string(), text);
        }
        let url = Url::parse(" http://[::1]:2380 ").unwrap();
        assert_eq!((url.host(), url.port(), url.scheme()), ("::1", "2380", "http"));
    }

    #[test]
    fn bad_urls_are_refused_in_etcds_words() {
        let cases = [
            ("", "URL scheme must be http, https, unix, or unixs: "),
            ("ftp://1.2.3.4:5", "URL scheme must be http, https, unix, or unixs: ftp://1.2.3.4:5"),
            ("localhost:2380", "URL scheme must be http, https, unix, or unixs: localhost:2380"),
            ("1.2.3.4:5", "parse \"1.2.3.4:5\": first path segment in URL cannot contain colon"),
            ("http://127.0.0.1", "URL address does not have the form \"host:port\": http://127.0.0.1"),
            ("http://127.0.0.1:1/foo", "URL must not contain a path: http://127.0.0.1:1/foo"),
            ("http://bla bla:3", "parse \"http://bla bla:3\": invalid character \" \" in host name"),
            ("http://bla:x", "parse \"http://bla:x\": invalid port \":x\" after host"),
            ("http://bla:99999", "invalid port \"99999\" (expected 0 to 65535): http://bla:99999"),
        ];
        for (text, reason) in cases {
            assert_eq!(Url::parse(text).unwrap_err(), reason);
        }
    }

    #[test]
    fn lists_are_sorted_without_repetition() {
        let urls = parse_list("http://b:1,http://a:1,http://b:1").unwrap();
        assert_eq!(urls.iter().map(Url::to_string).collect::<Vec<_>>(), ["http://a:1", "http://b:1"]);
    }

    #[test]
    fn listening_needs_an_address_and_advertising_a_host() {
        assert!(Url::parse("http://localhost:1").unwrap().check_listen().is_ok());
        assert!(Url::parse("http://[::]:1").unwrap().check_listen().is_ok());
        let name = Url::parse("http://foo.bar:2380").unwrap();
        assert_eq!(name.check_listen().unwrap_err(), "expected IP in URL for binding (http://foo.bar:2380)");
        assert!(name.check_advertise().is_ok());
        assert!(Url::parse("http://:2380").unwrap().check_advertise().is_err());
    }
}
