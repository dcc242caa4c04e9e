//! Lanes in a script: the hostile member offers one and writes into it, and reads one of the node's.

use std::net::{IpAddr, Ipv4Addr};

use motet_proto::Via;
use motet_proto::crypto::{Aead as _, Cipher, Crypto as _};
use motet_sim::null::{Ledger, NullCrypto};
use motet_wire::control::{Control, LaneKey, LaneOffer, Secret};
use motet_wire::frame::{Frame, Frames, LaneHbItem, put_lane_ack, put_lane_hb};
use motet_wire::packet::MdataHeader;

use super::Scene;
use crate::tape::Tape;

/// The tag, the number and the key of the lane that the member offers.
const TAG: u64 = 7;
const LANE: u16 = 5;
const KEY: [u8; 32] = [8; 32];

impl Scene {
    /// A lane of the member's streams, as it should be or nearly.
    pub(super) fn offer_lane(&mut self, tape: &mut Tape<'_>) {
        let odd = tape.below(8);
        let offer = LaneOffer {
            source_tag: if odd == 0 { tape.number(&[TAG]) } else { TAG },
            lane: LANE,
            group: IpAddr::V4(Ipv4Addr::new(
                239,
                192,
                138,
                if odd == 1 { tape.u8() } else { LANE as u8 },
            )),
            port: if odd == 2 { 1 } else { 37_320 },
            mtu: if odd == 3 { 9_000 } else { 300 },
            epoch: tape.number(&[0]) & 3,
            suite: if odd == 4 { tape.u8() } else { 1 },
            key: Secret(KEY),
            start_pn: 0,
            streams: if odd == 5 { vec![] } else { vec![1, 2, 9] },
        };
        self.say(&Control::LaneOffer(offer));
        if tape.below(4) == 0 {
            let epoch = tape.number(&[1]);
            let key = Secret(KEY);
            self.say(&Control::LaneKey(LaneKey { source_tag: TAG, epoch, key, start_pn: 0 }));
        }
    }

    /// A packet of that lane, sealed as its members do.
    pub(super) fn lane_packet(&mut self, tape: &mut Tape<'_>) {
        let mut body = Vec::new();
        match tape.below(4) {
            0 => {
                let next_seq = tape.number(&[1, 100, 1 << 40]);
                let item =
                    LaneHbItem { stream: u32::from(tape.u8() & 3), first_avail: 1, next_seq };
                put_lane_hb(&mut body, tape.u8(), tape.number(&[200]), &[item]);
            }
            1 => body.extend_from_slice(tape.short()),
            _ => self.put_frame(tape, &mut body),
        }
        if tape.flag() {
            body.resize(body.len().max(400), 0); // large enough to prove that the lane is heard
        }
        self.lane_pn += 1;
        let pn = if tape.below(8) == 0 { tape.number(&[self.lane_pn]) } else { self.lane_pn };
        let head = MdataHeader { epoch: tape.u8() & 1, lane: LANE, source_tag: TAG, pn }.encode();
        let crypto = NullCrypto::new([9; 32], &Ledger::default());
        let tag = crypto.aead(Cipher::Aes256Gcm, &KEY).seal(pn, &head, &mut body);
        let packet = [&head[..], &body, &tag].concat();
        let lane = if tape.below(16) == 0 { tape.u8().into() } else { LANE };
        let via = Via::Lane { iface: 2, lane, v6: false };
        self.host.datagram(self.rogue.addr, via, &packet);
    }

    /// What the member says of the lanes that the node has offered it.
    pub(super) fn answer_lane(&mut self, tape: &mut Tape<'_>) {
        let pick = tape.u8() as usize;
        let own = [TAG];
        let tags = if self.lane_tags.is_empty() { &own[..] } else { &self.lane_tags };
        let tag = tags[pick % tags.len()];
        let mut out = Vec::new();
        if tape.below(3) == 0 {
            let largest = tape.number(&[0, 5, 100]);
            let ranges = [(largest.saturating_sub(tape.u8().into()), largest)];
            put_lane_ack(&mut out, tag, largest, tape.number(&[10]), ranges.into_iter());
        } else {
            let (state, loss_ppm) = (tape.u8() & 3, tape.number(&[0, 900_000]));
            Frame::LaneState { source_tag: tag, state, loss_ppm }.encode(&mut out);
        }
        self.send(&out);
    }

    /// Takes note of the lanes that the node offers.
    pub(super) fn hear_lanes(&mut self, datagram: &[u8]) {
        let Some(plain) = self.rogue.open(datagram) else { return };
        for frame in Frames::new(&plain).map_while(Result::ok) {
            if let Frame::Msg { stream: 0, body, .. } = frame
                && let Ok(Control::LaneOffer(offer)) = Control::decode(body)
                && self.lane_tags.len() < 16
            {
                self.lane_tags.push(offer.source_tag);
            }
        }
    }

    /// Brings lanes about, where the scene allows: the member hears one of the node's, and is heard
    /// on its own.
    pub(super) fn lanes_work(&mut self) {
        let mut tape = Tape(&[9; 64]);
        self.host.pass(std::time::Duration::from_millis(1_500));
        self.collect();
        if self.lane_tags.is_empty() {
            return;
        }
        self.offer_lane(&mut tape);
        if self.host.node.lanes().1 != 1 {
            return;
        }
        let tag = self.lane_tags[0];
        let mut out = Vec::new();
        Frame::LaneState { source_tag: tag, state: 0, loss_ppm: 0 }.encode(&mut out);
        self.send(&out);
    }
}
