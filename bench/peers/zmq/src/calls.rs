//! Calls: REQ, or with several open DEALER, to ROUTER; or to a proxy (ROUTER, DEALER) before REP.

use bench_harness::{Args, Calls, Echo, Outcome};
use zmq::{Context, Message, Socket};

use crate::{address_of, tuned};

/// After so many milliseconds without a reply the open calls have failed.
const CALL_LIMIT_MS: i32 = 2_000;

fn port(args: &Args, name: &str) -> Outcome<u16> {
    Ok(args.number(name, 0)?.try_into()?)
}

fn server(args: &Args, n: usize) -> Outcome<String> {
    Ok(address_of(args, port(args, &format!("port{n}"))?))
}

pub(crate) fn call(args: &Args) -> Outcome {
    let context = Context::new();
    let mut calls = Calls::new(args)?;
    let single = calls.most_open() == 1;
    let open = || -> Outcome<Socket> {
        let kind = if single { zmq::REQ } else { zmq::DEALER };
        let socket = tuned(args, context.socket(kind)?)?;
        socket.set_rcvtimeo(CALL_LIMIT_MS)?;
        if args.brokered() {
            socket.connect(&address_of(args, args.port()?))?;
        } else {
            for n in 0..args.servers()? {
                socket.connect(&server(args, n)?)?; // in turn
            }
        }
        Ok(socket)
    };
    let mut socket = open()?;
    let mut reply = Message::new();
    calls.ready();
    while calls.room() || calls.waiting() {
        while calls.room() {
            if !single {
                socket.send(&b""[..], zmq::SNDMORE)?; // the end of the envelope, as REQ sends it
            }
            socket.send(calls.begin(), 0)?;
        }
        match take(&socket, &mut reply, 0) {
            Ok(()) => {
                calls.end(&reply);
            }
            Err(zmq::Error::EAGAIN) => {
                calls.give_up();
                socket = open()?; // a REQ that waits takes nothing else
            }
            Err(error) => return Err(error.into()),
        }
        while calls.waiting() && take(&socket, &mut reply, zmq::DONTWAIT).is_ok() {
            calls.end(&reply);
        }
    }
    calls.done();
    Ok(())
}

/// The last frame of what comes.
fn take(socket: &Socket, reply: &mut Message, flags: i32) -> Result<(), zmq::Error> {
    socket.recv(reply, flags)?;
    while reply.get_more() {
        socket.recv(reply, 0)?;
    }
    Ok(())
}

pub(crate) fn answer(args: &Args) -> Outcome {
    let context = Context::new();
    let kind = if args.brokered() { zmq::REP } else { zmq::ROUTER };
    let socket = tuned(args, context.socket(kind)?)?;
    if args.brokered() {
        socket.connect(&address_of(args, port(args, "back")?))?;
    } else {
        socket.bind(&server(args, args.number("server", 0)? as usize)?)?;
    }
    let _echo = Echo::ready();
    let mut frame = Message::new();
    loop {
        // All frames back as they came: with ROUTER the first says to whom.
        socket.recv(&mut frame, 0)?;
        let more = if frame.get_more() { zmq::SNDMORE } else { 0 };
        socket.send(&frame[..], more)?;
    }
}

pub(crate) fn broker(args: &Args) -> Outcome {
    let context = Context::new();
    let front = tuned(args, context.socket(zmq::ROUTER)?)?;
    let back = tuned(args, context.socket(zmq::DEALER)?)?;
    front.bind(&address_of(args, args.port()?))?;
    back.bind(&address_of(args, port(args, "back")?))?;
    let _echo = Echo::ready();
    Ok(zmq::proxy(&front, &back)?)
}
