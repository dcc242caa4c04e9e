//! quinn-proto over the cell's path: its state machines without sockets, on virtual time.

use crate::cell::{Cell, Controller, Run};
use bytes::BytesMut;
use motet_proto::Time;
use motet_proto::rng::Rng;
use motet_sim::links::Link;
use quinn_proto::congestion::{BbrConfig, CubicConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, MtuDiscoveryConfig, ServerConfig, StreamEvent, StreamId, TransportConfig, VarInt,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Datagrams of one transmit.
const SEGMENTS: usize = 10;
/// A datagram on its way: when it arrives, its number, to which side, from which address, its bytes.
type Flying = Reverse<(Time, u64, usize, SocketAddr, Vec<u8>)>;

struct Side {
    endpoint: Endpoint,
    addr: SocketAddr,
    connections: BTreeMap<usize, (ConnectionHandle, Connection)>,
    server: Option<Arc<ServerConfig>>,
}

struct Net {
    base: Instant,
    now: Time,
    links: [Link; 2],
    rng: Rng,
    flying: BinaryHeap<Flying>,
    count: (u64, u64),
}

impl Net {
    fn at(&self) -> Instant {
        self.base + Duration::from_nanos(self.now.0)
    }

    fn send(&mut self, from: usize, src: SocketAddr, bytes: &[u8], segment: usize) {
        for datagram in bytes.chunks(segment.max(1)) {
            self.count.0 += 1;
            let copies = self.links[from].pass(self.now, datagram.len(), &mut self.rng);
            self.count.1 += u64::from(copies.is_empty());
            for (at, _) in copies {
                let tie = self.count.0;
                self.flying.push(Reverse((at, tie, 1 - from, src, datagram.to_vec())));
            }
        }
    }
}

/// Sends a stream of bytes as fast as it is taken, for `time`, over each of `flows` connections.
pub fn run(cell: &Cell, with: Controller, flows: usize, time: Duration, seed: u64) -> Run {
    let (client, server) = configs(cell, with);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let lossless = cell.link().losing(0.0);
    #[expect(clippy::disallowed_methods, reason = "quinn-proto's time has no other origin")]
    let base = Instant::now();
    let mut net = Net {
        base,
        now: Time::ZERO,
        links: [Link::new(lossless.clone()), Link::new(lossless)],
        rng: Rng::new(bytes),
        flying: BinaryHeap::new(),
        count: (0, 0),
    };
    let side = |n: u8, server: Option<Arc<ServerConfig>>| Side {
        endpoint: Endpoint::new(
            Arc::new(EndpointConfig::default()),
            server.clone(),
            true,
            Some([n; 32]),
        ),
        addr: SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 4_433)),
        connections: BTreeMap::new(),
        server,
    };
    let mut sides = [side(1, None), side(2, Some(Arc::new(server)))];
    let to = sides[1].addr;
    for _ in 0..flows {
        let made = sides[0].endpoint.connect(net.at(), client.clone(), to, "localhost");
        let (handle, connection) = made.expect("the client's configuration is good");
        sides[0].connections.insert(handle.0, (handle, connection));
    }
    let up = |sides: &[Side; 2]| {
        let each = |side: &Side| {
            side.connections.len() == flows
                && side.connections.values().all(|(_, c)| !c.is_handshaking())
        };
        sides.iter().all(each)
    };
    let mut app = App::default();
    drive(&mut net, &mut sides, &mut app, Time(60_000_000_000), up);
    assert!(up(&sides), "the handshakes end");
    net.links.iter_mut().for_each(|link| link.model = cell.link());
    net.count = (0, 0);
    app.open = true;
    let start = net.now;
    drive(&mut net, &mut sides, &mut app, start + time, |_| false);
    let mut delivered: Vec<u64> = app.got.values().copied().collect();
    delivered.resize(flows, 0);
    Run { delivered, seconds: net.now.since(start).as_secs_f64(), datagrams: net.count }
}

fn configs(cell: &Cell, with: Controller) -> (ClientConfig, ServerConfig) {
    let certified =
        rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a good name");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let mut server = ServerConfig::with_single_cert(vec![certified.cert.der().clone()], key.into())
        .expect("a good key");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).expect("a good certificate");
    let mut client = ClientConfig::with_root_certificates(Arc::new(roots)).expect("good roots");
    let mut transport = TransportConfig::default();
    let window = VarInt::from_u64(cell.window()).expect("a window of that size");
    let mut mtud = MtuDiscoveryConfig::default();
    mtud.upper_bound(1_472);
    transport
        .stream_receive_window(window)
        .receive_window(window)
        .send_window(cell.window())
        .send_fairness(false)
        .max_concurrent_uni_streams(65_536_u32.into())
        .mtu_discovery_config(Some(mtud))
        .max_idle_timeout(None);
    match with {
        Controller::Cubic => {
            transport.congestion_controller_factory(Arc::new(CubicConfig::default()))
        }
        Controller::Model => {
            transport.congestion_controller_factory(Arc::new(BbrConfig::default()))
        }
    };
    let transport = Arc::new(transport);
    client.transport_config(transport.clone());
    server.transport_config(transport);
    (client, server)
}

#[derive(Default)]
struct App {
    /// Clients write.
    open: bool,
    /// By connection: the stream being written, and how much of it was.
    outs: BTreeMap<usize, (StreamId, usize)>,
    got: BTreeMap<usize, u64>,
}

/// Bytes of one stream; then the next one begins. quinn-proto holds 1,024 pieces of a stream that
/// are out of order and gives up the connection on more, so a single stream does not outlive the
/// end of slow start on a long path.
const STREAM: usize = 256 << 10;
static ZEROS: [u8; STREAM] = [0; STREAM];

impl App {
    fn act(&mut self, side: usize, handle: usize, connection: &mut Connection) {
        while let Some(event) = connection.poll() {
            match event {
                Event::ConnectionLost { reason } => panic!("the connection is lost: {reason}"),
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                    while let Some(id) = connection.streams().accept(Dir::Uni) {
                        self.read(handle, connection, id);
                    }
                }
                Event::Stream(StreamEvent::Readable { id }) => self.read(handle, connection, id),
                _ => {}
            }
        }
        if side == 0 && self.open {
            self.write(handle, connection);
        }
    }

    fn write(&mut self, handle: usize, connection: &mut Connection) {
        loop {
            let Some((id, written)) = self.outs.get_mut(&handle) else {
                let Some(id) = connection.streams().open(Dir::Uni) else { return };
                self.outs.insert(handle, (id, 0));
                continue;
            };
            let mut stream = connection.send_stream(*id);
            let Ok(more) = stream.write(&ZEROS[*written..]) else { return };
            *written += more;
            if *written == STREAM {
                let _ = stream.finish();
                self.outs.remove(&handle);
            }
        }
    }

    fn read(&mut self, handle: usize, connection: &mut Connection, id: StreamId) {
        let got = self.got.entry(handle).or_default();
        let mut stream = connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            *got += chunk.bytes.len() as u64;
        }
        let _ = chunks.finalize();
    }
}

/// Lets things happen until `until` or until `done`.
fn drive(
    net: &mut Net,
    sides: &mut [Side; 2],
    app: &mut App,
    until: Time,
    done: impl Fn(&[Side; 2]) -> bool,
) {
    for side in 0..2 {
        let all: Vec<usize> = sides[side].connections.keys().copied().collect();
        all.into_iter().for_each(|at| settle(net, sides, app, side, at));
    }
    while !done(sides) {
        let timer = sides.iter_mut().enumerate().flat_map(|(side, it)| {
            it.connections
                .iter_mut()
                .filter_map(move |(at, (_, c))| Some((c.poll_timeout()?, side, *at)))
        });
        let timer = timer.min().map(|(at, side, connection)| {
            let at = Time(
                u64::try_from(at.saturating_duration_since(net.base).as_nanos())
                    .unwrap_or(u64::MAX),
            );
            (at, side, connection)
        });
        let arrival = net.flying.peek().map_or(Time::NEVER, |Reverse(first)| first.0);
        let next = arrival.min(timer.map_or(Time::NEVER, |timer| timer.0));
        if next > until {
            net.now = until;
            return;
        }
        net.now = net.now.max(next);
        if let Some((_, side, at)) = timer.filter(|timer| timer.0 < arrival) {
            let now = net.at();
            if let Some((_, connection)) = sides[side].connections.get_mut(&at) {
                connection.handle_timeout(now);
            }
            settle(net, sides, app, side, at);
        } else if let Some(Reverse((_, _, side, src, bytes))) = net.flying.pop() {
            if let Some(at) = arrive(net, sides, side, src, &bytes) {
                settle(net, sides, app, side, at);
            }
        }
    }
}

fn arrive(
    net: &mut Net,
    sides: &mut [Side; 2],
    side: usize,
    src: SocketAddr,
    bytes: &[u8],
) -> Option<usize> {
    let now = net.at();
    let place = &mut sides[side];
    let mut buf = Vec::new();
    match place.endpoint.handle(now, src, None, None, BytesMut::from(bytes), &mut buf)? {
        DatagramEvent::ConnectionEvent(handle, event) => {
            place.connections.get_mut(&handle.0)?.1.handle_event(event);
            Some(handle.0)
        }
        DatagramEvent::NewConnection(incoming) => {
            let accepted = place.endpoint.accept(incoming, now, &mut buf, place.server.clone());
            let (handle, connection) = accepted.ok()?;
            place.connections.insert(handle.0, (handle, connection));
            Some(handle.0)
        }
        DatagramEvent::Response(transmit) => {
            let addr = place.addr;
            net.send(
                side,
                addr,
                &buf[..transmit.size],
                transmit.segment_size.unwrap_or(transmit.size),
            );
            None
        }
    }
}

/// Lets the application act, sends what is to be sent, and hands events around.
fn settle(net: &mut Net, sides: &mut [Side; 2], app: &mut App, side: usize, at: usize) {
    let now = net.at();
    let Side { endpoint, addr, connections, .. } = &mut sides[side];
    let Some((handle, connection)) = connections.get_mut(&at) else { return };
    app.act(side, at, connection);
    let mut buf = Vec::new();
    while let Some(transmit) = connection.poll_transmit(now, SEGMENTS, &mut buf) {
        net.send(
            side,
            *addr,
            &buf[..transmit.size],
            transmit.segment_size.unwrap_or(transmit.size),
        );
        buf.clear();
    }
    while let Some(event) = connection.poll_endpoint_events() {
        if let Some(event) = endpoint.handle_event(*handle, event) {
            connection.handle_event(event);
        }
    }
}
