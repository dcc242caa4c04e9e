//! iceoryx2: shared memory of one host.
//!
//! Settings: publisher blocks while a queue is full (the default); queues of 2,048 samples up to
//! 16 KiB, else 64 (with small queues a blocked publisher sleeps, and that is what one would
//! measure); the payload is copied into the loan and out of the sample, as data that somebody makes
//! and somebody uses; the reader polls without pause.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use bench_harness::{Args, Echo, Idle, Outcome, PROBE, Reader, Role, Trips, Writer};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;

type Service = PortFactory<ipc::Service, [u8], ()>;

fn main() -> ExitCode {
    bench_harness::run(|args| {
        set_log_level(LogLevel::Fatal);
        match args.role {
            Role::Publish => publish(&args),
            Role::Subscribe => subscribe(&args),
            Role::Ping => ping(&args),
            Role::Pong => pong(&args),
            Role::Idle => idle(&args),
            role => bench_harness::no_such_role(role),
        }
    })
}

fn node() -> Outcome<Node<ipc::Service>> {
    Ok(NodeBuilder::new().create::<ipc::Service>()?)
}

fn service(node: &Node<ipc::Service>, args: &Args, topic: &str) -> Outcome<Service> {
    let name = format!("motet-bench/{}/{topic}", args.port()?);
    let queue = if args.size()? <= 16 << 10 { 2048 } else { 64 };
    let builder = node.service_builder(&name.as_str().try_into()?).publish_subscribe::<[u8]>();
    let builder = builder.subscriber_max_buffer_size(queue).enable_safe_overflow(false);
    Ok(builder.history_size(0).open_or_create()?)
}

fn advertise(service: &Service, args: &Args) -> Outcome<Publisher<ipc::Service, [u8], ()>> {
    let builder = service.publisher_builder().initial_max_slice_len(args.size()?.max(8));
    Ok(builder.create()?)
}

fn send(publisher: &Publisher<ipc::Service, [u8], ()>, bytes: &[u8]) -> Outcome {
    publisher.loan_slice_uninit(bytes.len())?.write_from_slice(bytes).send()?;
    Ok(())
}

/// Copies the next sample out; its length.
fn take(
    subscriber: &Subscriber<ipc::Service, [u8], ()>,
    into: &mut [u8],
) -> Outcome<Option<usize>> {
    let Some(sample) = subscriber.receive()? else {
        std::hint::spin_loop();
        return Ok(None);
    };
    let length = sample.payload().len();
    into[..length].copy_from_slice(sample.payload());
    std::hint::black_box(into);
    Ok(Some(length))
}

fn publish(args: &Args) -> Outcome {
    let node = node()?;
    let service = service(&node, args, "flow")?;
    let publisher = advertise(&service, args)?;
    let mut writer = Writer::new(args)?;
    while !writer.started() {
        send(&publisher, PROBE)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let payload = writer.payload().to_vec();
    while !writer.stopped() {
        send(&publisher, &payload)?;
        writer.sent();
    }
    writer.done();
    // The samples belong to the publisher: it stays until the reader has drained.
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

fn subscribe(args: &Args) -> Outcome {
    let node = node()?;
    let service = service(&node, args, "flow")?;
    let subscriber = service.subscriber_builder().create()?;
    let reader = Reader::new(args)?;
    let mut buffer = vec![0; args.size()?.max(8)];
    while !reader.stopped() {
        if let Some(length) = take(&subscriber, &mut buffer)? {
            reader.received(length);
        }
    }
    Ok(())
}

fn ping(args: &Args) -> Outcome {
    let node = node()?;
    let (pings, pongs) = (service(&node, args, "ping")?, service(&node, args, "pong")?);
    let (publisher, subscriber) = (advertise(&pings, args)?, pongs.subscriber_builder().create()?);
    let mut trips = Trips::new(args)?;
    let mut buffer = vec![0; args.size()?.max(8)];
    while !trips.over() {
        send(&publisher, trips.begin())?;
        loop {
            if let Some(length) = take(&subscriber, &mut buffer)?
                && trips.end(&buffer[..length])
            {
                break;
            }
        }
    }
    trips.done();
    Ok(())
}

fn pong(args: &Args) -> Outcome {
    let node = node()?;
    let (pings, pongs) = (service(&node, args, "ping")?, service(&node, args, "pong")?);
    let (publisher, subscriber) = (advertise(&pongs, args)?, pings.subscriber_builder().create()?);
    let _echo = Echo::ready();
    let mut buffer = vec![0; args.size()?.max(8)];
    loop {
        if let Some(length) = take(&subscriber, &mut buffer)? {
            send(&publisher, &buffer[..length])?;
        }
    }
}

fn idle(args: &Args) -> Outcome {
    let node = node()?;
    let service = service(&node, args, "flow")?;
    let _publisher = advertise(&service, args)?;
    let _subscriber = service.subscriber_builder().create()?;
    let idle = Idle::ready();
    idle.wait()
}
