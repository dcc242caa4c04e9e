//! Age without a common clock. The tests' stream clock drifts, is a day off, and messages take a
//! few milliseconds.

use motet_proto::Time;
use motet_proto::topics::lag::LagClock;
use std::time::Duration;

const DAY_US: u64 = 86_400_000_000;
const LIFESPAN: Duration = Duration::from_secs(1);

fn us(us: u64) -> Time {
    Time(us * 1_000)
}

/// The writer's clock when the true time is `now_us`.
fn writer_clock(now_us: u64, offset_us: i64, drift_ppm: i64) -> u64 {
    let drift = now_us as i64 / 1_000_000 * drift_ppm;
    (3 * DAY_US + now_us).saturating_add_signed(offset_us + drift)
}

#[test] // P-20, P-21
fn clocks_a_day_apart_that_drift_expire_nothing_in_24_hours_but_what_is_late() {
    for offset_us in [-(DAY_US as i64), 0, DAY_US as i64] {
        for drift in [-200, 0, 200] {
            for period_us in [250_000, 7_000_000, 45_000_000, 90_000_000, 21_600_000_000] {
                let clock = |now| writer_clock(now, offset_us, drift);
                let mut lag = LagClock::new(us(5_000), clock(0), 0);
                for n in 1..DAY_US / period_us {
                    let published = n * period_us;
                    let late = n % 50 == 0 && n > 1;
                    let delay = if late { 1_500_000 } else { 2_000 + n * 7_919 % 20_000 };

                    let got = lag.on_message(us(published + delay), clock(published));

                    // Hours of silence hide some seconds: 500 ppm of them.
                    if !late || period_us < 600_000_000 {
                        assert_eq!(got.behind > LIFESPAN, late, "{n} {offset_us} {drift} {got:?}");
                    }
                }
            }
        }
    }
}

#[test] // P-20
fn the_quickest_message_of_the_last_minute_has_no_lag() {
    let mut lag = LagClock::new(us(50_000), 0, 0);

    let quick = lag.on_message(us(1_010_000), 1_000_000);
    let slow = lag.on_message(us(2_250_000), 2_000_000);

    assert_eq!(quick.behind, Duration::ZERO);
    assert_eq!(slow.behind, Duration::from_millis(240));
    assert_eq!(slow.age(Duration::from_millis(1)), Duration::from_millis(241));
}

#[test] // P-21
fn a_path_that_became_slower_for_good_is_forgiven_after_a_minute() {
    let mut lag = LagClock::new(us(1_000), 0, 0);

    let behind: Vec<_> = (1..100)
        .map(|s| lag.on_message(us(s * 1_000_000 + 3_000_000), s * 1_000_000).behind)
        .collect();

    assert!(behind[0] > LIFESPAN);
    assert!(behind[25] > LIFESPAN, "not within half a minute");
    assert_eq!(behind[65], Duration::ZERO);
}

#[test] // P-22
fn the_first_message_after_a_long_silence_can_still_be_late() {
    let mut lag = LagClock::new(us(1_000), 0, 0);
    let published = 300_000_000;

    let late = lag.on_message(us(published + 5_000_000), published);
    let fresh = lag.on_message(us(published + 5_100_000), published + 5_099_000);

    assert!(late.behind > Duration::from_millis(4_800), "{late:?}");
    assert_eq!(fresh.behind, Duration::ZERO);
}

#[test] // P-23
fn history_that_a_late_joiner_gets_is_old() {
    let (opened, published) = (3_600_000_000, 60_000_000);
    let mut lag = LagClock::new(us(4_000), opened, 0);

    let got = lag.on_message(us(5_000), published);

    assert_eq!(got.behind, Duration::from_micros(opened - published + 1_000));
}

#[test] // P-23
fn a_stream_that_is_opened_again_is_judged_anew() {
    let mut lag = LagClock::new(us(0), 0, 0);

    lag.origin(us(10_000_000), 1_000_000, 0);

    assert_eq!(lag.on_message(us(11_000_000), 2_000_000).behind, Duration::ZERO);
}

#[test] // P-24
fn publishing_time_is_that_of_the_writers_wall_clock() {
    let lag = LagClock::new(us(0), 5_000, 1_000_000);

    assert_eq!(lag.published_us(7_000), 1_002_000);
    assert_eq!(lag.published_us(4_000), 999_000);
    assert_eq!(lag.published_us(u64::MAX), u64::MAX);
}

#[test]
fn any_time_stamp_is_taken_without_a_panic() {
    let mut lag = LagClock::new(Time::NEVER, u64::MAX, u64::MAX);

    for t in [0, u64::MAX, 1, u64::MAX - 1] {
        for arrival in [Time::ZERO, Time::NEVER, us(1)] {
            lag.on_message(arrival, t);
            lag.published_us(t);
        }
    }
}
