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
