//! The pod's TLS key: self-signed, and trusted only because the signer names it in the key config.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use subrosa_protocol::B256;
use subrosa_protocol::hash::sha256;

/// The name in the certificate. Nobody checks it: callers pin the key.
const CERTIFICATE_NAME: &str = "pod.subrosa.invalid";

/// A TLS key and what a key config says of it.
pub(crate) struct TlsIdentity {
    /// What the acceptor uses.
    pub(crate) server: Arc<ServerConfig>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub(crate) spki: B256,
}

impl TlsIdentity {
    /// Draws a key that lives as long as the process and never touches a disk.
    pub(crate) fn generate() -> Result<TlsIdentity, TlsError> {
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new([CERTIFICATE_NAME.to_owned()])?.self_signed(&key)?;
        let spki = sha256(&key.subject_public_key_info());
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsIdentity { server: Arc::new(server), spki })
    }
}

/// Why the pod has no TLS key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate could not be made.
    #[error("the pod's certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refuses its settings.
    #[error("the pod's TLS settings are refused: {0}")]
    Settings(#[from] rustls::Error),
}
