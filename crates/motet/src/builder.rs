//! Describing and opening an endpoint.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use motet_crypto::AwsLc;
use motet_net::{Bind, BindError, InterfacePattern, Timer, UnicastSocket};
use motet_proto::wire::record::roles;
use motet_proto::{Config, Congestion, HostEvent, Liveness, Node, Realm};

use crate::driver::{self, About, Clock, Core, Hold, Plan, Sockets, Tx};
use crate::endpoint::Endpoint;
use crate::entry::{self, Contacts, Guide, Memory};
use crate::error::OpenError;
use crate::impair::Impairment;
use crate::realm::Realms;
use crate::round_trip::{self, Job};
use crate::state::{self, KeyRing, StateDirectory};
use crate::tags;
use tokio::sync::mpsc;

/// How far an endpoint reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// This host only: nothing leaves or enters by a network card.
    Host,
    /// The local network, and whoever is named as a peer.
    #[default]
    Lan,
}

/// Describes an endpoint; [`Builder::open`] opens it. Everything has a default.
#[derive(Clone, Debug, Default)]
#[must_use = "an endpoint exists only once it is opened"]
pub struct Builder {
    realm: Option<String>,
    name: Option<String>,
    interfaces: Vec<String>,
    peers: Vec<String>,
    listen: Option<SocketAddr>,
    advertise: Vec<IpAddr>,
    multicast: Multicast,
    scope: Scope,
    key_file: Option<PathBuf>,
    state: Option<PathBuf>,
    insecure: bool,
    liveness: Option<Liveness>,
    impairment: Impairment,
    observer: bool,
    bootstrap: bool,
    tags: Vec<(String, String)>,
    forgetful: bool,
    sessions_max: Option<usize>,
    max_message: Option<u64>,
    congestion: Congestion,
    dedicated_thread: bool,
    spin: Duration,
}

/// Where beacons go.
#[derive(Clone, Copy, Debug, Default)]
enum Multicast {
    #[default]
    Standard,
    At(SocketAddr),
    Off,
}

impl Builder {
    /// The realm. Default `default`. Its secret is made at the first start on a host and shared by
    /// all endpoints of the user; other hosts [join](crate::Realms::join) it.
    pub fn realm(mut self, name: impl Into<String>) -> Self {
        self.realm = Some(name.into());
        self
    }

    /// The endpoint's name: 1–63 bytes, need not be unique. Default: the program's name and the
    /// process id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Interfaces to use: globs separated by commas, `!` in front excludes, as `eth*, !docker*`.
    /// Repeated calls add up. Default all. Loopback is always used.
    pub fn interface(mut self, globs: impl Into<String>) -> Self {
        self.interfaces.push(globs.into());
        self
    }

    /// A contact to try for ever: `HOST`, `HOST:PORT` or `udp/HOST:PORT`; `HOST` is a name or an IP
    /// address. Without a port 37321 to 37324 are tried together. Repeated calls add up. One that
    /// can be reached is enough: the others are learnt from it.
    ///
    /// A name is looked up again and again, and all its addresses are tried; while it has none,
    /// [`Event::ContactFailed`](crate::Event::ContactFailed) says so. `@FILE` is a file with one
    /// contact a line (`#` begins a comment), read again when it changes.
    pub fn peer(mut self, peer: impl Into<String>) -> Self {
        self.peers.push(peer.into());
        self
    }

    /// The address to listen on; port 0 is any. Default: all addresses, the first free port of
    /// 37321 to 37384, else any.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = Some(addr);
        self
    }

    /// An address to tell others instead of those of the interfaces, as behind a port forwarding.
    /// Repeated calls add up.
    pub fn advertise(mut self, ip: IpAddr) -> Self {
        self.advertise.push(ip);
        self
    }

    /// The multicast group and port of discovery. Default 239.192.137.1:37320 and
    /// \[ff12::6d6f:7465:ffff\]:37320. An IPv4 group here means no IPv6 group, and the reverse.
    pub fn multicast(mut self, group: SocketAddr) -> Self {
        self.multicast = Multicast::At(group);
        self
    }

    /// No multicast: endpoints of this host and named peers are found.
    pub fn multicast_off(mut self) -> Self {
        self.multicast = Multicast::Off;
        self
    }

    /// How far it reaches. Default [`Scope::Lan`].
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// A file that keeps the endpoint's key, and so its id, from start to start. Made (0600) if it
    /// is missing, locked while in use. Default: a fresh key per start.
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_file = Some(path.into());
        self
    }

    /// The directory of the realms' secrets. Default `$MOTET_STATE`, else `$XDG_STATE_HOME/motet`,
    /// else `$HOME/.local/state/motet`.
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// An open realm: encrypted, but anybody on the network is a member. Needs no state directory.
    /// Combine it with [`Scope::Host`] unless the network is trusted.
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// When silent peers are given up. Default [`Liveness::NORMAL`]: dead after about 5 s.
    pub fn liveness(mut self, liveness: Liveness) -> Self {
        self.liveness = Some(liveness);
        self
    }

    /// Faults between socket and core, for demonstrations and tests. Default none.
    pub fn impair(mut self, impairment: Impairment) -> Self {
        self.impairment = impairment;
        self
    }

    /// The endpoint only looks on: it is not counted as a member nor told of to others. For tools.
    pub fn role_observer(mut self) -> Self {
        self.observer = true;
        self
    }

    /// The endpoint is there to be a contact for others: they remember it before all others, and it
    /// holds 1,024 sessions unless told otherwise. It is an ordinary endpoint in all else.
    pub fn role_bootstrap(mut self) -> Self {
        self.bootstrap = true;
        self
    }

    /// A tag, by which tools choose among endpoints: a key of 1 to 32 letters, digits, dots, dashes
    /// and underscores, a value of at most 64 bytes. Repeated calls add up; 16 and 512 bytes at most.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// Whether the addresses of live peers are written to the state directory now and then, and
    /// tried at the next start. Default true; never in an open realm.
    pub fn remember_peers(mut self, on: bool) -> Self {
        self.forgetful = !on;
        self
    }

    /// Sessions held at once; beyond 128 members they are made on demand. Default 1,024, at most
    /// 16,384; about 8 KB each.
    pub fn sessions_max(mut self, sessions: usize) -> Self {
        self.sessions_max = Some(sessions);
        self
    }

    /// Largest message in bytes, sent and received. Default 64 MiB, at most 1 GiB.
    pub fn max_message(mut self, bytes: u64) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// Who decides how much is in flight to each peer. Default [`Congestion::Cubic`];
    /// [`Congestion::Model`] where packets are lost by chance on the way: radio, long distances. It
    /// is about what this endpoint sends; its peers may choose otherwise.
    pub fn congestion(mut self, congestion: Congestion) -> Self {
        self.congestion = congestion;
        self
    }

    /// Runs the endpoint on a thread of its own, called `motet`, instead of on the runtime that
    /// opens it: for programs that block their runtime. A reader is then woken by a thread hop.
    pub fn dedicated_thread(mut self, on: bool) -> Self {
        self.dedicated_thread = on;
        self
    }

    /// How long the endpoint goes on looking at its sockets after it last sent or received, before
    /// it sleeps until the kernel wakes it. Default zero: it sleeps at once, and waiting costs
    /// nothing.
    ///
    /// A round trip then takes a fraction of the time, at the price of one busy core for as long
    /// as messages keep coming within this time of each other. Others of the same runtime have
    /// their turn in between. Read on the runtime that opens the endpoint, and on a current-thread
    /// one for the shortest way.
    pub fn spin(mut self, time: Duration) -> Self {
        self.spin = time;
        self
    }

    /// Opens the endpoint. It runs on the tokio runtime of the caller, which must have I/O and time
    /// enabled, and ends with it.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do.
    ///
    /// # Cancel safety
    /// Cancel safe: abandoned, nothing stays open; a realm's secret or key file may have been made.
    pub async fn open(self) -> Result<Endpoint, OpenError> {
        tokio::runtime::Handle::try_current().map_err(|_| OpenError::NoRuntime)?;
        let contacts = Contacts::parse(&self.peers)?;
        // Files are small and local; the lock and the link are what takes time.
        let (dedicated, spin) = (self.dedicated_thread, self.spin);
        let (jobs, asked) = mpsc::channel(round_trip::JOBS_MAX);
        let (core, ring) = self.assemble(jobs)?;
        let core = Arc::new(core);
        let mut guide = Guide::new(contacts, core.about.memory.clone());
        guide.begin(&core);
        // From here on the driver is told to end when opening is abandoned.
        let hold = Arc::new(Hold { core: Arc::clone(&core) });
        driver::start(Arc::clone(&core), ring.lock, dedicated, spin).await?;
        tokio::spawn(round_trip::serve(Arc::downgrade(&core), asked));
        if !guide.is_idle() {
            let guide = tokio::spawn(guide.run(Arc::downgrade(&core)));
            core.end_with(guide.abort_handle());
        }
        Ok(Endpoint { hold })
    }

    fn assemble(self, jobs: mpsc::Sender<Job>) -> Result<(Core, KeyRing), OpenError> {
        let plan = self.plan()?;
        let tags = tags::checked(self.tags.clone())?;
        let realm_name = self.realm.clone().unwrap_or_else(|| DEFAULT_REALM.to_owned());
        let (mut memory, mut remembered) = (None, Ok(Vec::new()));
        let (secret, realm_file) = if self.insecure {
            (None, None)
        } else {
            let directory = StateDirectory::open(self.state.as_deref())?;
            if !self.forgetful {
                let path = directory.peers().join(format!("{realm_name}.peers"));
                let here = Memory::new(path, self.scope == Scope::Host);
                memory = Some(Arc::new(here));
            }
            let realms = Realms::in_directory(directory);
            let (secret, _) = realms.secret_or_make(&realm_name)?;
            if let Some(memory) = &memory {
                remembered = memory.load(); // after the realm's name was found to be one
            }
            (Some(*secret.as_bytes()), Some(realms.path(&realm_name)))
        };
        let ring = match &self.key_file {
            Some(path) => KeyRing::of_file(path)?,
            None => KeyRing::fresh(),
        };
        let unicast = self.bind()?;
        let listen = unicast.local_addr();
        let realm = Realm { name: realm_name.clone(), secret };
        let name = self.name.clone().unwrap_or_else(default_name);
        let mut config = Config::lan(realm, &name);
        config.name_given = self.name.is_some();
        config.host_id = state::host_id();
        config.port = listen.port();
        config.tags = tags.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        config.remembered = remembered.as_ref().cloned().unwrap_or_default();
        config.advertise = self.advertise;
        config.group_v4 = plan.group_v4;
        config.group_v6 = plan.group_v6;
        // Where discovery has a port of its own, lanes are there too.
        let port = plan.group_v4.or(plan.group_v6).map_or(0, |group| group.port());
        if port != 0 {
            config.lane_port = port;
        }
        if !plan.multicast() {
            config.lanes_max = 0;
        }
        if self.observer {
            config.roles |= roles::OBSERVER;
        }
        if self.bootstrap {
            config.roles |= roles::SEED;
            config.sessions_max = SESSIONS_OF_CONTACT;
        }
        if let Some(sessions) = self.sessions_max {
            config.sessions_max = sessions;
        }
        if let Some(liveness) = self.liveness {
            config.liveness = liveness;
        }
        config.congestion = self.congestion;
        if let Some(max) = self.max_message {
            config.max_message = max;
        }
        let (roles, liveness) = (config.roles, config.liveness);
        let clock = Clock::start();
        let now = clock.now();
        let crypto = AwsLc::new(ring.identity.clone());
        let (seed, wall) = (state::random_seed(), motet_net::wall_ms());
        let mut node = Node::new(config, crypto, seed, ring.incarnation, wall, now)?;
        let sockets = Sockets::new(unicast, plan);
        let (interfaces, _) = sockets.refresh().map_err(OpenError::Interfaces)?;
        node.handle_host(now, HostEvent::Interfaces(interfaces));
        let timer = Timer::new().map_err(OpenError::Socket)?;
        let secured = !self.insecure;
        let realm = realm_name;
        let path = memory.as_ref().map(|memory| memory.path().display().to_string());
        let runtime = tokio::runtime::Handle::current();
        let about = About {
            realm,
            secured,
            roles,
            listen,
            realm_file,
            tags,
            liveness,
            memory,
            runtime,
            jobs,
        };
        let tx = Tx::new(self.impairment);
        let core = Core::new(node, sockets, tx, clock, timer, about, self.impairment);
        if let (Some(path), Err(reason)) = (path, remembered) {
            core.notice(entry::failed(&format!("the peers remembered in {path}"), &reason));
        }
        Ok((core, ring))
    }

    fn plan(&self) -> Result<Plan, OpenError> {
        let list = self.interfaces.join(",");
        let pattern = InterfacePattern::parse(&list).map_err(|error| {
            OpenError::InterfacePattern { list: list.clone(), reason: error.to_string() }
        })?;
        let (group_v4, group_v6) = match self.multicast {
            Multicast::Standard => {
                (Some(motet_proto::config::GROUP_V4), Some(motet_proto::config::GROUP_V6))
            }
            Multicast::Off => (None, None),
            Multicast::At(group) if !group.ip().is_multicast() => {
                return Err(OpenError::NotMulticast(group));
            }
            Multicast::At(group) if group.is_ipv4() => (Some(group), None),
            Multicast::At(group) => (None, Some(group)),
        };
        Ok(Plan { pattern, host_only: self.scope == Scope::Host, group_v4, group_v6 })
    }

    fn bind(&self) -> Result<UnicastSocket, OpenError> {
        let sort = |error| match error {
            BindError::InUse { port } => OpenError::PortInUse { port },
            BindError::Io(error) => OpenError::Socket(error),
            other => OpenError::Socket(std::io::Error::other(other.to_string())),
        };
        match (self.listen, self.scope) {
            (Some(addr), _) => UnicastSocket::bind(Bind::Addr(addr)).map_err(sort),
            (None, Scope::Lan) => UnicastSocket::bind(Bind::FirstFree).map_err(sort),
            (None, Scope::Host) => {
                let at = |port| UnicastSocket::bind(Bind::Addr(([127, 0, 0, 1], port).into()));
                for port in UnicastSocket::PORTS {
                    match at(port) {
                        Err(BindError::InUse { .. }) => {}
                        other => return other.map_err(sort),
                    }
                }
                at(0).map_err(sort)
            }
        }
    }
}

fn default_name() -> String {
    let program = std::env::args_os().next().map(PathBuf::from);
    let stem = program.as_deref().and_then(|path| path.file_stem()).and_then(|stem| stem.to_str());
    let stem: String =
        stem.unwrap_or("motet").chars().filter(|c| !c.is_control()).take(12).collect();
    format!("{}-{}", if stem.is_empty() { "motet" } else { &stem }, std::process::id())
}

/// Sessions of an endpoint that is there to be a contact: about 8 MB.
const SESSIONS_OF_CONTACT: usize = 1_024;
/// The realm of those who name none.
const DEFAULT_REALM: &str = "default";
