//! What the kernel and the cipher allow: no peer, but bounds for all of them.
#![forbid(unsafe_code)]

mod datagrams;
mod memory;
mod sealed;
mod stream;
mod trips;

use std::process::ExitCode;

use bench_harness::Role;

fn main() -> ExitCode {
    bench_harness::run(|args| match (args.role, args.text("variant")) {
        (Role::Publish, "udp") => datagrams::publish(&args),
        (Role::Subscribe, "udp") => datagrams::subscribe(&args),
        (Role::Publish, "udp-gso") => datagrams::publish_trains(&args),
        (Role::Subscribe, "udp-gso") => datagrams::subscribe_trains(&args),
        (Role::Publish, "encrypted" | "encrypted-1472") => sealed::publish(&args),
        (Role::Subscribe, "encrypted" | "encrypted-1472") => sealed::subscribe(&args),
        (Role::Publish, "tcp") => stream::publish(&args),
        (Role::Subscribe, "tcp") => stream::subscribe(&args),
        (Role::Publish, "memcpy") => memory::publish(&args),
        (Role::Subscribe, "memcpy") => memory::subscribe(&args),
        (Role::Ping, "udp") => trips::ping(&args, false),
        (Role::Pong, "udp") => trips::pong(&args, false),
        (Role::Ping, "udp-spin") => trips::ping(&args, true),
        (Role::Pong, "udp-spin") => trips::pong(&args, true),
        (Role::Ping, "tokio-udp") => trips::ping_tokio(&args),
        (Role::Pong, "tokio-udp") => trips::pong_tokio(&args),
        (role, _) => bench_harness::no_such_role(role),
    })
}
