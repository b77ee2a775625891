//! Who may talk to the gateway: programs of this machine, never a web page that a browser has open.
//!
//! A page of any site can make a browser send requests to loopback, and it would spend its visitor's money.
//! So every request must name an allowed host, and none may come from another origin.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use crate::error::GatewayError;

/// What browsers say about where a request comes from (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hosts and the token that requests are held against.
#[derive(Clone)]
pub(crate) struct Guard {
    hosts: Vec<String>,
    token: Option<Token>,
}

/// A bearer token; it does not print.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token of at least [`Token::LENGTH_MIN`] visible ASCII characters.
    pub fn new(text: &str) -> Option<Token> {
        let strong =
            text.len() >= Self::LENGTH_MIN && text.bytes().all(|byte| byte.is_ascii_graphic());
        strong.then(|| Token(text.to_owned()))
    }

    /// Shorter tokens can be guessed over a network.
    pub const LENGTH_MIN: usize = 16;

    fn matches(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(..)")
    }
}

impl Guard {
    /// A guard for a gateway that listens on `port`, reachable under loopback's names and `names`.
    pub(crate) fn new(port: u16, names: &[String], token: Option<Token>) -> Guard {
        let loopback = ["127.0.0.1", "localhost", "[::1]"].map(str::to_owned);
        let hosts = loopback.iter().chain(names).map(|name| format!("{name}:{port}")).collect();
        Guard { hosts, token }
    }

    fn check(&self, request: &Request) -> Result<(), GatewayError> {
        self.check_host(request)?;
        self.check_origin(request.headers())?;
        self.check_form(request)?;
        self.check_token(request.headers())
    }

    // A DNS name that an attacker points at 127.0.0.1 arrives with the attacker's name here.
    fn check_host(&self, request: &Request) -> Result<(), GatewayError> {
        let host = only(request.headers(), &header::HOST).ok_or(GatewayError::Host)?;
        let absolute = request.uri().authority().is_none_or(|name| self.allows(name.as_str()));
        if self.allows(host) && absolute { Ok(()) } else { Err(GatewayError::Host) }
    }

    fn allows(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    // Browsers send `Origin` with every cross-origin POST; for a GET without it they still say whether
    // the request comes from another site.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), GatewayError> {
        if headers.contains_key(header::ORIGIN) {
            let origin = only(headers, &header::ORIGIN).ok_or(GatewayError::Origin)?;
            let host = origin.strip_prefix("http://").ok_or(GatewayError::Origin)?;
            if !self.allows(host) {
                return Err(GatewayError::Origin);
            }
        }
        if headers.contains_key(SEC_FETCH_SITE) {
            match only(headers, &SEC_FETCH_SITE) {
                Some("same-origin" | "none") => {}
                _ => return Err(GatewayError::Origin),
            }
        }
        Ok(())
    }

    // A form of a page can post text without asking first; it cannot post JSON.
    fn check_form(&self, request: &Request) -> Result<(), GatewayError> {
        if request.method() != Method::POST {
            return Ok(());
        }
        let content_type = only(request.headers(), &header::CONTENT_TYPE).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Ok(())
        } else {
            Err(GatewayError::ContentType)
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), GatewayError> {
        let Some(token) = &self.token else { return Ok(()) };
        let given =
            only(headers, &header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if given.is_some_and(|given| token.matches(given)) {
            Ok(())
        } else {
            Err(GatewayError::Token)
        }
    }
}

/// Lets a request through, or answers it.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            tracing::warn!(reason = error.code(), "a request was turned away");
            axum::response::IntoResponse::into_response(error)
        }
    }
}

/// The header's value, if it stands exactly once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().method(method).uri("/v1/models");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).unwrap()
    }

    fn check(method: &str, headers: &[(&str, &str)]) -> Result<(), &'static str> {
        let guard = Guard::new(11435, &["box.lan".into()], None);
        guard.check(&request(method, headers)).map_err(|error| error.code())
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:11435");
    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    #[test]
    fn lets_programs_of_this_machine_through() {
        for host in [
            "127.0.0.1:11435",
            "localhost:11435",
            "LOCALHOST:11435",
            "[::1]:11435",
            "box.lan:11435",
        ] {
            assert_eq!(check("GET", &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(check("POST", &[HOST, JSON]), Ok(()));
        assert_eq!(check("POST", &[HOST, JSON, ("origin", "http://localhost:11435")]), Ok(()));
        assert_eq!(check("GET", &[HOST, ("sec-fetch-site", "same-origin")]), Ok(()));
    }

    #[test]
    fn refuses_names_that_are_not_ours() {
        for host in
            ["evil.example:11435", "127.0.0.1", "127.0.0.1:80", "", "127.0.0.1:11435.evil.example"]
        {
            assert_eq!(check("GET", &[("host", host)]), Err("host_refused"), "{host}");
        }
        assert_eq!(check("GET", &[]), Err("host_refused"));
        assert_eq!(check("GET", &[HOST, ("host", "evil.example")]), Err("host_refused"));
        assert_eq!(check("GET", &[HOST, HOST]), Err("host_refused"));
    }

    #[test]
    fn refuses_an_absolute_target_that_contradicts_the_host() {
        let guard = Guard::new(11435, &[], None);
        let mut request = request("GET", &[HOST]);
        *request.uri_mut() = "http://evil.example/v1/models".parse().unwrap();
        assert_eq!(guard.check(&request).unwrap_err().code(), "host_refused");
    }

    #[test]
    fn refuses_pages_of_other_origins() {
        for origin in [
            "http://evil.example",
            "null",
            "",
            "https://localhost:11435",
            "http://localhost:11435/",
        ] {
            let headers = [HOST, JSON, ("origin", origin)];
            assert_eq!(check("POST", &headers), Err("origin_refused"), "{origin}");
            assert_eq!(check("GET", &headers), Err("origin_refused"), "{origin}");
        }
        let pair = [
            HOST,
            JSON,
            ("origin", "http://localhost:11435"),
            ("origin", "http://localhost:11435"),
        ];
        assert_eq!(check("POST", &pair), Err("origin_refused"));
    }

    #[test]
    fn refuses_a_page_whose_get_carries_no_origin() {
        for site in ["cross-site", "same-site", ""] {
            assert_eq!(
                check("GET", &[HOST, ("sec-fetch-site", site)]),
                Err("origin_refused"),
                "{site}"
            );
        }
    }

    #[test]
    fn refuses_posts_that_a_form_could_make() {
        for content_type in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
        {
            let headers = [HOST, ("content-type", content_type)];
            assert_eq!(check("POST", &headers), Err("content_type_refused"), "{content_type}");
        }
        assert_eq!(check("POST", &[HOST]), Err("content_type_refused"));
    }

    #[test]
    fn demands_the_token_where_there_is_one() {
        let token = Token::new("0123456789abcdef").unwrap();
        let guard = Guard::new(11435, &[], Some(token));
        let code = |value: &[(&str, &str)]| {
            let headers = [&[HOST][..], value].concat();
            guard.check(&request("GET", &headers)).map_err(|error| error.code())
        };
        assert_eq!(code(&[("authorization", "Bearer 0123456789abcdef")]), Ok(()));
        for wrong in
            ["Bearer 0123456789abcdeF", "0123456789abcdef", "Bearer ", "Basic 0123456789abcdef"]
        {
            assert_eq!(code(&[("authorization", wrong)]), Err("token_refused"), "{wrong}");
        }
        assert_eq!(code(&[]), Err("token_refused"));
    }

    #[test]
    fn a_short_token_is_none_and_no_token_prints() {
        assert!(Token::new("short").is_none());
        assert!(Token::new("0123456789 abcdef").is_none());
        let token = Token::new("0123456789abcdef").unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
