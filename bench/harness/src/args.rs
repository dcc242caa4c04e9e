//! `ROLE key=value…`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Publishes as fast as it may.
    Publish,
    /// Counts what it receives.
    Subscribe,
    /// Sends a message and waits for its echo, again and again.
    Ping,
    /// Echoes.
    Pong,
    /// Publishes a message every millisecond.
    Tick,
    /// Ends with the first message it receives.
    First,
    /// Is connected to a process of the same role and does nothing.
    Idle,
    /// Subscribes to many topics, to see what one costs.
    Hoard,
    /// Serves the other processes, as a media driver does.
    Serve,
    /// Sends requests and takes the replies.
    Call,
    /// Replies.
    Answer,
    /// Stands between those who call and those who answer.
    Broker,
}

/// The roles under the names of the command line.
const ROLES: [(&str, Role); 12] = [
    ("publish", Role::Publish),
    ("subscribe", Role::Subscribe),
    ("ping", Role::Ping),
    ("pong", Role::Pong),
    ("tick", Role::Tick),
    ("first", Role::First),
    ("idle", Role::Idle),
    ("hoard", Role::Hoard),
    ("serve", Role::Serve),
    ("call", Role::Call),
    ("answer", Role::Answer),
    ("broker", Role::Broker),
];

impl Role {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        ROLES.iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }
}

/// The arguments of a peer's process.
#[derive(Clone, Debug)]
pub struct Args {
    /// What it does.
    pub role: Role,
    values: BTreeMap<String, String>,
}

impl Args {
    /// Reads `ROLE key=value…`.
    ///
    /// # Errors
    /// A line that says which argument is not understood.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut args = args.into_iter();
        let name = args.next().ok_or("a role is missing")?;
        let found = ROLES.iter().find(|(known, _)| *known == name);
        let role = found.ok_or_else(|| format!("no role is called {name:?}"))?.1;
        let pair = |arg: String| {
            let (key, value) =
                arg.split_once('=').ok_or_else(|| format!("{arg:?} has no value"))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        Ok(Self { role, values: args.map(pair).collect::<Result<_, String>>()? })
    }

    /// A text; empty if it is not given.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    /// A number.
    ///
    /// # Errors
    /// It is given and is none.
    pub fn number(&self, key: &str, default: u64) -> Result<u64, String> {
        let number = self.values.get(key).map_or(Ok(default), |value| value.parse());
        number.map_err(|_| format!("{key}={:?} is no number", self.text(key)))
    }

    /// Bytes per message.
    ///
    /// # Errors
    /// As [`Args::number`].
    pub fn size(&self) -> Result<usize, String> {
        Ok(self.number("size", 64)? as usize)
    }

    /// Topics in use, 1 if nothing is said.
    ///
    /// # Errors
    /// As [`Args::number`].
    pub fn topics(&self) -> Result<usize, String> {
        Ok(self.number("topics", 1)?.max(1) as usize)
    }

    /// Subscribers of the case, 1 if nothing is said.
    ///
    /// # Errors
    /// As [`Args::number`].
    pub fn readers(&self) -> Result<usize, String> {
        Ok(self.number("readers", 1)?.max(1) as usize)
    }

    /// Servers of the case, 1 if nothing is said.
    ///
    /// # Errors
    /// As [`Args::number`].
    pub fn servers(&self) -> Result<usize, String> {
        Ok(self.number("servers", 1)?.max(1) as usize)
    }

    /// A broker stands before the servers.
    #[must_use]
    pub fn brokered(&self) -> bool {
        self.text("brokered") == "1"
    }

    /// The address where one side waits for the other.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.text("host");
        if host.is_empty() { "127.0.0.1" } else { host }
    }

    /// The port that goes with [`Args::host`].
    ///
    /// # Errors
    /// As [`Args::number`].
    pub fn port(&self) -> Result<u16, String> {
        Ok(self.number("port", 0)? as u16)
    }

    /// A directory of this measurement alone, removed afterwards.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.text("dir").into()
    }

    /// How long to spin before sleeping; zero if nothing is said.
    ///
    /// # Errors
    /// As [`Args::number`].
    pub fn spin(&self) -> Result<Duration, String> {
        Ok(Duration::from_micros(self.number("spin_us", 0)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_line_of_arguments_is_read() {
        let args = parse("publish size=1024 port=7000 dir=/tmp/x").unwrap();
        assert_eq!(args.role, Role::Publish);
        assert_eq!((args.size().unwrap(), args.port().unwrap()), (1024, 7000));
        assert_eq!((args.host(), args.topics().unwrap()), ("127.0.0.1", 1));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(parse("").unwrap_err().contains("missing"));
        assert!(parse("listen").unwrap_err().contains("listen"));
        assert!(parse("ping size").unwrap_err().contains("size"));
        assert!(parse("ping size=big").unwrap().size().unwrap_err().contains("big"));
    }

    #[test]
    fn every_role_has_one_name() {
        for (name, role) in ROLES {
            assert_eq!(role.name(), name);
        }
    }
}
