//! What the layer counts, until the node takes it.

use crate::counters::Counters;

macro_rules! tally {
    ($($name:ident),* $(,)?) => {
        /// Counts since they were last taken; the names are those of [`Counters`].
        #[derive(Clone, Copy, Default, Debug)]
        pub(super) struct Tally { $(pub(super) $name: u64,)* }

        impl Tally {
            /// Moves all of it to `counters`.
            pub(super) fn take(&mut self, counters: &mut Counters) {
                $(counters.$name += core::mem::take(&mut self.$name);)*
            }
        }
    };
}

tally! {
    requests_sent,
    requests_accepted,
    requests_refused,
    requests_expired,
    requests_repeated,
    requests_cancelled,
    inquiries_received,
    replies_received,
    replies_unexpected,
    replies_duplicate,
    replies_dropped,
    replies_forgotten,
    calls_repeated,
    service_malformed,
    offers_ignored,
    service_lanes_full,
}
