//! Two views, one answer.

use super::{Reason, TRIED_MAX, Verdict};

/// What the writer says, what the reader says, or only one of them: the earlier reason of the
/// decision list, with the facts of the other where it has none. E-3
///
/// A side that has only not met the other says less than one that knows why.
pub fn join(writer: Option<Verdict>, reader: Option<Verdict>) -> Verdict {
    match (writer, reader) {
        (Some(writer), Some(reader)) => {
            let (mut told, other) =
                if weight(&writer) < weight(&reader) { (writer, reader) } else { (reader, writer) };
            fill(&mut told, other);
            told
        }
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => Verdict::default(),
    }
}

fn weight(verdict: &Verdict) -> Reason {
    verdict.reason()
}

fn fill(told: &mut Verdict, other: Verdict) {
    let room = TRIED_MAX.saturating_sub(told.tried.len());
    told.tried.extend(other.tried.into_iter().take(room));
    if told.near.is_empty() && told.reason == other.reason {
        told.near = other.near;
    }
    if told.at_writer.is_empty() {
        told.at_writer = other.at_writer;
    }
    if told.at_reader.is_empty() {
        told.at_reader = other.at_reader;
    }
    if told.carrier.is_empty() {
        told.carrier = other.carrier;
    }
    told.behind = told.behind.max(other.behind);
    told.next = told.next.max(other.next);
    told.missed = told.missed.max(other.missed);
    told.lag = told.lag.or(other.lag);
    told.last = told.last.or(other.last);
    told.since = told.since.or(other.since);
    told.skew_ms = told.skew_ms.or(other.skew_ms);
}

#[cfg(test)]
mod tests {
    use super::super::Side;
    use super::*;
    use alloc::string::String;

    fn view(side: Side, reason: Reason) -> Verdict {
        Verdict::new(side, reason)
    }

    #[test] // E-3
    fn of_two_true_reasons_the_one_nearer_to_the_cause_is_told() {
        let joined = |writer, reader| {
            let verdict = join(Some(view(Side::Writer, writer)), Some(view(Side::Reader, reader)));
            (verdict.side, verdict.reason())
        };
        use Reason::{NoFilter, NotMet, NotOffered, NotPublished, Paused, Receiving, Unreachable};
        assert_eq!(joined(NotOffered, NoFilter), (Side::Reader, NoFilter));
        assert_eq!(joined(NotPublished, NotOffered), (Side::Writer, NotPublished));
        assert_eq!(joined(NotMet, Unreachable), (Side::Reader, Unreachable));
        assert_eq!(joined(Receiving, Paused), (Side::Reader, Paused));
        assert_eq!(joined(Receiving, Receiving), (Side::Reader, Receiving));
    }

    #[test] // E-3
    fn the_other_view_fills_in_what_is_not_known() {
        let mut writer = view(Side::Writer, Reason::Lagging);
        (writer.behind, writer.at_writer) = (7, String::from("int32"));
        let mut reader = view(Side::Reader, Reason::Receiving);
        (reader.missed, reader.carrier) = (2, String::from("unicast"));
        let verdict = join(Some(writer), Some(reader));
        assert_eq!((verdict.behind, verdict.missed), (7, 2));
        assert_eq!((verdict.at_writer.as_str(), verdict.carrier.as_str()), ("int32", "unicast"));
    }

    #[test]
    fn one_view_is_enough_and_none_is_unknown() {
        let only = join(None, Some(view(Side::Reader, Reason::NoFilter)));
        assert_eq!(only.reason(), Reason::NoFilter);
        assert_eq!(join(None, None).reason(), Reason::Unknown);
    }
}
