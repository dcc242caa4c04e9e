//! Round trips of a UDP datagram: blocking, spinning, and on tokio.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};

use bench_harness::{Args, Echo, Outcome, Trips};

use crate::datagrams::socket;

fn recv(socket: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match socket.recv(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            other => return other,
        }
    }
}

pub(crate) fn ping(args: &Args, spin: bool) -> Outcome {
    let socket = socket(0, Some(args.port()?))?;
    socket.set_nonblocking(spin)?;
    let (mut trips, mut buffer) = (Trips::new(args)?, [0; 2048]);
    while !trips.over() {
        socket.send(trips.begin())?;
        let length = recv(&socket, &mut buffer)?;
        trips.end(&buffer[..length]);
    }
    trips.done();
    Ok(())
}

pub(crate) fn pong(args: &Args, spin: bool) -> Outcome {
    let socket = socket(args.port()?, None)?;
    let _echo = Echo::ready();
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer)?;
    socket.connect(from)?;
    socket.set_nonblocking(spin)?;
    socket.send(&buffer[..length])?;
    loop {
        let length = recv(&socket, &mut buffer)?;
        socket.send(&buffer[..length])?;
    }
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

pub(crate) fn ping_tokio(args: &Args) -> Outcome {
    let (mut trips, mut buffer) = (Trips::new(args)?, [0; 2048]);
    runtime()?.block_on(async {
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect((Ipv4Addr::LOCALHOST, args.port()?)).await?;
        while !trips.over() {
            socket.send(trips.begin()).await?;
            let length = socket.recv(&mut buffer).await?;
            trips.end(&buffer[..length]);
        }
        Outcome::Ok(())
    })?;
    trips.done();
    Ok(())
}

pub(crate) fn pong_tokio(args: &Args) -> Outcome {
    let port = args.port()?;
    runtime()?.block_on(async {
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let _echo = Echo::ready();
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..length], from).await?;
        }
    })
}
