//! What a node counts. Defined once: the struct, the names and the descriptions come from one list.

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counts since the start of the node. Each only rises.
        #[derive(Clone, Default, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub struct Counters { $($(#[doc = $doc])* pub $name: u64,)* }

        impl Counters {
            /// Name, description and value of each, in the order of definition.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),*).trim_start(), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams received.
    datagrams_received,
    /// Bytes received.
    bytes_received,
    /// Datagrams handed out to be sent.
    datagrams_sent,
    /// Bytes handed out to be sent.
    bytes_sent,
    /// Datagrams that were not packets of this protocol.
    malformed_packets,
    /// Authentic packets whose frames broke a rule; the session was closed.
    malformed_frames,
    /// Authentic realm packets or control records that broke a rule; skipped.
    malformed_records,
    /// Packets of another realm.
    foreign_realm,
    /// Packets of our realm's tag that failed authentication.
    wrong_key,
    /// Packets for a session that we do not hold.
    unknown_session,
    /// Packets of kinds that this build does not take.
    unsupported_packets,
    /// Packets received twice, or too old for the replay window.
    replayed_packets,
    /// Realm packets received twice.
    replayed_beacons,
    /// Session packets that failed authentication.
    forged_packets,
    /// First handshake packets whose stamp did not rise.
    stale_handshakes,
    /// Handshakes refused for want of room or rate; the sender was asked for a cookie or ignored.
    handshakes_limited,
    /// Handshakes that failed.
    handshakes_failed,
    /// Sessions established.
    sessions_opened,
    /// Sessions that died of silence.
    sessions_died,
    /// Realm packets with membership or anti-entropy sent.
    gossip_sent,
    /// Records of membership or anti-entropy taken.
    gossip_received,
    /// Interest sets of members without a session not kept for want of room.
    interests_dropped,
    /// Sessions closed because they carried nothing.
    sessions_idle,
    /// Beacons sent.
    beacons_sent,
    /// Beacons accepted.
    beacons_received,
    /// Answers to solicitations not sent for want of a token.
    replies_limited,
    /// Dials started.
    dials,
    /// Dials that ended without an answer.
    dials_failed,
    /// Contacts not tried for want of room: 256 are.
    seeds_ignored,
    /// Packets declared lost by congestion control.
    packets_lost,
    /// Messages sent for the first time (once per reader).
    messages_sent,
    /// Messages or pieces sent again because they were asked for.
    repairs_sent,
    /// Bytes sent again.
    repair_bytes,
    /// NAK frames sent.
    naks_sent,
    /// NAK frames received.
    naks_received,
    /// NAKs for what was never sent, or repaired a moment ago.
    naks_ignored,
    /// Messages handed to subscriptions' queues.
    messages_delivered,
    /// Messages or pieces received again.
    duplicates,
    /// Messages or pieces beyond the window or the memory budget; asked for later.
    overruns,
    /// Messages reported by `Missed` to subscriptions.
    messages_missed,
    /// Messages that publications dropped for at least one reader.
    messages_dropped,
    /// Status frames that broke a bound.
    status_rejected,
    /// Streams refused for another type tag.
    type_mismatches,
    /// Streams that we refused.
    streams_rejected,
    /// Messages larger than a reader takes.
    messages_refused,
    /// Heartbeats sent.
    heartbeats_sent,
    /// Addresses of peers that changed under a session.
    path_changes,
    /// Datagrams that the kernel dropped for want of buffer.
    kernel_drops,
    /// Questions beyond a peer's rate; left unanswered.
    queries_limited,
    /// Resets honoured.
    resets_received,
    /// Members told of because they broke a limit: once a minute per member and limit.
    offences_told,
    /// Lanes begun.
    lanes_begun,
    /// Lanes ended.
    lanes_ended,
    /// Readers that went from their session to a lane.
    lane_readers_joined,
    /// Readers that went from a lane back to their session.
    lane_readers_left,
    /// Lane heartbeats sent.
    lane_heartbeats_sent,
    /// Messages or pieces sent again by a lane, for several readers at once.
    lane_repairs_sent,
    /// Keys of lanes renewed.
    lane_keys_renewed,
    /// Acknowledgements of lane packets that nobody asked for, or of what was never sent.
    lane_acks_ignored,
    /// Offers of lanes that were refused.
    lane_offers_refused,
    /// Lanes that fell silent; the session brings everything again.
    lanes_lost,
    /// Lane packets of a source that we do not know, or by another group.
    lane_unknown,
    /// Lane packets under a key that we do not hold.
    lane_stale,
    /// Lane packets that failed authentication.
    lane_forged,
    /// Lane packets received twice, or too old for the replay window.
    lane_replayed,
    /// Frames that a lane may not say, or that broke a rule there; skipped.
    lane_frames_refused,
    /// Requests of service calls sent, repetitions included.
    requests_sent,
    /// Requests of service calls accepted to be worked on.
    requests_accepted,
    /// Requests of service calls refused with a code; the caller was told.
    requests_refused,
    /// Requests that were past their deadline and therefore not begun.
    requests_expired,
    /// Requests that came again: answered from the reply cache, or attached to the one that runs.
    requests_repeated,
    /// Requests that nobody waits for any more: cancelled, or the caller is gone.
    requests_cancelled,
    /// Questions where an idempotency key is, answered.
    inquiries_received,
    /// Replies, and parts of replies, of open calls.
    replies_received,
    /// Replies that no open call waits for: late, or never asked for.
    replies_unexpected,
    /// Parts of replies received again.
    replies_duplicate,
    /// Replies dropped because their caller is gone or takes none.
    replies_dropped,
    /// Deeds with an idempotency key forgotten before their time for want of room.
    replies_forgotten,
    /// Calls sent again because no answer came in time.
    calls_repeated,
    /// Service messages that broke a rule; the sender of a request was told.
    service_malformed,
    /// Offers that speak for another endpoint, or beyond the table.
    offers_ignored,
    /// Times that service messages had to wait because the way to an endpoint was full.
    service_lanes_full,
}
