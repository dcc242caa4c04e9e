//! The rows of the tables of logs, cursors and readers, one by one, with what they cost.

use super::blocks::Blocks;
use super::cursor::{Cursor, Piece, Progress, Rejected, Space};
use super::log::Log;
use super::model::{MS, Parts, Setup, World};
use super::reader::{Arrival, ReadQos, Reader, Refuse};
use super::*;
use crate::Time;
use motet_wire::frame::{Frame, Frames, NakItem};

const RTT: RttView = RttView { srtt: Duration::from_millis(2), var: Duration::ZERO };
const SECOND: Time = Time(1_000_000_000);
const FULL: Space = Space { room: 1_000, empty: true, backlog: false };

fn at(now: Time) -> Arrival {
    Arrival::by_session(now, now.0, false)
}

/// A reader with memory, whose subscriber always has room.
struct Desk {
    reader: Reader<Parts>,
    pool: Pool,
    share: Share,
    now: Time,
}

impl Desk {
    fn new(qos: ReadQos) -> Self {
        let (pool, share) = (Pool::new(1 << 20), Share::new(1 << 20));
        let mut reader = Reader::new(1, qos);
        reader.set_rtt(RTT);
        Self { reader, pool, share, now: Time::ZERO }
    }

    fn fifo() -> Self {
        Self::new(ReadQos { reliable: true, order: Order::Fifo, max_message: 10 << 20 })
    }

    fn drained(&mut self, first: Option<Item>) -> Vec<String> {
        let mut budget = Budget { pool: &mut self.pool, share: &mut self.share };
        let mut items: Vec<_> = first.into_iter().collect();
        while let Some(item) = self.reader.take(self.now, &mut budget) {
            items.push(item);
        }
        self.reader.check().unwrap();
        let name = |item| match item {
            Item::Message { seq, .. } => format!("{seq}"),
            Item::Missed { from, n, reason } => format!("{from}+{n} {reason:?}"),
        };
        items.into_iter().map(name).collect()
    }

    fn message(&mut self, seq: u64) -> Vec<String> {
        let mut budget = Budget { pool: &mut self.pool, share: &mut self.share };
        let body = Bytes::from_static(b"words");
        let item = self.reader.on_message(at(self.now), seq, 0, body, true, &mut budget).unwrap();
        self.drained(item)
    }

    fn piece(&mut self, seq: u64, total: u64, off: u64, len: usize) -> Vec<String> {
        let mut budget = Budget { pool: &mut self.pool, share: &mut self.share };
        let body = vec![1; len];
        self.reader.on_fragment(at(self.now), seq, 0, total, off, &body, &mut budget).unwrap();
        self.drained(None)
    }

    fn gap(&mut self, from: u64, count: u64, reason: GapReason) -> Vec<String> {
        let mut budget = Budget { pool: &mut self.pool, share: &mut self.share };
        self.reader.on_gap(at(self.now), from, count, reason, &mut budget);
        self.drained(None)
    }

    fn beat(&mut self, next_seq: u64) {
        self.reader.on_heartbeat(at(self.now), 1, next_seq, true, false, false);
        self.reader.check().unwrap();
    }

    fn naks(&mut self) -> Vec<NakItem> {
        let mut items = Vec::new();
        self.reader.naks(self.now, 0, |item| items.push(item));
        items
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }
}

fn range(seq: u64, count: u64) -> NakItem {
    NakItem::Range { seq, count }
}

fn log_of(lens: &[usize]) -> Log {
    let mut log = Log::new(1);
    for len in lens {
        log.push(vec![7; *len].into(), 0, 0);
    }
    log
}

fn pieces(cursor: &mut Cursor, log: &Log, now: Time, space: Space) -> Vec<Piece> {
    core::iter::from_fn(|| cursor.next_piece(log, now, &RTT, space)).collect()
}

#[test] // T-16
fn a_message_next_in_line_is_delivered_at_once_with_all_that_it_frees() {
    let mut desk = Desk::fifo();
    assert_eq!(desk.message(1), ["1"]);
    assert_eq!(desk.message(3), [""; 0]);
    assert_eq!(desk.message(4), [""; 0]);
    assert_eq!(desk.message(2), ["2", "3", "4"]);
    assert_eq!((desk.pool.used(), desk.reader.nak_deadline(0)), (0, None));
}

#[test] // T-20, T-22
pub(super) fn a_hole_is_asked_for_again_until_it_is_filled() {
    let mut desk = Desk::fifo();
    desk.message(4);
    assert_eq!(desk.naks(), [], "it may be mere reordering");
    let mut asked = 0;
    for _ in 0..100 {
        desk.wait(MS * 100);
        desk.message(4);
        asked += desk.naks().len();
    }
    assert!((10..40).contains(&asked), "asked {asked} times in 10 s");
}

#[test] // T-18
pub(super) fn a_message_held_already_is_a_duplicate() {
    let mut desk = Desk::fifo();
    desk.message(2);
    desk.message(2);
    assert_eq!(desk.message(1), ["1", "2"]);
    assert_eq!(desk.message(1), [""; 0]);
    assert_eq!(desk.reader.counts.duplicates, 2);

    let mut desk = Desk::new(ReadQos { order: Order::Unordered, ..Setup::clean(1, 1).qos });
    assert_eq!(desk.message(3), ["3"]);
    assert_eq!(desk.message(3), [""; 0], "delivered already");
}

#[test] // T-17
pub(super) fn a_message_at_the_edge_of_the_window_is_dropped_and_the_one_before_held() {
    let mut desk = Desk::fifo();
    desk.message(1 + WINDOW_MSGS);
    assert_eq!((desk.reader.counts.overruns, desk.reader.high()), (1, 1));
    desk.message(WINDOW_MSGS);
    assert_eq!((desk.reader.counts.overruns, desk.reader.high()), (1, 1 + WINDOW_MSGS));
}

#[test] // T-17
fn the_4097th_hole_is_dropped_and_fits_once_others_are_filled() {
    let mut desk = Desk::fifo();
    for n in 0..GAPS_MAX as u64 + 10 {
        desk.message(2 + 2 * n);
    }
    assert_eq!(desk.reader.counts.overruns, 10);
    desk.message(1);
    desk.message(2 + 2 * GAPS_MAX as u64);
    assert_eq!(desk.reader.counts.overruns, 10);
}

#[test] // T-28
pub(super) fn a_gap_is_missed_in_its_place_and_what_is_held_inside_it_is_delivered() {
    let mut desk = Desk::fifo();
    desk.message(4);
    assert_eq!(desk.gap(2, 5, GapReason::Evicted), [""; 0]);
    assert_eq!(desk.message(1), ["1", "2+2 Evicted", "4", "5+2 Evicted"]);
    assert_eq!(desk.message(7), ["7"]);
}

#[test] // T-19
fn best_effort_delivers_what_is_newest_and_tells_what_was_lost() {
    let mut desk = Desk::new(ReadQos { reliable: false, ..Setup::clean(1, 1).qos });
    assert_eq!(desk.message(1), ["1"]);
    assert_eq!(desk.message(4), ["2+2 Lost", "4"]);
    assert_eq!(desk.message(3), [""; 0]);
    assert_eq!((desk.naks(), desk.reader.status_deadline()), (vec![], None));
    desk.piece(5, 100, 0, 50);
    assert_eq!(desk.message(6), ["5+1 Lost", "6"]);
    assert_eq!(desk.pool.used(), 0);
    for seq in 7..20 {
        desk.piece(seq, 100, 0, 50);
    }
    assert!(desk.pool.used() <= 4 * 400, "at most four half messages are kept");
}

#[test]
fn latest_drops_what_is_older_and_asks_only_for_what_may_be_newer() {
    let mut desk = Desk::new(ReadQos { order: Order::Latest, ..Setup::clean(1, 1).qos });
    assert_eq!(desk.message(5), ["1+4 Conflated", "5"]);
    assert_eq!(desk.message(4), [""; 0]);
    desk.beat(7);
    desk.wait(MS * 20);
    assert_eq!(desk.naks(), [range(6, 1)]);
}

#[test] // T-43
fn a_heartbeat_reveals_a_lost_tail_and_takes_back_what_was_never_sent() {
    let mut desk = Desk::fifo();
    desk.beat(4);
    assert_eq!(desk.reader.status_deadline(), Some(Time::ZERO), "it asked for an answer");
    desk.wait(MS);
    assert_eq!(desk.naks(), [range(1, 3)]);
    desk.beat(2);
    desk.wait(SECOND.since(Time::ZERO));
    assert_eq!(desk.naks(), [range(1, 1)]);
    desk.beat(u64::MAX >> 2);
    assert_eq!(desk.reader.high(), 1 + WINDOW_MSGS);
}

#[test] // P5, T-24
pub(super) fn missing_bytes_are_asked_for_as_bytes() {
    let mut desk = Desk::fifo();
    desk.piece(1, 1_000, 0, 100);
    assert_eq!(desk.reader.nak_deadline(0), None, "the rest is not known to be sent");
    desk.piece(1, 1_000, 200, 100);
    desk.wait(MS);
    assert_eq!(desk.naks(), [NakItem::Bytes { seq: 1, off: 100, len: 100 }]);
    desk.message(2);
    desk.wait(MS);
    assert_eq!(desk.naks(), [NakItem::Bytes { seq: 1, off: 300, len: 0 }]);
    desk.piece(1, 1_000, 100, 50);
    desk.wait(SECOND.since(Time::ZERO));
    let rest = [(150, 50), (300, 0)].map(|(off, len)| NakItem::Bytes { seq: 1, off, len });
    assert_eq!(desk.naks(), rest);
    assert_eq!(desk.piece(1, 1_000, 0, 1_000), ["1", "2"]);
    assert_eq!(desk.pool.used(), 0);
}

#[test] // T-29, F-4
fn pieces_that_contradict_each_other_or_are_too_many_are_refused() {
    let mut desk = Desk::fifo();
    desk.piece(1, 1_000, 0, 100);
    let Desk { reader, pool, share, .. } = &mut desk;
    let mut budget = Budget { pool, share };
    let now = at(Time::ZERO);
    let mut piece = |total, off| reader.on_fragment(now, 1, 0, total, off, &[1], &mut budget);
    assert_eq!(piece(999, 0), Err(Refuse::Broken));
    assert_eq!(piece(1_000, 1_000), Err(Refuse::Broken));
    assert_eq!(piece(1_000, u64::MAX), Err(Refuse::Broken));
    assert_eq!(piece(11 << 20, 0), Err(Refuse::TooLarge { limit: 10 << 20 }));
}

#[test] // P23, F-6, T-50
fn abandoned_pieces_are_bounded_and_freed_with_the_stream() {
    let mut desk = Desk::fifo();
    for seq in 2..100_000 {
        let mut budget = Budget { pool: &mut desk.pool, share: &mut desk.share };
        let now = at(desk.now);
        desk.reader.on_fragment(now, seq, 0, 60_000, 0, &[1], &mut budget).unwrap();
    }
    assert!(desk.pool.used() <= (1 << 20) + (64 << 10), "{}", desk.pool.used());
    assert!(desk.reader.counts.overruns > 99_000);
    assert_eq!(desk.message(1), ["1"]);
    let mut budget = Budget { pool: &mut desk.pool, share: &mut desk.share };
    desk.reader.release(&mut budget);
    assert_eq!((desk.pool.used(), desk.share.used()), (0, 0));
}

#[test] // T-50
fn the_message_next_in_line_is_taken_even_when_memory_is_full() {
    let mut desk = Desk::fifo();
    for seq in 2..40 {
        desk.piece(seq, 60_000, 0, 1);
    }
    let before = desk.reader.counts.overruns;
    assert!(before > 0);
    for off in 0..18 {
        desk.piece(1, 900_000, off * 50_000, 50_000);
    }
    assert_eq!((desk.reader.next(), desk.reader.counts.overruns), (2, before));
}

#[test] // T-11, T-12
fn small_messages_share_a_frame_and_larger_ones_are_split_only_with_backlog() {
    let log = log_of(&[10, 10, 10, 600, 900, 2_000]);
    let mut cursor = Cursor::new(&log, 7, 1, 1 << 20, true);
    let whole = |seq, count| Some(Piece::Whole { seq, count, repair: false });
    assert_eq!(cursor.next_piece(&log, SECOND, &RTT, FULL), whole(1, 4));
    let rest = Space { room: 300, empty: false, backlog: false };
    assert_eq!(cursor.next_piece(&log, SECOND, &RTT, rest), None);
    let backlog = Space { backlog: true, ..rest };
    let piece = cursor.next_piece(&log, SECOND, &RTT, backlog);
    assert!(matches!(piece, Some(Piece::Fragment { seq: 5, off: 0, len: 256.., .. })), "{piece:?}");
    let piece = cursor.next_piece(&log, SECOND, &RTT, FULL);
    assert!(matches!(piece, Some(Piece::Fragment { seq: 5, .. })), "{piece:?}");
    assert_eq!(pieces(&mut cursor, &log, SECOND, FULL).len(), 3);
    assert_eq!(cursor.next(), 7);
}

#[test] // P12, T-33
pub(super) fn a_status_that_breaks_a_bound_changes_nothing() {
    let log = log_of(&[10, 10, 5_000]);
    let mut cursor = Cursor::new(&log, 7, 1, 150, true);
    pieces(&mut cursor, &log, SECOND, FULL);
    assert_eq!((cursor.next(), cursor.blocked(&log)), (3, true));
    let mut status = |seq, off, window| cursor.on_status(&log, SECOND, &RTT, seq, off, window);
    assert_eq!(status(4, 0, 0), Err(Rejected));
    assert_eq!(status(u64::MAX, u64::MAX, 1), Err(Rejected));
    assert_eq!(status(2, 10, 1), Err(Rejected));
    assert_eq!(status(2, 0, (1 << 30) + 1), Err(Rejected));
    assert_eq!(status(2, 0, 1 << 20).map(|p| (p.advanced, p.opened)), Ok((true, true)));
    assert_eq!(status(1, 0, 0), Ok(Progress { stale: true, ..Progress::default() }));
    assert_eq!((cursor.acked(), cursor.counts.status_rejected), (2, 4));
}

#[test] // P4, P11, T-25
fn a_range_repaired_a_moment_ago_is_not_repaired_again_but_the_one_beside_it_is() {
    let log = log_of(&[10, 10, 10, 3_000]);
    let mut cursor = Cursor::new(&log, 7, 1, 1 << 20, true);
    pieces(&mut cursor, &log, SECOND, FULL);
    let whole = |seq, count| Piece::Whole { seq, count, repair: true };
    let mut nak = |now: Time, items: &[NakItem]| {
        cursor.on_nak(&log, now, &RTT, items.iter().copied());
        pieces(&mut cursor, &log, now, FULL)
    };
    assert_eq!(nak(SECOND, &[range(1, 1)]), [whole(1, 1)]);
    assert_eq!(nak(SECOND + MS, &[range(1, 2)]), [whole(2, 1)]);
    assert_eq!(nak(SECOND + MS * 3, &[range(1, 1)]), [whole(1, 1)]);
    let bytes = |off, len| NakItem::Bytes { seq: 4, off, len };
    let fragment = |off, len| Piece::Fragment { seq: 4, off, len, total: 3_000, repair: true };
    assert_eq!(nak(SECOND + MS * 10, &[bytes(100, 50)]), [fragment(100, 50)]);
    assert_eq!(nak(SECOND + MS * 10, &[bytes(50, 150)]), [fragment(50, 50), fragment(150, 50)]);
    assert_eq!(nak(SECOND + MS * 20, &[bytes(2_990, 0)]), [fragment(2_990, 10)]);
}

#[test] // T-26
fn a_nak_for_what_was_never_sent_is_answered_by_a_heartbeat() {
    let log = log_of(&[10, 10]);
    let mut cursor = Cursor::new(&log, 7, 1, 64, true);
    pieces(&mut cursor, &log, SECOND, FULL);
    cursor.on_nak(&log, SECOND, &RTT, [range(9, 3)].into_iter());
    let beat = cursor.heartbeat(&log, SECOND).unwrap();
    assert_eq!((beat.next_seq, beat.blocked), (2, true), "it speaks of what was sent only");
}

#[test] // P2, P3, T-40, T-42
pub(super) fn the_writer_speaks_last_ever_more_seldom_but_each_second_until_all_is_acknowledged() {
    let log = log_of(&[10]);
    let mut cursor = Cursor::new(&log, 7, 1, 1 << 20, true);
    pieces(&mut cursor, &log, Time::ZERO, FULL);
    let mut beats = Vec::new();
    while let Some(due) = cursor.deadline().filter(|due| *due < Time(5_000_000_000)) {
        beats.extend(cursor.heartbeat(&log, due).map(|_| due.0 / 1_000_000));
    }
    assert_eq!(beats, [8, 24, 56, 120, 248, 504, 1_016, 2_016, 3_016, 4_016]);
    cursor.on_status(&log, SECOND, &RTT, 2, 0, 1 << 20).unwrap();
    assert_eq!(cursor.deadline(), None);
}

#[test] // P16, T-34, T-41
fn a_closed_window_is_asked_about() {
    let log = log_of(&[10]);
    let mut cursor = Cursor::new(&log, 7, 1, 0, true);
    assert!(cursor.blocked(&log) && !cursor.has_work(&log));
    cursor.arm(&log, Time::ZERO);
    let mut beats = Vec::new();
    while let Some(due) = cursor.deadline().filter(|due| *due < Time(3_000_000_000)) {
        assert!(cursor.heartbeat(&log, due).unwrap().blocked);
        beats.push(due.0 / 1_000_000);
    }
    assert_eq!(beats, [100, 300, 700, 1_500, 2_500]);
    cursor.on_status(&log, SECOND, &RTT, 1, 0, 1).unwrap();
    assert_eq!(pieces(&mut cursor, &log, SECOND, FULL).len(), 1, "a window permits one piece");
}

#[test] // T-31
fn a_log_that_moves_on_does_not_move_the_edge_of_a_window() {
    let mut log = log_of(&[10; 10]);
    let mut cursor = Cursor::new(&log, 7, 1, 10 * 64, true);
    pieces(&mut cursor, &log, SECOND, FULL);
    assert_eq!(cursor.next(), 11);
    for _ in 0..100 {
        // The oldest goes as the next one comes; the reader stands where it stood.
        log.push(Bytes::from_static(b"0123456789"), 0, 0);
        log.evict_front();
        let progress = cursor.on_status(&log, SECOND, &RTT, 3, 0, 8 * 64).unwrap();
        assert!(!progress.opened);
        for piece in pieces(&mut cursor, &log, SECOND, FULL) {
            assert!(matches!(piece, Piece::Gap { .. }), "{piece:?}");
        }
    }
    // It moved on by two of those that the log dropped, and grants what they had taken.
    let progress = cursor.on_status(&log, SECOND, &RTT, 5, 0, 8 * 64).unwrap();
    assert!(progress.advanced && progress.opened);
}

#[test] // T-27, T-29
fn a_refused_message_becomes_a_gap_and_an_evicted_one_too() {
    let mut log = log_of(&[10, 3_000, 10, 10]);
    let mut cursor = Cursor::new(&log, 7, 1, 1 << 20, true);
    cursor.next_piece(&log, SECOND, &RTT, FULL);
    cursor.next_piece(&log, SECOND, &RTT, FULL);
    cursor.refuse(2);
    let gap = |from, count, reason| Piece::Gap { from, count, reason };
    let piece = cursor.next_piece(&log, SECOND, &RTT, FULL);
    assert_eq!(piece, Some(gap(2, 1, GapReason::Refused)));
    (0..3).for_each(|_| assert!(log.evict_front().is_some()));
    let piece = cursor.next_piece(&log, SECOND, &RTT, FULL);
    assert_eq!(piece, Some(gap(3, 1, GapReason::Evicted)));
    cursor.on_nak(&log, SECOND, &RTT, [range(1, 3)].into_iter());
    assert_eq!(pieces(&mut cursor, &log, SECOND, FULL)[0], gap(1, 3, GapReason::Evicted));
}

#[test] // T-5
fn a_new_session_goes_on_where_the_reader_stands() {
    let log = log_of(&[10, 10, 3_000, 10]);
    let mut cursor = Cursor::new(&log, 7, 1, 1 << 20, true);
    pieces(&mut cursor, &log, SECOND, FULL);
    cursor.restart(&log, 2, 1 << 20);
    assert_eq!((cursor.next(), cursor.acked()), (2, 2));
    cursor.on_status(&log, SECOND, &RTT, 3, 1_500, 1 << 20).unwrap();
    let piece = cursor.next_piece(&log, SECOND, &RTT, FULL);
    assert!(matches!(piece, Some(Piece::Fragment { seq: 3, off: 1_500, .. })), "{piece:?}");
}

#[test] // T-14
pub(super) fn an_entry_is_kept_until_all_have_it_and_it_is_outside_of_the_history() {
    let mut log = log_of(&[10, 100, 10, 10]);
    assert_eq!((log.bytes(), log.pos(3), log.pos(99)), (64 * 3 + 100, 164, 64 * 3 + 100));
    log.trim(3, 1, 0, None);
    assert_eq!((log.first(), log.pos(1), log.pos(3)), (3, 164, 164));
    log.trim(5, 1, 0, None);
    assert_eq!((log.first(), log.next()), (4, 5));
    log.trim(5, 0, 0, None);
    assert!(log.is_empty());
}

#[test] // T-10, T-14
fn keys_keep_their_last_messages_and_conflation_takes_the_unsent_ones() {
    let mut log = Log::new(1);
    for key in [1, 2, 1, 1, 2, 3] {
        log.push(Bytes::from_static(b"v"), 0, key);
    }
    let held = |log: &Log| -> Vec<u64> {
        (1..log.next()).filter(|n| log.get(*n).is_some_and(|e| e.gone.is_none())).collect()
    };
    assert_eq!((log.conflate(1, 3, 4), held(&log)), (1, vec![1, 2, 4, 5, 6]));
    log.trim(2, 1, 0, None);
    assert_eq!(held(&log), [2, 4, 5, 6], "2 is not acknowledged by all");
    log.trim(7, 1, 0, None);
    assert_eq!((held(&log), log.first()), (vec![4, 5, 6], 4));
}

#[test] // T-10, T-27
fn what_outlived_its_lifespan_is_gone_even_if_unsent() {
    let mut log = Log::new(1);
    for t_us in [0, 500, 900] {
        log.push(Bytes::from_static(b"v"), t_us, 0);
    }
    assert_eq!(log.trim(1, 9, 1_000, Some(400)), 2);
    let mut cursor = Cursor::new(&log, 7, 1, 1 << 20, true);
    let piece = cursor.next_piece(&log, SECOND, &RTT, FULL);
    assert_eq!(piece, Some(Piece::Gap { from: 1, count: 2, reason: GapReason::Expired }));
}

#[test]
fn payload_blocks_are_used_again() {
    let mut blocks = Blocks::default();
    let mut kept = std::collections::VecDeque::new();
    let mut places = std::collections::BTreeSet::new();
    for n in 0..100_000_u32 {
        let bytes = blocks.copy(&[&n.to_le_bytes(), &[0; 60]]);
        places.insert(bytes.as_ptr() as usize >> 12);
        kept.push_back((n, bytes));
        if kept.len() > 100 {
            let (n, bytes): (u32, Bytes) = kept.pop_front().unwrap();
            assert_eq!(bytes[..4], n.to_le_bytes());
        }
    }
    assert!(places.len() < 100, "{} pages were touched", places.len());
}

/// Lets a burst of ten pass a clean pipe but for the packet that `lose` picks.
fn burst(max_len: u64, lose: impl FnMut(u64, &[u8]) -> bool + 'static) -> World {
    let mut world = World::new(Setup { every: Duration::ZERO, ..Setup::clean(10, max_len) });
    world.lose = Box::new(lose);
    assert!(world.run(SECOND), "not delivered after a second");
    assert_eq!(world.verify(), 0);
    world
}

#[test] // P2, T-40
pub(super) fn a_lost_last_packet_is_repaired_within_50_ms() {
    let world = burst(200, |n, _| n == 1);
    assert!(world.now < Time::ZERO + MS * 50, "{:?}", world.now);
    assert!(world.cursor.counts.heartbeats <= 2, "{:?}", world.cursor.counts);
}

#[test] // P5, T-24, T-25
pub(super) fn exactly_the_bytes_that_were_lost_are_sent_again() {
    let mut lost = 0;
    let world = burst(200_000, move |_, packet| {
        let frag = |frame| matches!(frame, Ok(Frame::Frag { off: 4_000..90_000, .. }));
        lost += u64::from(Frames::new(packet).any(frag));
        lost == 5
    });
    let counts = world.cursor.counts;
    assert!(counts.repair_bytes > 0 && counts.repair_bytes <= 2 * 1_472, "{counts:?}");
    assert_eq!(world.reader.counts.duplicates, 0);
}

#[test] // T-42
fn a_clean_pipe_costs_no_nak_no_repair_and_no_heartbeat() {
    let world = burst(200_000, |_, _| false);
    let (writer, reader) = (world.cursor.counts, world.reader.counts);
    assert_eq!((writer.repairs_sent, writer.heartbeats, writer.naks_ignored), (0, 0, 0));
    assert_eq!(reader, StreamCounts::default());
}

/// Each bug that can be planted here turns one of these red.
#[cfg(feature = "planted")]
#[test]
#[ignore = "arms bugs for the whole process: run it alone"]
fn every_planted_bug_is_found() {
    let cases: &[fn()] = &[
        a_hole_is_asked_for_again_until_it_is_filled,
        a_message_held_already_is_a_duplicate,
        a_message_at_the_edge_of_the_window_is_dropped_and_the_one_before_held,
        a_gap_is_missed_in_its_place_and_what_is_held_inside_it_is_delivered,
        missing_bytes_are_asked_for_as_bytes,
        a_status_that_breaks_a_bound_changes_nothing,
        the_writer_speaks_last_ever_more_seldom_but_each_second_until_all_is_acknowledged,
        an_entry_is_kept_until_all_have_it_and_it_is_outside_of_the_history,
        a_lost_last_packet_is_repaired_within_50_ms,
        exactly_the_bytes_that_were_lost_are_sent_again,
    ];
    for name in crate::planted::NAMES {
        assert!(crate::planted::arm(name));
        let found = cases.iter().filter(|case| std::panic::catch_unwind(*case).is_err()).count();
        crate::planted::disarm();
        assert!(found > 0, "{name} is not found");
    }
}
