//! Bugs put back on purpose, to show that the tests and the simulator find them. Only with the
//! feature `planted`, which is in no release; without it [`on`] is a constant.

/// The bugs of this crate that can be armed, one at a time.
pub const NAMES: &[&str] = &[
    "window_off_by_one",
    "nak_not_rescheduled",
    "no_tail_heartbeat",
    "missed_one_short",
    "fragment_hole_off_by_one",
    "status_unchecked",
    "log_freed_before_all_acked",
    "repair_whole_instead_of_range",
    "duplicate_delivered",
    "gap_swallows_held",
    "replay_off_by_one",
    "replay_unchecked",
    "old_incarnation_accepted",
    "stamp_unchecked",
    "filter_star_matches_zero_levels",
    "queue_drop_without_mark",
    "interest_delta_on_wrong_base",
    "dead_reader_blocks_publisher",
    "control_not_resent",
    "name_clash_by_third_party",
    "lane_no_backoff",
    "lane_fallback_skips",
    "lane_ready_unproved",
    "lane_ignores_slowest_window",
    "lane_repairs_alone_only",
    "lane_waits_for_laggards",
    "lane_replay_unchecked",
    "lane_confirms_nothing",
    "suspicion_not_refuted",
    "dead_list_unbounded",
    "old_incarnation_revives",
    "health_not_scaled",
    "hearsay_is_never_asked_about",
    "dead_are_asked_seldom",
    "returns_pass_by",
    "rumours_of_death_believed",
    "rumour_of_own_death_believed",
    "past_lives_are_silent",
    "anti_entropy_pulls_nothing",
    "reply_cache_without_client",
    "work_given_twice",
    "started_after_deadline",
    "dead_server_chosen",
    "draining_server_chosen",
    "broker_requeues_at_the_back",
    "broker_takes_the_most_recently_used",
    "broker_bounces_a_request",
    "broker_never_yields",
    "broker_never_asks",
    "broker_ignores_the_version",
    "offers_not_awaited",
    "nobody_by_time_alone",
    "book_not_heeded",
    "book_always_new",
    "resolver_keeps_what_ran_out",
    "resolver_believes_the_young",
    "promise_broken",
    "lease_for_anybody",
    "lease_end_of_unknown_forgotten",
    "lease_end_forgotten_at_once",
    "registry_for_anybody",
    "registry_lease_never_ends",
    "registry_checks_unbounded",
    "registry_undamped",
];

#[cfg(feature = "planted")]
mod armed {
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// Nobody has armed or disarmed anything yet.
    const UNREAD: usize = usize::MAX - 1;

    static ARMED: AtomicUsize = AtomicUsize::new(UNREAD);

    /// Arms the bug that the variable `MOTET_PLANTED` names: so any test of this crate can be run with it.
    #[cfg(test)]
    fn read_variable() {
        let named = std::env::var("MOTET_PLANTED").unwrap_or_default();
        assert!(arm(&named) || named.is_empty(), "MOTET_PLANTED names no bug: {named}");
    }

    /// Arms the bug of this name and disarms any other; false if there is none of this name.
    pub fn arm(name: &str) -> bool {
        let index = super::NAMES.iter().position(|known| *known == name);
        ARMED.store(index.unwrap_or(usize::MAX), Ordering::Relaxed);
        index.is_some()
    }

    /// Disarms all.
    pub fn disarm() {
        ARMED.store(usize::MAX, Ordering::Relaxed);
    }

    /// True while the bug of this name is armed.
    pub fn on(name: &str) -> bool {
        #[cfg(test)]
        if ARMED.load(Ordering::Relaxed) == UNREAD {
            read_variable();
        }
        super::NAMES.get(ARMED.load(Ordering::Relaxed)).is_some_and(|armed| *armed == name)
    }
}

#[cfg(feature = "planted")]
pub use armed::{arm, disarm, on};

/// True while the bug of this name is armed: never in this build.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn on(_name: &str) -> bool {
    false
}
