//! `/subrosa/v1/`: what this gateway knows of pods, receipts and money, for pages and scripts.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use subrosa_client::{BalanceView, PodView, ReceiptView};
use subrosa_protocol::{B256, RequestId};

use crate::error::GatewayError;
use crate::state::AppState;

/// `GET /subrosa/v1/status`.
pub(crate) async fn status(State(state): State<AppState>) -> Json<Value> {
    let pods = state.client.pods();
    Json(json!({
        "network": state.client.network().name,
        "simulated": state.client.is_simulated(),
        "payer": state.client.payer(),
        "pods": pods.len(),
        "accepted": pods.iter().filter(|pod| pod.accepted).count(),
        "models": state.client.models(),
    }))
}

/// `GET /subrosa/v1/pods`: every pod of the registry and why it is accepted or not.
pub(crate) async fn pods(State(state): State<AppState>) -> Json<Vec<PodView>> {
    let without_report = |pod| PodView { report: None, ..pod };
    Json(state.client.pods().into_iter().map(without_report).collect())
}

/// `GET /subrosa/v1/pods/{id}`: one pod, with the report on its evidence.
pub(crate) async fn pod(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<PodView>, GatewayError> {
    // Read here, because axum's own refusal repeats what was asked for.
    let id: B256 = id.parse().map_err(|_| GatewayError::NotFound)?;
    let pod = state.client.pods().into_iter().find(|pod| pod.id == id);
    pod.map(Json).ok_or(GatewayError::NotFound)
}

/// `GET /subrosa/v1/receipts`: the newest first.
pub(crate) async fn receipts(
    State(state): State<AppState>,
) -> Result<Json<Vec<ReceiptView>>, GatewayError> {
    state.client.receipts().await.map(Json).map_err(|_| GatewayError::Records)
}

/// `GET /subrosa/v1/receipts/{order}`: one receipt with all that it takes to check it offline.
pub(crate) async fn receipt(
    State(state): State<AppState>,
    Path(order): Path<String>,
) -> Result<Json<Value>, GatewayError> {
    let order = order.parse().map(RequestId).map_err(|_| GatewayError::ReceiptUnknown)?;
    match state.client.export(order).await {
        Ok(Some(bundle)) => Ok(Json(json!(bundle))),
        Ok(None) => Err(GatewayError::ReceiptUnknown),
        Err(_) => Err(GatewayError::Records),
    }
}

/// `GET /subrosa/v1/balance`.
pub(crate) async fn balance(
    State(state): State<AppState>,
) -> Result<Json<BalanceView>, GatewayError> {
    state.client.balance().await.map(Json).map_err(|_| GatewayError::Records)
}
