//! Fetching a file from a URL: resumed where it stopped, and never led to an inner host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, LOCATION, RANGE};
use reqwest::{Response, StatusCode, Url};

use super::pull::{Partial, Progress, PullError};
use crate::http;

/// Redirects that are followed: a registry and its content network take two or three.
const REDIRECTS_MAX: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest wait for more bytes.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A URL that may be fetched: `https`, or plain `http` to a loopback address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address(Url);

/// A URL that may not be fetched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl Address {
    /// Reads a URL of the catalogue.
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        let url = Url::parse(text).map_err(|_| Refused)?;
        let allowed = match url.scheme() {
            "https" => url.host_str().is_some(),
            "http" => literal_address(&url).is_some_and(|address| address.is_loopback()),
            _ => false,
        };
        if allowed && url.username().is_empty() && url.password().is_none() {
            return Ok(Address(url));
        }
        Err(Refused)
    }

    /// Where a redirect of this address leads, if it may be followed: to the same loopback address,
    /// or by `https` to a host that is no inner one by its name.
    fn redirected(&self, location: &str) -> Result<Self, Refused> {
        let target = Address::parse(self.0.join(location).map_err(|_| Refused)?.as_str())?;
        match literal_address(&target.0) {
            Some(address) if address.is_loopback() => {
                let stays = literal_address(&self.0) == Some(address)
                    && self.0.port_or_known_default() == target.0.port_or_known_default();
                if stays { Ok(target) } else { Err(Refused) }
            }
            Some(address) if !is_public(address) => Err(Refused),
            Some(_) => Ok(target),
            None if is_inner_name(target.0.host_str().unwrap_or_default()) => Err(Refused),
            None => Ok(target),
        }
    }

    /// Whether every address of the host's name is a public one. Behind a proxy a name may have no
    /// address here, and then the proxy decides. `https` stands behind this check: an inner host
    /// that a name is turned to between two look-ups has no certificate for that name.
    async fn resolves_outside(&self) -> bool {
        let Some(host) = self.0.host_str().filter(|_| literal_address(&self.0).is_none()) else {
            return true;
        };
        match tokio::net::lookup_host((host, 443)).await {
            Ok(mut addresses) => addresses.all(|address| is_public(address.ip())),
            Err(_) => true,
        }
    }
}

/// Fetches what is still missing of `partial`.
pub(super) async fn fetch(
    url: &str,
    partial: &mut Partial,
    progress: &mut dyn Progress,
) -> Result<(), PullError> {
    let address = Address::parse(url).map_err(|Refused| PullError::Redirected)?;
    let response = open(address, partial.have()).await?;
    let mut response = begin(response, partial).await?;
    let size = partial.size();
    progress.bytes(partial.have(), size);
    while let Some(bytes) = response.chunk().await.map_err(|_| partial.interrupted())? {
        partial.write(&bytes).await?;
        progress.bytes(partial.have(), size);
    }
    if partial.have() < size {
        return Err(partial.interrupted());
    }
    Ok(())
}

/// Sends the request, and follows redirects by our own rule.
async fn open(mut address: Address, have: u64) -> Result<Response, PullError> {
    let client = http::client()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build()
        .map_err(|_| PullError::Unreachable)?;
    for _ in 0..=REDIRECTS_MAX {
        let mut request = client.get(address.0.clone()).header(ACCEPT_ENCODING, "identity");
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.send().await.map_err(|_| PullError::Unreachable)?;
        if !response.status().is_redirection() {
            return Ok(response);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        address = address
            .redirected(location.ok_or(PullError::Redirected)?)
            .map_err(|Refused| PullError::Redirected)?;
        if !address.resolves_outside().await {
            return Err(PullError::Redirected);
        }
    }
    Err(PullError::Redirected)
}

/// Compares what the server is about to send with what is missing.
async fn begin(response: Response, partial: &mut Partial) -> Result<Response, PullError> {
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            let expected =
                format!("bytes {}-{}/{}", partial.have(), partial.size() - 1, partial.size());
            if range != Some(expected.as_str()) {
                return Err(PullError::WrongRange);
            }
        }
        StatusCode::OK => partial.restart().await?,
        StatusCode::RANGE_NOT_SATISFIABLE => {
            partial.restart().await?;
            return Err(PullError::WrongRange);
        }
        status => return Err(PullError::Status { status: status.as_u16() }),
    }
    let missing = partial.size() - partial.have();
    match response.content_length() {
        Some(length) if length != missing => {
            Err(PullError::Size { got: partial.have() + length, expected: partial.size() })
        }
        _ => Ok(response),
    }
}

fn literal_address(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// Whether a name can only be that of a host inside somebody's network.
fn is_inner_name(host: &str) -> bool {
    const INNER: [&str; 6] = ["arpa", "home", "internal", "lan", "local", "localhost"];
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match host.rsplit_once('.') {
        None => true,
        Some((_, last)) => INNER.contains(&last),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (18..20).contains(&b);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || shared
        || protocol
        || benchmark)
}

/// Only global unicast (2000::/3) is public; forms that carry an IPv4 address count as that address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0xffff, high, low] => {
            carried(high, low)
        }
        [0x2002, high, low, ..] => carried(high, low),
        [0x2001, 0 | 0xdb8, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_plain_http_to_loopback_are_addresses() {
        for good in ["https://host.example/a", "http://127.0.0.1:80/a", "http://[::1]:8/a"] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "file:///etc/passwd",
            "ftp://host.example/a",
            "http://host.example/a",
            "http://localhost/a",
            "http://10.0.0.1/a",
            "http://127.0.0.1.host.example/a",
            "https://user:word@host.example/a",
        ] {
            assert_eq!(Address::parse(wrong), Err(Refused), "{wrong}");
        }
    }

    #[test]
    fn a_redirect_leads_outside_or_nowhere() {
        let from = Address::parse("https://host.example/a/b").unwrap();
        for good in ["c", "/c", "https://other.example/c", "https://93.184.216.34/c"] {
            assert!(from.redirected(good).is_ok(), "{good}");
        }
        for wrong in [
            "http://host.example/c",
            "http://127.0.0.1/c",
            "https://127.0.0.1/c",
            "https://[::1]/c",
            "https://169.254.169.254/latest",
            "https://10.1.2.3/c",
            "https://[fd00::1]/c",
            "https://[::ffff:10.0.0.1]/c",
            "https://[64:ff9b::a00:1]/c",
            "https://2130706433/c",
            "https://0x7f.1/c",
            "https://localhost/c",
            "https://inner/c",
            "https://metadata.internal/c",
            "https://printer.local./c",
            "file:///etc/passwd",
        ] {
            assert_eq!(from.redirected(wrong), Err(Refused), "{wrong}");
        }
    }

    #[test]
    fn a_loopback_server_redirects_only_to_itself_or_outside() {
        let from = Address::parse("http://127.0.0.1:8000/a").unwrap();
        assert!(from.redirected("/b").is_ok());
        assert!(from.redirected("https://host.example/b").is_ok());
        assert_eq!(from.redirected("http://127.0.0.1:9000/b"), Err(Refused));
        assert_eq!(from.redirected("http://127.0.0.2:8000/b"), Err(Refused));
    }
}
