//! The HTTP client of this crate: no proxy to loopback, and a TLS provider of our own choice.

use std::sync::Once;

/// A client builder that can be used whether or not the program chose a TLS provider before.
pub(crate) fn client() -> reqwest::ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that the program has chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none())
}
