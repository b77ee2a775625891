//! One thread that works on several answers at once.
//!
//! Each turn reads at most one slice of one prompt, then makes one token of every answer, all in one
//! pass over the weights. A long prompt so delays the others by a slice, and never by its length.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::decoder::{Decoder, KeyValues, Piece};
use super::layer::Work;
use super::matrix::Product;
use super::sampler::Sampler;
use super::text::TextStream;
use super::tokenizer::Tokenizer;
use crate::generation::Producer;
use crate::{EngineError, Event, FinishReason};

/// Prompt tokens of one slice while other answers are being made: about 60 ms of two cores.
const SLICE_SHARED: usize = 64;
/// Prompt tokens of one slice otherwise.
const SLICE_ALONE: usize = 512;
/// How often readers that all stand still are looked at.
const SLOW_READERS_EVERY: Duration = Duration::from_millis(5);
/// Events that one token can cause: text, the rest of the text, the end.
const EVENTS_A_TOKEN: usize = 3;

/// One accepted chat.
#[derive(Debug)]
pub(super) struct Job {
    /// Its place among the accepted. It is given back, being first, before the producer tells its
    /// reader that the work has stopped.
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) prompt: Vec<u32>,
    pub(super) sampler: Sampler,
    pub(super) text: TextStream,
    pub(super) max_tokens: u64,
    pub(super) producer: Producer,
}

/// How long answers took lately, from which a refusal says when to come again.
#[derive(Debug, Default)]
pub(super) struct Pace {
    millis: AtomicU64,
}

impl Pace {
    /// Takes a finished answer into a moving mean.
    fn record(&self, took: Duration) {
        let took = took.as_millis().min(u128::from(u32::MAX)) as u64;
        let mean = self.millis.load(Ordering::Relaxed);
        let next = if mean == 0 { took } else { (mean * 7 + took) / 8 };
        self.millis.store(next.max(1), Ordering::Relaxed);
    }

    /// Seconds until one of so many running answers is likely to end.
    pub(super) fn retry_after_s(&self, running: usize) -> u64 {
        let millis = self.millis.load(Ordering::Relaxed) / running.max(1) as u64;
        millis.div_ceil(1000).clamp(1, 60)
    }
}

/// The work of the thread.
pub(super) struct Scheduler {
    pub(super) decoder: Decoder,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) jobs: Receiver<Job>,
    pub(super) sequences_max: usize,
    pub(super) context_tokens: usize,
    pub(super) pace: Arc<Pace>,
}

/// An answer in the making.
struct Sequence {
    job: Job,
    memory: KeyValues,
    /// Tokens that were generated; the last was not read yet.
    output: Vec<u32>,
    began: Instant,
}

/// Whether a sequence goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Done,
    GoOn,
}

impl Scheduler {
    /// Works until the engine is dropped. Answers that are not whole by then end with an error.
    pub(super) fn run(self) {
        let mut reading: VecDeque<Sequence> = VecDeque::new();
        let mut writing: Vec<Sequence> = Vec::new();
        let mut work = Work::default();
        while self.admit(&mut reading, &mut writing) {
            reading.retain(Sequence::is_wanted);
            writing.retain(Sequence::is_wanted);
            let alone = writing.is_empty();
            if let Some(mut sequence) = reading.pop_front() {
                match self.read_slice(&mut sequence, alone, &mut work) {
                    Some(logits) => {
                        if self.take_token(&mut sequence, &logits) == Next::GoOn {
                            writing.push(sequence);
                        }
                    }
                    None => reading.push_back(sequence),
                }
            }
            self.write_tokens(&mut writing, &mut work);
        }
        let shut_down = || EngineError::Backend("the engine was shut down".into());
        for sequence in reading.into_iter().chain(writing) {
            sequence.job.producer.send_now(Err(shut_down()));
        }
    }

    /// Takes new jobs while there are places; waits where nothing else can be done. False when the
    /// engine was dropped.
    fn admit(&self, reading: &mut VecDeque<Sequence>, writing: &mut [Sequence]) -> bool {
        while reading.len() + writing.len() < self.sequences_max {
            let idle = reading.is_empty() && writing.is_empty();
            let job = if idle {
                self.jobs.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.jobs.try_recv()
            };
            match job {
                Ok(job) => reading.push_back(self.begin(job)),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        let stuck = reading.is_empty() && !writing.iter().any(Sequence::has_room);
        if stuck && reading.len() + writing.len() < self.sequences_max {
            match self.jobs.recv_timeout(SLOW_READERS_EVERY) {
                Ok(job) => reading.push_back(self.begin(job)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        } else if stuck {
            std::thread::sleep(SLOW_READERS_EVERY);
        }
        true
    }

    fn begin(&self, job: Job) -> Sequence {
        Sequence { job, memory: self.decoder.memory(), output: Vec::new(), began: Instant::now() }
    }

    /// Reads the next slice of a prompt; the logits after its end, once that is reached.
    fn read_slice(
        &self,
        sequence: &mut Sequence,
        alone: bool,
        work: &mut Work,
    ) -> Option<Vec<f32>> {
        let read = sequence.memory.positions();
        let prompt = &sequence.job.prompt;
        let slice = if alone { SLICE_ALONE } else { SLICE_SHARED };
        let end = prompt.len().min(read + slice);
        let is_last = end == prompt.len();
        let mut piece = [Piece { memory: &mut sequence.memory, tokens: &prompt[read..end] }];
        let logits = self.decoder.read(&mut piece, Product::Dense, is_last, work).pop();
        sequence.job.producer.count_input(end as u64);
        if is_last {
            let input_tokens = end as u64;
            sequence.job.producer.send_now(Ok(Event::Started { input_tokens }));
        }
        logits
    }

    /// Makes one token of every answer whose reader keeps up.
    fn write_tokens(&self, writing: &mut Vec<Sequence>, work: &mut Work) {
        let mut pieces: Vec<Piece<'_>> = writing
            .iter_mut()
            .filter(|sequence| sequence.has_room())
            .map(|sequence| Piece {
                memory: &mut sequence.memory,
                tokens: &sequence.output[sequence.output.len() - 1..],
            })
            .collect();
        if pieces.is_empty() {
            return;
        }
        let mut logits = self.decoder.read(&mut pieces, Product::Quantised, true, work).into_iter();
        writing.retain_mut(|sequence| {
            // Only this thread fills a reader's room, so the same sequences have it as before; a
            // reader that made some meanwhile waits for the next turn.
            if sequence.memory.positions() < sequence.job.prompt.len() + sequence.output.len() {
                return true;
            }
            let logits = logits.next().expect("there are logits for each piece");
            self.take_token(sequence, &logits) == Next::GoOn
        });
    }

    /// Chooses the next token and sends what it says.
    fn take_token(&self, sequence: &mut Sequence, logits: &[f32]) -> Next {
        let job = &mut sequence.job;
        let Some(token) = job.sampler.choose(logits) else {
            let reason = "its weights give no finite number".to_owned();
            job.producer.send_now(Err(EngineError::Backend(reason)));
            return Next::Done;
        };
        sequence.output.push(token);
        let output_tokens = sequence.output.len() as u64;
        job.producer.count_output(output_tokens);
        if self.tokenizer.is_end(token) {
            return self.finish(sequence, FinishReason::Stop);
        }
        let piece = job.text.push(self.tokenizer.bytes(token));
        if !piece.text.is_empty() {
            job.producer.send_now(Ok(Event::Text(piece.text)));
        }
        if piece.stopped {
            return self.finish(sequence, FinishReason::Stop);
        }
        let positions = job.prompt.len() + sequence.output.len();
        if output_tokens == job.max_tokens || positions >= self.context_tokens {
            return self.finish(sequence, FinishReason::Length);
        }
        Next::GoOn
    }

    fn finish(&self, sequence: &mut Sequence, reason: FinishReason) -> Next {
        let rest = sequence.job.text.finish();
        let producer = &sequence.job.producer;
        if !rest.is_empty() {
            producer.send_now(Ok(Event::Text(rest)));
        }
        producer.send_now(Ok(Event::Finished { reason, usage: producer.usage() }));
        self.pace.record(sequence.began.elapsed());
        Next::Done
    }
}

impl Sequence {
    fn is_wanted(&self) -> bool {
        !self.job.producer.is_abandoned()
    }

    fn has_room(&self) -> bool {
        self.job.producer.room() >= EVENTS_A_TOKEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_the_mean_answer_ends() {
        let pace = Pace::default();
        assert_eq!(pace.retry_after_s(4), 1);
        pace.record(Duration::from_secs(12));
        assert_eq!(pace.retry_after_s(4), 3);
        pace.record(Duration::from_secs(1000));
        assert_eq!(pace.retry_after_s(1), 60);
    }
}
