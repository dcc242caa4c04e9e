//! Messages of services: as bytes, and as what a hostile member sends to a layer that serves and
//! calls.

use bytes::Bytes;
use motet_proto::services::{CallSpec, Offer, ReplySpec, ServeSettings, Services, offer_topic};
use motet_proto::{EndpointId, EndpointKey, Time};
use motet_wire::service::{ToCaller, ToServer};

/// The first byte says to whom each message goes; messages are cut by their first two bytes.
pub fn services(data: &[u8]) {
    codec(data);
    let key = |n| EndpointKey { id: EndpointId([n; 16]), incarnation: n.into() };
    let (own, enemy) = (key(1), key(2));
    let mut layer = Services::new(Time::ZERO, own, [1; 32]);
    let settings = ServeSettings { queue: 4, cache_bytes: 4_096, ..ServeSettings::default() };
    let Ok(serving) = layer.serve(Time::ZERO, "s", settings) else { return };
    let Ok(service) = layer.seek(Time::ZERO, "s") else { return };
    layer.on_settled();
    let (mut offer, mut out) = (Vec::new(), Vec::new());
    Offer { concurrency: 1, credit: 4, ..Offer::default() }.encode(&mut offer);
    let topic = offer_topic("s", enemy.id);
    layer.on_offer(Time::ZERO, &topic, enemy, &"x".into(), &offer);
    let (mut rest, mut now) = (data, Time::ZERO);
    let mut open = Vec::new();
    while let Some(([what, len], more)) = rest.split_first_chunk::<2>().map(|(h, t)| (*h, t)) {
        let (message, more) = more.split_at(usize::from(len).min(more.len()));
        rest = more;
        let bytes = Bytes::copy_from_slice(message);
        now = Time(now.0 + u64::from(what >> 3) * 50_000_000);
        match what & 7 {
            0 | 1 => layer.on_to_server(now, enemy, &"x".into(), &bytes),
            2 | 3 => layer.on_to_caller(now, enemy, &bytes),
            4 => layer.on_offer(now, &topic, enemy, &"x".into(), &bytes),
            5 => drop(layer.call(now, service.clone(), CallSpec::default(), 1 << 20)),
            6 => open.extend(layer.next_request(now, serving).map(|request| request.id)),
            _ => {
                if let Some(id) = open.pop() {
                    let _ = layer.respond(now, id, ReplySpec::default(), 1 << 20);
                }
            }
        }
        if layer.deadline() <= now {
            layer.on_time(now);
        }
        layer.work(now);
        while let Some((lane, to)) = layer.next_dirty() {
            while layer.next_message(lane, to, 0, &mut out) {
                layer.sent(now, lane, to);
            }
        }
        if let Err(broken) = layer.check() {
            panic!("{broken}");
        }
    }
    layer.on_peer_gone(now, enemy, false);
    layer.work(now);
    assert_eq!(layer.check(), Ok(()));
}

/// What is accepted reads the same once written.
fn codec(data: &[u8]) {
    let mut out = Vec::new();
    if let Ok(offer) = Offer::decode(data) {
        offer.encode(&mut out);
        assert_eq!(Offer::decode(&out), Ok(offer));
    }
    out.clear();
    if let Ok(message) = ToServer::decode(data) {
        match &message {
            ToServer::Request(request) => request.encode(&mut out),
            ToServer::Cancel(cancel) => cancel.encode(&mut out),
            ToServer::Ping(ping) => ping.encode(&mut out),
            ToServer::Inquiry(inquiry) => inquiry.encode(&mut out),
        }
        assert_eq!(ToServer::decode(&out), Ok(message));
    }
    out.clear();
    if let Ok(message) = ToCaller::decode(data) {
        match &message {
            ToCaller::Reply(reply) => reply.encode(&mut out),
            ToCaller::Pong(pong) => pong.encode(&mut out),
            ToCaller::Finding(finding) => finding.encode(&mut out),
        }
        assert_eq!(ToCaller::decode(&out), Ok(message));
    }
}
