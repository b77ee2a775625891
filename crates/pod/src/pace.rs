//! Sends a sealed answer, chunk by chunk, when each is due (spec/pod.md 5).

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use subrosa_seal::{Fields, ResponseError, ResponseSealer};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A caller that takes no chunk for this long is gone.
const STALL_TIME: Duration = Duration::from_secs(30);

/// Bytes of an answer that wait for their tick; past them the engine waits too.
const QUEUE_BYTES_MAX: usize = 64 * 1024;

/// Parts of an answer on their way from the conversation to the seal.
pub(crate) const PARTS_WAITING_MAX: usize = 16;

/// Sealed chunks on their way to the socket.
pub(crate) const CHUNKS_WAITING_MAX: usize = 4;

/// A part of an answer, in the order head, any number of bodies, end.
pub(crate) enum Part {
    Head { status: u16, headers: Fields },
    Body(Bytes),
    End { trailers: Fields },
}

/// The sealed answer to one request, on its way out.
pub(crate) struct Pacer {
    sealer: ResponseSealer,
    parts: mpsc::Receiver<Part>,
    chunks: mpsc::Sender<Result<Bytes, Infallible>>,
    received: Instant,
    gone: CancellationToken,
    ended: bool,
}

impl Pacer {
    /// A pacer of one answer. Ticks count from `received`; `gone` is cancelled when the caller is gone.
    pub(crate) fn new(
        sealer: ResponseSealer,
        parts: mpsc::Receiver<Part>,
        chunks: mpsc::Sender<Result<Bytes, Infallible>>,
        received: Instant,
        gone: CancellationToken,
    ) -> Pacer {
        Pacer { sealer, parts, chunks, received, gone, ended: false }
    }

    /// Sends until the last chunk is out or the caller is gone.
    pub(crate) async fn run(mut self) {
        if self.send_all().await.is_err() {
            tracing::debug!("a caller went away before the end of its answer");
            self.gone.cancel();
        }
    }

    async fn send_all(&mut self) -> Result<(), Gone> {
        while !self.sealer.done() {
            self.take_what_is_there()?;
            match self.sealer.due_ms() {
                Some(due) => self.send_at(self.received + Duration::from_millis(due)).await?,
                None => self.wait_for_part().await?,
            }
        }
        Ok(())
    }

    async fn send_at(&mut self, due: Instant) -> Result<(), Gone> {
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = self.chunks.closed() => return Err(Gone),
        }
        // What arrived during the wait still travels with this chunk.
        self.take_what_is_there()?;
        let Some(chunk) = self.sealer.next_frame() else {
            return Ok(());
        };
        let sent = self.chunks.send_timeout(Ok(Bytes::from(chunk)), STALL_TIME).await;
        sent.map_err(|_| Gone)
    }

    async fn wait_for_part(&mut self) -> Result<(), Gone> {
        tokio::select! {
            part = self.parts.recv() => self.take(part.ok_or(Gone)?),
            () = self.chunks.closed() => Err(Gone),
        }
    }

    fn take_what_is_there(&mut self) -> Result<(), Gone> {
        while self.sealer.queued_bytes() < QUEUE_BYTES_MAX {
            match self.parts.try_recv() {
                Ok(part) => self.take(part)?,
                Err(mpsc::error::TryRecvError::Empty) => break,
                // After the end the conversation is over; before it, it broke off, and so does the
                // stream: the caller must not take half of an answer for a whole one.
                Err(mpsc::error::TryRecvError::Disconnected) if self.ended => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(Gone),
            }
        }
        Ok(())
    }

    fn take(&mut self, part: Part) -> Result<(), Gone> {
        let taken = match part {
            Part::Head { status, headers } => self.sealer.head(status, &headers),
            Part::Body(bytes) => self.sealer.body(&bytes),
            Part::End { trailers } => {
                self.ended = true;
                self.sealer.trailers_and_end(&trailers)
            }
        };
        taken.map_err(|error: ResponseError| {
            tracing::error!(%error, "an answer could not be written");
            Gone
        })
    }
}

/// The stream ends before its end.
struct Gone;

#[cfg(test)]
mod tests {
    use subrosa_protocol::Timestamp;
    use subrosa_seal::{
        Envelope, InnerRequest, KeyRing, Pacing, ReplayGuard, RequestSealer, Tick, response_class,
    };

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    struct Setup {
        parts: mpsc::Sender<Part>,
        chunks: mpsc::Receiver<Result<Bytes, Infallible>>,
        gone: CancellationToken,
    }

    /// A pacer that runs, and its two ends.
    fn start(pacing: Pacing) -> Setup {
        let ring = KeyRing::new(NOW);
        let request = InnerRequest {
            method: "GET".into(),
            path: "/".into(),
            headers: vec![],
            body: vec![],
            envelope: Envelope { time: NOW, ..Envelope::default() },
            pacing,
        };
        let sealer = RequestSealer::new(ring.config_list()).unwrap();
        let (sealed, _) = sealer.seal(&request).unwrap();
        let (_, sealer) = ring.open(&sealed, NOW, &ReplayGuard::default()).unwrap();
        let (parts, parts_out) = mpsc::channel(PARTS_WAITING_MAX);
        let (chunks_in, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        let gone = CancellationToken::new();
        let pacer = Pacer::new(sealer, parts_out, chunks_in, Instant::now(), gone.clone());
        tokio::spawn(pacer.run());
        Setup { parts, chunks, gone }
    }

    async fn answer(parts: &mpsc::Sender<Part>, body: &'static [u8]) {
        let head = Part::Head { status: 200, headers: vec![] };
        for part in [head, Part::Body(body.into()), Part::End { trailers: vec![] }] {
            parts.send(part).await.ok().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn with_ticks_one_chunk_leaves_a_tick_whatever_there_is_to_say() {
        let mut setup = start(Pacing::Ticks(Tick::from_ms(20).unwrap()));
        let begun = Instant::now();
        let mut times = vec![];
        for _ in 0..5 {
            setup.chunks.recv().await.unwrap().unwrap();
            times.push(begun.elapsed().as_millis());
        }
        answer(&setup.parts, b"an answer").await;
        while setup.chunks.recv().await.is_some() {
            times.push(begun.elapsed().as_millis());
        }
        let expected: Vec<u128> = (1..=response_class(6) as u128).map(|tick| 20 * tick).collect();
        assert_eq!(times, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn without_ticks_a_part_leaves_at_once() {
        let mut setup = start(Pacing::Off);
        let begun = Instant::now();
        answer(&setup.parts, b"an answer").await;
        let mut chunks = 0;
        while setup.chunks.recv().await.is_some() {
            chunks += 1;
        }
        assert_eq!(chunks, response_class(1));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_takes_nothing_is_gone_after_a_while() {
        let setup = start(Pacing::Ticks(Tick::from_ms(20).unwrap()));
        let begun = Instant::now();
        setup.gone.cancelled().await;
        assert!(begun.elapsed() >= STALL_TIME && begun.elapsed() < 2 * STALL_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_leaves_is_noticed_without_anything_to_send() {
        let setup = start(Pacing::Off);
        drop(setup.chunks);
        setup.gone.cancelled().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_conversation_that_breaks_off_leaves_a_stream_without_an_end() {
        let mut setup = start(Pacing::Off);
        setup.parts.send(Part::Head { status: 200, headers: vec![] }).await.ok().unwrap();
        drop(setup.parts);
        let mut chunks = 0;
        while setup.chunks.recv().await.is_some() {
            chunks += 1;
        }
        assert!(chunks < response_class(1));
    }
}
