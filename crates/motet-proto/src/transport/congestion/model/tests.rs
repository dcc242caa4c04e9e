use super::*;
use crate::transport::delivery::Rate;
use crate::transport::rtt::Rtt;

const MTU: u16 = 1_000;
const RTT: u64 = 20;

/// A path as the controller sees it: one ACK a round trip.
struct Path {
    model: Model,
    now: Time,
    total: u64,
    /// Bytes per millisecond.
    rate: u64,
    rtt: u64,
    in_flight: u64,
}

impl Path {
    fn new(rate: u64) -> Self {
        Self {
            model: Model::new(MTU, 0, 1),
            now: Time::ZERO,
            total: 0,
            rate,
            rtt: RTT,
            in_flight: 0,
        }
    }

    /// A round trip in which the path delivered as much as it can of a window; `lost` bytes beside.
    fn round(&mut self, lost: u64) {
        let window = self.model.window();
        let sent = self.model.pacing_rate().map_or(window, |rate| rate * self.rtt / 1_000);
        let in_flight = (self.in_flight + sent).min(window);
        let bytes = in_flight.min(self.rate * self.rtt);
        self.in_flight = in_flight - bytes;
        let sent_at = self.now;
        self.now = self.now + Duration::from_millis(self.rtt);
        let prior = self.total;
        self.total += bytes;
        let mut rtt = Rtt::new();
        rtt.update(Duration::from_millis(self.rtt), Duration::ZERO);
        if lost > 0 {
            let (marked, persistent) = (false, false);
            let now = self.now;
            let lost = Lost { now, bytes: lost, sent_at, in_flight, marked, persistent };
            self.model.on_congestion(&lost);
        }
        let rate = Some(Rate {
            delivered: bytes,
            interval: Duration::from_millis(self.rtt),
            prior,
            total: self.total,
            app_limited: false,
            rtt: Duration::from_millis(self.rtt),
            in_flight,
        });
        let (now, app_limited) = (self.now, false);
        self.model.on_ack(&Acked { now, bytes, sent_at, app_limited, in_flight, rate, rtt: &rtt });
    }

    fn until(&mut self, state: State, rounds: u32) {
        for _ in 0..rounds {
            if self.model.state == state {
                return;
            }
            self.round(0);
        }
        assert_eq!(self.model.state, state, "within {rounds} rounds");
    }
}

#[test] // S-25
fn startup_doubles_until_the_path_is_full_and_then_drains() {
    let mut path = Path::new(1_000);
    path.round(0);
    let window = path.model.window();
    path.round(0);
    assert!(path.model.window() * 2 >= window * 3, "{window}, then {}", path.model.window());
    path.until(State::Drain, 12);
    assert_eq!(path.model.max_rate(), 1_000_000);
    assert!(path.model.full.1 >= FULL_ROUNDS);
    path.until(State::Cruise, 5);
}

#[test] // S-25
fn startup_ends_early_where_a_queue_overflows_and_not_for_chance_losses() {
    let mut path = Path::new(1_000_000);
    for _ in 0..5 {
        path.round(path.model.window() / 20); // no queue: the round trip is what it was
    }
    assert_eq!(path.model.state, State::Startup);
    path.rtt = RTT * 2;
    path.round(path.model.window() / 10);
    assert_eq!(path.model.state, State::Drain);
    assert!(path.model.inflight_hi < u64::MAX);
}

#[test] // S-25
fn probing_raises_the_bound_and_a_full_path_ends_it() {
    let mut path = Path::new(1_000);
    path.until(State::Cruise, 20);
    path.until(State::Up, 200);
    assert!(path.model.pacing_rate().is_some_and(|rate| rate > 1_000_000), "it asks for more");
    path.round(0);
    path.until(State::Up, 200);
    path.model.rounds = 1;
    path.rtt = RTT * 3 / 2;
    path.model.round.rtt = Duration::from_millis(path.rtt);
    path.round(3_000); // more than 2 % of a round with a queue
    assert_ne!(path.model.state, State::Up);
    let hi = path.model.inflight_hi;
    assert!((14_000..50_000).contains(&hi), "what was in flight, 0.7 of the path at least: {hi}");
    assert!(path.model.window() >= 20_000, "and never less than the path holds");
}

#[test] // S-25
fn five_seconds_without_a_new_minimum_halve_what_is_in_flight_for_200_ms() {
    let mut path = Path::new(1_000);
    path.until(State::Cruise, 20);
    let before = path.model.window();
    path.rtt = RTT + 5; // somebody else's queue
    for _ in 0..(4_500 / path.rtt) {
        path.round(0);
        assert_ne!(path.model.state, State::ProbeRtt);
    }
    path.until(State::ProbeRtt, 40);
    assert!(path.model.window() <= 10_000 + 4_000, "{}", path.model.window());
    path.rtt = RTT;
    let since = path.now;
    while path.model.state == State::ProbeRtt {
        path.round(0);
    }
    let took = path.now.since(since).as_millis();
    assert!((200..=300).contains(&took), "{took} ms");
    assert!(path.model.window() * 2 > before, "{before} before, {} after", path.model.window());
}

#[test] // S-25
fn after_persistent_congestion_it_starts_from_four_packets_and_recovers() {
    let mut path = Path::new(1_000);
    path.until(State::Cruise, 20);
    let before = path.model.window();
    let (now, sent_at) = (path.now, path.now);
    let (bytes, in_flight, marked, persistent) = (20_000, 20_000, false, true);
    path.model.on_congestion(&Lost { now, bytes, sent_at, in_flight, marked, persistent });
    assert_eq!(path.model.window(), 4_000);
    for _ in 0..40 {
        path.round(0);
    }
    assert!(path.model.window() * 10 >= before * 9, "{before}, now {}", path.model.window());
}

#[test] // S-25
fn windows_never_fall_below_four_packets() {
    let mut path = Path::new(1);
    for n in 0..200 {
        path.round(if n % 3 == 0 { 5_000 } else { 0 });
        assert!(path.model.window() >= 4_000);
    }
}

#[test] // S-23
fn near_paths_keep_the_credit_as_their_floor_and_are_not_paced() {
    let mut path = Path::new(1_000);
    path.model.set_floor(200_000);
    path.round(0);
    assert!(path.model.pacing_rate().is_some());
    let mut rtt = Rtt::new();
    rtt.update(Duration::from_micros(80), Duration::ZERO);
    let (now, sent_at, in_flight, rate) = (path.now, path.now, 0, None);
    let (bytes, app_limited) = (1_000, true);
    path.model.on_ack(&Acked { now, bytes, sent_at, app_limited, in_flight, rate, rtt: &rtt });
    assert_eq!((path.model.window(), path.model.pacing_rate()), (200_000, None));
}
