//! Promises not to begin what a key stands for, but for the one who asked last (V-40 … V-42).
//!
//! Whoever may have sent a request before asks all servers. One that has it says so; every other
//! promises, so that what is still on its way from an earlier attempt is refused when it comes.

use super::*;

/// Promises that one service keeps; the oldest goes first.
const PROMISES_MAX: usize = 65_536;

/// To whom, by which number, until when.
struct Promise {
    number: u64,
    to: EndpointKey,
    until: Time,
}

#[derive(Default)]
pub(super) struct Promises {
    given: BTreeMap<DeedKey, Promise>,
    order: VecDeque<(Time, DeedKey)>,
}

impl Promises {
    /// Whether a request of `from` breaks no promise (V-41).
    pub(super) fn allow(&self, now: Time, deed: &DeedKey, from: EndpointKey, attempt: u64) -> bool {
        let promise = self.given.get(deed).filter(|promise| promise.until > now);
        promise.is_none_or(|promise| promise.to == from && attempt >= promise.number)
    }

    /// Promises a deed, unless a later question was answered already: the number of that one.
    fn promise(&mut self, now: Time, deed: DeedKey, promise: Promise) -> Result<(), u64> {
        let until = promise.until;
        if let Some(known) = self.given.get(&deed)
            && known.until > now
            && (known.number, known.to) > (promise.number, promise.to)
        {
            return Err(known.number);
        }
        self.given.insert(deed.clone(), promise);
        self.order.push_back((until, deed));
        while self.order.len() > PROMISES_MAX
            || self.order.front().is_some_and(|(until, _)| *until <= now)
        {
            let Some((until, deed)) = self.order.pop_front() else { break };
            if self.given.get(&deed).is_some_and(|promise| promise.until == until) {
                self.given.remove(&deed);
            }
        }
        Ok(())
    }
}

impl Servers {
    /// Somebody who may not be the first asks where a key is.
    pub(in crate::services) fn on_inquiry(
        &mut self,
        now: Time,
        from: EndpointKey,
        inquiry: &wire::Inquiry<'_>,
        tally: &mut Tally,
    ) {
        tally.inquiries_received += 1;
        let number = inquiry.number;
        let deed = (EndpointId(inquiry.origin), Bytes::copy_from_slice(inquiry.key));
        let id = self.by_name.get(inquiry.service);
        let (found, promised) = match id.and_then(|id| self.serving.get_mut(id)) {
            // Nothing is begun here at all.
            None => (wire::Found::Promised, number),
            Some(serving)
                if serving.deeds.contains_key(&deed) || serving.cache.knows(now, &deed) =>
            {
                (wire::Found::Here, 0)
            }
            Some(serving) => {
                let until = now + Duration::from_micros(inquiry.remaining_us);
                let promise = Promise { number, to: from, until };
                match serving.promises.promise(now, deed, promise) {
                    Ok(()) => (wire::Found::Promised, number),
                    Err(later) => (wire::Found::Elsewhere, later),
                }
            }
        };
        let mut bytes = Vec::new();
        wire::Finding { number, found, promised }.encode(&mut bytes);
        self.push_reply(from, bytes, tally);
    }
}
