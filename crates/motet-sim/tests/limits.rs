//! What one peer can make another remember.

use motet_proto::{Event, PubQos, SubQos};
use motet_sim::{Net, ms};

#[test]
fn a_peer_with_very_many_topics_of_another_type_is_told_of_up_to_a_limit() {
    let mut net = Net::seeded(1);
    let [reader, writer] = ["reader", "writer"].map(|name| net.endpoint(name));
    let typed = SubQos { type_tag: "ours".into(), ..SubQos::default() };
    net.subscribe_with(reader, &["**"], typed);
    for n in 0..1_100 {
        let qos = PubQos { type_tag: "theirs".into(), ..PubQos::default() };
        net.advertise_with(writer, &format!("t/{n}"), qos);
    }
    net.run_for(ms(3_000));

    let told = net.events(reader).filter(|event| matches!(event, Event::TypeMismatch { .. }));
    assert_eq!(told.count(), 1_024);
    assert_eq!(net.counters(reader).type_mismatches, 1_100);
}
