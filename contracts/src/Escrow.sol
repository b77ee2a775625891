// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IEscrow} from "./interfaces/IEscrow.sol";
import {ChannelState} from "./ChannelState.sol";
import {PackedClaim} from "./PackedClaim.sol";
import {
    CHANNEL_CONFIG_TYPEHASH,
    CLAIM_BATCH_TYPEHASH,
    CLAIM_ENTRY_TYPEHASH,
    REFUND_TYPEHASH,
    VOUCHER_TYPEHASH
} from "./X402.sol";

/// @title Escrow
/// @notice See `IEscrow`. No owner, no upgrade, no fee.
///
/// What moves tokens is not reentrant. Claims call nothing but the signature precompile, so they
/// need no guard.
contract Escrow is IEscrow, EIP712, Multicall, ReentrancyGuardTransient {
    using PackedClaim for PackedClaim.Row;
    using SafeERC20 for IERC20;

    struct Exit {
        uint128 amount;
        uint40 initiatedAt;
        bool closed;
    }

    struct Receiver {
        uint128 totalClaimed;
        uint128 totalSettled;
    }

    /// @inheritdoc IEscrow
    uint40 public constant MIN_WITHDRAW_DELAY = 1 hours;
    /// @inheritdoc IEscrow
    uint40 public constant MAX_WITHDRAW_DELAY = 30 days;
    /// @inheritdoc IEscrow
    uint40 public constant DEFAULT_WITHDRAW_DELAY = 24 hours;

    uint256 private constant LOG_ROW_BYTES = 48;

    /// @inheritdoc IEscrow
    mapping(bytes32 channelId => uint256) public refundNonce;
    /// @inheritdoc IEscrow
    mapping(address receiver => mapping(address token => Receiver)) public receivers;

    mapping(bytes32 channelId => ChannelState) private _channels;
    mapping(bytes32 channelId => Exit) private _exits;

    constructor() EIP712("x402 Batch Settlement", "1") {}

    // Deposits

    /// @inheritdoc IEscrow
    function deposit(
        ChannelConfig calldata config,
        uint128 amount,
        address collector,
        bytes calldata collectorData
    ) external nonReentrant {
        bytes32 channelId = getChannelId(config);
        _checkConfig(channelId, config);
        if (amount == 0) revert Escrow_AmountZero(channelId);
        if (_exits[channelId].closed) revert Escrow_ChannelClosed(channelId);

        ChannelState state = _channels[channelId];
        uint128 balance = state.balance();
        if (amount > type(uint128).max - balance) {
            revert Escrow_BalanceOverflow(channelId, balance, amount);
        }
        _channels[channelId] = state.withBalance(balance + amount);

        _collect(channelId, config, amount, collector, collectorData);

        // A channel that was emptied is closed, so this one is new.
        if (balance == 0) emit ChannelCreated(channelId, config);
        emit Deposited(channelId, msg.sender, amount, balance + amount);
    }

    // Claims

    /// @inheritdoc IEscrow
    function claim(VoucherClaim[] calldata voucherClaims) external {
        if (voucherClaims.length == 0) revert Escrow_EmptyBatch();
        _claimRows(voucherClaims, msg.sender);
    }

    /// @inheritdoc IEscrow
    function claimWithSignature(
        VoucherClaim[] calldata voucherClaims,
        bytes calldata authorizerSignature
    ) external {
        if (voucherClaims.length == 0) {
            revert Escrow_EmptyBatch();
        }
        address authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
        _checkAuthorizer(authorizer, getClaimBatchDigest(voucherClaims), authorizerSignature);
        _claimRows(voucherClaims, authorizer);
    }

    /// @inheritdoc IEscrow
    function claimPacked(bytes calldata batch) external {
        (PackedClaim.Header memory header, PackedClaim.Row[] memory rows, bytes32 entriesHash) =
            PackedClaim.parse(batch, _domainSeparatorV4());

        address authorizer = header.receiverAuthorizer;
        if (header.signed) {
            (address signer,,) =
                ECDSA.tryRecover(_claimBatchDigest(entriesHash), header.r, header.vs);
            if (signer == address(0) || signer != authorizer) {
                revert Escrow_AuthorizerSignature(authorizer);
            }
        } else if (msg.sender != authorizer) {
            revert Escrow_NotReceiverAuthorizer(msg.sender, authorizer);
        }

        (uint128 amount, bytes memory entries) = _bookRows(rows);
        if (amount == 0) return;
        receivers[header.receiver][header.token].totalClaimed += amount;
        emit BatchClaimed(header.receiver, header.token, authorizer, amount, entries);
    }

    /// @inheritdoc IEscrow
    function settle(address receiver, address token) external nonReentrant {
        Receiver storage account = receivers[receiver][token];
        uint128 amount = account.totalClaimed - account.totalSettled;
        if (amount == 0) return;
        account.totalSettled = account.totalClaimed;
        IERC20(token).safeTransfer(receiver, amount);
        emit Settled(receiver, token, msg.sender, amount);
    }

    // The way back

    /// @inheritdoc IEscrow
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external {
        bytes32 channelId = getChannelId(config);
        _checkPayerSide(channelId, config);
        if (amount == 0) revert Escrow_AmountZero(channelId);
        Exit storage exit = _exits[channelId];
        if (exit.initiatedAt != 0) revert Escrow_WithdrawalPending(channelId);
        uint128 available = _channels[channelId].unclaimed();
        if (amount > available) revert Escrow_WithdrawalTooLarge(channelId, amount, available);

        exit.amount = amount;
        exit.initiatedAt = uint40(block.timestamp);
        emit WithdrawInitiated(channelId, amount, uint40(block.timestamp) + config.withdrawDelay);
    }

    /// @inheritdoc IEscrow
    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant {
        bytes32 channelId = getChannelId(config);
        _checkPayerSide(channelId, config);
        Exit storage exit = _exits[channelId];
        if (exit.initiatedAt == 0) revert Escrow_WithdrawalNotPending(channelId);
        uint256 dueAt = uint256(exit.initiatedAt) + config.withdrawDelay;
        if (block.timestamp < dueAt) revert Escrow_WithdrawalNotDue(channelId, dueAt);

        uint128 amount = exit.amount;
        exit.amount = 0;
        exit.initiatedAt = 0;
        amount = _payBack(channelId, config, amount);
        emit WithdrawFinalized(channelId, msg.sender, amount);
    }

    /// @inheritdoc IEscrow
    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        bytes32 channelId = getChannelId(config);
        if (msg.sender != config.receiver && msg.sender != config.receiverAuthorizer) {
            revert Escrow_NotReceiver(channelId, msg.sender);
        }
        _refund(channelId, config, amount);
    }

    /// @inheritdoc IEscrow
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external nonReentrant {
        bytes32 channelId = getChannelId(config);
        uint256 needed = refundNonce[channelId];
        if (nonce != needed) revert Escrow_RefundNonce(channelId, nonce, needed);
        _checkAuthorizer(
            config.receiverAuthorizer,
            getRefundDigest(channelId, nonce, amount),
            receiverAuthorizerSignature
        );
        _refund(channelId, config, amount);
    }

    // Views

    /// @inheritdoc IEscrow
    function channels(bytes32 channelId)
        external
        view
        returns (uint128 balance, uint128 totalClaimed)
    {
        ChannelState state = _channels[channelId];
        return (state.balance(), state.totalClaimed());
    }

    /// @inheritdoc IEscrow
    function pendingWithdrawals(bytes32 channelId)
        external
        view
        returns (uint128 amount, uint40 initiatedAt)
    {
        Exit storage exit = _exits[channelId];
        return (exit.amount, exit.initiatedAt);
    }

    /// @inheritdoc IEscrow
    function isClosed(bytes32 channelId) external view returns (bool) {
        return _exits[channelId].closed;
    }

    /// @inheritdoc IEscrow
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IEscrow
    function getChannelId(ChannelConfig calldata config) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CHANNEL_CONFIG_TYPEHASH, config)));
    }

    /// @inheritdoc IEscrow
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, maxClaimableAmount))
        );
    }

    /// @inheritdoc IEscrow
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims)
        public
        view
        returns (bytes32)
    {
        bytes32[] memory entries = new bytes32[](voucherClaims.length);
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            VoucherClaim calldata row = voucherClaims[i];
            entries[i] = keccak256(
                abi.encode(
                    CLAIM_ENTRY_TYPEHASH,
                    getChannelId(row.voucher.channel),
                    row.voucher.maxClaimableAmount,
                    row.totalClaimed
                )
            );
        }
        return _claimBatchDigest(keccak256(abi.encodePacked(entries)));
    }

    /// @inheritdoc IEscrow
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(keccak256(abi.encode(REFUND_TYPEHASH, channelId, nonce, amount)));
    }

    // Deposits, inside

    function _checkConfig(bytes32 channelId, ChannelConfig calldata config) private pure {
        if (
            config.payer == address(0) || config.payerAuthorizer == address(0)
                || config.receiver == address(0) || config.receiverAuthorizer == address(0)
                || config.token == address(0)
        ) revert Escrow_ConfigAddressZero(channelId);
        if (config.withdrawDelay < MIN_WITHDRAW_DELAY || config.withdrawDelay > MAX_WITHDRAW_DELAY)
        {
            revert Escrow_DelayOutOfRange(
                config.withdrawDelay, MIN_WITHDRAW_DELAY, MAX_WITHDRAW_DELAY
            );
        }
    }

    /// @dev Pulls `amount` and refuses when another amount arrived: a token that takes a fee would
    /// leave the channels owing more than the contract holds.
    function _collect(
        bytes32 channelId,
        ChannelConfig calldata config,
        uint128 amount,
        address collector,
        bytes calldata collectorData
    ) private {
        IERC20 token = IERC20(config.token);
        uint256 before = token.balanceOf(address(this));
        if (collector == address(0)) {
            // Another caller could spend the payer's allowance on a channel to himself.
            if (msg.sender != config.payer) revert Escrow_NotPayer(channelId, msg.sender);
            token.safeTransferFrom(config.payer, address(this), amount);
        } else if (collector == address(this)) {
            _receiveWithAuthorization(channelId, config, amount, collectorData);
        } else {
            revert Escrow_UnknownCollector(collector);
        }
        uint256 got = token.balanceOf(address(this)) - before;
        if (got != amount) revert Escrow_DepositMismatch(channelId, got, amount);
    }

    /// @dev The nonce binds the payer's authorization to this channel, so whoever submits it cannot
    /// fund another. `transferWithAuthorization` would let anyone strand the tokens here.
    function _receiveWithAuthorization(
        bytes32 channelId,
        ChannelConfig calldata config,
        uint128 amount,
        bytes calldata collectorData
    ) private {
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(collectorData, (uint256, uint256, uint256, bytes));
        bytes32 nonce = keccak256(abi.encode(channelId, salt));
        _callToken(config, amount, [validAfter, validBefore], nonce, signature);
    }

    /// @dev Apart from its caller because the compiler's stack does not hold both. A signature of
    /// another length parses as zeros, which the token refuses.
    function _callToken(
        ChannelConfig calldata config,
        uint128 amount,
        uint256[2] memory validity,
        bytes32 nonce,
        bytes memory signature
    ) private {
        (uint8 v, bytes32 r, bytes32 s) = ECDSA.parse(signature);
        IERC3009(config.token)
            .receiveWithAuthorization(
                config.payer, address(this), amount, validity[0], validity[1], nonce, v, r, s
            );
    }

    // Claims, inside

    /// @dev The signature is checked before the total, so that a row cannot look good without it.
    function _claimRows(VoucherClaim[] calldata voucherClaims, address authorizer) private {
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            VoucherClaim calldata row = voucherClaims[i];
            ChannelConfig calldata config = row.voucher.channel;
            bytes32 channelId = getChannelId(config);
            if (config.receiverAuthorizer != authorizer) {
                emit RowSkipped(channelId, i, SkipReason.NotAuthorizer);
                continue;
            }
            uint128 ceiling = row.voucher.maxClaimableAmount;
            (address signer,,) =
                ECDSA.tryRecoverCalldata(getVoucherDigest(channelId, ceiling), row.signature);
            uint128 limit = ceiling < row.totalClaimed ? ceiling : row.totalClaimed;
            (uint128 added, uint128 claimed) =
                _bookRow(channelId, i, config.payerAuthorizer, signer, limit);
            if (added == 0) continue;
            receivers[config.receiver][config.token].totalClaimed += added;
            emit Claimed(channelId, msg.sender, added, claimed);
        }
    }

    /// @dev Books the rows of a packed claim and writes the batch's log: 48 bytes for each row that
    /// added something.
    function _bookRows(PackedClaim.Row[] memory rows)
        private
        returns (uint128 amount, bytes memory entries)
    {
        entries = new bytes(rows.length * LOG_ROW_BYTES);
        uint256 length = 0;
        for (uint256 i = 0; i < rows.length; ++i) {
            PackedClaim.Row memory row = rows[i];
            bytes32 channelId = row.channelId;
            (uint128 added, uint128 claimed) = _bookRow(
                channelId,
                i,
                row.payerAuthorizer,
                row.voucherSigner(),
                // The parser reads 16 bytes.
                uint128(row.limit)
            );
            if (added == 0) continue;
            amount += added;
            // Within `entries`: at most one entry is written for each row.
            assembly ("memory-safe") {
                let entry := add(add(entries, 0x20), length)
                mstore(add(entry, 0x10), claimed)
                mstore(entry, channelId)
                length := add(length, LOG_ROW_BYTES)
            }
        }
        // Shortens the bytes to what was written.
        assembly ("memory-safe") {
            mstore(entries, length)
        }
    }

    /// @dev Adds what one row brings to its channel.
    /// @param limit The smaller of the payer's ceiling and the signer's total.
    /// @return added What the row added; 0 when it was passed over or is old.
    /// @return claimed The channel's total afterwards.
    function _bookRow(
        bytes32 channelId,
        uint256 index,
        address payerAuthorizer,
        address signer,
        uint128 limit
    ) private returns (uint128 added, uint128 claimed) {
        if (signer != payerAuthorizer || signer == address(0)) {
            emit RowSkipped(channelId, index, SkipReason.VoucherSignature);
            return (0, 0);
        }
        ChannelState state = _channels[channelId];
        uint128 balance = state.balance();
        claimed = state.totalClaimed();
        if (limit <= claimed) return (0, claimed);
        if (balance <= claimed) {
            emit RowSkipped(channelId, index, SkipReason.Unfunded);
            return (0, claimed);
        }
        if (limit > balance) limit = balance;
        // No underflow: limit and balance were found above what was claimed.
        unchecked {
            added = limit - claimed;
        }
        claimed = limit;
        _channels[channelId] = state.withTotalClaimed(limit);
    }

    function _claimBatchDigest(bytes32 entriesHash) private view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CLAIM_BATCH_TYPEHASH, entriesHash)));
    }

    /// @dev A plain key's signature only: what ERC-1271 says can change after the signing.
    function _checkAuthorizer(address authorizer, bytes32 digest, bytes calldata signature)
        private
        pure
    {
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (signer == address(0) || signer != authorizer) {
            revert Escrow_AuthorizerSignature(authorizer);
        }
    }

    // The way back, inside

    function _checkPayerSide(bytes32 channelId, ChannelConfig calldata config) private view {
        if (msg.sender != config.payer && msg.sender != config.payerAuthorizer) {
            revert Escrow_NotPayer(channelId, msg.sender);
        }
    }

    /// @dev A refund while a withdrawal is pending counts towards it: the payer asked for that
    /// amount back, and the rest stays for the receiver.
    function _refund(bytes32 channelId, ChannelConfig calldata config, uint128 amount) private {
        if (amount == 0) revert Escrow_AmountZero(channelId);
        refundNonce[channelId] += 1;
        uint128 available = _channels[channelId].unclaimed();
        if (amount > available) amount = available;
        if (amount == 0) return;

        Exit storage exit = _exits[channelId];
        if (exit.initiatedAt != 0) {
            if (amount >= exit.amount) {
                exit.amount = 0;
                exit.initiatedAt = 0;
            } else {
                exit.amount -= amount;
            }
        }
        _payBack(channelId, config, amount);
        emit Refunded(channelId, msg.sender, amount);
    }

    /// @dev Pays the payer at most `amount` of what is unclaimed. When nothing unclaimed is left
    /// the channel closes for good: its vouchers are public, so a later deposit would only meet old
    /// claims. The record stays, and with it the total that old claims cannot exceed.
    function _payBack(bytes32 channelId, ChannelConfig calldata config, uint128 amount)
        private
        returns (uint128 paid)
    {
        ChannelState state = _channels[channelId];
        uint128 available = state.unclaimed();
        paid = amount < available ? amount : available;
        _channels[channelId] = state.withBalance(state.balance() - paid);
        if (paid == available) {
            _exits[channelId].closed = true;
            emit ChannelClosed(channelId, config);
        }
        if (paid != 0) IERC20(config.token).safeTransfer(config.payer, paid);
    }
}
