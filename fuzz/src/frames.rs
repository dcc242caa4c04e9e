//! Frames of a plaintext.

use motet_wire::frame::{Frame, NakBuilder, NakItem};
use motet_wire::{Frames, Malformed};

/// Each accepted frame is written again and says the same; an error is the last word.
pub fn frames(data: &[u8]) {
    let (mut ended, mut bytes) = (false, 0);
    for frame in Frames::new(data) {
        assert!(!ended, "a frame after an error");
        match frame {
            Ok(frame) => bytes += check(&frame),
            Err(_) => ended = true,
        }
    }
    assert!(ended || bytes <= data.len(), "written shorter than read");
}

/// The length that the frame has when written.
fn check(frame: &Frame<'_>) -> usize {
    let mut out = Vec::new();
    frame.encode(&mut out);
    let again: Vec<Result<Frame<'_>, Malformed>> = Frames::new(&out).collect();
    assert_eq!(again, [Ok(frame.clone())]);
    match frame {
        Frame::Ack(ack) | Frame::LaneAck { ack, .. } => {
            let mut below = None;
            for range in ack.ranges() {
                assert!(range.start() <= range.end());
                assert!(below.is_none_or(|low| *range.end() + 1 < low), "ranges touch");
                below = Some(*range.start());
            }
        }
        Frame::Msgs { bodies, .. } => assert_eq!(bodies.clone().count(), bodies.len()),
        Frame::LaneHb { items, .. } => assert_eq!(items.clone().count(), items.len()),
        Frame::Nak { stream, items } | Frame::Ncf { stream, items } => {
            let mut builder = NakBuilder::new();
            let items: Vec<NakItem> = items.clone().collect();
            let mut push = |item: &NakItem| match *item {
                NakItem::Range { seq, count } => builder.push_range(seq, count),
                NakItem::Bytes { seq, off, len } => builder.push_bytes(seq, off, len),
            };
            if items.iter().all(&mut push) {
                let mut out = Vec::new();
                builder.encode(*stream, false, &mut out);
                assert_eq!(out.len(), builder.encoded_len(*stream));
                let Some(Ok(Frame::Nak { items: again, .. })) = Frames::new(&out).next() else {
                    panic!("a built NAK is refused");
                };
                assert_eq!(again.collect::<Vec<_>>(), items);
            }
        }
        _ => {}
    }
    out.len()
}
