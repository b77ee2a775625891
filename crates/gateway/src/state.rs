//! What every request handler holds.

use std::sync::Arc;

use subrosa_client::Client;

/// The client behind the gateway, and when the gateway started.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) client: Arc<Client>,
    /// Unix seconds.
    pub(crate) started: u64,
}
