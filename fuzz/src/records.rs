//! Records of realm packets, records of the control stream, envelopes.

use motet_wire::envelope::{self, Envelope};
use motet_wire::record::put_padding;
use motet_wire::{Control, Record, Records};

/// The input is read as each of the three.
pub fn records(data: &[u8]) {
    let mut ended = false;
    for record in Records::new(data) {
        assert!(!ended, "a record after an error");
        let Ok(record) = record else {
            ended = true;
            continue;
        };
        let mut out = Vec::new();
        record.encode(&mut out);
        let again: Vec<_> = Records::new(&out).collect();
        assert_eq!(again, [Ok(record)]);
    }
    if let Ok(record) = Control::decode(data) {
        let mut out = Vec::new();
        record.encode(&mut out);
        assert_eq!(Control::decode(&out), Ok(record));
    }
    if let Ok(message) = Envelope::decode(data) {
        let headers: Vec<(&str, &str)> = message.headers.clone().collect();
        assert_eq!(headers.len(), message.headers.len());
        let mut out = Vec::new();
        envelope::encode(&mut out, message.key, &headers, message.payload);
        let len = envelope::encoded_len(message.key, &headers, message.payload.len());
        assert_eq!(out.len(), len);
        let Ok(again) = Envelope::decode(&out) else { panic!("an encoded message is refused") };
        assert_eq!((again.key, again.payload), (message.key, message.payload));
        assert!(again.headers.eq(headers));
    }
    if let [a, b, ..] = data {
        let n = usize::from(u16::from_le_bytes([*a, *b]));
        let mut out = Vec::new();
        put_padding(&mut out, n);
        assert_eq!(out.len(), if n < 2 { 0 } else { n });
        assert!(Records::new(&out).all(|record| record == Ok(Record::Padding)));
    }
}
