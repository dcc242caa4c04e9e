//! One attempt: a request is sent to a worker or a peer, and its answer goes back the way it came.

use motet_proto::roles::broker::{Outcome, TaskId};
use motet_proto::{EndpointId, EndpointKey};
use tokio::sync::{mpsc, oneshot};

use super::desk::Input;
use crate::role::pause;
use crate::service::{Answer, Ask, CallError, Caller, Request, RespondError, ServiceStatus};

/// A request on its way out.
pub(super) struct Attempt {
    pub(super) task: TaskId,
    pub(super) to: EndpointKey,
    pub(super) request: Request,
    pub(super) caller: Caller,
    /// Whoever passed it on so far, this broker included.
    pub(super) hops: Vec<EndpointId>,
    /// How often it was sent before, or the number of an inquiry.
    pub(super) sent_before: u64,
    pub(super) withdrawn: oneshot::Receiver<()>,
}

impl Attempt {
    /// Sends it and waits for what comes of it. The request is given back unless it was answered.
    pub(super) async fn run(mut self, back: mpsc::UnboundedSender<Input>) {
        let (outcome, answer) = self.exchange().await;
        let Self { task, to, request, .. } = self;
        let kept = match answer {
            Some(answer) => {
                // Nobody waiting for it is fine.
                let _ = request.answer(answer);
                None
            }
            None => Some(request),
        };
        // The broker has ended: so has the request.
        let _ = back.send(Input::Back { task, from: to, outcome, request: kept });
    }

    async fn exchange(&mut self) -> (Outcome, Option<Answer>) {
        let request = &self.request;
        let mut ask = Ask::default().hops(self.hops.clone()).timeout(request.remaining());
        ask.sent_before = self.sent_before;
        for frame in request.frames() {
            ask = ask.frame(frame.clone());
        }
        for (name, value) in request.properties() {
            ask = ask.property(name, value);
        }
        if let Some(key) = request.idempotency_key() {
            ask = ask.idempotency_key(key.to_vec());
        }
        let mut replies = match self.caller.start(ask.to(self.to.id)) {
            Ok(replies) => replies,
            Err(error) => {
                let refused = Answer::status(ServiceStatus::BadRequest, error.to_string());
                return (Outcome::Answered, Some(refused));
            }
        };
        let mut parts = 0_u64;
        loop {
            let reply = tokio::select! {
                reply = replies.next() => reply,
                () = self.request.cancelled() => return (Outcome::Answered, Some(taken_back())),
                _ = &mut self.withdrawn => return (Outcome::Lost, None),
            };
            match reply {
                Some(Ok(reply)) if reply.is_last() => {
                    return (Outcome::Answered, Some(reply.into()));
                }
                Some(Ok(reply)) => {
                    parts += 1;
                    self.pass(reply.into()).await;
                }
                Some(Err(error)) => return judge(error, parts > 0),
                None => return (Outcome::Lost, None),
            }
        }
    }

    /// Passes one part on. A slow caller holds up only its own answer.
    async fn pass(&mut self, part: Answer) {
        while let Err(RespondError::Full) = self.request.part_of(part.clone()) {
            if self.request.is_cancelled() {
                return;
            }
            pause(SLOW_CALLER).await;
        }
    }
}

/// For whoever asked again with the same key after the first one had given up, and now has to ask
/// anew. It is kept for nobody.
pub(super) fn taken_back() -> Answer {
    Answer::status(ServiceStatus::Unavailable, "who asked first has taken it back; ask again")
}

/// What an error of the attempt means. After the first part it cannot begin anew.
fn judge(error: CallError, begun: bool) -> (Outcome, Option<Answer>) {
    if begun {
        let text = format!("the answer broke off: {error}");
        return (Outcome::Answered, Some(Answer::status(ServiceStatus::Unknown, text)));
    }
    if error.not_begun() {
        return (Outcome::NotBegun, None);
    }
    match error {
        CallError::Status { status, code, text, .. } => {
            let answer = match status {
                ServiceStatus::Failed => Answer::failed(code, text),
                other => Answer::status(other, text),
            };
            (Outcome::Answered, Some(answer))
        }
        CallError::Closed => {
            let text = "the broker has ended";
            (Outcome::Answered, Some(Answer::status(ServiceStatus::Unavailable, text)))
        }
        _ => (Outcome::Lost, None),
    }
}

/// Time between two looks whether a caller takes parts again.
const SLOW_CALLER: std::time::Duration = std::time::Duration::from_millis(5);
