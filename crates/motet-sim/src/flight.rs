//! A datagram on its way, and rules that decide what becomes of it.

use motet_proto::Time;
use motet_wire::frame::{Frame, Frames};
use motet_wire::packet::{DataHeader, MdataHeader, PacketType, TAG_LEN, packet_type};
use std::net::SocketAddr;
use std::time::Duration;

/// One datagram, to one receiver.
#[derive(Clone, Copy, Debug)]
pub struct Flight<'a> {
    /// When it was sent.
    pub now: Time,
    /// Index of the endpoint that sent it.
    pub from: usize,
    /// Index of the endpoint that will get it, if there is one.
    pub to: Option<usize>,
    /// Where to.
    pub dst: SocketAddr,
    /// It went to the group; each receiver has a flight of its own.
    pub multicast: bool,
    /// The datagram. The null cipher leaves its plaintext as it is.
    pub bytes: &'a [u8],
}

impl<'a> Flight<'a> {
    /// What kind of packet it is.
    pub fn packet(&self) -> Option<PacketType> {
        packet_type(self.bytes).ok()
    }

    /// It came by a lane.
    pub fn is_lane(&self) -> bool {
        self.packet() == Some(PacketType::Mdata)
    }

    /// Its frames, if it is a DATA or MDATA packet.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'a>> {
        let end = self.bytes.len().saturating_sub(TAG_LEN);
        let body = match self.packet() {
            Some(PacketType::Data) => self.bytes.get(DataHeader::LEN..end),
            Some(PacketType::Mdata) => self.bytes.get(MdataHeader::LEN..end),
            _ => None,
        };
        Frames::new(body.unwrap_or(&[])).map_while(Result::ok)
    }

    /// It carries messages of topics, or pieces of them, for the first time or again.
    pub fn carries_messages(&self) -> bool {
        self.frames().any(|frame| message_stream(&frame).is_some_and(|stream| stream != 0))
    }
}

/// The stream that a frame with message bytes belongs to; 0 is the control stream.
pub fn message_stream(frame: &Frame<'_>) -> Option<u32> {
    match frame {
        Frame::Msg { stream, .. } | Frame::Msgs { stream, .. } | Frame::Frag { stream, .. } => {
            Some(*stream)
        }
        _ => None,
    }
}

/// What a rule says about a flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing: the next rule and the link decide.
    Pass,
    /// It is lost.
    Drop,
    /// It arrives so much later.
    Late(Duration),
    /// It arrives twice, the copy so much later.
    Twice(Duration),
}

/// Decides about each flight.
pub type Rule = Box<dyn FnMut(&Flight<'_>) -> Verdict + Send>;

/// Drops what `matches`, at most `times` times.
pub fn lose(times: usize, mut matches: impl FnMut(&Flight<'_>) -> bool + Send + 'static) -> Rule {
    let mut left = times;
    Box::new(move |flight| {
        if left > 0 && matches(flight) {
            left -= 1;
            return Verdict::Drop;
        }
        Verdict::Pass
    })
}
