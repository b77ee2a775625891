//! One answer while it is made: its events, its meter, and the way to stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::EngineError;

/// Events that wait for a slow reader. A generation pauses when they are full, so a reader that
/// stands still costs neither memory nor tokens.
const EVENTS_WAITING_MAX: usize = 64;

/// Tokens counted by the meter.
///
/// `input_tokens` counts the templated prompt as far as it was read, all of it once `Started` came.
/// `output_tokens` counts every token that the model chose: the one that ends its turn too, as Ollama
/// does, and those whose text a stop string cut away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, after templating.
    pub input_tokens: u64,
    /// Tokens that were generated.
    pub output_tokens: u64,
}

/// Why an answer ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The bound of output tokens, or the end of the context, was reached.
    Length,
    /// The model ended its turn, or a stop string was produced.
    Stop,
}

impl FinishReason {
    /// The word that OpenAI's API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Length => "length",
            FinishReason::Stop => "stop",
        }
    }
}

/// One step of an answer, in the order `Started`, any number of `Text`, `Finished`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The prompt was read; the first token follows.
    Started {
        /// Tokens of the prompt, after templating.
        input_tokens: u64,
    },
    /// Some text, never empty, never a part of a character.
    Text(String),
    /// The answer is whole; nothing follows.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
}

/// An answer in the making.
///
/// Dropping it stops the work. [`Generation::cancel`] stops it too and waits for the final count,
/// which is what a pod charges for when its caller goes away.
#[derive(Debug)]
pub struct Generation {
    events: mpsc::Receiver<Result<Event, EngineError>>,
    meter: Arc<Meter>,
    stopped: oneshot::Receiver<()>,
    /// `Finished` or an error was handed out.
    ended: bool,
}

impl Generation {
    /// The next event, or `None` after `Finished` or an error; one of them always comes. A backend
    /// that vanished without a word is [`EngineError::Died`] and never looks like an end.
    ///
    /// Cancel safe: an event is lost to no dropped future.
    pub async fn next(&mut self) -> Option<Result<Event, EngineError>> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().await.unwrap_or_else(|| {
            Err(EngineError::Died { output_tokens: self.meter.usage().output_tokens })
        });
        self.ended = matches!(event, Err(_) | Ok(Event::Finished { .. }));
        Some(event)
    }

    /// What was generated so far.
    pub fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// Stops the work, waits until it has stopped, and returns the final count.
    pub async fn cancel(mut self) -> Usage {
        self.events.close();
        // The producer's end drops its half of this channel when it generates no more, so an error
        // here is the expected outcome.
        let _ = (&mut self.stopped).await;
        self.meter.usage()
    }
}

/// The end that a backend holds: it counts, sends, and sees when nobody listens any more.
#[derive(Debug)]
pub(crate) struct Producer {
    events: mpsc::Sender<Result<Event, EngineError>>,
    meter: Arc<Meter>,
    _stopped: oneshot::Sender<()>,
}

/// A generation and the end that feeds it.
pub(crate) fn channel() -> (Producer, Generation) {
    let (events_in, events) = mpsc::channel(EVENTS_WAITING_MAX);
    let (stopped_in, stopped) = oneshot::channel();
    let meter = Arc::new(Meter::default());
    let producer = Producer { events: events_in, meter: Arc::clone(&meter), _stopped: stopped_in };
    (producer, Generation { events, meter, stopped, ended: false })
}

impl Producer {
    /// Sets the count of the prompt's tokens.
    pub(crate) fn count_input(&self, tokens: u64) {
        self.meter.input_tokens.store(tokens, Ordering::Release);
    }

    /// Sets the count of the tokens generated so far.
    pub(crate) fn count_output(&self, tokens: u64) {
        self.meter.output_tokens.store(tokens, Ordering::Release);
    }

    /// What was counted so far.
    pub(crate) fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// Whether the reader went away; the work should stop.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    /// Waits until the reader goes away.
    pub(crate) async fn abandoned(&self) {
        self.events.closed().await;
    }

    /// Sends an event, waiting while the reader is slow; false when the reader went away.
    pub(crate) async fn send(&self, event: Result<Event, EngineError>) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// How many events can be sent without waiting.
    pub(crate) fn room(&self) -> usize {
        self.events.capacity()
    }

    /// Sends an event for which there is [`room`](Self::room); false when the reader went away.
    pub(crate) fn send_now(&self, event: Result<Event, EngineError>) -> bool {
        self.events.try_send(event).is_ok()
    }
}

#[derive(Debug, Default)]
struct Meter {
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
}

impl Meter {
    fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.input_tokens.load(Ordering::Acquire),
            output_tokens: self.output_tokens.load(Ordering::Acquire),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cancelling_waits_for_the_final_count() {
        let (producer, generation) = channel();
        producer.count_input(7);
        let work = tokio::spawn(async move {
            producer.abandoned().await;
            producer.count_output(3);
        });
        let usage = generation.cancel().await;
        assert_eq!(usage, Usage { input_tokens: 7, output_tokens: 3 });
        work.await.unwrap();
    }

    #[tokio::test]
    async fn dropping_the_generation_tells_the_producer() {
        let (producer, generation) = channel();
        assert!(!producer.is_abandoned());
        drop(generation);
        assert!(producer.is_abandoned());
        assert!(!producer.send(Ok(Event::Text("x".into()))).await);
        assert!(!producer.send_now(Ok(Event::Text("x".into()))));
    }

    #[tokio::test]
    async fn events_arrive_in_order_and_nothing_follows_the_end() {
        let (producer, mut generation) = channel();
        assert_eq!(producer.room(), EVENTS_WAITING_MAX);
        let finished = Event::Finished { reason: FinishReason::Stop, usage: Usage::default() };
        assert!(producer.send(Ok(Event::Started { input_tokens: 1 })).await);
        assert!(producer.send_now(Ok(finished.clone())));
        assert_eq!(generation.next().await, Some(Ok(Event::Started { input_tokens: 1 })));
        assert_eq!(generation.next().await, Some(Ok(finished)));
        assert_eq!(generation.next().await, None);
    }

    #[tokio::test]
    async fn a_producer_that_vanishes_is_an_error_and_not_an_end() {
        let (producer, mut generation) = channel();
        producer.count_output(2);
        drop(producer);
        let died = EngineError::Died { output_tokens: 2 };
        assert_eq!(generation.next().await, Some(Err(died)));
        assert_eq!(generation.next().await, None);
    }
}
