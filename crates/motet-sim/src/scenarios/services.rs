//! Services: what is done once, what is not begun, who is not chosen.

use crate::LinkModel;
use crate::net::ms;
use crate::trade::{Ending, Trade, Work};
use motet_proto::Liveness;
use motet_proto::services::{
    CallSettings, FailureKind, InstanceState, Mode, ServeSettings, WaitFor,
};
use std::time::Duration;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Two callers that use the same key get an answer each (V-20).
pub fn the_key_of_another_caller_is_another_deed() {
    let mut trade = Trade::seeded(201);
    let (_, srv) = trade.server("server", "pay", ms(5));
    let [anna, bert] = [trade.net.endpoint("anna"), trade.net.endpoint("bert")];
    let settings = CallSettings::default();
    let first = trade.call_with(anna, "pay", "anna pays", Some("1"), settings.clone());
    trade.finish(first);
    let second = trade.call_with(bert, "pay", "bert pays", Some("1"), settings);
    trade.finish(second);
    assert_eq!(trade.answer(first), Some("anna pays"));
    assert_eq!(trade.answer(second), Some("bert pays"));
    assert_eq!(trade.begun(srv), 2);
    trade.judge();
}

/// A call with a key that is made again, while the first still runs and after it, runs once (V-22).
pub fn a_deed_that_is_asked_for_twice_is_done_once() {
    let mut trade = Trade::seeded(202);
    let (_, srv) = trade.server("server", "pay", ms(400));
    let caller = trade.net.endpoint("caller");
    let settings = CallSettings { timeout: secs(3), ..CallSettings::default() };
    let first = trade.call_with(caller, "pay", "one euro", Some("1"), settings.clone());
    assert!(trade.run_until(|trade| trade.begun(srv) == 1, secs(2)));
    // The same deed, by a second call that does not know of the first.
    let again = trade.call_with(caller, "pay", "one euro", Some("1"), settings.clone());
    trade.finish(first);
    trade.finish(again);
    let later = trade.call_with(caller, "pay", "one euro", Some("1"), settings);
    trade.finish(later);
    for made in [first, again, later] {
        assert_eq!(trade.answer(made), Some("one euro"));
    }
    assert_eq!(trade.begun(srv), 1, "the deed was done more than once");
    let repeated = trade.net.counters(crate::Ep(0)).requests_repeated;
    assert_eq!(repeated, 2);
    trade.judge();
}

/// What a member offers comes late, for the way is long: nobody is not said before (V-10).
pub fn an_answer_that_is_on_its_way_is_waited_for() {
    let mut trade = Trade::seeded(208);
    trade.net.world.set_links(&LinkModel { latency: ms(400), ..LinkModel::default() });
    trade.server("server", "s", ms(1));
    let caller = trade.net.endpoint("caller");
    trade.run_for(secs(8));
    let settings = CallSettings { timeout: secs(30), ..CallSettings::default() };
    let made = trade.call(caller, "s", "are you there?", settings);
    trade.finish(made);
    assert_eq!(trade.answer(made), Some("are you there?"));
    trade.judge();
}

/// A member that has a service is not overlooked by one who asks for it for the first time, though
/// its answer takes a while (V-10).
pub fn nobody_is_said_only_when_all_have_answered() {
    let mut trade = Trade::seeded(207);
    trade.net.world.set_links(&LinkModel { latency: ms(50), ..LinkModel::default() });
    trade.server("server", "s", ms(1));
    let caller = trade.net.endpoint("caller");
    trade.run_for(secs(3));
    let made = trade.call(caller, "s", "there?", CallSettings::default());
    trade.finish(made);
    assert_eq!(trade.answer(made), Some("there?"), "{:?}", trade.ending(made));
    trade.judge();
}

/// A server that has stood still begins nothing whose deadline is over (V-16, V-17).
pub fn what_waited_over_its_deadline_is_not_begun() {
    let mut trade = Trade::seeded(203);
    let ep = trade.net.endpoint("server");
    let one = ServeSettings { concurrency: 1, ..ServeSettings::default() };
    let srv = trade.serve(ep, "slow", one, Work::For(ms(700)));
    let caller = trade.net.endpoint("caller");
    let settings = CallSettings { timeout: ms(1_000), ..CallSettings::default() };
    let first = trade.call(caller, "slow", "in time", settings.clone());
    assert!(trade.run_until(|trade| trade.begun(srv) == 1, secs(2)));
    let second = trade.call(caller, "slow", "waits", settings.clone());
    let third = trade.call(caller, "slow", "waits too long", settings);
    trade.run_for(secs(4));
    assert_eq!(trade.answer(first), Some("in time"));
    assert!(matches!(trade.failure(second), Some(FailureKind::TimedOut)));
    assert!(matches!(trade.ending(third), Some(Ending::Failed(_))));
    assert_eq!(trade.begun_by("waits too long"), [], "begun after its deadline");
    trade.judge();
}

/// A server whose session is dead gets nothing, and another answers at once (V-31).
pub fn a_dead_server_is_not_chosen() {
    let mut trade = Trade::seeded(204);
    let (dead, _) = trade.server("dead", "echo", ms(1));
    trade.server("alive", "echo", ms(1));
    let mut cfg = crate::net::config("caller");
    cfg.liveness = Liveness::FAST;
    let caller = trade.net.endpoint_with(cfg);
    let warm = trade.call(caller, "echo", "warm", CallSettings::default());
    trade.finish(warm);
    trade.net.kill(dead);
    trade.run_for(secs(4));
    for n in 0..10 {
        let made = trade.call(caller, "echo", &format!("call {n}"), CallSettings::default());
        trade.finish(made);
        assert_eq!(trade.answer(made), Some(format!("call {n}").as_str()));
        assert!(trade.took(made) < Some(ms(100)), "it waited for the dead");
    }
    trade.judge();
}

/// A server that drains finishes what it has and gets nothing new (V-30).
pub fn a_draining_server_gets_nothing_new() {
    let mut trade = Trade::seeded(205);
    let (drains, old) = trade.server("old", "echo", ms(200));
    let caller = trade.net.endpoint("caller");
    let made = trade.call(caller, "echo", "before", CallSettings::default());
    assert!(trade.run_until(|trade| trade.begun(old) == 1, secs(2)));
    trade.at_server(old, |node, now, id| {
        node.set_serving(now, id, InstanceState::Draining, "upgrade");
    });
    let (_, new) = trade.server("new", "echo", ms(1));
    trade.run_for(ms(50));
    for n in 0..20 {
        // To all that may be asked, so that the choice by load hides nothing.
        let (wait, mode) = (WaitFor::Deadline, Mode::First(0));
        let settings = CallSettings { wait, mode, ..CallSettings::default() };
        let made = trade.call(caller, "echo", &format!("after {n}"), settings);
        trade.finish(made);
        assert!(trade.answer(made).is_some());
    }
    assert_eq!((trade.begun(old), trade.begun(new)), (1, 20));
    let refused = trade.net.counters(drains).requests_refused;
    assert_eq!(refused, 0, "it was asked, and had to refuse");
    trade.finish(made);
    assert_eq!(trade.answer(made), Some("before"), "what was accepted is finished");
    trade.judge();
}
