//! What somebody who sees every datagram of two endpoints can read of it: nothing.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use motet::{Delivery, Endpoint, Scope};

const LIMIT: Duration = Duration::from_secs(20);
/// Carries datagrams between a writer on IPv6 and a reader on IPv4, which have no other way to each
/// other; tells each of them. Its two addresses: for the writer, for the reader.
fn wire() -> ([SocketAddr; 2], Receiver<Vec<u8>>) {
    let ends =
        ["[::1]:0", "127.0.0.1:0"].map(|end| Arc::new(UdpSocket::bind(end).expect("it binds")));
    let places = [(); 2].map(|()| Arc::new(OnceLock::new()));
    let (seen, captured) = channel();
    for from in 0..2 {
        let (here, there) = (Arc::clone(&ends[from]), Arc::clone(&ends[1 - from]));
        let (who, whom) = (Arc::clone(&places[from]), Arc::clone(&places[1 - from]));
        let seen = seen.clone();
        std::thread::spawn(move || {
            let mut datagram = vec![0; 1 << 16];
            while let Ok((len, from)) = here.recv_from(&mut datagram) {
                let _ = who.set(from); // the first one stays
                if let Some(to) = whom.get() {
                    let _ = there.send_to(&datagram[..len], to);
                }
                if seen.send(datagram[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
    }
    (ends.map(|end| end.local_addr().expect("it is bound")), captured)
}

// PB-2: what an interface's capture shows of real hosts is `cargo xtask lab capture`.
#[tokio::test]
async fn pb_2_a_capture_shows_no_name_no_topic_and_no_body() {
    let state = std::env::temp_dir().join(format!("motet-capture-{}", std::process::id()));
    let ([to_reader, to_writer], captured) = wire();
    let builder = |name: &str| {
        let builder = Endpoint::builder().name(name).realm("secret-realm");
        builder.state_dir(&state).scope(Scope::Host).multicast_off()
    };
    let reader = builder("secret-reader").listen("127.0.0.1:0".parse().unwrap());
    let reader = reader.peer(to_writer.to_string()).open().await.unwrap();
    let mut words = reader.subscriber("secret-topic/*").await.unwrap();
    let writer = builder("secret-writer").listen("[::1]:0".parse().unwrap());
    let writer = writer.peer(to_reader.to_string()).open().await.unwrap();
    let topic = writer.publisher("secret-topic/one").await.unwrap();
    tokio::time::timeout(LIMIT, topic.wait_readers(1, LIMIT)).await.unwrap().unwrap();
    for _ in 0..100 {
        topic.publish("secret-body ".repeat(20)).await.unwrap();
    }
    for _ in 0..100 {
        let word = tokio::time::timeout(LIMIT, words.next()).await.unwrap();
        assert!(matches!(word, Some(Delivery::Message(_))), "{word:?}");
    }
    let _ = writer.close(LIMIT).await;
    let _ = reader.close(LIMIT).await;
    let _ = std::fs::remove_dir_all(&state);

    let captured: Vec<Vec<u8>> = captured.try_iter().collect();
    // All 24,000 bytes passed here, and the beacons that opened the way.
    let bytes: usize = captured.iter().map(Vec::len).sum();
    assert!(bytes > 24_000, "{bytes} bytes in {} datagrams", captured.len());
    for datagram in &captured {
        let clear = datagram.windows(6).any(|six| six == b"secret");
        assert!(!clear, "{}", String::from_utf8_lossy(datagram));
    }
}
