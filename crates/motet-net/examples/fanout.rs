//! What one message to many costs its sender on loopback: its CPU time per datagram of 1,200
//! bytes, for unicast runs to each receiver, runs to a group, and single datagrams to a group.
//!
//! `cargo run --release -p motet-net --example fanout`
//!
//! On loopback the sender's own system call carries the datagram into every receiver's socket; on a
//! real network the cards and the switch do that.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use motet_net::{Bind, Datagram, LaneSender, LaneSocket, RecvBatch, UnicastSocket, interfaces};
use rustix::time::{ClockId, clock_gettime};

const SEGMENT: usize = 1_200;
/// Datagrams of a run: what one packet of each of 48 messages of 1 KiB needs.
const RUN: usize = 48;
const RUNS: u32 = 2_000;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let lo = interfaces()?.into_iter().find(|interface| interface.loopback).ok_or("no loopback")?;
    println!(
        "receivers  unicast runs  lane runs  lane singly   (ns of CPU per datagram published)"
    );
    for receivers in [1, 2, 4, 8, 16, 32] {
        let sockets: Vec<UnicastSocket> = (0..receivers)
            .map(|_| UnicastSocket::bind(Bind::Addr((Ipv4Addr::LOCALHOST, 0).into())))
            .collect::<Result<_, _>>()?;
        let sender = UnicastSocket::bind(Bind::Addr((Ipv4Addr::LOCALHOST, 0).into()))?;
        let unicast = measure(
            |run| {
                for socket in &sockets {
                    let (dst, segment) = (socket.local_addr(), Some(SEGMENT));
                    sender.try_send(&Datagram {
                        dst,
                        src: None,
                        ecn: None,
                        contents: run,
                        segment,
                    })?;
                }
                Ok(())
            },
            |batch| sockets.iter().all(|socket| socket.recv(batch).is_ok()),
        )?;
        let group = SocketAddr::from(([239, 192, 138, 1], sender.local_port()));
        let members: Vec<LaneSocket> =
            (0..receivers).map(|_| LaneSocket::open(&lo, group)).collect::<Result<_, _>>()?;
        let lane = LaneSender::open(&lo, false)?;
        let of_lane = |gso| {
            lane.set_gso(gso);
            measure(
                |run| Ok(lane.try_send(group, run, Some(SEGMENT))?),
                |batch| members.iter().all(|member| member.recv(batch).is_ok()),
            )
        };
        let (runs, singly) = (of_lane(true)?, of_lane(false)?);
        println!("{receivers:9}  {unicast:12.0}  {runs:9.0}  {singly:11.0}");
    }
    Ok(())
}

/// Nanoseconds of CPU that `send` takes per datagram; `drain` empties the receivers in between.
fn measure(
    mut send: impl FnMut(&[u8]) -> Outcome<()>,
    drain: impl Fn(&mut RecvBatch) -> bool,
) -> Outcome<f64> {
    let (run, mut batch) = ([0; SEGMENT * RUN], RecvBatch::default());
    let mut spent = Duration::ZERO;
    for _ in 0..RUNS {
        let begun = cpu();
        send(&run)?;
        spent += cpu() - begun;
        while drain(&mut batch) {}
    }
    Ok(spent.as_nanos() as f64 / f64::from(RUNS) / RUN as f64)
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
