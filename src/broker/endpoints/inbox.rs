//! What the broker has for an endpoint: answers to its requests, publications, and calls for its workers.
//!
//! It is filled under the broker's lock. Its wakers are those of the endpoints' own thread, and put a number into a
//! queue, so they are called there, too.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use uuid::Uuid;

use crate::broker::budget::Charge;
use crate::broker::message::Message as Letter;
use crate::broker::queue::SessionId;
use crate::broker::router::{Handler, InTransit, Output, Publication};
use crate::broker::topics::{Outbox, Subscription};
use crate::engine::{Deadline, lock};

/// The place where the broker leaves what is for an endpoint.
pub(in crate::broker) struct Inbox(Mutex<State>);

struct State {
    closed: bool,
    answers: HashMap<Uuid, Slot>,
    /// For topics; the oldest give way, as they do for every slow subscriber.
    publications: Outbox<Arc<Publication>>,
    /// For workers; there are no more than the function may have calls.
    calls: VecDeque<Call>,
    /// Of the one task that waits for publications, for calls, or for time to pass.
    waker: Option<Waker>,
}

enum Slot {
    Waits(Option<Waker>),
    Answered(Answer),
}

/// An answer of the broker. With an item it has to be told what became of that.
pub(super) struct Answer {
    pub(super) letter: Letter,
    pub(super) item: Option<InTransit>,
}

/// A request to a function that workers serve.
pub(super) struct Call {
    pub(super) session: SessionId,
    pub(super) request: Letter,
    /// Until it has ended.
    pub(super) _charge: Charge,
}

/// What the wait for a publication ends with.
pub(super) enum Heard {
    Publication(Arc<Publication>),
    Nothing,
}

impl Inbox {
    /// An empty one for publications of so many bytes.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self(Mutex::new(State {
            closed: false,
            answers: HashMap::new(),
            publications: Outbox::new(most_bytes),
            calls: VecDeque::new(),
            waker: None,
        }))
    }

    /// Nothing comes in any more, and nobody waits. Returns what nobody has taken.
    pub(super) fn close(&self) -> (Vec<InTransit>, Vec<Call>) {
        let mut state = lock(&self.0);
        state.closed = true;
        let mut items = Vec::new();
        for (_, slot) in state.answers.drain() {
            match slot {
                Slot::Waits(waker) => waker.into_iter().for_each(Waker::wake),
                Slot::Answered(answer) => items.extend(answer.item),
            }
        }
        state.waker.take().into_iter().for_each(Waker::wake);
        (items, mem::take(&mut state.calls).into())
    }

    // ---- for the endpoint ----

    /// Prepares for the answer to a request. Returns whether there can be one.
    pub(super) fn expect(&self, request: Uuid) -> bool {
        let mut state = lock(&self.0);
        if !state.closed {
            state.answers.insert(request, Slot::Waits(None));
        }
        !state.closed
    }

    /// The answer that was prepared for; `None` if the endpoint closes.
    pub(super) async fn answer(&self, request: Uuid) -> Option<Answer> {
        poll_fn(|task| {
            let mut state = lock(&self.0);
            match state.answers.remove(&request) {
                None => Poll::Ready(None),
                Some(Slot::Answered(answer)) => Poll::Ready(Some(answer)),
                Some(Slot::Waits(_)) => {
                    let waits = Slot::Waits(Some(task.waker().clone()));
                    state.answers.insert(request, waits);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The next call; `None` if the endpoint closes.
    pub(super) async fn call(&self) -> Option<Call> {
        self.wait(None, |state| state.calls.pop_front())
            .await
            .flatten()
    }

    /// The next publication, or nothing when the time is over; `None` if the endpoint closes.
    pub(super) async fn publication(&self, time: Deadline) -> Option<Heard> {
        let heard = self.wait(Some(time), |state| {
            let (publication, _) = state.publications.pop()?;
            Some(publication)
        });
        heard
            .await
            .map(|heard| heard.map_or(Heard::Nothing, Heard::Publication))
    }

    /// Waits for the time to be over; `None` if the endpoint closes.
    pub(super) async fn pause(&self, time: Deadline) -> Option<()> {
        self.wait(Some(time), |_| None::<()>).await.map(|_| ())
    }

    /// Waits for what `take` finds: `Some(None)` when the time is over, `None` when the inbox is closed.
    async fn wait<T>(
        &self,
        mut time: Option<Deadline>,
        mut take: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<Option<T>> {
        poll_fn(|task| {
            let mut state = lock(&self.0);
            if state.closed {
                return Poll::Ready(None);
            }
            if let Some(found) = take(&mut state) {
                return Poll::Ready(Some(Some(found)));
            }
            state.waker = Some(task.waker().clone());
            drop(state);
            let over = time.as_mut().is_some_and(|time| time.is_over(task));
            if over {
                Poll::Ready(Some(None))
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

/// The endpoints of a broker by their sessions.
#[derive(Default)]
pub(in crate::broker) struct Locals(HashMap<SessionId, Arc<Inbox>>);

impl Locals {
    pub(in crate::broker) fn insert(&mut self, session: SessionId, inbox: Arc<Inbox>) {
        self.0.insert(session, inbox);
    }

    pub(in crate::broker) fn remove(&mut self, session: SessionId) {
        self.0.remove(&session);
    }

    /// Leaves an output with the endpoint that it is for. One that is for no endpoint comes back.
    #[inline]
    pub(in crate::broker) fn take(&self, output: Output) -> Option<Output> {
        if self.0.is_empty() {
            return Some(output);
        }
        let inbox = match &output {
            Output::Answer { session, .. } => self.0.get(session),
            Output::Publish { .. } => return self.publish(output),
            Output::Call {
                handler: Handler::Workers(inbox),
                ..
            } => Some(inbox),
            _ => None,
        };
        match inbox.cloned() {
            Some(inbox) => inbox.put(output),
            None => Some(output),
        }
    }
}

impl Locals {
    /// Leaves a publication with those of its subscribers that are endpoints.
    fn publish(&self, mut output: Output) -> Option<Output> {
        if let Output::Publish { to, publication } = &mut output {
            to.retain(|subscription| {
                let inbox = self.0.get(&subscription.session);
                !inbox.is_some_and(|inbox| inbox.publish(subscription, publication))
            });
            if to.is_empty() {
                return None;
            }
        }
        Some(output)
    }
}

impl Inbox {
    /// Takes a publication, unless nobody will fetch it.
    fn publish(&self, subscription: &Subscription, publication: &Arc<Publication>) -> bool {
        let mut state = lock(&self.0);
        if state.closed {
            return false;
        }
        let bytes = publication.bytes();
        // What the oldest gives way to is what a subscriber that is slow gets.
        let _ = state
            .publications
            .push(subscription, publication.clone(), bytes);
        state.waker.take().into_iter().for_each(Waker::wake);
        true
    }

    fn put(&self, output: Output) -> Option<Output> {
        let mut state = lock(&self.0);
        if state.closed {
            return Some(output);
        }
        match output {
            Output::Answer {
                session,
                message: letter,
                item,
            } => {
                let Some(slot) = state.answers.get_mut(&letter.id()) else {
                    return Some(Output::Answer {
                        session,
                        message: letter,
                        item,
                    });
                };
                let answered = Slot::Answered(Answer { letter, item });
                if let Slot::Waits(Some(waker)) = mem::replace(slot, answered) {
                    waker.wake();
                }
                return None;
            }
            Output::Call {
                session,
                request,
                charge,
                ..
            } => state.calls.push_back(Call {
                session,
                request,
                _charge: charge,
            }),
            other => return Some(other),
        }
        state.waker.take().into_iter().for_each(Waker::wake);
        None
    }
}
