//! Another implementation of oblivious HTTP as the client: `ohttp` and `bhttp` themselves.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bhttp::{Message, Mode};
use futures_util::{
    FutureExt,
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
};
use subrosa_seal::{OpenRefusal, Pacing};

use crate::pair::{NOW, Pod, answer};

/// Where the foreign client's stream writes to.
#[derive(Clone, Default)]
struct Network(Arc<Mutex<Vec<u8>>>);

impl AsyncWrite for Network {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn models_request(mode: Mode) -> Vec<u8> {
    let mut message =
        Message::request(b"GET".into(), b"https".into(), b"pod".into(), b"/v1/models".into());
    message.put_header("subrosa-time", NOW.to_string());
    message.put_header("subrosa-salt", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let mut bytes = Vec::new();
    message.write_bhttp(mode, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_foreign_client_is_understood_and_gets_plain_chunks() {
    for mode in [Mode::KnownLength, Mode::IndeterminateLength] {
        let pod = Pod::new();
        let list = pod.ring.config_list();
        let client = ohttp::ClientRequest::from_encoded_config_list(list).unwrap();
        let network = Network::default();
        let mut stream = client.encapsulate_stream(network.clone()).unwrap();
        stream.write_all(&models_request(mode)).now_or_never().unwrap().unwrap();
        stream.close().now_or_never().unwrap().unwrap();

        let sealed = network.0.lock().unwrap().clone();
        let (request, mut sealer) = pod.open(&sealed).unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/v1/models"));
        assert_eq!((request.pacing, sealer.pacing()), (Pacing::Plain, Pacing::Plain));
        let text = vec![b'x'; 40_000];
        let chunks = answer(&mut sealer, &text);
        assert_eq!(chunks.len(), 3, "16 KiB each");

        let mut inner = Vec::new();
        let chunks = chunks.concat();
        let mut response = stream.response(&chunks[..]).unwrap();
        response.read_to_end(&mut inner).now_or_never().unwrap().unwrap();
        let message = Message::read_bhttp(&mut io::Cursor::new(inner)).unwrap();
        assert_eq!(message.control().status().map(|status| status.code()), Some(200));
        assert_eq!(message.content(), text);
        assert_eq!(message.trailer().get(b"x-receipt"), Some(&b"r"[..]));
    }
}

#[test]
fn a_foreign_request_that_is_not_chunked_is_refused() {
    let pod = Pod::new();
    let list = pod.ring.config_list();
    let client = ohttp::ClientRequest::from_encoded_config_list(list).unwrap();
    let (sealed, _) = client.encapsulate(&models_request(Mode::KnownLength)).unwrap();
    // Its key schedule is another, and what stands for a chunk's length is random.
    let refusal = pod.refuse(&sealed);
    let expected = [OpenRefusal::WrongKey, OpenRefusal::Truncated, OpenRefusal::Malformed];
    assert!(expected.contains(&refusal), "{refusal:?}");
}
