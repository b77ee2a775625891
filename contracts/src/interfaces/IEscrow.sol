// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Escrow of unidirectional payment channels
/// @notice A payer deposits tokens for one receiver. The contract pays out what both sides signed:
/// the payer's `Voucher` sets a ceiling, the receiver's `ClaimBatch` states the actual total, and
/// a claim books the smaller of the two, as far as the channel's balance reaches.
///
/// Types, EIP-712 domain and the payer's functions are those of x402 version 2 `batch-settlement`,
/// under this contract's own address. spec/escrow.md says where the rules differ and why.
///
/// Amounts are atomic token units and cumulative over a channel's life. Times are Unix seconds.
interface IEscrow {
    /// @notice What a channel is: its EIP-712 digest is the channel's id.
    struct ChannelConfig {
        /// Who deposits, and whom refunds and withdrawals go to.
        address payer;
        /// The plain key that signs vouchers; it may be the payer's own. Never zero.
        address payerAuthorizer;
        /// Who is paid by `settle`.
        address receiver;
        /// The plain key that alone claims: a pod's attested signer. Never zero.
        address receiverAuthorizer;
        address token;
        /// Seconds between the start and the end of a withdrawal, 1 hour to 30 days.
        uint40 withdrawDelay;
        /// Tells channels of the same parties apart.
        bytes32 salt;
    }

    /// @notice A channel and the highest total that its payer agreed to.
    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }

    /// @notice One row of a claim in x402's form.
    struct VoucherClaim {
        Voucher voucher;
        /// 65 bytes r ‖ s ‖ v of `payerAuthorizer` over `getVoucherDigest`.
        bytes signature;
        /// The cumulative total that the receiver's side accounts for.
        uint128 totalClaimed;
    }

    /// @notice Why a row of a claim was passed over.
    enum SkipReason {
        /// The row's channel names another `receiverAuthorizer` than the one who claims.
        NotAuthorizer,
        /// Nothing is left in the channel; the row can be claimed after a top-up.
        Unfunded,
        /// The voucher's signature is not a valid low-s one of `payerAuthorizer`.
        VoucherSignature
    }

    /// @notice A channel received its first deposit.
    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);

    /// @notice The last unclaimed token left a channel by withdrawal or refund; it takes no
    /// further deposit.
    event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);

    /// @notice `amount` came in; the channel's deposits less what was paid back are `newBalance`.
    event Deposited(
        bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance
    );

    /// @notice A row of `claim` or `claimWithSignature` added `claimAmount`.
    event Claimed(
        bytes32 indexed channelId,
        address indexed sender,
        uint128 claimAmount,
        uint128 newTotalClaimed
    );

    /// @notice A packed claim added `amount` over all of its rows.
    /// @param rows For each row that added something, in order, 48 bytes: channel id (32) and the
    /// channel's new total (16).
    event BatchClaimed(
        address indexed receiver,
        address indexed token,
        address indexed receiverAuthorizer,
        uint256 amount,
        bytes rows
    );

    /// @notice Row number `row` (from 0) of a claim was passed over; the others were booked.
    event RowSkipped(bytes32 indexed channelId, uint256 row, SkipReason reason);

    /// @notice Claimed tokens were transferred to their receiver.
    event Settled(
        address indexed receiver, address indexed token, address indexed sender, uint128 amount
    );

    /// @notice The receiver's side gave unclaimed tokens back to the payer.
    event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);

    /// @notice A withdrawal began: the receiver has until `finalizeAfter` to claim.
    event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);

    /// @notice A withdrawal ended; `amount` went back to the payer.
    event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);

    /// @notice Zero was given where an amount is needed.
    error Escrow_AmountZero(bytes32 channelId);

    /// @notice `signature` is not a valid low-s one of `receiverAuthorizer` over this message.
    error Escrow_AuthorizerSignature(address receiverAuthorizer);

    /// @notice The deposit would lift the balance above what an uint128 holds.
    error Escrow_BalanceOverflow(bytes32 channelId, uint128 balance, uint128 amount);

    /// @notice The channel paid out its last token to the payer. Open one with another salt.
    error Escrow_ChannelClosed(bytes32 channelId);

    /// @notice One of the config's five addresses is zero.
    error Escrow_ConfigAddressZero(bytes32 channelId);

    /// @notice `withdrawDelay` is outside the bounds.
    error Escrow_DelayOutOfRange(uint40 got, uint40 least, uint40 most);

    /// @notice Another amount arrived than was to be deposited: the token takes a fee on transfer.
    error Escrow_DepositMismatch(bytes32 channelId, uint256 got, uint256 needed);

    /// @notice A claim holds no row.
    error Escrow_EmptyBatch();

    /// @notice The packed claim does not follow its layout from this byte on.
    error Escrow_MalformedBatch(uint256 offset);

    /// @notice Only the payer (for withdrawals the payer's key too) may do this.
    error Escrow_NotPayer(bytes32 channelId, address caller);

    /// @notice Only the receiver or its authorizer may do this.
    error Escrow_NotReceiver(bytes32 channelId, address caller);

    /// @notice Only the batch's `receiverAuthorizer` may send it without a signature.
    error Escrow_NotReceiverAuthorizer(address caller, address needed);

    /// @notice The refund was signed for another nonce.
    error Escrow_RefundNonce(bytes32 channelId, uint256 got, uint256 needed);

    /// @notice `collector` is neither zero (allowance) nor this contract (EIP-3009).
    error Escrow_UnknownCollector(address collector);

    /// @notice The withdrawal's delay runs until `dueAt`.
    error Escrow_WithdrawalNotDue(bytes32 channelId, uint256 dueAt);

    /// @notice No withdrawal is pending.
    error Escrow_WithdrawalNotPending(bytes32 channelId);

    /// @notice A withdrawal is already pending; it must be finalized before another starts.
    error Escrow_WithdrawalPending(bytes32 channelId);

    /// @notice More was asked back than the channel holds unclaimed.
    error Escrow_WithdrawalTooLarge(bytes32 channelId, uint128 got, uint128 available);

    /// @notice Deposits `amount` into the channel of `config`, opening it if need be.
    /// @dev Pending withdrawals stay pending. Refused for a closed channel, so that nobody reopens
    /// one whose vouchers are public by now.
    /// @param collector `address(0)`: the caller is the payer and approved this contract;
    /// `collectorData` is empty. This contract's own address: anyone may send the payer's EIP-3009
    /// `ReceiveWithAuthorization` (to = this contract, value = amount, nonce =
    /// keccak256(abi.encode(channelId, salt))).
    /// @param collectorData For EIP-3009: abi.encode(uint256 validAfter, uint256 validBefore,
    /// uint256 salt, bytes signature), the signature 65 bytes r ‖ s ‖ v.
    function deposit(
        ChannelConfig calldata config,
        uint128 amount,
        address collector,
        bytes calldata collectorData
    ) external;

    /// @notice Books claims whose `receiverAuthorizer` is the caller.
    /// @dev A row adds min(maxClaimableAmount, totalClaimed, balance) less what was claimed before.
    /// What the balance does not cover stays claimable after a top-up; an old or equal total does
    /// nothing; a bad row is passed over with `RowSkipped`.
    function claim(VoucherClaim[] calldata voucherClaims) external;

    /// @notice Books claims for the `receiverAuthorizer` of the first row, by its signature.
    /// @param authorizerSignature 65 bytes r ‖ s ‖ v over `getClaimBatchDigest`.
    function claimWithSignature(
        VoucherClaim[] calldata voucherClaims,
        bytes calldata authorizerSignature
    ) external;

    /// @notice Books claims that share receiver, authorizer, token and delay, at the least gas.
    /// @dev Rules are those of `claim`. `batch` is a header and rows without padding; integers are
    /// big-endian (spec/escrow.md section 4):
    ///
    /// header: flags u8 (bit 0: signature present) ‖ receiver 20 ‖ receiverAuthorizer 20 ‖ token 20
    ///         ‖ withdrawDelay u40 ‖ rows u16 ‖ [r 32 ‖ vs 32]
    /// row:    flags u8 (bit 0: payerAuthorizer is the payer, left out; bit 1: salt has 32 bytes)
    ///         ‖ payer 20 ‖ [payerAuthorizer 20] ‖ salt 8 or 32 ‖ ceiling u128 ‖ total u128
    ///         ‖ r 32 ‖ vs 32
    ///
    /// An 8-byte salt stands for the same number in 32 bytes. Signatures are compact (EIP-2098).
    /// Without a signature in the header the caller must be the `receiverAuthorizer`.
    function claimPacked(bytes calldata batch) external;

    /// @notice Transfers what was claimed and not yet settled to `receiver`. Open to everybody;
    /// does nothing when there is nothing.
    function settle(address receiver, address token) external;

    /// @notice Starts to take `amount` of unclaimed tokens back. By payer or payerAuthorizer.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external;

    /// @notice Ends a withdrawal after its delay: pays the payer what is still unclaimed, at most
    /// the amount asked for. By payer or payerAuthorizer.
    function finalizeWithdraw(ChannelConfig calldata config) external;

    /// @notice Gives up to `amount` of unclaimed tokens back to the payer at once. By receiver or
    /// receiverAuthorizer. Counts the refund nonce up.
    function refund(ChannelConfig calldata config, uint128 amount) external;

    /// @notice The same by anyone with the authorizer's signature over `getRefundDigest`.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external;

    /// @notice Shortest permitted withdrawal delay.
    function MIN_WITHDRAW_DELAY() external view returns (uint40);

    /// @notice Longest permitted withdrawal delay.
    function MAX_WITHDRAW_DELAY() external view returns (uint40);

    /// @notice The delay that payers and pods should agree on unless they know better.
    function DEFAULT_WITHDRAW_DELAY() external view returns (uint40);

    /// @notice A channel's deposits less refunds and withdrawals, and what was claimed of them.
    function channels(bytes32 channelId)
        external
        view
        returns (uint128 balance, uint128 totalClaimed);

    /// @notice The pending withdrawal, zeros where there is none.
    function pendingWithdrawals(bytes32 channelId)
        external
        view
        returns (uint128 amount, uint40 initiatedAt);

    /// @notice Whether the channel is closed for good.
    function isClosed(bytes32 channelId) external view returns (bool);

    /// @notice What all channels to `receiver` brought, and how much of it was transferred.
    function receivers(address receiver, address token)
        external
        view
        returns (uint128 totalClaimed, uint128 totalSettled);

    /// @notice The nonce that the next `Refund` of the channel must carry.
    function refundNonce(bytes32 channelId) external view returns (uint256);

    /// @notice The channel's id: the EIP-712 digest of its config under this contract's domain.
    function getChannelId(ChannelConfig calldata config) external view returns (bytes32);

    /// @notice What `payerAuthorizer` signs.
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount)
        external
        view
        returns (bytes32);

    /// @notice What `receiverAuthorizer` signs for a batch of claims, in either form.
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims)
        external
        view
        returns (bytes32);

    /// @notice What `receiverAuthorizer` signs for a refund.
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount)
        external
        view
        returns (bytes32);

    /// @notice The EIP-712 domain separator for the current chain.
    function domainSeparator() external view returns (bytes32);
}
