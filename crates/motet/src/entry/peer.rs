//! A contact as it is written: a host, with or without a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// `HOST`, `HOST:PORT`, `[IPV6]:PORT`, each with or without `udp/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Peer {
    host: String,
    port: Option<u16>,
}

impl Peer {
    /// `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("udp/").unwrap_or(text);
        let new = |host: String, port| Some(Self { host, port });
        if let Ok(addr) = text.parse::<SocketAddr>() {
            let port = Some(addr.port()).filter(|port| *port != 0)?;
            return new(addr.ip().to_string(), Some(port));
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return new(ip.to_string(), None);
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port != 0)?)),
            None => (text, None),
        };
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        let fits = !host.is_empty() && host.len() <= 253 && host.chars().all(fits);
        fits.then(|| Self { host: host.to_owned(), port })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its address, unless its host is a name.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Where to try it if its host has this address.
    pub(crate) fn at(&self, ip: IpAddr) -> Vec<SocketAddr> {
        match self.port {
            Some(port) => vec![SocketAddr::new(ip, port)],
            None => PORTS.map(|port| SocketAddr::new(ip, port)).collect(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// Ports that are tried where a peer is named without one.
const PORTS: std::ops::RangeInclusive<u16> = 37_321..=37_324;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_host_with_or_without_a_port() {
        let table = [
            ("10.0.0.7", Some(("10.0.0.7", None))),
            ("udp/10.0.0.8:37330", Some(("10.0.0.8", Some(37_330)))),
            ("press-4.local", Some(("press-4.local", None))),
            ("press-4:4000", Some(("press-4", Some(4_000)))),
            ("[fe80::1]:5", Some(("fe80::1", Some(5)))),
            ("fe80::1", Some(("fe80::1", None))),
            ("", None),
            ("host:0", None),
            ("host:port", None),
            ("tcp/10.0.0.1:1", None),
            ("two words", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(host, port)| Peer { host: host.to_owned(), port });
            assert_eq!(Peer::parse(text), expected, "{text}");
            // As it is shown it can be given again.
            let shown = expected.as_ref().map(ToString::to_string);
            assert_eq!(shown.and_then(|text| Peer::parse(&text)), expected, "{text}");
        }
    }

    #[test]
    fn without_a_port_four_are_tried() {
        let ports = |text| Peer::parse(text).unwrap().at([10, 0, 0, 7].into()).len();
        assert_eq!((ports("10.0.0.7"), ports("10.0.0.7:5")), (4, 1));
    }
}
