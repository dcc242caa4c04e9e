//! The one socket option that the crate `zmq` does not have.

use bench_harness::Outcome;
use zmq::{Context, Socket};

/// An XPUB socket with `ZMQ_XPUB_NODROP`: a publisher waits at the high-water mark. The context must
/// outlive the socket.
#[expect(unsafe_code, reason = "the crate has no function for this option")]
pub(crate) fn publisher(context: &Context) -> Outcome<Socket> {
    let raw = context.socket(zmq::XPUB)?.into_raw();
    let on: i32 = 1;
    let (option, length) = (zmq_sys::ZMQ_XPUB_NODROP as i32, size_of::<i32>());
    // SAFETY: `raw` is an open socket that nobody else uses; the option takes an int, of which
    // address and length are given, and which libzmq copies before it returns.
    let result =
        unsafe { zmq_sys::zmq_setsockopt(raw, option, std::ptr::addr_of!(on).cast(), length) };
    // SAFETY: `raw` came from `into_raw` and is given back once.
    let socket = unsafe { Socket::from_raw(raw) };
    if result == 0 { Ok(socket) } else { Err("libzmq refuses ZMQ_XPUB_NODROP".into()) }
}
