//! One copy per message, in one thread. The publisher only keeps time with the reader, which copies.

use std::hint::black_box;
use std::time::Duration;

use bench_harness::{Args, Outcome, PROBE, Reader, Writer};

/// Beyond the caches of most machines.
const AREA: usize = 64 << 20;

pub(crate) fn publish(args: &Args) -> Outcome {
    let mut writer = Writer::new(args)?;
    while !writer.stopped() {
        std::thread::sleep(Duration::from_millis(1));
        if writer.started() {
            writer.sent();
        }
    }
    writer.done();
    Ok(())
}

pub(crate) fn subscribe(args: &Args) -> Outcome {
    let reader = Reader::new(args)?;
    let (size, from, mut to) = (args.size()?, vec![0x5a_u8; AREA], vec![0_u8; AREA]);
    reader.received(PROBE.len());
    while !reader.stopped() {
        for (from, to) in from.chunks_exact(size).zip(to.chunks_exact_mut(size)) {
            to.copy_from_slice(black_box(from));
            reader.received_many(1);
        }
        black_box(&mut to);
    }
    Ok(())
}
