//! The stories of `motet_sim::scenarios`, each a test.

/// One test per story.
macro_rules! tell {
    ($($module:ident { $($name:ident)* })*) => {
        $(mod $module { $(#[test] fn $name() { motet_sim::scenarios::$module::$name(); })* })*

        #[test]
        fn every_story_is_told_here() {
            let told = [$($(stringify!($name),)*)*];
            let all: Vec<_> = motet_sim::scenarios::ALL.iter().map(|(name, _)| *name).collect();
            assert_eq!(all, told);
        }
    };
}

tell! {
    repair {
        a_lost_message_is_asked_for_once_and_everything_arrives_in_order
        a_lost_question_is_asked_again_before_a_heartbeat_could_help
        a_calm_net_asks_for_nothing
        feedback_lost_for_five_seconds_stalls_nobody
        the_last_message_of_a_burst_is_recovered_within_50_ms
        a_large_message_crosses_a_bursty_link_in_bounded_time
        repairs_stay_below_three_times_what_was_lost
        only_the_lost_piece_of_a_large_message_is_sent_again
        late_originals_do_not_confuse_the_questions
        a_hundred_separate_holes_are_repaired_at_once
        a_very_large_message_survives_five_percent_loss
    }
    flow {
        a_lost_reopening_of_the_window_is_repeated
        back_pressure_never_closes_a_session
        history_alone_blocks_nobody
        only_the_slow_reader_is_dropped
        a_reader_dropped_while_cut_off_is_told_later
        who_was_dropped_may_ask_again
        a_status_from_before_a_second_reading_is_not_believed
        a_slow_reader_is_told_what_it_missed
        a_late_reader_gets_the_history_it_asks_for
        a_writer_that_leaves_gets_its_last_words_out
        local_readers_get_everything
        a_star_is_one_level
        a_dead_reader_blocks_nobody
    }
    meeting {
        endpoints_meet_within_a_second_whoever_starts_first
        lost_first_packets_delay_a_meeting_but_do_not_prevent_it
        seven_dead_addresses_of_eight_do_not_hold_up_a_dial
        a_one_way_cut_of_20_s_heals
        an_address_change_keeps_the_session
        an_endpoint_that_moved_while_paused_is_followed
        two_that_move_at_once_find_each_other_again
        two_that_restarted_meet_though_each_dials_what_the_other_was
        an_endpoint_without_a_way_for_data_is_dead_whatever_its_beacons_say
        a_quiet_peer_stays_for_an_hour
        loopback_needs_no_multicast
        the_path_mtu_is_found_in_a_few_probes
    }
    identity {
        a_restart_with_the_clock_set_back_gets_in
        a_restart_is_no_name_conflict
        two_living_holders_of_a_name_are_both_told
        two_holders_of_one_key_are_told_and_others_unharmed
        forged_packets_change_nothing_but_counters
        nothing_expires_because_clocks_differ
        another_realm_is_not_heard
        a_repeated_datagram_is_taken_once
        a_recorded_handshake_opens_nothing
    }
    bounds {
        a_status_about_what_was_never_sent_is_refused
        a_number_beyond_the_window_is_not_kept
        a_gap_leaves_what_has_arrived
        a_message_that_comes_again_is_delivered_once
        a_packet_older_than_the_replay_window_is_not_taken
    }
    lanes {
        a_lane_brings_everything_to_all_with_one_packet_each
        a_loss_that_all_share_is_repaired_once_for_all
        a_repair_that_has_to_wait_is_confirmed_before_it_leaves
        a_loss_of_one_reader_is_repaired_for_it_alone
        multicast_that_dies_silently_is_noticed_within_a_second
        the_last_messages_survive_the_death_of_their_lane
        a_path_that_takes_no_large_packets_keeps_its_session
        who_cannot_join_keeps_its_session
        slow_readers_leave_the_lane_and_the_others_keep_their_rate
        a_late_joiner_does_not_drag_the_group
        bad_lane_packets_change_nothing_but_counters
        a_malicious_member_wedges_nobody
        an_insider_that_asks_for_everything_harms_only_itself
        a_lane_does_not_outrun_its_readers
    }
    crowd {
        who_is_suspected_wrongly_says_so_and_lives
        the_starved_declare_nobody_dead
        churn_leaves_a_bounded_list_of_the_dead
        an_earlier_life_does_not_come_back
        a_suspect_of_whom_nothing_more_is_heard_is_asked
        what_one_says_of_itself_reaches_all
        a_session_is_made_when_it_is_needed_and_closed_when_it_is_not
        after_a_split_of_30_s_both_sides_know_all_again
        a_return_that_passed_one_by_is_learned_by_comparing
        an_insider_that_tells_of_deaths_buries_nobody
        old_packets_of_membership_revive_and_bury_nobody
        an_insider_that_invents_members_takes_bounded_room
    }
    services {
        the_key_of_another_caller_is_another_deed
        a_deed_that_is_asked_for_twice_is_done_once
        what_waited_over_its_deadline_is_not_begun
        nobody_is_said_only_when_all_have_answered
        an_answer_that_is_on_its_way_is_waited_for
        a_dead_server_is_not_chosen
        a_draining_server_gets_nothing_new
    }
}
