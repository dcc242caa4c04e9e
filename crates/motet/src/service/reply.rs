//! What is answered.

use std::time::Duration;

use bytes::Bytes;
use motet_proto::EndpointKey;
use motet_proto::services::{ReplySpec, ServiceReply, ServiceStatus};

/// An answer, or one part of it. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Reply {
    inner: ServiceReply,
}

impl Reply {
    pub(crate) fn new(inner: ServiceReply) -> Self {
        Self { inner }
    }

    /// The first frame of the body; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.inner.frames.first().map_or(&[], |frame| frame)
    }

    /// All frames of the body.
    #[must_use]
    pub fn frames(&self) -> &[Bytes] {
        &self.inner.frames
    }

    /// Its properties, in order.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first property of this name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Who answered.
    #[must_use]
    pub fn from(&self) -> EndpointKey {
        self.inner.from
    }

    /// Which part of the answer it is, from 0.
    #[must_use]
    pub fn part(&self) -> u64 {
        self.inner.part
    }

    /// Nothing follows from this instance.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.inner.last
    }

    /// It was kept from an earlier call with the same idempotency key.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.inner.cached
    }

    /// How it ended: [`ServiceStatus::Ok`], but of a survey also what failed.
    #[must_use]
    pub fn status(&self) -> ServiceStatus {
        self.inner.status
    }

    /// The program's own code, with [`ServiceStatus::Failed`].
    #[must_use]
    pub fn code(&self) -> u64 {
        self.inner.code
    }

    /// What it says about the status.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// How long the instance worked on it.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.inner.took
    }

    /// The frames, to be kept without a copy.
    #[must_use]
    pub fn into_frames(self) -> Vec<Bytes> {
        self.inner.frames
    }
}

/// What is answered to a request: a body in one or more frames, and what travels with it.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub(crate) spec: ReplySpec,
}

impl Answer {
    /// A body of one frame.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self::default().frame(body)
    }

    /// A failure of the program's own, with its code and what there is to say.
    #[must_use]
    pub fn failed(code: u64, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { spec: ReplySpec { status: ServiceStatus::Failed, code, text, ..Default::default() } }
    }

    /// Any status, with what there is to say. For brokers and gateways.
    #[must_use]
    pub fn status(status: ServiceStatus, text: impl Into<String>) -> Self {
        Self { spec: ReplySpec { status, text: text.into(), ..Default::default() } }
    }

    /// With another frame; 256 at most.
    #[must_use]
    pub fn frame(mut self, frame: impl Into<Bytes>) -> Self {
        self.spec.frames.push(frame.into());
        self
    }

    /// With one more property; 64 at most.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.properties.push((name.into(), value.into()));
        self
    }
}

/// Passes an answer on as it came.
impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let ServiceReply { status, code, text, properties, frames, .. } = reply.inner;
        Self { spec: ReplySpec { status, code, text, properties, frames, last: true } }
    }
}

/// What came of a call to all.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Survey {
    /// The answers in the order they came, failures among them.
    pub replies: Vec<Reply>,
    /// How many instances were asked.
    pub asked: usize,
}
