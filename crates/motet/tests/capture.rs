//! What somebody who sees every datagram of two endpoints can read of it: nothing.

use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use motet::{Delivery, Endpoint, Scope};

const LIMIT: Duration = Duration::from_secs(20);
/// Where the reader listens.
const READER: &str = "127.0.0.1:47911";

/// Hands datagrams on between whoever speaks to it and the reader; tells each of them.
fn wire() -> (String, Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let (seen, captured) = channel();
    std::thread::spawn(move || {
        let reader = READER.parse().unwrap();
        let (mut other, mut datagram) = (None, vec![0; 1 << 16]);
        while let Ok((len, from)) = socket.recv_from(&mut datagram) {
            if from != reader {
                other = Some(from);
            }
            if let Some(to) = if from == reader { other } else { Some(reader) } {
                let _ = socket.send_to(&datagram[..len], to);
            }
            if seen.send(datagram[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    (address, captured)
}

// PB-2: what an interface's capture shows of real hosts is `cargo xtask lab capture`.
#[tokio::test]
async fn pb_2_a_capture_shows_no_name_no_topic_and_no_body() {
    let state = std::env::temp_dir().join(format!("motet-capture-{}", std::process::id()));
    let (wire, captured) = wire();
    let builder = |name: &str| {
        let builder = Endpoint::builder().name(name).realm("secret-realm");
        builder.state_dir(&state).scope(Scope::Host).multicast_off()
    };
    let reader = builder("secret-reader").listen(READER.parse().unwrap()).open().await.unwrap();
    let mut words = reader.subscriber("secret-topic/*").await.unwrap();
    let writer = builder("secret-writer").peer(wire).open().await.unwrap();
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
