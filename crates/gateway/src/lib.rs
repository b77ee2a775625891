//! The local front door: OpenAI's API on loopback, in front of the client library.
//!
//! Programs of this machine ask it as they would ask OpenAI; it finds a pod, checks it, seals, pays and
//! keeps the receipt. Pages of other sites are turned away, and beyond loopback it demands a token.
//!
//! ```no_run
//! # async fn example(client: subrosa_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use subrosa_gateway::{Gateway, GatewayConfig};
//!
//! let gateway = Gateway::bind(GatewayConfig::default(), client.into()).await?;
//! println!("http://{}/v1", gateway.local_addr());
//! gateway.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! The types to know: [`GatewayConfig`], [`Gateway`], [`GatewayError`].

mod error;
mod guard;
mod openai;
mod server;
mod state;
mod subrosa;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use subrosa_client::Client;
use tokio::net::TcpListener;

pub use error::GatewayError;
pub use guard::Token;

use guard::Guard;
use server::Server;
use state::AppState;

/// The port that programs look for.
pub const DEFAULT_PORT: u16 = 11_435;

/// The largest request body: what the largest size class of the seal holds, with room for its envelope.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Where to listen, and for whom.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Further host names that requests may call the gateway by.
    pub host_names: Vec<String>,
    /// Demanded of every request; a must beyond loopback.
    pub token: Option<Token>,
}

impl Default for GatewayConfig {
    /// Loopback, port 11435, no token.
    fn default() -> GatewayConfig {
        GatewayConfig {
            listen: (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into(),
            host_names: Vec::new(),
            token: None,
        }
    }
}

/// A running gateway.
pub struct Gateway {
    server: Server,
    client: Arc<Client>,
}

impl Gateway {
    /// Returns when the gateway listens.
    ///
    /// # Errors
    /// [`BindError`] where the address is taken, or is not loopback and there is no token.
    pub async fn bind(config: GatewayConfig, client: Arc<Client>) -> Result<Gateway, BindError> {
        if !config.listen.ip().is_loopback() && config.token.is_none() {
            return Err(BindError::TokenNeeded { address: config.listen });
        }
        let refused = |source| BindError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let port = listener.local_addr().map_err(refused)?.port();
        let guard = Guard::new(port, &config.host_names, config.token);
        let router = router(guard, Arc::clone(&client));
        let server = Server::start(listener, router).map_err(refused)?;
        Ok(Gateway { server, client })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.address()
    }

    /// The client behind it.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Stops accepting, lets answers end for a bounded time, and returns.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

fn router(guard: Guard, client: Arc<Client>) -> Router {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Router::new()
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{*id}", get(openai::model))
        .route("/v1/chat/completions", post(openai::chat))
        .route("/subrosa/v1/status", get(subrosa::status))
        .route("/subrosa/v1/pods", get(subrosa::pods))
        .route("/subrosa/v1/pods/{id}", get(subrosa::pod))
        .route("/subrosa/v1/receipts", get(subrosa::receipts))
        .route("/subrosa/v1/receipts/{order}", get(subrosa::receipt))
        .route("/subrosa/v1/balance", get(subrosa::balance))
        .fallback(|| async { GatewayError::NotFound })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(guard, guard::guard))
        .with_state(AppState { client, started })
}

/// Why a gateway does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; stop what is there or choose another with --listen"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The address can be reached from outside, and anyone there could spend the payer's money.
    #[error(
        "{address} is not loopback, so a token of 16 characters or more is needed: --token-file"
    )]
    TokenNeeded {
        /// The address.
        address: SocketAddr,
    },
}
