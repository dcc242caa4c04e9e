//! TCP: one write per message, large reads.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use bench_harness::{Args, Outcome, PROBE, Reader, Writer};

pub(crate) fn publish(args: &Args) -> Outcome {
    let listener = TcpListener::bind((args.host(), args.port()?))?;
    let mut writer = Writer::new(args)?;
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    stream.write_all(PROBE)?;
    while !writer.started() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let payload = writer.payload().to_vec();
    while !writer.stopped() {
        stream.write_all(&payload)?;
        writer.sent();
    }
    writer.done();
    Ok(())
}

pub(crate) fn subscribe(args: &Args) -> Outcome {
    let mut stream = TcpStream::connect((args.host(), args.port()?))?;
    let reader = Reader::new(args)?;
    let (size, mut buffer, mut bytes) = (args.size()?, vec![0; 256 << 10], 0);
    stream.read_exact(&mut buffer[..PROBE.len()])?;
    reader.received(PROBE.len());
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            reader.wait();
        }
        bytes += length;
        reader.received_many((bytes / size) as u64);
        bytes %= size;
    }
}
