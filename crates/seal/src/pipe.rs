//! Memory in place of a socket: how `ohttp`'s asynchronous streams are driven without waiting.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use futures_util::{
    io::{AsyncRead, AsyncWrite},
    task::noop_waker_ref,
};

/// Bytes on their way into or out of a stream of `ohttp`, which keeps one end for itself.
#[derive(Clone, Default)]
pub(crate) struct Pipe(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: BytesMut,
    /// How many bytes were read so far.
    taken: u64,
    ended: bool,
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and the bytes stay bytes if something did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the reader read these too.
    pub(crate) fn push(&self, bytes: &[u8]) {
        self.state().bytes.extend_from_slice(bytes);
    }

    /// Lets the reader know that nothing follows.
    pub(crate) fn end(&self) {
        self.state().ended = true;
    }

    /// Takes what was written.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.state().bytes.split().into()
    }

    /// How many bytes wait to be read.
    pub(crate) fn waiting(&self) -> usize {
        self.state().bytes.len()
    }

    /// How many bytes were read so far.
    pub(crate) fn taken(&self) -> u64 {
        self.state().taken
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.bytes.is_empty() && !state.ended && !out.is_empty() {
            return Poll::Pending;
        }
        let length = out.len().min(state.bytes.len());
        state.bytes.copy_to_slice(&mut out[..length]);
        state.taken += length as u64;
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads once; `None` when the stream wants bytes that have not arrived.
pub(crate) fn read_some(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    out: &mut [u8],
) -> Option<io::Result<usize>> {
    match Pin::new(stream).poll_read(&mut Context::from_waker(noop_waker_ref()), out) {
        Poll::Pending => None,
        Poll::Ready(result) => Some(result),
    }
}

/// Writes `chunk`, at most 16 KiB, as one chunk of the stream.
pub(crate) fn write_chunk(stream: &mut (impl AsyncWrite + Unpin + ?Sized), chunk: &[u8]) {
    let mut context = Context::from_waker(noop_waker_ref());
    match Pin::new(stream).poll_write(&mut context, chunk) {
        Poll::Ready(Ok(written)) => assert_eq!(written, chunk.len(), "a chunk is at most 16 KiB"),
        other => unreachable!("a memory pipe takes everything and sealing cannot fail: {other:?}"),
    }
}

/// Writes the final chunk, which authenticates the end.
pub(crate) fn close(stream: &mut (impl AsyncWrite + Unpin + ?Sized)) {
    let mut context = Context::from_waker(noop_waker_ref());
    match Pin::new(stream).poll_close(&mut context) {
        Poll::Ready(Ok(())) => {}
        other => unreachable!("a memory pipe takes everything and sealing cannot fail: {other:?}"),
    }
}

/// What the stream was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A chunk, or the encapsulated key, does not open.
    Cipher,
    /// It ends before its final chunk does.
    Cut,
    /// A length that no chunk may have.
    Shape,
}

impl Fault {
    /// Translates the errors that `ohttp` wraps for its readers.
    pub(crate) fn of(error: &io::Error) -> Fault {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ohttp::Error>()) {
            Some(ohttp::Error::Aead(_) | ohttp::Error::Hpke(_)) => Fault::Cipher,
            Some(ohttp::Error::Truncated) => Fault::Cut,
            _ => Fault::Shape,
        }
    }
}
