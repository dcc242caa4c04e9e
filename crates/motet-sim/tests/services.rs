//! Lines of docs/acceptance.md about services, in virtual time.

use motet_proto::services::{CallSettings, ServeSettings};
use motet_sim::net::ms;
use motet_sim::trade::{Trade, Work};

#[test]
fn a_call_is_answered() {
    let mut trade = Trade::seeded(1);
    let (_, srv) = trade.server("server", "echo", ms(10));
    let caller = trade.net.endpoint("caller");
    let made = trade.call(caller, "echo", "hello", CallSettings::default());
    let ending = trade.finish(made);
    println!("{ending:?} {:?}", trade.took(made));
    let made = trade.call(caller, "echo", "hello2", CallSettings::default());
    let ending = trade.finish(made);
    println!("{ending:?} {:?}", trade.took(made));
    assert_eq!(trade.begun(srv), 2);
    let made = trade.call(caller, "nothing", "hello3", CallSettings::default());
    let ending = trade.finish(made);
    println!("{ending:?} {:?}", trade.took(made));
    trade.judge();
    let _ = (ServeSettings::default(), Work::Mute);
}
