//! What a verb works with: the flags, the output, and the endpoint, opened when it is needed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use motet::{Builder, Endpoint, Event, Impairment, Liveness};
use tokio::sync::watch;

use crate::args::{Global, Log, Scope};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::quantity;

/// What a verb works with.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) out: Output,
    opened: Mutex<Option<Endpoint>>,
    held: watch::Sender<Option<String>>,
}

impl Context {
    pub(crate) fn new(global: Global) -> Result<Self, Failure> {
        let out = Output::new(&global)?;
        Ok(Self { global, out, opened: Mutex::new(None), held: watch::Sender::new(None) })
    }

    /// An endpoint that takes part.
    pub(crate) async fn join(&self) -> Result<Endpoint, Failure> {
        self.open(self.builder()?).await
    }

    /// An endpoint that only looks on, and is not counted as a member.
    pub(crate) async fn observe(&self) -> Result<Endpoint, Failure> {
        self.open(self.builder()?.role_observer().sessions_max(SESSIONS_OF_OBSERVER)).await
    }

    /// Opens what [`Context::builder`] describes, watches over its name, logs its events.
    pub(crate) async fn open(&self, builder: Builder) -> Result<Endpoint, Failure> {
        let endpoint = builder.open().await?;
        let mut events = endpoint.events();
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint.clone());
        let snapshot = endpoint.snapshot();
        self.check_interfaces(&snapshot.endpoint.interfaces)?;
        let (held, log) = (self.held.clone(), self.global.log);
        let name = self.global.name.clone();
        let hold = move |name: &str, other: &str| {
            held.send_replace(Some(format!(
                "the name {name:?} is held by endpoint {other}, which still answers; \
                 choose another --name, or end that one"
            )));
        };
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let (Event::NameConflict { newcomer: true, other, .. }, Some(name)) =
                    (&event, &name)
                {
                    hold(name, &other.id.to_string());
                }
                tell(&event, log);
            }
        });
        Ok(endpoint)
    }

    /// The endpoint as the global flags describe it.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let global = &self.global;
        let mut builder = Endpoint::builder().realm(&global.realm).scope(match global.scope {
            Scope::Host => motet::Scope::Host,
            Scope::Lan => motet::Scope::Lan,
        });
        if let Some(name) = &global.name {
            builder = builder.name(name);
        }
        for globs in &global.interface {
            builder = builder.interface(globs);
        }
        for peer in &global.peer {
            builder = builder.peer(peer);
        }
        for (key, value) in &global.tag {
            builder = builder.tag(key, value);
        }
        if let Some(listen) = &global.listen {
            builder = builder.listen(listen_addr(listen, global.scope)?);
        }
        for ip in &global.advertise {
            builder = builder.advertise(*ip);
        }
        builder = match global.multicast.as_deref() {
            None => builder,
            Some("off") => builder.multicast_off(),
            Some(group) => builder.multicast(group.parse().map_err(|_| {
                Failure::usage(format!(
                    "--multicast {group:?} is no address; give ADDR:PORT as 239.192.137.1:37320, or off"
                ))
            })?),
        };
        if let Some(key) = &global.key {
            builder = builder.key_file(key);
        }
        if global.insecure {
            builder = builder.insecure();
        }
        if let Some(faults) = &global.impair {
            let impairment = Impairment::parse(faults)
                .map_err(|error| Failure::usage(format!("--impair: {error}")))?;
            builder = builder.impair(impairment);
        }
        let spin = Duration::from_micros(global.spin.into());
        Ok(builder.spin(spin).liveness(liveness(&global.liveness)?))
    }

    /// Waits until the name given by `--name` turns out to be held by another endpoint.
    pub(crate) async fn name_held(&self) -> Failure {
        let mut held = self.held.subscribe();
        let what = match held.wait_for(Option::is_some).await {
            Ok(what) => what.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        };
        Failure::new(Exit::Refused, "M0305", what)
    }

    /// Says goodbye. What is not acknowledged is waited for only after success: a verb that failed
    /// or was interrupted has no more to say.
    pub(crate) async fn close(&self, done: bool) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(endpoint) = opened {
            let limit = if done { self.global.timeout } else { FLUSH };
            let left = endpoint.close(limit).await;
            if !left.is_empty() {
                self.out.remark(format!("{} messages were not acknowledged", left.messages()));
            }
        }
    }

    /// An interface that is named and not there is a typo.
    fn check_interfaces(&self, used: &[String]) -> Result<(), Failure> {
        for name in self.global.interface.iter().map(|name| name.trim()) {
            let plain = !name.is_empty() && !name.contains(['*', '?', '!', '[', ',', ' ']);
            let exists = || std::path::Path::new("/sys/class/net").join(name).exists();
            if plain && !used.iter().any(|known| known == name) && !exists() {
                let known = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
                let mut known: Vec<String> =
                    known.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                known.sort();
                let what = format!(
                    "there is no interface {name:?}; this host has {}; name one of them",
                    known.join(", ")
                );
                return Err(Failure::new(Exit::Usage, "M0104", what));
            }
        }
        Ok(())
    }
}

/// `fast`, `normal`, `lazy`, or a rate and a multiplier.
fn liveness(text: &str) -> Result<Liveness, Failure> {
    let own = || {
        let (rate, multiplier) = text.split_once('x')?;
        Some(Liveness {
            rate: quantity::duration(rate).ok()?,
            multiplier: multiplier.parse().ok()?,
        })
    };
    match text {
        "fast" => Ok(Liveness::FAST),
        "normal" => Ok(Liveness::NORMAL),
        "lazy" => Ok(Liveness::LAZY),
        _ => own().ok_or_else(|| {
            Failure::usage(format!(
                "--liveness {text:?} is no profile; give fast, normal, lazy, or RATExN as 500msx3"
            ))
        }),
    }
}

/// `PORT`, `ADDR` or `ADDR:PORT`, with or without `udp/`.
fn listen_addr(text: &str, scope: Scope) -> Result<SocketAddr, Failure> {
    let bare = text.strip_prefix("udp/").unwrap_or(text);
    let all = match scope {
        Scope::Host => Ipv4Addr::LOCALHOST,
        Scope::Lan => Ipv4Addr::UNSPECIFIED,
    };
    let port =
        bare.trim_start_matches(':').parse::<u16>().map(|port| (IpAddr::V4(all), port).into());
    port.or_else(|_| bare.parse::<SocketAddr>())
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
        .map_err(|_| {
            Failure::usage(format!("--listen {text:?} is no address; give PORT, ADDR or ADDR:PORT"))
        })
}

/// Tells an event on stderr, if it is worth it.
fn tell(event: &Event, log: Log) {
    let line = match event {
        Event::NameConflict { name, other, newcomer: false } => {
            format!("warning: endpoint {} uses the name {name:?} too", other.id)
        }
        Event::DuplicateIdentity { key } => format!(
            "warning: the key of {} is in use twice; give each endpoint its own --key",
            key.id
        ),
        Event::TypeMismatch { topic, ours, theirs, peer } => format!(
            "warning: {topic}: its type here is {ours:?}, at endpoint {} it is {theirs:?}; \
             no data passes between the two",
            peer.id
        ),
        Event::ReaderLagging { topic, reader, missed } => format!(
            "warning: {topic}: reader {} is too slow and misses {missed} messages",
            reader.id
        ),
        Event::Refused { topic, reader, limit } => {
            format!("warning: {topic}: reader {} takes messages of up to {limit} bytes", reader.id)
        }
        Event::Offender { key, what } => {
            format!("warning: endpoint {} breaks a limit: {what}; see: motet endpoint info", key.id)
        }
        Event::ContactFailed { contact, reason } => format!("warning: {contact}: {reason}"),
        Event::PeerUp { key, name } => format!("info: {name} ({}) is here", key.id),
        Event::PeerDown { name, reason, silent, .. } => {
            format!("info: {name} is gone: {reason:?}, silent for {:.1} s", silent.as_secs_f64())
        }
        other => format!("debug: {other:?}"),
    };
    let level = match line.split(':').next() {
        Some("warning") => Log::Warn,
        Some("info") => Log::Info,
        _ => Log::Debug,
    };
    if level <= log && log != Log::Off {
        // Nobody reads stderr: no reason to end.
        let _ = io::Write::write_fmt(&mut io::stderr().lock(), format_args!("{line}\n"));
    }
}

/// Who looks on wants to see everybody; it does not stay for long.
const SESSIONS_OF_OBSERVER: usize = 1_024;
/// How long an endpoint that was interrupted waits for acknowledgements.
const FLUSH: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_listen_is_a_port_an_address_or_both() {
        let read = |text| listen_addr(text, Scope::Lan).map(|addr| addr.to_string()).ok();
        assert_eq!(read("4000").as_deref(), Some("0.0.0.0:4000"));
        assert_eq!(read("udp/10.0.0.1:4000").as_deref(), Some("10.0.0.1:4000"));
        assert_eq!(read("10.0.0.1").as_deref(), Some("10.0.0.1:0"));
        assert_eq!(read("door"), None);
    }

    #[test]
    fn a_liveness_profile_is_a_name_or_a_rate_and_a_multiplier() {
        assert_eq!(liveness("fast").ok(), Some(Liveness::FAST));
        let own = liveness("500msx3").ok().map(|own| own.dead_after());
        assert_eq!(own, Some(Duration::from_millis(1_500)));
        assert!(liveness("soon").is_err());
    }
}
