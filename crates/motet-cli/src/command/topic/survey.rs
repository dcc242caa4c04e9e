//! What every endpoint says of its topics, asked of the endpoints themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use motet::report::{SubscriptionReport, TopicReport};
use motet::{Answer, AskError, Endpoint, What};
use serde::Serialize;

use crate::command::endpoint::choice::Choice;
use crate::command::endpoint::list;
use crate::context::Context;

/// One topic, over all endpoints.
#[derive(Debug, Default, Serialize)]
pub(crate) struct TopicView {
    pub(crate) topic: String,
    /// Empty is any; several are a mistake.
    pub(crate) types: Vec<String>,
    pub(crate) writers: Vec<WriterView>,
    pub(crate) readers: Vec<ReaderView>,
}

/// A writer of a topic.
#[derive(Debug, Serialize)]
pub(crate) struct WriterView {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) report: TopicReport,
}

/// A reader, as its writer sees it.
#[derive(Debug, Serialize)]
pub(crate) struct ReaderView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) writer: String,
    pub(crate) state: String,
    pub(crate) unacked: u64,
    /// `unicast`, `lane` or `local`, and by which address or interface.
    pub(crate) carrier: String,
    pub(crate) by: String,
    /// Why not a lane.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lane: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lane_readers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lane_seconds: Option<f64>,
}

/// Somebody who subscribes.
#[derive(Debug, Serialize)]
pub(crate) struct Subscribed {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) report: SubscriptionReport,
}

/// Topics by name, and who subscribes to what.
pub(crate) struct Survey {
    pub(crate) topics: BTreeMap<String, TopicView>,
    pub(crate) subscriptions: Vec<Subscribed>,
}

/// Asks everybody who is here at once. Those who do not answer in time are named on stderr.
pub(crate) async fn survey(
    endpoint: &Endpoint,
    wait: Option<Duration>,
    context: &Context,
) -> Survey {
    let peers = list::listen(endpoint, wait, &Choice::default(), context).await;
    let mut asked = tokio::task::JoinSet::new();
    for peer in peers.into_iter().map(|row| row.member) {
        let (endpoint, limit) = (endpoint.clone(), context.global.timeout);
        asked.spawn(async move {
            let answer = endpoint.ask(&peer.id, What::Topics, limit).await;
            (peer, answer)
        });
    }
    let mut survey = Survey { topics: BTreeMap::new(), subscriptions: Vec::new() };
    while let Some(answered) = asked.join_next().await {
        match answered {
            Ok((peer, Ok(Answer::Topics(report)))) => {
                for topic in report.topics {
                    survey.add(&peer.id, &peer.name, topic);
                }
                survey.subscriptions.extend(report.subscriptions.into_iter().map(|report| {
                    Subscribed { id: peer.id.clone(), name: peer.name.clone(), report }
                }));
            }
            // It left while it was asked: it is not here.
            Ok((_, Err(AskError::NotFound { .. } | AskError::Gone { .. }))) => {}
            Ok((peer, Err(error))) => context.out.remark(format!("{}: {error}", peer.name)),
            _ => {}
        }
    }
    survey.subscriptions.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    survey
}

impl Survey {
    fn add(&mut self, id: &str, name: &str, report: TopicReport) {
        // Inboxes are not topics that anybody named.
        if report.topic.starts_with('$') {
            return;
        }
        let view = self.topics.entry(report.topic.clone()).or_default();
        view.topic.clone_from(&report.topic);
        if !view.types.contains(&report.type_tag) {
            view.types.push(report.type_tag.clone());
            view.types.sort();
        }
        view.readers.extend(report.readers.iter().map(|reader| ReaderView {
            id: reader.id.clone(),
            name: reader.name.clone(),
            writer: name.to_owned(),
            state: reader.state.clone(),
            unacked: reader.unacked,
            carrier: reader.carrier.clone(),
            by: reader.by.clone(),
            why: reader.why.clone(),
            lane: reader.lane,
            lane_readers: reader.lane_readers,
            lane_seconds: reader.lane_seconds,
        }));
        view.writers.push(WriterView { id: id.to_owned(), name: name.to_owned(), report });
        view.writers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    }
}
