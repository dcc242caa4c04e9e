//! Books: whom a call may go to.

use super::*;
use crate::services::{CallSettings, WaitFor};

/// A call in this book that waits 20 s.
fn by(book: BookId) -> CallSpec {
    let timeout = Duration::from_secs(20);
    CallSpec {
        settings: CallSettings { book: Some(book), timeout, ..CallSettings::default() },
        ..spec("x")
    }
}

fn listed(n: u8) -> BTreeSet<EndpointId> {
    [EndpointId([n; 16])].into()
}

fn nobody(output: Option<CallOutput>) -> bool {
    matches!(output, Some(CallOutput::Failed(CallFailure { kind: FailureKind::NoResponders, .. })))
}

#[test] // V-50
fn a_call_goes_to_whom_its_book_lists_only() {
    let mut two = Two::new(ServeSettings::default());
    let book = two.caller.open_book(&"s".into()).expect("it may be opened");
    two.caller.write_book(book, Some(at(0)), listed(9));
    let call = two.call(at(1), by(book));
    assert!(two.server.next_request(at(1), two.serving).is_none());
    let lacks = core::iter::from_fn(|| two.caller.next_notice())
        .filter(|notice| *notice == Notice::BookLacks(book));
    assert_eq!(lacks.count(), 1);
    two.caller.write_book(book, Some(at(2)), listed(2));
    two.carry(at(2));
    let request = two.server.next_request(at(2), two.serving).expect("it is listed now");
    two.respond(at(2), request.id, "y");
    assert!(matches!(two.caller.take_output(call), Some(CallOutput::Done(_))));
}

#[test] // V-51
fn nobody_is_said_only_by_what_was_asked_for_after_the_call() {
    let mut two = Two::new(ServeSettings::default());
    let book = two.caller.open_book(&"s".into()).expect("it may be opened");
    two.caller.write_book(book, Some(at(9)), BTreeSet::new());
    let call = two.call(at(10), by(book));
    two.caller.write_book(book, Some(at(9)), BTreeSet::new());
    two.carry(at(3_000));
    assert!(two.caller.take_output(call).is_none());
    two.caller.write_book(book, Some(at(10)), BTreeSet::new());
    two.carry(at(3_001));
    assert!(nobody(two.caller.take_output(call)));
    // Also one that waits for nobody waits for the answer.
    let mut hasty = by(book);
    hasty.settings.wait = WaitFor::Nothing;
    let call = two.call(at(4_000), hasty);
    assert!(two.caller.take_output(call).is_none());
    two.caller.write_book(book, Some(at(4_000)), listed(9));
    two.carry(at(4_001));
    assert!(nobody(two.caller.take_output(call)));
    // A book of another service, or one that is closed, is none.
    let other = two.caller.open_book(&"other".into()).expect("it may be opened");
    assert!(two.caller.call(at(5_000), "s".into(), by(other), 1 << 20).is_err());
    two.caller.close_book(at(5_000), book);
    assert!(two.caller.call(at(5_000), "s".into(), by(book), 1 << 20).is_err());
}

#[test]
fn books_are_bounded() {
    let mut services = Services::new(at(0), key(1, 10), [1; 32]);
    let service: Arc<str> = "s".into();
    let all = (0..4_096).map(|_| services.open_book(&service).expect("there is room"));
    let last = all.last().expect("some were opened");
    assert_eq!(services.open_book(&service), Err(CallRefused::Books));
    services.close_book(at(0), last);
    assert!(services.open_book(&service).is_ok());
}
