//! The quick scenarios of `cargo xtask lab`, where the machine allows them: root, and namespaces.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One scenario at a time: each loads the machine.
static TURN: Mutex<()> = Mutex::new(());

/// Runs scenarios and demands that they keep their promise; says so where they cannot run.
fn lab(arguments: &[&str]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if !possible() {
        eprintln!("skipped: needs root and network namespaces");
        return;
    }
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "xtask", "--", "lab"])
        .args(arguments)
        .env("MOTET_LAB", env!("CARGO_BIN_EXE_motet-lab"))
        .output()
        .expect("cargo runs");
    let told = String::from_utf8_lossy(&output.stdout);
    print!("{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
}

fn possible() -> bool {
    let name = format!("motetlabtest{}", std::process::id());
    let ip = |verb| {
        let output = Command::new("ip").args(["netns", verb, &name]).output();
        output.is_ok_and(|output| output.status.success())
    };
    ip("add") && ip("del") && Command::new("iptables").arg("-V").output().is_ok()
}

#[test]
fn sv_6_endpoints_of_one_host_meet_with_nothing_but_loopback() {
    lab(&["starters"]);
}

#[test]
fn gl_7_endpoints_meet_without_multicast_or_ipv4() {
    lab(&["no-multicast", "ipv6"]);
}

#[test]
fn packets_never_exceed_the_mtu() {
    lab(&["mtu"]);
}

// GL-6
#[test]
fn nothing_is_lost_or_repeated_at_5_percent_loss() {
    lab(&["bulk", "--quick"]);
}

// PB-2
#[test]
fn names_topics_and_bodies_are_never_seen_on_the_wire() {
    lab(&["capture"]);
}

// PE-4
#[test]
fn pe_4_a_message_to_eight_readers_costs_its_writer_the_packets_of_one() {
    lab(&["lane-cost", "--quick"]);
}

// PE-11
#[test]
fn pe_11_a_slow_and_a_stopped_reader_leave_the_others_their_rate_and_are_told_what_they_missed() {
    lab(&["lane-laggards", "--quick"]);
}

#[test]
fn a_lane_loses_and_repeats_nothing_when_each_reader_misses_5_percent() {
    lab(&["lane-loss", "--quick"]);
}

#[test]
fn a_lane_that_is_cut_or_forgotten_by_a_switch_is_left_for_unicast_without_a_loss() {
    lab(&["lane-cut", "lane-snooping"]);
}

// GL-19, RC-13
#[test]
fn three_subnets_meet_by_one_contact_and_a_newcomer_by_memory() {
    lab(&["cloud"]);
}

#[test]
fn calls_survive_kills_of_servers_brokers_and_name_servers() {
    lab(&["services", "--quick"]);
}

// SV-7: each of all answers reaches who asks, though all are on one machine. Here 40 endpoints; 200 by
// `cargo xtask lab many`.
#[test]
fn sv_7_all_candidates_of_one_machine_answer_a_survey_and_none_is_lost() {
    lab(&["many", "--quick"]);
}
