//! Who falls silent is given up, whatever else goes on.

use motet_proto::Event;
use motet_sim::{Net, ms};

#[test] // S-32
fn a_silent_peer_is_given_up_in_time_though_others_come_all_the_while() {
    let mut net = Net::seeded(1);
    let [watcher, silent] = ["watcher", "silent"].map(|name| net.endpoint(name));
    net.run_for(ms(10_000));
    net.kill(silent);
    let killed = net.world.now;
    for n in 0..10 {
        net.endpoint(&format!("other{n}"));
        net.run_for(ms(700));
    }

    let down = net.said(watcher, |event| matches!(event, Event::PeerDown { .. }));
    let after = down.map(|at| at.since(killed));
    assert!(after.is_some_and(|after| after <= ms(5_500)), "{after:?}");
}

#[test] // S-32
fn a_silent_peer_is_given_up_in_time_though_the_interfaces_changed() {
    let mut net = Net::seeded(1);
    let [watcher, silent] = ["watcher", "silent"].map(|name| net.endpoint(name));
    net.run_for(ms(10_000));
    net.kill(silent);
    let killed = net.world.now;
    net.world.move_host(watcher.0);
    net.run_for(ms(8_000));

    let down = net.said(watcher, |event| matches!(event, Event::PeerDown { .. }));
    let after = down.map(|at| at.since(killed));
    assert!(after.is_some_and(|after| after <= ms(5_500)), "{after:?}");
}
