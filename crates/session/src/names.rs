//! The names that stand on the inner wire, in headers of unary answers and in trailers of streams.

/// The signed receipt, in base64. Of all fields that speak of money only the signed ones count.
pub const RECEIPT: &str = "subrosa-receipt";
/// In a refusal: its name, as [`Refusal::code`](subrosa_channel::payee::Refusal::code) gives it.
pub const REFUSAL: &str = "subrosa-refusal";
/// In a refusal: the last receipt that the pod gave on the account, signed, in base64.
pub const LAST_RECEIPT: &str = "subrosa-last-receipt";
/// In a refusal: the highest voucher that the pod has of the payer, signed, in base64.
pub const HIGHEST_VOUCHER: &str = "subrosa-highest-voucher";

/// Readable: the account.
pub const QUERY_CHAIN_ID: &str = "x-query-chain-id";
/// Readable: tokens of prompt and answer.
pub const TOTAL_TOKENS_USED: &str = "x-total-tokens-used";
/// Readable: input and output price per million tokens.
pub const COST_PER_TOKEN: &str = "x-cost-per-token";
/// Readable: what was charged and not yet claimed.
pub const OUTSTANDING_BALANCE: &str = "x-outstanding-balance";
/// Readable: the receipt's request hash.
pub const LAST_SIGNED_QUERY: &str = "x-last-signed-query";
/// Readable: the receipt's signature.
pub const SERVER_SIGNATURE: &str = "x-server-signature";
