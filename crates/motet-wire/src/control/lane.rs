//! LANE_OFFER and LANE_KEY: what a reader needs to hear a lane.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use crate::Malformed;
use crate::codec::{self, Reader, put_u16, put_u64, put_vi};

/// Streams that a LANE_OFFER can name (W-48).
pub const MAX_LANE_STREAMS: usize = 128;

/// A key on its way; it does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(
    /// The key.
    pub [u8; 32],
);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A lane that carries streams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneOffer {
    /// Random name of (writer, lane, audience).
    pub source_tag: u64,
    /// Lane number.
    pub lane: u16,
    /// The group's address.
    pub group: IpAddr,
    /// UDP port of the group.
    pub port: u16,
    /// Size of the lane's largest datagrams: one of these must arrive before the lane is trusted.
    pub mtu: u16,
    /// Epoch of the key.
    pub epoch: u64,
    /// The handshake suite whose cipher seals the lane's packets.
    pub suite: u8,
    /// The key of this epoch.
    pub key: Secret,
    /// The first packet number under it.
    pub start_pn: u64,
    /// The streams; none: the lane carries nothing more for this reader. At most
    /// [`MAX_LANE_STREAMS`].
    pub streams: Vec<u32>,
}

impl LaneOffer {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.source_tag);
        put_u16(out, self.lane);
        codec::put_address(out, &self.group);
        put_u16(out, self.port);
        put_u16(out, self.mtu);
        put_vi(out, self.epoch);
        out.push(self.suite);
        out.extend_from_slice(&self.key.0);
        put_vi(out, self.start_pn);
        put_vi(out, self.streams.len() as u64);
        self.streams.iter().for_each(|stream| put_vi(out, u64::from(*stream)));
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            source_tag: r.get_u64()?,
            lane: r.get_u16()?,
            group: r.get_address()?,
            port: r.get_u16()?,
            mtu: r.get_u16()?,
            epoch: r.get_vi()?,
            suite: r.get_u8()?,
            key: Secret(*r.get_array()?),
            start_pn: r.get_vi()?,
            streams: {
                let n = r.get_count(MAX_LANE_STREAMS)?;
                (0..n).map(|_| r.get_vi_u32()).collect::<Result<_, _>>()?
            },
        })
    }
}

/// The next key of a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneKey {
    /// The lane's source.
    pub source_tag: u64,
    /// Epoch of the key.
    pub epoch: u64,
    /// The key.
    pub key: Secret,
    /// No packet below this number is sealed under it.
    pub start_pn: u64,
}

impl LaneKey {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.source_tag);
        put_vi(out, self.epoch);
        out.extend_from_slice(&self.key.0);
        put_vi(out, self.start_pn);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (source_tag, epoch) = (r.get_u64()?, r.get_vi()?);
        Ok(Self { source_tag, epoch, key: Secret(*r.get_array()?), start_pn: r.get_vi()? })
    }
}
