//! Where the server listens: inside this machine, or nowhere.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url};

use super::OllamaError;
use crate::http;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest silence: a large model is loaded from disk before its first answer begins.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// A server that can be asked.
#[derive(Debug, Clone)]
pub(super) struct Server {
    client: Client,
    base: Url,
}

impl Server {
    /// A server at that address.
    ///
    /// # Security
    /// Prompts go there in clear. So the address must be loopback, written as a number, or a unix
    /// socket; `localhost` means 127.0.0.1 and is not looked up; no proxy and no redirect is followed.
    pub(super) fn at(address: &str) -> Result<Self, OllamaError> {
        let builder =
            http::client().no_proxy().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
        let (builder, base) = match Place::parse(address)? {
            Place::Loopback(base) => (builder, base),
            Place::Socket(path) => {
                let base = Url::parse("http://localhost").expect("this is a URL");
                (builder.unix_socket(path), base)
            }
        };
        let client = builder.build().map_err(|_| OllamaError::Unreachable)?;
        Ok(Server { client, base })
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.at_path(path))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.at_path(path))
    }

    fn at_path(&self, path: &str) -> Url {
        self.base.join(path).expect("our own paths join any base")
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Loopback(Url),
    Socket(PathBuf),
}

impl Place {
    fn parse(address: &str) -> Result<Self, OllamaError> {
        let refused = || OllamaError::NotLoopback { url: address.into() };
        if let Some(path) = address.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Place::Socket(path)) } else { Err(refused()) };
        }
        let mut url = Url::parse(address).map_err(|_| refused())?;
        let plain = url.scheme() == "http"
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if url.host_str() == Some("localhost") {
            url.set_ip_host(IpAddr::V4(Ipv4Addr::LOCALHOST)).map_err(|()| refused())?;
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if plain && loopback { Ok(Place::Loopback(url)) } else { Err(refused()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_sockets_are_inside() {
        for inside in ["http://127.0.0.1:11434", "http://127.9.9.9/", "http://[::1]:80"] {
            assert!(matches!(Place::parse(inside), Ok(Place::Loopback(_))), "{inside}");
        }
        let Ok(Place::Loopback(url)) = Place::parse("http://localhost:11434") else {
            panic!("localhost is inside")
        };
        assert_eq!(url.as_str(), "http://127.0.0.1:11434/");
        let socket = Place::parse("unix:/run/ollama.sock").unwrap();
        assert_eq!(socket, Place::Socket("/run/ollama.sock".into()));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for outside in [
            "",
            "127.0.0.1:11434",
            "http://10.0.0.7:11434",
            "http://0.0.0.0:11434",
            "http://localhost.example:1",
            "http://127.0.0.1.example:1",
            "http://user@127.0.0.1:1",
            "http://127.0.0.1@host.example",
            "http://[::ffff:10.0.0.1]:1",
            "https://127.0.0.1:1",
            "http://127.0.0.1:1/base",
            "http://127.0.0.1:1/?q",
            "unix:relative.sock",
            "file:///etc/passwd",
        ] {
            let refused = Server::at(outside);
            assert!(
                matches!(&refused, Err(OllamaError::NotLoopback { url }) if url == outside),
                "{outside}"
            );
        }
    }
}
