//! How soon it is known that nobody offers a service, and that a message was taken, in virtual time.

use motet_proto::Event;
use motet_proto::services::{CallSettings, FailureKind, ServeSettings, WaitFor};
use motet_sim::LinkModel;
use motet_sim::net::{Ep, ms};
use motet_sim::trade::{Made, Trade, Work};
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Endpoints that have met, and do other things; each way takes 1 ms.
fn crowd(seed: u64, n: usize, loss: f64) -> (Trade, Vec<Ep>) {
    let mut trade = Trade::seeded(seed);
    trade.net.world.set_links(&LinkModel { latency: ms(1), loss, ..LinkModel::default() });
    let eps: Vec<Ep> = (0..n).map(|at| trade.net.endpoint(&format!("e{at}"))).collect();
    trade.serve(eps[0], "other", ServeSettings::default(), Work::For(ms(1)));
    trade.run_for(secs(4));
    (trade, eps)
}

fn nobody(trade: &mut Trade, made: Made) -> Duration {
    trade.finish(made);
    assert_eq!(trade.failure(made), Some(&FailureKind::NoResponders));
    trade.took(made).expect("it has ended")
}

#[test] // V-10, P-18
fn where_all_have_said_what_they_offer_nobody_is_said_after_one_round_trip() {
    let (mut trade, eps) = crowd(1, 6, 0.0);
    let made = trade.call(eps[5], "nothing", "x", CallSettings::default());
    let took = nobody(&mut trade, made);
    assert!(took >= ms(2) && took < ms(10), "{took:?}");
    // Now it is known: at once.
    let made = trade.call(eps[5], "nothing", "x", CallSettings::default());
    assert!(nobody(&mut trade, made) < ms(1));
    // One that comes may offer it, and is asked before anything is said.
    let late = trade.net.endpoint("late");
    trade.serve(late, "nothing", ServeSettings::default(), Work::For(ms(1)));
    let up = |trade: &mut Trade| trade.net.connected(eps[5], late);
    assert!(trade.run_until(up, secs(5)));
    let made = trade.call(eps[5], "nothing", "here?", CallSettings::default());
    trade.finish(made);
    assert_eq!(trade.answer(made), Some("here?"));
    trade.judge();
}

#[test] // V-10
fn an_endpoint_that_is_alone_says_nobody_as_soon_as_discovery_has_settled() {
    let mut trade = Trade::seeded(2);
    let alone = trade.net.endpoint("alone");
    let made = trade.call(alone, "nothing", "x", CallSettings::default());
    trade.finish(made);
    let ended = trade.net.world.now;
    let settled = |event: &Event| matches!(event, Event::Settled);
    let settled = trade.net.said(alone, settled).expect("it has settled");
    assert!(ended.since(settled) < ms(1), "{settled:?} {ended:?}");
    let made = trade.call(alone, "nothing", "x", CallSettings::default());
    assert!(nobody(&mut trade, made) < ms(1));
}

#[test] // V-10
fn who_is_there_is_never_overlooked_whatever_is_lost() {
    for seed in 0..60 {
        for loss in [0.2, 0.3] {
            let (mut trade, eps) = crowd(100 + seed, 4, loss);
            // It has offered the service for a while when it is first asked for.
            trade.serve(eps[1], "s", ServeSettings::default(), Work::For(ms(1)));
            trade.run_for(secs(2));
            let settings = CallSettings { timeout: secs(60), ..CallSettings::default() };
            let made = trade.call(eps[3], "s", "there?", settings);
            let ending = trade.finish(made);
            assert_eq!(trade.answer(made), Some("there?"), "seed {seed}, {loss}: {ending:?}");
            trade.judge();
        }
    }
}

#[test] // V-10
fn nobody_is_said_under_loss_too_as_soon_as_all_have_answered() {
    for seed in 0..60 {
        let (mut trade, eps) = crowd(200 + seed, 4, 0.2);
        let settings = CallSettings { timeout: secs(60), ..CallSettings::default() };
        let made = trade.call(eps[3], "nothing", "x", settings);
        assert!(nobody(&mut trade, made) < secs(30), "seed {seed}");
        trade.judge();
    }
}

#[test] // V-10
fn a_member_that_stands_still_is_waited_for_until_it_counts_as_gone() {
    let (mut trade, eps) = crowd(3, 3, 0.0);
    // It stands still, which nobody has noticed yet.
    trade.net.world.pause(eps[1].0);
    let begun = trade.net.world.now;
    let patient = CallSettings { timeout: secs(60), ..CallSettings::default() };
    let made = trade.call(eps[2], "nothing", "x", patient);
    let took = nobody(&mut trade, made);
    let down = |event: &Event| matches!(event, Event::PeerDown { .. });
    let gone = trade.net.said(eps[2], down).expect("it has been noticed").since(begun);
    // It might have come back.
    assert!(took >= gone + secs(3) && took < gone + ms(3_300), "{took:?} {gone:?}");
    let wait = CallSettings { wait: WaitFor::Nothing, ..CallSettings::default() };
    let made = trade.call(eps[2], "nothing", "y", wait);
    assert!(nobody(&mut trade, made) < ms(1));
}

#[test] // V-10
fn an_instance_that_has_just_gone_is_still_waited_for() {
    let (mut trade, eps) = crowd(4, 3, 0.0);
    let made = trade.call(eps[2], "other", "x", CallSettings::default());
    trade.finish(made);
    trade.net.close(eps[0]);
    trade.run_for(ms(100));
    let made = trade.call(eps[2], "other", "x", CallSettings::default());
    let took = nobody(&mut trade, made);
    assert!(took >= ms(2_500) && took < ms(3_100), "{took:?}");
}

#[test] // S-52
fn a_reader_that_leaves_at_once_acknowledges_what_it_took() {
    for seed in 0..40 {
        let mut trade = Trade::seeded(seed);
        let loss = if seed % 2 == 0 { 0.0 } else { 0.1 };
        trade.net.world.set_links(&LinkModel { latency: ms(1), loss, ..LinkModel::default() });
        let (writer, reader) = (trade.net.endpoint("writer"), trade.net.endpoint("reader"));
        let publication = trade.net.advertise(writer, "t");
        let sub = trade.net.subscribe(reader, "t");
        let joined = |event: &Event| matches!(event, Event::ReaderJoined { .. });
        let met = |trade: &mut Trade| trade.net.said(writer, joined).is_some();
        assert!(trade.run_until(met, secs(10)));
        trade.run_for(secs(1));
        let seq = trade.net.publish(publication, "take it");
        let got = |trade: &mut Trade| trade.net.received(sub).len() == 1;
        assert!(trade.run_until(got, secs(10)));
        // With the stream, or with all it is.
        if seed % 4 < 2 {
            trade.net.unsubscribe(sub);
        }
        trade.net.close(reader);
        let left = |event: &Event| matches!(event, Event::ReaderLeft { .. });
        let gone = |trade: &mut Trade| trade.net.said(writer, left).is_some();
        assert!(trade.run_until(gone, secs(10)));
        let node = trade.net.node(writer).expect("it runs");
        let views = node.publications();
        let id = views.iter().find(|view| &*view.topic == "t").expect("it is published").id;
        let confirmed = node.is_confirmed(id, seq);
        // The acknowledgement before the end of a stream goes once, that in a goodbye three times.
        let once = seed % 4 < 2;
        if loss == 0.0 || !once {
            assert!(confirmed, "seed {seed}");
        }
        let node = trade.net.node(writer).expect("it runs");
        assert!(!node.is_confirmed(id, seq + 1), "what was not sent");
    }
}
