//! Pieces on their own, at their limits: what no honest peer does, and what takes too long to come
//! about by chance.

use bytes::Bytes;
use motet_proto::Time;
use motet_proto::fragmentation::assembly::Assembly;
use motet_proto::transport::replay::{WINDOW, Window};
use motet_proto::transport::stream::cursor::{Cursor, Space};
use motet_proto::transport::stream::log::Log;
use motet_proto::transport::stream::reader::{Arrival, ReadQos, Reader};
use motet_proto::transport::stream::{Budget, Item, Order, Pool, RttView, Share, WINDOW_MSGS};
use motet_wire::frame::GapReason;

const QOS: ReadQos = ReadQos { reliable: true, order: Order::Fifo, max_message: 1 << 20 };
const AT: Arrival = Arrival { now: Time(1_000_000), pkt: 1, repair: false, lane: None };

/// T-34: nobody acknowledges what was not sent, nor grants what no window may be.
pub fn a_status_about_what_was_never_sent_is_refused() {
    let mut log = Log::new(1);
    for n in 0..10 {
        log.push(Bytes::from_static(b"word"), n, 0);
    }
    let mut cursor = Cursor::new(&log, 1, 1, 1 << 20, true);
    let rtt = RttView::default();
    let space = Space { room: 40, empty: true, backlog: false };
    assert!(cursor.next_piece(&log, AT.now, &rtt, space).is_some());
    let sent = cursor.next();
    assert!(sent < 10);

    assert!(cursor.on_status(&log, AT.now, &rtt, sent + 1, 0, 100).is_err());
    assert!(cursor.on_status(&log, AT.now, &rtt, sent, 0, u64::MAX).is_err());
    assert_eq!(cursor.acked(), 1, "nothing changed");
    assert!(cursor.on_status(&log, AT.now, &rtt, sent, 0, 100).is_ok());
}

/// T-30: the window in numbers is exact.
pub fn a_number_beyond_the_window_is_not_kept() {
    let (mut pool, mut share) = (Pool::new(1 << 20), Share::new(1 << 20));
    let mut budget = Budget { pool: &mut pool, share: &mut share };
    let mut reader: Reader<Assembly> = Reader::new(1, QOS);
    let word = || Bytes::from_static(b"word");
    let beyond = 1 + WINDOW_MSGS;
    assert!(reader.on_message(AT, beyond, 0, word(), true, &mut budget).is_ok());
    assert_eq!((reader.counts.overruns, reader.high()), (1, 1));
    assert!(reader.on_message(AT, beyond - 1, 0, word(), true, &mut budget).is_ok());
    assert_eq!((reader.counts.overruns, reader.high()), (1, beyond));
    reader.release(&mut budget);
}

/// T-28: a GAP says that nothing more comes, not that what came is void.
pub fn a_gap_leaves_what_has_arrived() {
    let (mut pool, mut share) = (Pool::new(1 << 20), Share::new(1 << 20));
    let mut budget = Budget { pool: &mut pool, share: &mut share };
    let mut reader: Reader<Assembly> = Reader::new(1, QOS);
    let taken = reader.on_message(AT, 2, 0, Bytes::from_static(b"two"), true, &mut budget);
    assert_eq!(taken, Ok(None));
    reader.on_gap(AT, 1, 3, GapReason::Evicted, &mut budget);
    let mut got = Vec::new();
    while let Some(item) = reader.take(AT.now, &mut budget) {
        got.push(match item {
            Item::Message { seq, .. } => (seq, 0),
            Item::Missed { from, n, .. } => (from, n),
        });
    }

    assert_eq!(got, [(1, 1), (2, 0), (3, 1)]);
}

/// What comes again is delivered once, in whatever order it came first.
pub fn a_message_that_comes_again_is_delivered_once() {
    for order in [Order::Fifo, Order::Unordered] {
        let (mut pool, mut share) = (Pool::new(1 << 20), Share::new(1 << 20));
        let mut budget = Budget { pool: &mut pool, share: &mut share };
        let mut reader: Reader<Assembly> = Reader::new(1, ReadQos { order, ..QOS });
        let mut got = Vec::new();
        for seq in [3, 3, 2, 3, 1, 2, 3] {
            let body = Bytes::from_static(b"word");
            let taken = reader.on_message(AT, seq, 0, body, true, &mut budget);
            got.extend(taken.ok().flatten());
            while let Some(item) = reader.take(AT.now, &mut budget) {
                got.push(item);
            }
        }
        assert_eq!(got.len(), 3, "{order:?}");
        assert_eq!(reader.counts.duplicates, 4, "{order:?}");
    }
}

/// S-11: the replay window is exact: what is older is not told apart, so it is not taken.
pub fn a_packet_older_than_the_replay_window_is_not_taken() {
    let mut window = Window::new();
    window.mark(0);
    window.mark(WINDOW + 9);

    assert!(window.check(10) && !window.check(9));
}
