//! Aeron: C media driver and C client, through the crates `rusteron-*`.
//!
//! Settings: the media driver in a process of its own, shared threads with their default back-off,
//! MTU 8 KiB, windows of 2 MiB, socket buffers of 4 MiB; terms of 16 MiB; an exclusive publication;
//! the subscriber assembles fragments and polls without pause.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::process::ExitCode;
use std::time::Duration;

use bench_harness::{Args, Echo, Outcome, PROBE, Reader, Role, Trips, Writer};
use rusteron_client::{
    Aeron, AeronContext, AeronExclusivePublication, AeronFragmentClosureAssembler, AeronHeader,
    AeronSubscription, Handlers,
};
use rusteron_media_driver::bindings::aeron_threading_mode_enum;
use rusteron_media_driver::{AeronDriver, AeronDriverContext};

/// Longest wait for the driver.
const LIMIT: Duration = Duration::from_secs(10);
/// Fragments per poll.
const FRAGMENTS: usize = 64;

fn main() -> ExitCode {
    bench_harness::run(|args| match args.role {
        Role::Serve => serve(&args),
        Role::Publish => publish(&args),
        Role::Subscribe => subscribe(&args),
        Role::Ping => ping(&args),
        Role::Pong => pong(&args),
        role => bench_harness::no_such_role(role),
    })
}

fn directory(args: &Args) -> Outcome<CString> {
    Ok(CString::new(args.directory().join("aeron").display().to_string())?)
}

fn serve(args: &Args) -> Outcome {
    let context = AeronDriverContext::new()?;
    context.set_dir(&directory(args)?)?;
    context.set_dir_delete_on_start(true)?;
    context.set_dir_delete_on_shutdown(true)?;
    context.set_threading_mode(aeron_threading_mode_enum::AERON_THREADING_MODE_SHARED)?;
    context.set_mtu_length(8 << 10)?;
    context.set_ipc_mtu_length(8 << 10)?;
    context.set_term_buffer_length(16 << 20)?;
    context.set_ipc_term_buffer_length(16 << 20)?;
    context.set_rcv_initial_window_length(2 << 20)?;
    context.set_socket_so_rcvbuf(4 << 20)?;
    context.set_socket_so_sndbuf(4 << 20)?;
    let driver = AeronDriver::new(&context)?;
    driver.start(false)?;
    let _echo = Echo::ready();
    loop {
        std::thread::park();
    }
}

fn connect(args: &Args) -> Outcome<Aeron> {
    let context = AeronContext::new()?;
    context.set_dir(&directory(args)?)?;
    context.set_pre_touch_mapped_memory(true)?;
    let aeron = Aeron::new(&context)?;
    aeron.start()?;
    Ok(aeron)
}

/// One address per direction.
fn channel(args: &Args, way: u16) -> Outcome<CString> {
    let port = args.port()?;
    Ok(CString::new(match args.text("variant") {
        "ipc" => "aeron:ipc".to_owned(),
        _ => format!("aeron:udp?endpoint=127.0.0.1:{}", port.wrapping_add(way).max(1024)),
    })?)
}

fn advertise(aeron: &Aeron, args: &Args, way: u16) -> Outcome<AeronExclusivePublication> {
    let adding =
        aeron.async_add_exclusive_publication(&channel(args, way)?, 1000 + i32::from(way))?;
    Ok(adding.poll_blocking(LIMIT)?)
}

fn listen(aeron: &Aeron, args: &Args, way: u16) -> Outcome<AeronSubscription> {
    let (channel, stream) = (channel(args, way)?, 1000 + i32::from(way));
    let adding = aeron.async_add_subscription(&channel, stream, Handlers::NONE, Handlers::NONE)?;
    Ok(adding.poll_blocking(LIMIT)?)
}

/// Sends, waiting while the window is closed. False if `give_up` says so.
fn offer(
    publication: &AeronExclusivePublication,
    message: &[u8],
    give_up: impl Fn() -> bool,
) -> Outcome<bool> {
    loop {
        match publication.offer(message) {
            Ok(_) => return Ok(true),
            Err(error) if !error.is_retryable() => return Err(error.to_string().into()),
            Err(_) if give_up() => return Ok(false),
            Err(_) => std::hint::spin_loop(),
        }
    }
}

fn publish(args: &Args) -> Outcome {
    let aeron = connect(args)?;
    let publication = advertise(&aeron, args, 0)?;
    let mut writer = Writer::new(args)?;
    while !writer.started() {
        offer(&publication, PROBE, || true)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let payload = writer.payload().to_vec();
    while !writer.stopped() {
        if offer(&publication, &payload, || writer.stopped())? {
            writer.sent();
        }
    }
    writer.done();
    // The driver still sends what is in the log.
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

fn subscribe(args: &Args) -> Outcome {
    let aeron = connect(args)?;
    let subscription = listen(&aeron, args, 0)?;
    let mut reader = Reader::new(args)?;
    let mut assembler = AeronFragmentClosureAssembler::new()?;
    while !reader.stopped() {
        assembler.poll(
            &subscription,
            &mut reader,
            |reader, bytes: &[u8], _: AeronHeader| reader.received(bytes.len()),
            FRAGMENTS,
        )?;
    }
    Ok(())
}

fn ping(args: &Args) -> Outcome {
    let aeron = connect(args)?;
    let (publication, subscription) = (advertise(&aeron, args, 0)?, listen(&aeron, args, 1)?);
    let mut trips = Trips::new(args)?;
    while !trips.over() {
        offer(&publication, trips.begin(), || false)?;
        let mut came = false;
        while !came {
            subscription.poll_fn(|bytes, _| came |= trips.end(bytes), FRAGMENTS)?;
        }
    }
    trips.done();
    Ok(())
}

fn pong(args: &Args) -> Outcome {
    let aeron = connect(args)?;
    let (publication, subscription) = (advertise(&aeron, args, 1)?, listen(&aeron, args, 0)?);
    let _echo = Echo::ready();
    let mut failed = None;
    loop {
        let echo = |bytes: &[u8], _| {
            if let Err(error) = offer(&publication, bytes, || false) {
                failed = Some(error);
            }
        };
        subscription.poll_fn(echo, FRAGMENTS)?;
        if let Some(error) = failed.take() {
            return Err(error);
        }
    }
}
