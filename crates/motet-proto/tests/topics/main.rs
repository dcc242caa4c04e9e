//! The topics layer alone, without a network.

mod interest;
mod lag;
mod matching;
mod names;
mod queue;

use motet_proto::topics::{TopicFilter, TopicName};

fn name(text: &str) -> TopicName {
    TopicName::system(text).expect(text)
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).expect(text)
}
