//! Calls that go only to whom somebody else lists, such as a name server, in virtual time.

use motet_proto::services::{CallSettings, FailureKind, ServeSettings, WaitFor};
use motet_proto::{BookId, EndpointId, Event, Time};
use motet_sim::LinkModel;
use motet_sim::net::{Ep, ms};
use motet_sim::trade::{Made, Trade, Work};
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Servers of `s`, and a caller with a book.
struct Scene {
    trade: Trade,
    servers: Vec<Ep>,
    ids: Vec<EndpointId>,
    client: Ep,
    book: BookId,
}

impl Scene {
    fn new(seed: u64, n: usize, work: Duration) -> Self {
        let mut trade = Trade::seeded(seed);
        trade.net.world.set_links(&LinkModel { latency: ms(1), ..LinkModel::default() });
        let safe = ServeSettings { safe: true, ..ServeSettings::default() };
        let client = trade.net.endpoint("client");
        let mut servers = Vec::new();
        for at in 0..n {
            let server = trade.net.endpoint(&format!("s{at}"));
            trade.serve(server, "s", safe.clone(), Work::For(work));
            servers.push(server);
        }
        trade.run_for(secs(4));
        let id = |server: &Ep| trade.net.key(*server).expect("it runs").id;
        let ids = servers.iter().map(id).collect();
        let now = trade.net.world.now;
        let node = trade.net.node(client).expect("it runs");
        let book = node.open_book(now, "s").expect("it may be opened");
        trade.net.touch(client);
        trade.run_for(ms(100));
        Self { trade, servers, ids, client, book }
    }

    fn call(&mut self, body: &str, settings: CallSettings) -> Made {
        let settings = CallSettings { book: Some(self.book), ..settings };
        self.trade.call(self.client, "s", body, settings)
    }

    /// Writes these servers into the book, as asked for then.
    fn write(&mut self, asked: Option<Time>, servers: &[usize]) {
        let now = self.trade.net.world.now;
        let listed = servers.iter().map(|at| self.ids[*at]).collect();
        let node = self.trade.net.node(self.client).expect("it runs");
        node.write_book(now, self.book, asked, listed);
        self.trade.net.touch(self.client);
        self.trade.run_for(ms(0));
    }

    fn write_now(&mut self, servers: &[usize]) {
        self.write(Some(self.trade.net.world.now), servers);
    }

    fn lacked(&self) -> usize {
        let lacks = |event: &&Event| matches!(event, Event::BookLacks(_));
        self.trade.net.events(self.client).filter(lacks).count()
    }
}

#[test] // V-50
fn calls_by_a_book_go_to_those_in_it_and_to_nobody_else() {
    let mut scene = Scene::new(1, 4, ms(5));
    scene.write_now(&[1, 3]);
    let made: Vec<Made> =
        (0..20).map(|n| scene.call(&format!("c{n}"), CallSettings::default())).collect();
    for (n, made) in made.into_iter().enumerate() {
        scene.trade.finish(made);
        assert!(scene.trade.answer(made).is_some());
        for (_, by) in scene.trade.begun_by(&format!("c{n}")) {
            assert!([1, 3].contains(&by.0), "{by:?}");
        }
    }
    // Both work: load is spread among them as ever.
    let begun = |at| scene.trade.begun(motet_sim::trade::Srv(at));
    assert_eq!((begun(0), begun(2)), (0, 0));
    assert!(begun(1) > 5 && begun(3) > 5);
    scene.trade.judge();
}

#[test] // V-50
fn a_call_whose_server_dies_goes_to_another_in_the_book_also_to_one_that_comes_into_it_later() {
    let mut scene = Scene::new(2, 3, ms(400));
    scene.write_now(&[0]);
    let patient = CallSettings { timeout: secs(40), ..CallSettings::default() };
    let made = scene.call("on", patient);
    scene.trade.run_for(ms(50));
    assert_eq!(scene.trade.begun_by("on").len(), 1);
    scene.trade.net.kill(scene.servers[0]);
    // Another offers the service, but is not in the book.
    let lacks = scene.lacked();
    let client = scene.client;
    let told = |trade: &mut Trade| {
        let lacking = |event: &&Event| matches!(event, Event::BookLacks(_));
        trade.net.events(client).filter(lacking).count() > lacks
    };
    assert!(scene.trade.run_until(told, secs(30)), "whoever writes it is told that a call waits");
    assert!(scene.trade.ending(made).is_none());
    scene.write_now(&[0, 2]);
    scene.trade.finish(made);
    assert_eq!(scene.trade.answer(made), Some("on"));
    let by: Vec<usize> = scene.trade.begun_by("on").iter().map(|(_, by)| by.0).collect();
    assert_eq!(by, [0, 2], "{:?}", scene.trade.ending(made));
    scene.trade.judge();
}

#[test] // V-51
fn nobody_is_said_when_the_book_was_asked_for_after_the_call_and_is_empty() {
    let mut scene = Scene::new(3, 2, ms(5));
    for wait in [WaitFor::Settled, WaitFor::Nothing] {
        let settings = CallSettings { wait, timeout: secs(30), ..CallSettings::default() };
        scene.write_now(&[]);
        scene.trade.run_for(ms(10));
        let made = scene.call(&format!("{wait:?}"), settings);
        // What is known is older than the call.
        scene.trade.run_for(secs(2));
        assert!(scene.trade.ending(made).is_none());
        // Nobody has answered, still.
        scene.write(None, &[]);
        scene.trade.run_for(secs(2));
        assert!(scene.trade.ending(made).is_none());
        scene.write_now(&[]);
        assert_eq!(scene.trade.failure(made), Some(&FailureKind::NoResponders));
    }
    // One that waits to its deadline does so.
    let settings =
        CallSettings { wait: WaitFor::Deadline, timeout: secs(5), ..CallSettings::default() };
    let made = scene.call("waits", settings);
    scene.write_now(&[]);
    scene.trade.finish(made);
    assert_eq!(scene.trade.failure(made), Some(&FailureKind::NoResponders));
    assert!(scene.trade.took(made) >= Some(secs(5)));
    scene.trade.judge();
}

#[test] // V-51
fn one_that_is_listed_and_not_there_is_waited_for_for_three_seconds() {
    let mut scene = Scene::new(4, 2, ms(5));
    scene.write_now(&[0]);
    scene.trade.net.close(scene.servers[0]);
    scene.trade.run_for(secs(5));
    let patient = CallSettings { timeout: secs(30), ..CallSettings::default() };
    let made = scene.call("gone", patient.clone());
    scene.write_now(&[0]);
    scene.trade.finish(made);
    assert_eq!(scene.trade.failure(made), Some(&FailureKind::NoResponders));
    let took = scene.trade.took(made).expect("it has ended");
    assert!(took >= secs(3) && took < ms(3_100), "{took:?}");
    // A book that is closed lists nobody, and keeps no call waiting.
    let made = scene.call("closed", patient);
    let now = scene.trade.net.world.now;
    let node = scene.trade.net.node(scene.client).expect("it runs");
    node.close_book(now, scene.book);
    scene.trade.net.touch(scene.client);
    scene.trade.run_for(ms(0));
    assert_eq!(scene.trade.failure(made), Some(&FailureKind::NoResponders));
    scene.trade.judge();
}

#[test] // V-50
fn calls_that_wait_for_their_book_do_not_hold_up_those_without_one() {
    let mut scene = Scene::new(5, 2, ms(5));
    let patient = CallSettings { timeout: secs(50), ..CallSettings::default() };
    let waiting: Vec<Made> =
        (0..200).map(|n| scene.call(&format!("w{n}"), patient.clone())).collect();
    let plain = scene.trade.call(scene.client, "s", "plain", CallSettings::default());
    scene.trade.finish(plain);
    assert_eq!(scene.trade.answer(plain), Some("plain"));
    assert!(waiting.iter().all(|made| scene.trade.ending(*made).is_none()));
    scene.write_now(&[1]);
    for made in waiting {
        scene.trade.finish(made);
        assert!(scene.trade.answer(made).is_some());
    }
    scene.trade.judge();
}
