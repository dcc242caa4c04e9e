//! ZeroMQ: libzmq through the crate `zmq`.
//!
//! Settings: the publisher is an XPUB socket with `ZMQ_XPUB_NODROP`, so that it blocks at the
//! high-water mark instead of dropping; the mark is 100,000 messages up to 1 KiB (with the default
//! of 1,000 both sides wait for each other), else the default. Round trips: a pair of PAIR sockets,
//! the cheapest pattern.
mod calls;
mod option;

use std::process::ExitCode;
use std::time::Duration;

use bench_harness::{Args, Echo, Idle, Outcome, PROBE, Reader, Role, Trips, Writer};
use zmq::{Context, Socket, SocketType};

fn main() -> ExitCode {
    bench_harness::run(|args| match args.role {
        Role::Publish => publish(&args),
        Role::Subscribe => subscribe(&args),
        Role::Ping => ping(&args),
        Role::Pong => pong(&args),
        Role::Idle => idle(&args),
        Role::Call => calls::call(&args),
        Role::Answer => calls::answer(&args),
        Role::Broker => calls::broker(&args),
        role => bench_harness::no_such_role(role),
    })
}

fn address(args: &Args) -> Outcome<String> {
    Ok(address_of(args, args.port()?))
}

/// The address that goes with a port.
fn address_of(args: &Args, port: u16) -> String {
    match args.text("variant") {
        "ipc" => format!("ipc://{}/zmq-{port}", args.directory().display()),
        _ => format!("tcp://{}:{port}", args.host()),
    }
}

fn socket(args: &Args, kind: SocketType) -> Outcome<Socket> {
    tuned(args, Context::new().socket(kind)?)
}

fn tuned(args: &Args, socket: Socket) -> Outcome<Socket> {
    if args.size()? <= 1024 {
        socket.set_sndhwm(100_000)?;
        socket.set_rcvhwm(100_000)?;
    }
    socket.set_linger(5_000)?;
    Ok(socket)
}

fn publish(args: &Args) -> Outcome {
    let context = Context::new();
    let socket = tuned(args, option::publisher(&context)?)?;
    socket.bind(&address(args)?)?;
    let mut writer = Writer::new(args)?;
    while !writer.started() {
        match socket.send(PROBE, zmq::DONTWAIT) {
            Ok(()) | Err(zmq::Error::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let payload = writer.payload().to_vec();
    while !writer.stopped() {
        socket.send(&payload[..], 0)?;
        writer.sent();
    }
    writer.done();
    // The context sends what is queued when the socket is closed.
    Ok(())
}

fn subscribe(args: &Args) -> Outcome {
    let socket = socket(args, zmq::SUB)?;
    socket.set_subscribe(b"")?;
    socket.connect(&address(args)?)?;
    let reader = Reader::new(args)?;
    let mut message = zmq::Message::new();
    loop {
        socket.recv(&mut message, 0)?;
        reader.received(message.len());
    }
}

fn ping(args: &Args) -> Outcome {
    let socket = socket(args, zmq::PAIR)?;
    socket.connect(&address(args)?)?;
    let mut trips = Trips::new(args)?;
    let mut echo = zmq::Message::new();
    while !trips.over() {
        socket.send(trips.begin(), 0)?;
        socket.recv(&mut echo, 0)?;
        trips.end(&echo);
    }
    trips.done();
    Ok(())
}

fn pong(args: &Args) -> Outcome {
    let socket = socket(args, zmq::PAIR)?;
    socket.bind(&address(args)?)?;
    let _echo = Echo::ready();
    let mut message = zmq::Message::new();
    loop {
        socket.recv(&mut message, 0)?;
        socket.send(&message[..], 0)?;
    }
}

fn idle(args: &Args) -> Outcome {
    if args.text("side") == "0" {
        let socket = socket(args, zmq::XPUB)?;
        socket.bind(&address(args)?)?;
        let idle = Idle::ready();
        idle.wait()
    }
    let socket = socket(args, zmq::SUB)?;
    socket.set_subscribe(b"")?;
    socket.connect(&address(args)?)?;
    let idle = Idle::ready();
    idle.wait()
}
