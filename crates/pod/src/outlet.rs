//! The way of an answer out of the pod. What came from a model leaves only against proof that the
//! order, and for its receipt the charge, is on disk: `Durable` is made by the store alone.

use std::future::Future;

use bytes::Bytes;
use subrosa_seal::Fields;
use subrosa_store::Durable;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::book::{Admission, Charged};
use crate::pace::Part;

/// A way out that nothing has taken yet.
pub(crate) struct Outlet {
    parts: mpsc::Sender<Part>,
    gone: CancellationToken,
}

/// An answer whose head has left.
pub(crate) struct Open {
    parts: mpsc::Sender<Part>,
}

/// An answer without anything of a model in it: a list, a receipt, a refusal.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Fields,
    pub(crate) body: Bytes,
}

impl Outlet {
    pub(crate) fn new(parts: mpsc::Sender<Part>, gone: CancellationToken) -> Outlet {
        Outlet { parts, gone }
    }

    /// Ends when the caller has gone away.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + use<> {
        let gone = self.gone.clone();
        async move { gone.cancelled().await }
    }

    /// Sends a reply, as a whole.
    pub(crate) async fn reply(self, reply: Reply) {
        self.whole(reply.status, reply.headers, reply.body).await;
    }

    /// Begins to stream an answer, whose order is on disk.
    pub(crate) async fn begin(self, _order: &Durable<Admission>, headers: Fields) -> Open {
        let open = Open { parts: self.parts };
        open.send(Part::Head { status: 200, headers }).await;
        open
    }

    /// Sends a whole answer whose charge is on disk, its receipt among the headers.
    pub(crate) async fn answer(self, _charge: &Durable<Charged>, headers: Fields, body: Bytes) {
        self.whole(200, headers, body).await;
    }

    /// Sends an answer that was charged before, and whose admission left nothing to persist.
    pub(crate) async fn again(
        self,
        _order: &Durable<Admission>,
        headers: Fields,
        body: Bytes,
        trailers: Fields,
    ) {
        let open = Open { parts: self.parts };
        open.send(Part::Head { status: 200, headers }).await;
        open.body(body).await;
        open.send(Part::End { trailers }).await;
    }

    async fn whole(self, status: u16, headers: Fields, body: Bytes) {
        let open = Open { parts: self.parts };
        open.send(Part::Head { status, headers }).await;
        open.body(body).await;
        open.send(Part::End { trailers: Fields::new() }).await;
    }
}

impl Open {
    /// Sends more of the body.
    pub(crate) async fn body(&self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.send(Part::Body(bytes)).await;
        }
    }

    /// Ends an answer whose charge is on disk, its receipt among the trailers.
    pub(crate) async fn end(self, _charge: &Durable<Charged>, trailers: Fields) {
        self.send(Part::End { trailers }).await;
    }

    /// A caller that is gone is noticed by the pacer, which tells the conversation; what is sent to it
    /// meanwhile is dropped.
    async fn send(&self, part: Part) {
        let _ = self.parts.send(part).await;
    }
}
