use alloc::vec;

use super::*;

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

fn of(instance: &str) -> Registered {
    Registered { service: "db".into(), instance: instance.into() }
}

const OWNER: EndpointId = EndpointId([1; 16]);
const OTHER: EndpointId = EndpointId([2; 16]);

fn spec(probe: Option<Probe>) -> Spec {
    let check = |probe| CheckSpec {
        probe,
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        rise: 2,
        fall: 3,
    };
    Spec {
        address: "10.0.0.5:5432".into(),
        ttl: Duration::from_secs(10),
        checks: probe.map(check).into_iter().collect(),
    }
}

fn tcp() -> Spec {
    spec(Some(Probe::Tcp("10.0.0.5:5432".into())))
}

fn changes(it: &mut Registrations) -> Vec<Option<Health>> {
    core::iter::from_fn(|| it.next_change()).map(|change| change.health).collect()
}

/// Runs the check that is due at `ms`.
fn run(it: &mut Registrations, ms: u64, health: Health) {
    let job = it.next_job(at(ms)).unwrap();
    it.finished(at(ms), job.ticket, health, "refused");
}

#[test] // B-33
fn a_registration_for_anothers_name_is_refused_counted_and_changes_nothing() {
    let mut it = Registrations::new();
    assert_eq!(it.register(at(0), OWNER, &of("a"), &spec(None)), Ok(true));
    assert_eq!(it.register(at(1), OTHER, &of("a"), &tcp()), Err(Refused::NotYours));
    assert_eq!(it.renew(at(1), OTHER, &of("a")), Err(Refused::NotYours));
    assert_eq!(it.remove(OTHER, &of("a")), Err(Refused::NotYours));
    assert_eq!(it.report(at(1), OTHER, &of("a"), Health::Passing, ""), Err(Refused::NotYours));
    assert_eq!(it.counters().not_yours, 4);
    let views: Vec<View> = it.views(at(1), None).collect();
    assert_eq!((views[0].owner, &views[0].spec), (OWNER, &spec(None)));
    // Once the lease has ended the name is free.
    assert_eq!(it.remove(OWNER, &of("a")), Ok(()));
    assert_eq!(it.register(at(2), OTHER, &of("a"), &spec(None)), Ok(true));
}

#[test] // B-34
fn a_lease_that_is_never_renewed_ends_and_is_told_and_a_renewed_one_stands() {
    let mut it = Registrations::new();
    it.register(at(0), OWNER, &of("a"), &spec(None)).unwrap();
    it.register(at(0), OWNER, &of("b"), &spec(None)).unwrap();
    it.renew(at(9_000), OWNER, &of("b")).unwrap();
    assert_eq!(changes(&mut it), [Some(Health::Passing), Some(Health::Passing)]);
    it.tick(at(9_999));
    assert_eq!(changes(&mut it), []);
    assert_eq!(it.next_due(), at(10_000));
    it.tick(at(10_000));
    let change = it.next_change().unwrap();
    assert_eq!((change.of, change.health), (of("a"), None));
    assert_eq!((it.views(at(10_000), None).count(), it.counters().expired), (1, 1));
}

#[test] // B-35 DG-11
fn health_changes_after_as_many_results_in_a_row_as_were_asked_for_and_not_by_flapping() {
    let mut it = Registrations::new();
    it.register(at(0), OWNER, &of("a"), &tcp()).unwrap();
    run(&mut it, 0, Health::Passing);
    assert_eq!(changes(&mut it), [Some(Health::Critical)]);
    run(&mut it, 1_000, Health::Passing);
    assert_eq!(changes(&mut it), [Some(Health::Passing)]);
    for n in 0..30 {
        let health = if n % 3 == 2 { Health::Passing } else { Health::Critical };
        run(&mut it, 2_000 + n * 1_000, health);
        it.renew(at(2_000 + n * 1_000), OWNER, &of("a")).unwrap();
    }
    assert_eq!(changes(&mut it), []);
    for n in 0..3 {
        assert_eq!(changes(&mut it), []);
        run(&mut it, 32_000 + n * 1_000, Health::Critical);
    }
    let change = it.next_change().unwrap();
    assert_eq!((change.health, change.reason.as_str()), (Some(Health::Critical), "refused"));
}

#[test] // B-35
fn an_owner_that_stops_reporting_turns_critical_and_one_that_warns_says_so() {
    let mut it = Registrations::new();
    it.register(at(0), OWNER, &of("a"), &spec(Some(Probe::Ttl))).unwrap();
    for ms in [100, 200] {
        it.report(at(ms), OWNER, &of("a"), Health::Warning, "disk is 90 % full").unwrap();
    }
    assert_eq!(changes(&mut it), [Some(Health::Critical), Some(Health::Warning)]);
    assert_eq!(it.next_job(at(5_000)), None);
    for ms in [1_200, 2_200, 3_200] {
        assert_eq!(changes(&mut it), []);
        assert_eq!(it.next_due(), at(ms));
        it.tick(at(ms));
    }
    assert_eq!(changes(&mut it), [Some(Health::Critical)]);
    it.register(at(0), OWNER, &of("b"), &spec(None)).unwrap();
    let refused = it.report(at(1), OWNER, &of("b"), Health::Passing, "");
    assert_eq!(refused, Err(Refused::NoReport));
}

#[test] // B-36 DG-4
fn checks_run_side_by_side_up_to_a_bound_and_the_longest_due_goes_first() {
    let mut it = Registrations::new();
    for n in 0..200 {
        it.register(at(n), OWNER, &of(&alloc::format!("{n}")), &tcp()).unwrap();
    }
    let mut jobs: Vec<Job> = core::iter::from_fn(|| it.next_job(at(200))).collect();
    assert_eq!((jobs.len(), it.counters().waited), (CHECKS_AT_ONCE, 1));
    assert_eq!((jobs[0].of.clone(), jobs[63].of.clone()), (of("0"), of("63")));
    // One that hangs holds its own place only.
    let done = jobs.pop().unwrap();
    it.finished(at(300), done.ticket, Health::Passing, "");
    assert_eq!(it.next_job(at(300)).unwrap().of, of("64"));
    // A result that comes twice, and one of an instance that is gone, change nothing.
    it.finished(at(300), done.ticket, Health::Passing, "");
    it.remove(OWNER, &of("0")).unwrap();
    it.finished(at(300), jobs[0].ticket, Health::Passing, "");
    assert_eq!(it.counters().checks, 2);
}

#[test] // B-37
fn maintenance_is_told_at_once_and_hides_what_checks_find_until_it_ends() {
    let mut it = Registrations::new();
    it.register(at(0), OWNER, &of("a"), &spec(None)).unwrap();
    changes(&mut it);
    it.maintain(&of("a"), Some("new disk")).unwrap();
    let change = it.next_change().unwrap();
    assert_eq!(change.reason, "maintenance: new disk");
    assert_eq!(change.health, Some(Health::Critical));
    it.maintain(&of("a"), None).unwrap();
    assert_eq!(changes(&mut it), [Some(Health::Passing)]);
    assert_eq!(it.maintain(&of("x"), None), Err(Refused::Unknown));
}

#[test]
fn texts_times_and_numbers_out_of_bounds_are_refused() {
    let mut it = Registrations::new();
    let mut put = |of: &Registered, spec: &Spec| it.register(at(0), OWNER, of, spec);
    assert_eq!(put(&of(""), &tcp()), Err(Refused::BadText));
    assert_eq!(put(&of("a\nb"), &tcp()), Err(Refused::BadText));
    let mut wrong = tcp();
    wrong.ttl = Duration::from_millis(499);
    assert_eq!(put(&of("a"), &wrong), Err(Refused::BadTime));
    let mut wrong = tcp();
    wrong.checks[0].interval = Duration::ZERO;
    assert_eq!(put(&of("a"), &wrong), Err(Refused::BadTime));
    let mut wrong = tcp();
    wrong.checks = vec![tcp().checks[0].clone(); CHECKS_MAX + 1];
    assert_eq!(put(&of("a"), &wrong), Err(Refused::Full));
    for n in 0..REGISTRATIONS_OF_ONE {
        assert_eq!(put(&of(&alloc::format!("{n}")), &spec(None)), Ok(true));
    }
    assert_eq!(put(&of("one more"), &spec(None)), Err(Refused::Full));
    assert_eq!(it.counters().refused, 6);
}
