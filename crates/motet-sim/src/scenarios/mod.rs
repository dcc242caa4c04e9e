//! Stories: one pitfall each, told to a [`Net`], ended by a panic if it comes out wrong.
//!
//! They live here and not in the tests alone so that `motet-sim planted` can tell them too.

pub mod bounds;
pub mod crowd;
pub mod flow;
pub mod identity;
pub mod lanes;
pub mod meeting;
pub mod repair;
pub mod services;

use crate::links::LinkModel;
use crate::net::{Ep, Net, Pub, Sub};
use motet_proto::Event;
use std::time::Duration;

/// Names the stories of a module and their functions.
macro_rules! stories {
    ($($module:ident :: $name:ident,)*) => {
        /// All stories.
        pub const ALL: &[(&str, fn())] = &[$((stringify!($name), $module::$name),)*];
    };
}

stories! {
    repair::a_lost_message_is_asked_for_once_and_everything_arrives_in_order,
    repair::a_lost_question_is_asked_again_before_a_heartbeat_could_help,
    repair::a_calm_net_asks_for_nothing,
    repair::feedback_lost_for_five_seconds_stalls_nobody,
    repair::the_last_message_of_a_burst_is_recovered_within_50_ms,
    repair::a_large_message_crosses_a_bursty_link_in_bounded_time,
    repair::repairs_stay_below_three_times_what_was_lost,
    repair::only_the_lost_piece_of_a_large_message_is_sent_again,
    repair::late_originals_do_not_confuse_the_questions,
    repair::a_hundred_separate_holes_are_repaired_at_once,
    repair::a_very_large_message_survives_five_percent_loss,
    flow::a_lost_reopening_of_the_window_is_repeated,
    flow::back_pressure_never_closes_a_session,
    flow::history_alone_blocks_nobody,
    flow::only_the_slow_reader_is_dropped,
    flow::a_reader_dropped_while_cut_off_is_told_later,
    flow::who_was_dropped_may_ask_again,
    flow::a_status_from_before_a_second_reading_is_not_believed,
    flow::a_slow_reader_is_told_what_it_missed,
    flow::a_late_reader_gets_the_history_it_asks_for,
    flow::a_writer_that_leaves_gets_its_last_words_out,
    flow::local_readers_get_everything,
    flow::a_star_is_one_level,
    flow::a_dead_reader_blocks_nobody,
    meeting::endpoints_meet_within_a_second_whoever_starts_first,
    meeting::lost_first_packets_delay_a_meeting_but_do_not_prevent_it,
    meeting::seven_dead_addresses_of_eight_do_not_hold_up_a_dial,
    meeting::a_one_way_cut_of_20_s_heals,
    meeting::an_address_change_keeps_the_session,
    meeting::an_endpoint_that_moved_while_paused_is_followed,
    meeting::two_that_move_at_once_find_each_other_again,
    meeting::two_that_restarted_meet_though_each_dials_what_the_other_was,
    meeting::an_endpoint_without_a_way_for_data_is_dead_whatever_its_beacons_say,
    meeting::a_quiet_peer_stays_for_an_hour,
    meeting::loopback_needs_no_multicast,
    meeting::the_path_mtu_is_found_in_a_few_probes,
    identity::a_restart_with_the_clock_set_back_gets_in,
    identity::a_restart_is_no_name_conflict,
    identity::two_living_holders_of_a_name_are_both_told,
    identity::two_holders_of_one_key_are_told_and_others_unharmed,
    identity::forged_packets_change_nothing_but_counters,
    identity::nothing_expires_because_clocks_differ,
    identity::another_realm_is_not_heard,
    identity::a_repeated_datagram_is_taken_once,
    identity::a_recorded_handshake_opens_nothing,
    bounds::a_status_about_what_was_never_sent_is_refused,
    bounds::a_number_beyond_the_window_is_not_kept,
    bounds::a_gap_leaves_what_has_arrived,
    bounds::a_message_that_comes_again_is_delivered_once,
    bounds::a_packet_older_than_the_replay_window_is_not_taken,
    lanes::a_lane_brings_everything_to_all_with_one_packet_each,
    lanes::a_loss_that_all_share_is_repaired_once_for_all,
    lanes::a_repair_that_has_to_wait_is_confirmed_before_it_leaves,
    lanes::a_loss_of_one_reader_is_repaired_for_it_alone,
    lanes::multicast_that_dies_silently_is_noticed_within_a_second,
    lanes::the_last_messages_survive_the_death_of_their_lane,
    lanes::a_path_that_takes_no_large_packets_keeps_its_session,
    lanes::who_cannot_join_keeps_its_session,
    lanes::slow_readers_leave_the_lane_and_the_others_keep_their_rate,
    lanes::a_late_joiner_does_not_drag_the_group,
    lanes::bad_lane_packets_change_nothing_but_counters,
    lanes::a_malicious_member_wedges_nobody,
    lanes::an_insider_that_asks_for_everything_harms_only_itself,
    lanes::a_lane_does_not_outrun_its_readers,
    crowd::who_is_suspected_wrongly_says_so_and_lives,
    crowd::the_starved_declare_nobody_dead,
    crowd::churn_leaves_a_bounded_list_of_the_dead,
    crowd::an_earlier_life_does_not_come_back,
    crowd::a_suspect_of_whom_nothing_more_is_heard_is_asked,
    crowd::what_one_says_of_itself_reaches_all,
    crowd::a_session_is_made_when_it_is_needed_and_closed_when_it_is_not,
    crowd::after_a_split_of_30_s_both_sides_know_all_again,
    crowd::a_return_that_passed_one_by_is_learned_by_comparing,
    crowd::an_insider_that_tells_of_deaths_buries_nobody,
    crowd::old_packets_of_membership_revive_and_bury_nobody,
    crowd::an_insider_that_invents_members_takes_bounded_room,
    services::the_key_of_another_caller_is_another_deed,
    services::a_deed_that_is_asked_for_twice_is_done_once,
    services::what_waited_over_its_deadline_is_not_begun,
    services::nobody_is_said_only_when_all_have_answered,
    services::an_answer_that_is_on_its_way_is_waited_for,
    services::a_dead_server_is_not_chosen,
    services::a_draining_server_gets_nothing_new,
}

/// A writer and a reader that know each other.
pub struct Pair {
    /// Their network.
    pub net: Net,
    /// Who writes.
    pub alice: Ep,
    /// Who reads.
    pub bob: Ep,
    /// What alice writes to.
    pub words: Pub,
    /// What bob reads.
    pub heard: Sub,
}

impl Pair {
    /// Alice publishes `words` (policy block), bob reads it, and the stream stands.
    pub fn over(link: LinkModel) -> Self {
        Self::seeded(1, link)
    }

    /// The same with the chance of `seed`.
    pub fn seeded(seed: u64, link: LinkModel) -> Self {
        let mut net = Net::seeded(seed).links(link);
        net.world.trace.keep = true;
        let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
        let heard = net.subscribe(bob, "words");
        let words = net.advertise(alice, "words");
        let met = net.run_until(|net| net.said(alice, is_reader_joined).is_some(), secs(10));
        assert!(met, "alice and bob do not meet:\n{}", net.trace());
        net.run_for(crate::net::ms(500));
        Self { net, alice, bob, words, heard }
    }
}

/// Seconds.
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn is_reader_joined(event: &Event) -> bool {
    matches!(event, Event::ReaderJoined { .. })
}

fn is_conflict(event: &Event) -> bool {
    matches!(event, Event::NameConflict { .. })
}

fn is_peer_down(event: &Event) -> bool {
    matches!(event, Event::PeerDown { .. })
}

/// Runs until `sub` has this many messages; panics with the trace if that takes too long.
fn expect_messages(net: &mut Net, sub: Sub, count: usize, limit: Duration) {
    let done = net.run_until(|net| net.deliveries(sub).len() >= count, limit);
    let got = net.deliveries(sub).len();
    assert!(done, "{got} of {count} after {limit:?}\n{}", net.trace());
}
