//! Finding the UDP payload in an Ethernet frame.

/// What a frame carries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Length of the IP packet as its header tells; 0 for other protocols.
    pub(crate) ip_length: usize,
    /// It is a fragment of an IP packet.
    pub(crate) fragment: bool,
    /// The UDP payload.
    pub(crate) payload: Option<&'a [u8]>,
}

impl<'a> Frame<'a> {
    /// Reads an Ethernet II frame with IPv4 (RFC 791) or IPv6 (RFC 8200) and UDP (RFC 768).
    pub(crate) fn read(frame: &'a [u8]) -> Self {
        let Some((kind, ip)) = frame.get(12..14).zip(frame.get(14..)) else {
            return Self::default();
        };
        match kind {
            [0x08, 0x00] if ip.len() >= 20 => {
                let ip_length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
                // "More fragments" or an offset.
                let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
                let udp = ip.get(usize::from(ip[0] & 15) * 4..);
                let payload = (ip[9] == UDP && !fragment).then(|| udp?.get(8..)).flatten();
                Self { ip_length, fragment, payload }
            }
            [0x86, 0xdd] if ip.len() >= 40 => {
                let ip_length = 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
                let payload = (ip[6] == UDP).then(|| ip.get(48..)).flatten();
                Self { ip_length, fragment: ip[6] == IPV6_FRAGMENT, payload }
            }
            _ => Self::default(),
        }
    }
}

const UDP: u8 = 17;
const IPV6_FRAGMENT: u8 = 44;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_udp_over_both_versions_of_ip_is_found() {
        let v4 = [&[0; 12][..], &[8, 0, 0x45, 0, 0, 30, 0, 0, 0x40, 0, 64, 17], &[0; 18], b"hi"];
        let v4 = v4.concat();
        let v6 = [&[0; 12][..], &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 10, 17, 1], &[0; 40], b"hi"];
        let v6 = v6.concat();
        assert_eq!(Frame::read(&v4).ip_length, 30);
        for frame in [v4, v6] {
            let frame = Frame::read(&frame);
            assert_eq!((frame.payload, frame.fragment), (Some(&b"hi"[..]), false));
        }
        assert_eq!(Frame::read(b"short"), Frame::default());
    }
}
