//! Questions about keys: where one is, and a promise not to begin it (V-40).

use super::*;

/// Questions that wait for an answer. One that is pushed out is put again by whoever asks.
const INQUIRIES_MAX: usize = 65_536;

impl Callers {
    /// Asks a server about a key.
    pub(in crate::services) fn inquire(
        &mut self,
        now: Time,
        to: EndpointKey,
        inquiry: &wire::Inquiry<'_>,
    ) {
        self.link(now, to);
        let mut bytes = Vec::new();
        inquiry.encode(&mut bytes);
        self.say(to, bytes);
        if self.inquiries.len() >= INQUIRIES_MAX {
            self.inquiries.pop_first();
        }
        self.inquiries.insert((to, inquiry.number));
    }

    /// What a server found. From whom nothing was asked, nothing is taken.
    pub(in crate::services) fn on_finding(
        &mut self,
        now: Time,
        from: EndpointKey,
        finding: wire::Finding,
        directory: &mut Directory,
        tally: &mut Tally,
    ) {
        self.on_life(now, from, directory);
        if self.inquiries.remove(&(from, finding.number)) {
            self.findings.push_back((from, finding));
        } else {
            tally.replies_unexpected += 1;
        }
    }

    /// Who is gone answers nothing.
    pub(super) fn forget_inquiries(&mut self, of: EndpointKey) {
        let asked = self.inquiries.range((of, 0)..=(of, u64::MAX)).copied();
        for inquiry in asked.collect::<Vec<_>>() {
            self.inquiries.remove(&inquiry);
        }
    }
}
