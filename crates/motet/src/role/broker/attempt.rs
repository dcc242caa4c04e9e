//! One attempt: a request is sent to a worker or a peer, and its answer goes back the way it came.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use motet_proto::roles::broker::{Outcome, TaskId};
use motet_proto::services::Address;
use motet_proto::{EndpointId, EndpointKey};
use tokio::sync::{mpsc, oneshot};

use super::desk::Input;
use crate::role::pause;
use crate::service::{Answer, Ask, CallError, Caller, Request, RespondError, ServiceStatus};

/// A request that the broker holds, and what the last one said who turned it down.
pub(super) struct Held {
    pub(super) request: Request,
    pub(super) said: Option<(ServiceStatus, String)>,
}

/// What came of an attempt.
enum End {
    /// This is the answer.
    Answer(Answer),
    /// There is none; what was said, if somebody said no.
    None(Outcome, Option<(ServiceStatus, String)>),
}

/// A request on its way out.
pub(super) struct Attempt {
    pub(super) task: TaskId,
    pub(super) to: EndpointKey,
    /// This broker.
    pub(super) me: EndpointId,
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
        let end = unless_it_breaks(self.exchange()).await;
        let Self { task, to, request, .. } = self;
        let broken = end.is_err();
        let end = end.unwrap_or_else(|_| {
            // The panic itself was told on stderr. Nothing else is harmed.
            let text = "the broker's own work on it broke; it may have run or not";
            End::Answer(Answer::status(ServiceStatus::Unknown, text))
        });
        let (outcome, held) = match end {
            End::Answer(answer) => {
                // Nobody waiting for it is fine.
                let _ = request.answer(answer);
                (Outcome::Answered, None)
            }
            End::None(outcome, said) => (outcome, Some(Held { request, said })),
        };
        // The broker has ended: so has the request.
        let _ = back.send(Input::Back { task, from: to, outcome, held, broken });
    }

    async fn exchange(&mut self) -> End {
        let request = &self.request;
        let mut ask = Ask::default().hops(self.hops.clone()).timeout(request.remaining());
        ask.sent_before = self.sent_before;
        ask.only = Some(self.to.id);
        // B-19: what the first caller wanted travels on; that it meant this broker is done with.
        let address = match request.address() {
            Address::Endpoint(id) if *id == self.me => Address::Any,
            other => other.clone(),
        };
        ask.wanted = Some((address, request.version().to_owned()));
        for frame in request.frames() {
            ask = ask.frame(frame.clone());
        }
        for (name, value) in request.properties() {
            ask = ask.property(name, value);
        }
        if let Some(key) = request.idempotency_key() {
            ask = ask.idempotency_key(key.to_vec());
        }
        #[cfg(test)]
        assert!(request.body() != BREAKS, "broken, as a test wants it");
        let mut replies = match self.caller.start(ask) {
            Ok(replies) => replies,
            Err(error) => {
                let refused = Answer::status(ServiceStatus::BadRequest, error.to_string());
                return End::Answer(refused);
            }
        };
        let mut parts = 0_u64;
        loop {
            let reply = tokio::select! {
                reply = replies.next() => reply,
                () = self.request.cancelled() => return End::Answer(taken_back()),
                _ = &mut self.withdrawn => return End::None(Outcome::Lost, None),
            };
            match reply {
                Some(Ok(reply)) if reply.is_last() => {
                    return End::Answer(reply.into());
                }
                Some(Ok(reply)) => {
                    parts += 1;
                    self.pass(reply.into()).await;
                }
                Some(Err(error)) => return judge(error, parts > 0),
                None => return End::None(Outcome::Lost, None),
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
fn judge(error: CallError, begun: bool) -> End {
    if begun {
        let text = format!("the answer broke off: {error}");
        return End::Answer(Answer::status(ServiceStatus::Unknown, text));
    }
    if error.not_begun() {
        let said = match error {
            CallError::Status { status, text, .. } => Some((status, text)),
            _ => None,
        };
        return End::None(Outcome::NotBegun, said);
    }
    match error {
        CallError::Status { status, code, text, .. } => {
            let answer = match status {
                ServiceStatus::Failed => Answer::failed(code, text),
                other => Answer::status(other, text),
            };
            End::Answer(answer)
        }
        CallError::Closed => {
            let text = "the broker has ended";
            End::Answer(Answer::status(ServiceStatus::Unavailable, text))
        }
        _ => End::None(Outcome::Lost, None),
    }
}

/// What a future comes to; its panic ends it alone.
async fn unless_it_breaks<T>(work: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(it)) => Poll::Ready(Ok(it)),
        // It is not polled again.
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// With this body an attempt breaks, in tests.
#[cfg(test)]
pub(super) const BREAKS: &[u8] = b"break an invariant";

/// Time between two looks whether a caller takes parts again.
const SLOW_CALLER: std::time::Duration = std::time::Duration::from_millis(5);
