//! Ways in without multicast, over real sockets on loopback. All endpoints here listen outside of
//! the ports that a start greets, so that nobody is found but by a contact.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use motet::{AskError, Builder, Delivery, Endpoint, Event, OpenError, Scope};

/// A directory of its own, removed when dropped.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("motet-entry-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn builder(&self, name: &str) -> Builder {
        let builder = Endpoint::builder().name(name).state_dir(self.0.join("state"));
        let anywhere = "127.0.0.1:0".parse().expect("an address");
        builder.scope(Scope::Host).multicast_off().listen(anywhere).remember_peers(false)
    }

    async fn open(&self, name: &str, peers: &[String]) -> Endpoint {
        let builder = peers.iter().fold(self.builder(name), Builder::peer);
        builder.open().await.expect("it opens")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Generous: only a broken machine or program reaches it.
const LIMIT: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it ends in time")
}

fn contact(endpoint: &Endpoint) -> String {
    endpoint.local_addr().to_string()
}

/// Waits until `endpoint` has met all these.
async fn meets(endpoint: &Endpoint, names: &[&str]) {
    let mut events = endpoint.events();
    let mut missing: Vec<&str> = names.to_vec();
    within(async {
        while !missing.is_empty() {
            if let Some(Event::PeerUp { name, .. }) = events.next().await {
                missing.retain(|wanted| **wanted != *name);
            }
        }
    })
    .await;
}

/// Waits for trouble with a contact: whose, and what.
async fn trouble(endpoint: &Endpoint) -> (String, String) {
    let mut events = endpoint.events();
    within(async {
        loop {
            if let Some(Event::ContactFailed { contact, reason }) = events.next().await {
                return (contact.to_string(), reason.to_string());
            }
        }
    })
    .await
}

fn counted(endpoint: &Endpoint, name: &str) -> u64 {
    let counters = endpoint.snapshot().counters;
    counters.iter().find(|counter| counter.name == name).expect("a counter").value
}

// GL-19
#[tokio::test]
async fn gl_19_one_contact_brings_all_together_and_carries_none_of_their_messages() {
    let place = Place::new();
    let seed = place.builder("contact").role_bootstrap().open().await.expect("it opens");
    let peers = [contact(&seed)];
    let (a, b, c) =
        tokio::join!(place.open("a", &peers), place.open("b", &peers), place.open("c", &peers));
    tokio::join!(meets(&a, &["b", "c"]), meets(&b, &["a", "c"]), meets(&c, &["a", "b"]));

    let mut reader = within(b.subscriber("words")).await.unwrap();
    let writer = a.publisher("words").await.unwrap();
    writer.wait_readers(1, LIMIT).await.unwrap();
    let mut read = async |n: u32| {
        writer.publish(n.to_string()).await.unwrap();
        match within(reader.next()).await {
            Some(Delivery::Message(message)) => {
                assert_eq!(message.payload(), n.to_string().as_bytes());
            }
            other => panic!("a message, not {other:?}"),
        }
    };
    for n in 0..100 {
        read(n).await;
    }
    assert_eq!((counted(&seed, "messages_sent"), counted(&seed, "messages_delivered")), (0, 0));
    let dials = counted(&a, "dials") + counted(&b, "dials") + counted(&c, "dials");
    assert!(dials <= 9, "{dials} dials for six pairs");

    assert!(seed.close(LIMIT).await.is_empty());
    read(100).await;
    let mut names: Vec<String> = a.peers().into_iter().map(|peer| peer.name).collect();
    names.sort();
    assert_eq!(names, ["b", "c"]);
}

#[tokio::test]
async fn a_name_is_looked_up_and_one_without_an_address_stops_nobody() {
    let place = Place::new();
    let a = place.open("a", &[]).await;
    let port = a.local_addr().port();

    let b = place.open("b", &[format!("localhost:{port}"), "nowhere.invalid".into()]).await;

    meets(&b, &["a"]).await;
    let (who, why) = trouble(&b).await;
    assert!(who.contains("nowhere.invalid") && why.contains("check the name"), "{who}: {why}");
}

#[tokio::test]
async fn a_peers_file_is_read_again_when_it_changes_and_a_bad_line_changes_nothing() {
    let place = Place::new();
    let (a, c) = (place.open("a", &[]).await, place.open("c", &[]).await);
    let file = place.0.join("peers");
    let write = |text: String| {
        // As an editor does it: never seen half written.
        let draft = place.0.join("peers.new");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, &file).unwrap();
    };
    let shown = format!("@{}", file.display());

    let missing = place.builder("b").peer(&shown).open().await.expect_err("there is none");
    assert!(missing.to_string().contains("make it, or leave out"), "{missing}");
    write(format!("# the plant\n{}\ntwo words\n", contact(&a)));
    let refused = place.builder("b").peer(&shown).open().await.expect_err("line 3 is wrong");
    assert!(matches!(refused, OpenError::PeersFile { .. }));
    let refused = refused.to_string();
    let parts = [&*file.display().to_string(), "line 3", "two words", "HOST:PORT"];
    assert!(parts.iter().all(|part| refused.contains(part)), "{refused}");

    write(format!("# the plant\n{}  # the press\n", contact(&a)));
    let b = place.open("b", &[shown]).await;
    meets(&b, &["a"]).await;
    write("udp/\n".into());
    let (who, why) = trouble(&b).await;
    assert!(who.contains("line 1") && why.contains("kept"), "{who}: {why}");
    write(format!("{}\n", contact(&c)));
    meets(&b, &["c"]).await;
    assert_eq!(b.peers().len(), 2, "whoever was found stays");
}

fn memory(place: &Place) -> PathBuf {
    place.0.join("state/peers/default.peers")
}

async fn remembering(place: &Place, name: &str, peers: &[String]) -> Endpoint {
    let builder = peers.iter().fold(place.builder(name), Builder::peer);
    builder.remember_peers(true).open().await.expect("it opens")
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).expect("a file").lines().map(str::to_owned).collect()
}

// RC-13: the part about peers.
#[tokio::test]
async fn rc_13_peers_are_remembered_and_found_again_with_the_contact_gone() {
    let place = Place::new();
    let seed = place.open("contact", &[]).await;
    let b = place.open("b", &[contact(&seed)]).await;
    let a = remembering(&place, "a", &[contact(&seed)]).await;
    meets(&a, &["contact", "b"]).await;
    assert!(within(a.close(LIMIT)).await.is_empty());

    let path = memory(&place);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    assert_eq!(lines(&path).len(), 4, "a head, two peers, a check");
    assert!(within(seed.close(LIMIT)).await.is_empty());
    let a = remembering(&place, "a", &[]).await;
    meets(&a, &["b"]).await;

    // Those who are found again stay, written down anew at the end.
    assert!(within(a.close(LIMIT)).await.is_empty());
    assert!(lines(&path)[1].starts_with(&contact(&b)), "{:?}", lines(&path));
}

#[tokio::test]
async fn damaged_memory_is_told_of_ignored_and_made_anew() {
    let place = Place::new();
    let b = place.open("b", &[]).await;
    let a = remembering(&place, "a", &[contact(&b)]).await;
    meets(&a, &["b"]).await;
    assert!(within(a.close(LIMIT)).await.is_empty());
    let path = memory(&place);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();

    let a = remembering(&place, "a", &[]).await;
    let (who, why) = trouble(&a).await;
    assert!(who.contains("default.peers") && why.contains("damaged"), "{who}: {why}");
    assert!(a.settled().await && a.peers().is_empty(), "nothing of it was used");
    a.add_peer(b.local_addr());
    meets(&a, &["b"]).await;
    assert!(within(a.close(LIMIT)).await.is_empty());
    assert_eq!(lines(&path).len(), 3);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let a = remembering(&place, "a", &[]).await;
    let (_, why) = trouble(&a).await;
    assert!(why.contains("others may read") && why.contains("ignored"), "{why}");
}

#[tokio::test]
async fn a_round_trip_is_measured_by_one_to_another_and_its_refusals_say_why() {
    let place = Place::new();
    let a = place.open("a", &[]).await;
    let b = place.open("b", &[contact(&a)]).await;
    let c = place.open("c", &[contact(&a)]).await;
    meets(&c, &["a", "b"]).await;
    meets(&b, &["a", "c"]).await;

    for (from, to) in [("a", "b"), ("b", "a"), ("c", "a"), ("b", "c")] {
        let report = within(c.round_trip(from, to, LIMIT)).await.unwrap();
        assert_eq!((report.samples + report.lost, report.trouble.as_str()), (5, ""));
        let order = [0.0, report.min_seconds, report.median_seconds, report.max_seconds];
        assert!(order.is_sorted() && order[3] < 1.0 && order[3] > 0.0, "{report:?}");
    }
    let same = within(c.round_trip("a", "a", LIMIT)).await.unwrap_err();
    assert!(same.to_string().contains("name two"), "{same}");
    let nobody = within(c.round_trip("a", "x", Duration::from_millis(200))).await.unwrap_err();
    assert!(matches!(nobody, AskError::NotFound { .. }));
}

#[tokio::test]
async fn tags_are_told_to_whoever_asks_and_checked_before_that() {
    let place = Place::new();
    let a = place.builder("a").tag("site", "north").tag("line", "7").open().await.unwrap();
    let b = place.open("b", &[contact(&a)]).await;
    let asked = within(b.ask("a", motet::What::Endpoint, LIMIT)).await.unwrap();
    let motet::Answer::Endpoint(report) = asked else { panic!("{asked:?}") };
    let tags: Vec<(&str, &str)> = report.tags.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(tags, [("line", "7"), ("site", "north")]);
    let wrong = place.builder("c").tag("two words", "x").open().await.unwrap_err();
    assert!(matches!(wrong, OpenError::Tag { .. }) && wrong.to_string().contains("1 to 32"));
}
