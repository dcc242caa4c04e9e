//! Tests of the layer, without topics: two endpoints hand each other their messages.

mod books;
mod silence;

use super::*;
use crate::ids::EndpointId;
use alloc::string::ToString;
use alloc::vec;
use core::time::Duration;

fn key(n: u8, incarnation: u64) -> EndpointKey {
    EndpointKey { id: EndpointId([n; 16]), incarnation }
}

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

/// An endpoint that calls, one that serves, and what goes between them.
struct Two {
    caller: Services,
    server: Services,
    serving: ServeId,
}

impl Two {
    fn new(settings: ServeSettings) -> Self {
        let mut server = Services::new(at(0), key(2, 20), [2; 32]);
        let serving = server.serve(at(0), "s", settings).expect("it may be offered");
        let mut two = Self { caller: Services::new(at(0), key(1, 10), [1; 32]), server, serving };
        two.caller.seek(at(0), "s").expect("the name is good");
        two.caller.on_settled();
        two.carry(at(0));
        two
    }

    /// Hands over all messages that wait.
    fn carry(&mut self, now: Time) {
        let name: Arc<str> = "x".into();
        loop {
            let mut moved = false;
            self.caller.work(now);
            while let Some((_, offer)) = self.server.next_announcement(now) {
                if let Some((service, offer)) = offer {
                    let (mut bytes, topic) = (Vec::new(), offer_topic(&service, key(2, 0).id));
                    offer.encode(&mut bytes);
                    self.caller.on_offer(now, &topic, key(2, 20), &name, &bytes);
                }
                moved = true;
            }
            let mut bytes = Vec::new();
            while let Some((lane, to)) = self.caller.next_dirty() {
                while self.caller.next_message(lane, to, 0, &mut bytes) {
                    self.caller.sent(now, lane, to);
                    self.server.on_to_server(now, key(1, 10), &name, &bytes.clone().into());
                }
                moved = true;
            }
            while let Some((lane, to)) = self.server.next_dirty() {
                while self.server.next_message(lane, to, 0, &mut bytes) {
                    self.server.sent(now, lane, to);
                    if to == key(1, 10) {
                        self.caller.on_to_caller(now, key(2, 20), &bytes.clone().into());
                    }
                }
                moved = true;
            }
            if !moved {
                break;
            }
        }
        self.caller.check().expect("the caller is in order");
        self.server.check().expect("the server is in order");
    }

    fn call(&mut self, now: Time, spec: CallSpec) -> CallId {
        let id = self.caller.call(now, "s".into(), spec, 1 << 20).expect("it may be made");
        self.carry(now);
        id
    }

    fn respond(&mut self, now: Time, request: RequestId, text: &str) {
        let frames = vec![Bytes::copy_from_slice(text.as_bytes())];
        let reply = ReplySpec { frames, ..ReplySpec::default() };
        let _ = self.server.respond(now, request, reply, 1 << 20);
        self.carry(now);
    }
}

fn spec(body: &'static str) -> CallSpec {
    CallSpec { frames: vec![Bytes::from_static(body.as_bytes())], ..CallSpec::default() }
}

/// A question where the key `k` is.
fn inquiry(number: u64) -> wire::Inquiry<'static> {
    let origin = key(1, 0).id.0;
    wire::Inquiry { number, remaining_us: 1_000_000, origin, service: "s", key: b"k" }
}

fn counted(services: &mut Services) -> Counters {
    let mut counters = Counters::default();
    services.count(&mut counters);
    counters
}

fn status(output: Option<CallOutput>) -> Option<ServiceStatus> {
    match output? {
        CallOutput::Failed(CallFailure { kind: FailureKind::Status { status, .. }, .. }) => {
            Some(status)
        }
        _ => None,
    }
}

#[test] // V-1
fn a_name_has_its_rules() {
    for good in ["echo", "a/b/c", "žluť", &"x".repeat(256), "a b"] {
        assert!(check_service(good).is_ok(), "{good}");
    }
    let deep = ["a"; 17].join("/");
    for bad in ["", "/", "a/", "a//b", "a/*", "**", "$svc", "a\u{7}", &"x".repeat(257), &deep] {
        let said = check_service(bad).expect_err(bad).to_string();
        assert!(said.contains("write one like"), "{said}");
    }
}

// BK-8, V-4
#[test]
fn bk_8_a_request_carries_all_its_fields_and_so_does_its_reply() {
    let mut two = Two::new(ServeSettings { version: "2.1".into(), ..ServeSettings::default() });
    let settings = CallSettings { version: "2".into(), ..CallSettings::default() };
    let asked = CallSpec {
        settings,
        key: Some(Bytes::from_static(b"deed")),
        properties: vec![("unknown".into(), "to all".into()), ("unknown".into(), "again".into())],
        hops: vec![key(7, 0).id],
        sent_before: 0,
        frames: vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")],
    };
    let id = two.call(at(1), asked.clone());
    let got = two.server.next_request(at(1), two.serving).expect("it came");
    assert_eq!((&*got.service, got.client, got.call, got.attempt), ("s", key(1, 10), id.0, 1));
    assert_eq!((got.key, got.hops, got.version.as_str()), (asked.key, asked.hops, "2"));
    assert_eq!((got.properties, got.frames), (asked.properties.clone(), asked.frames.clone()));
    assert_eq!(got.address, Address::Any);
    assert_eq!(got.deadline, at(5_001));
    let reply = ReplySpec {
        properties: asked.properties.clone(),
        frames: asked.frames.clone(),
        ..ReplySpec::default()
    };
    two.server.respond(at(8), got.id, reply, 1 << 20).expect("somebody waits");
    two.carry(at(8));
    let Some(CallOutput::Done(reply)) = two.caller.take_output(id) else { panic!("no answer") };
    assert_eq!((reply.properties, reply.frames), (asked.properties, asked.frames));
    assert_eq!((reply.from, reply.took), (key(2, 20), Duration::from_millis(7)));
}

// BK-22, V-2, V-3
#[test]
fn bk_22_a_request_that_breaks_the_protocol_is_refused_with_a_code() {
    let mut two = Two::new(ServeSettings::default());
    let id = two.caller.call(at(1), "s".into(), spec("x"), 1 << 20).expect("it may be made");
    two.caller.work(at(1));
    let (lane, to) = two.caller.next_dirty().expect("it waits to leave");
    let mut bytes = Vec::new();
    assert!(two.caller.next_message(lane, to, 0, &mut bytes));
    two.caller.sent(at(1), lane, to);
    let name: Arc<str> = "x".into();
    let broken = |cut: &[u8]| Bytes::copy_from_slice(cut);
    two.server.on_to_server(at(1), key(1, 10), &name, &broken(&bytes[..bytes.len() - 1]));
    two.carry(at(1));
    assert_eq!(status(two.caller.take_output(id)), Some(ServiceStatus::BadRequest));
    // Another version, and plain garbage: counted, nothing to answer to.
    bytes[1] = 9;
    for garbage in [&bytes[..], b"", b"\x02", &[0xff; 100]] {
        two.server.on_to_server(at(1), key(1, 10), &name, &broken(garbage));
    }
    assert_eq!(counted(&mut two.server).service_malformed, 5);
    assert!(two.server.next_request(at(1), two.serving).is_none());
    two.server.check().expect("no queue is harmed");
}

#[test] // V-5
fn nobody_speaks_for_another() {
    let mut services = Services::new(at(0), key(1, 1), [1; 32]);
    let all = services.watch(None);
    let (name, mut bytes): (Arc<str>, _) = ("x".into(), Vec::new());
    Offer { concurrency: 1, credit: 1, ..Offer::default() }.encode(&mut bytes);
    let topic = offer_topic("s", key(2, 0).id);
    services.on_offer(at(1), &topic, key(3, 1), &name, &bytes);
    assert!(services.instances(all).is_empty());
    assert_eq!(counted(&mut services).offers_ignored, 1);
    services.on_offer(at(1), &topic, key(2, 1), &name, &bytes);
    assert_eq!(services.instances(all).len(), 1);
    let change = services.take_change(all).map(|(change, view)| (change, view.key));
    assert_eq!(change, Some((Change::Up, key(2, 1))));
    // V-11
    services.on_offer_stream(at(2), &topic, key(2, 1), OfferStream::Ended);
    assert!(services.instances(all).is_empty());
    assert_eq!(services.take_change(all).map(|(change, _)| change), Some(Change::Gone));
}

#[test] // V-12
fn a_request_for_another_life_is_refused() {
    let mut two = Two::new(ServeSettings::default());
    let mut later = Services::new(at(0), key(2, 21), [3; 32]);
    let serving = later.serve(at(0), "s", ServeSettings::default()).expect("it may be offered");
    two.caller.call(at(1), "s".into(), spec("x"), 1 << 20).expect("it may be made");
    two.caller.work(at(1));
    let (lane, to) = two.caller.next_dirty().expect("it waits to leave");
    let mut bytes = Vec::new();
    assert!(two.caller.next_message(lane, to, 0, &mut bytes));
    later.on_to_server(at(1), key(1, 10), &"x".into(), &bytes.into());
    assert!(later.next_request(at(1), serving).is_none());
    assert_eq!(counted(&mut later).requests_refused, 1);
}

#[test] // V-23
fn replies_that_nobody_asked_for_are_counted_and_reach_nobody() {
    let mut two = Two::new(ServeSettings::default());
    let id = two.call(at(1), spec("x"));
    let request = two.server.next_request(at(1), two.serving).expect("it came");
    let frames = vec![&b"mine"[..]];
    let mut forged = wire::Reply {
        incarnation: 10,
        call: id.0,
        attempt: 1,
        part: 0,
        last: true,
        cached: false,
        status: ServiceStatus::Ok,
        code: 0,
        took_us: 0,
        backlog: 0,
        text: "",
        properties: vec![],
        frames,
    };
    let send = |two: &mut Two, from, reply: &wire::Reply<'_>| {
        let mut bytes = Vec::new();
        reply.encode(&mut bytes);
        two.caller.on_to_caller(at(2), from, &bytes.into());
    };
    send(&mut two, key(3, 1), &forged); // who was not asked
    forged.incarnation = 9;
    send(&mut two, key(2, 20), &forged); // for an earlier life of the caller
    (forged.incarnation, forged.call) = (10, id.0 + 1);
    send(&mut two, key(2, 20), &forged); // for a call that was not made
    assert!(two.caller.take_output(id).is_none());
    two.respond(at(3), request.id, "yours");
    let Some(CallOutput::Done(reply)) = two.caller.take_output(id) else { panic!("no answer") };
    assert_eq!(reply.frames, [&b"yours"[..]]);
    (forged.call, forged.part) = (id.0, 0);
    send(&mut two, key(2, 20), &forged); // twice
    assert!(two.caller.take_output(id).is_none());
    assert_eq!(counted(&mut two.caller).replies_unexpected, 4);
}

#[test] // V-40 V-41
fn what_is_promised_to_a_later_attempt_is_not_begun_for_an_earlier_one() {
    let mut two = Two::new(ServeSettings::default());
    let found = |two: &mut Two, now| {
        two.carry(now);
        two.caller.take_finding().map(|(_, finding)| (finding.found, finding.promised))
    };
    two.caller.inquire(at(1), key(2, 20), &inquiry(5));
    assert_eq!(found(&mut two, at(1)), Some((wire::Found::Promised, 5)));
    // An earlier question does not take it back.
    two.caller.inquire(at(2), key(2, 20), &inquiry(4));
    assert_eq!(found(&mut two, at(2)), Some((wire::Found::Elsewhere, 5)));
    let keyed = |sent_before| CallSpec {
        key: Some(Bytes::from_static(b"k")),
        sent_before,
        settings: CallSettings { tries: 1, ..CallSettings::default() },
        ..spec("x")
    };
    two.call(at(3), keyed(0));
    assert!(two.server.next_request(at(3), two.serving).is_none(), "begun all the same");
    two.call(at(4), keyed(5));
    assert!(two.server.next_request(at(4), two.serving).is_some());
    two.caller.inquire(at(5), key(2, 20), &inquiry(6));
    assert_eq!(found(&mut two, at(5)), Some((wire::Found::Here, 0)));
}

#[test] // ALL-3
fn questions_that_nobody_answers_do_not_pile_up() {
    let mut two = Two::new(ServeSettings::default());
    for number in 0..=65_536 {
        two.caller.inquire(at(1), key(2, 20), &inquiry(number));
    }
    two.carry(at(1));
    let findings = core::iter::from_fn(|| two.caller.take_finding());
    assert_eq!(findings.map(|(_, finding)| finding.number).min(), Some(1));
    assert_eq!(counted(&mut two.caller).replies_unexpected, 1, "the first was pushed out");
}

#[test] // V-42
fn a_promise_ends_with_its_time() {
    let mut two = Two::new(ServeSettings::default());
    let short = wire::Inquiry { remaining_us: 10_000, ..inquiry(5) };
    two.caller.inquire(at(1), key(2, 20), &short);
    two.carry(at(1));
    two.call(at(12), CallSpec { key: Some(Bytes::from_static(b"k")), ..spec("x") });
    assert!(two.server.next_request(at(12), two.serving).is_some());
}

#[test] // V-17
fn what_waited_until_its_deadline_is_not_begun() {
    let mut two = Two::new(ServeSettings { concurrency: 1, ..ServeSettings::default() });
    two.call(at(1), spec("in time"));
    two.call(at(1), spec("too late"));
    // The server stands still, so that no cancel reaches it either.
    let first = two.server.next_request(at(5_000), two.serving).expect("a moment is left");
    assert_eq!((first.deadline, &first.frames[0][..]), (at(5_001), &b"in time"[..]));
    two.respond(at(5_000), first.id, "done");
    assert!(two.server.next_request(at(5_001), two.serving).is_none(), "begun after its deadline");
    assert_eq!(counted(&mut two.server).requests_expired, 1);
}

#[test] // V-21
fn that_nothing_was_begun_is_not_kept() {
    let mut two = Two::new(ServeSettings::default());
    let keyed = || CallSpec {
        key: Some(Bytes::from_static(b"k")),
        settings: CallSettings { wait: WaitFor::Nothing, ..CallSettings::default() },
        ..spec("x")
    };
    let first = two.call(at(1), keyed());
    let request = two.server.next_request(at(1), two.serving).expect("it came");
    let reply = ReplySpec { status: ServiceStatus::Unavailable, ..ReplySpec::default() };
    two.server.respond(at(2), request.id, reply, 1 << 20).expect("it is waited for");
    two.carry(at(2));
    assert_eq!(status(two.caller.take_output(first)), Some(ServiceStatus::Unavailable));
    let second = two.call(at(3), keyed());
    let request = two.server.next_request(at(3), two.serving).expect("it is begun now");
    two.respond(at(4), request.id, "done");
    assert!(matches!(two.caller.take_output(second), Some(CallOutput::Done(_))));
}

#[test] // V-21
fn the_reply_cache_stays_within_its_bytes_and_forgets_answers_before_deeds() {
    let small = ServeSettings { cache_bytes: 2_000, ..ServeSettings::default() };
    let mut two = Two::new(small);
    let ask = |two: &mut Two, now, deed: &'static str| {
        let key = Some(Bytes::from_static(deed.as_bytes()));
        two.call(now, CallSpec { key, ..spec("x") })
    };
    for (n, deed) in ["a", "b", "c"].into_iter().enumerate() {
        let now = at(n as u64 + 1);
        let id = ask(&mut two, now, deed);
        let request = two.server.next_request(now, two.serving).expect("it came");
        two.respond(now, request.id, &"y".repeat(900));
        assert!(matches!(two.caller.take_output(id), Some(CallOutput::Done(_))));
    }
    // The answer to the first has made room; that it was done is still known.
    let again = ask(&mut two, at(10), "a");
    assert!(two.server.next_request(at(10), two.serving).is_none(), "it is begun again");
    assert_eq!(status(two.caller.take_output(again)), Some(ServiceStatus::Unknown));
    let again = ask(&mut two, at(11), "c");
    let Some(CallOutput::Done(reply)) = two.caller.take_output(again) else { panic!("no answer") };
    assert!(reply.cached);
    // After its time it is another deed.
    let later = at(62_000);
    ask(&mut two, later, "c");
    assert!(two.server.next_request(later, two.serving).is_some());
}

#[test]
fn a_reply_above_the_limit_ends_the_call_and_tells_the_server() {
    let mut two = Two::new(ServeSettings::default());
    let settings = CallSettings { reply_bytes: 1_000, ..CallSettings::default() };
    let id = two.call(at(1), CallSpec { settings, ..spec("x") });
    let request = two.server.next_request(at(1), two.serving).expect("it came");
    let frames = vec![Bytes::from(vec![0; 2_000])];
    let part = ReplySpec { last: false, frames, ..ReplySpec::default() };
    two.server.respond(at(2), request.id, part, 1 << 20).expect("somebody waits");
    two.carry(at(2));
    let Some(CallOutput::Failed(failure)) = two.caller.take_output(id) else { panic!("no end") };
    assert_eq!(failure.kind, FailureKind::TooLarge);
    let notices: Vec<Notice> = core::iter::from_fn(|| two.server.next_notice()).collect();
    assert!(notices.contains(&Notice::Cancelled(request.id)));
}

#[test]
fn a_hundred_thousand_calls_are_open_at_once_and_all_end() {
    let wide = ServeSettings { credit: 1_000_000, queue: 1_000_000, ..ServeSettings::default() };
    let wide = ServeSettings { concurrency: 1_000_000, ..wide };
    let mut two = Two::new(wide);
    let ids: Vec<CallId> = (0..100_000)
        .map(|_| two.caller.call(at(1), "s".into(), spec("x"), 1 << 20).expect("it may be made"))
        .collect();
    // BK-17
    two.carry(at(1));
    let open: Vec<RequestId> =
        core::iter::from_fn(|| two.server.next_request(at(1), two.serving)).map(|r| r.id).collect();
    assert_eq!(open.len(), 100_000);
    for request in open {
        let _ = two.server.respond(at(2), request, ReplySpec::default(), 1 << 20);
    }
    two.carry(at(2));
    assert!(ids.iter().all(|id| matches!(two.caller.take_output(*id), Some(CallOutput::Done(_)))));
}

mod bytes_from_anywhere {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_counted(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut two = Two::new(ServeSettings::default());
            let name: Arc<str> = "x".into();
            let bytes = Bytes::from(bytes);
            two.server.on_to_server(at(1), key(1, 10), &name, &bytes);
            two.caller.on_to_caller(at(1), key(2, 20), &bytes);
            let topic = offer_topic("s", key(4, 0).id);
            two.caller.on_offer(at(1), &topic, key(4, 1), &name, &bytes);
            two.carry(at(1));
        }
    }
}
