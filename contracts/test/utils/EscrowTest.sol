// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Escrow} from "../../src/Escrow.sol";
import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {TestToken} from "../../src/TestToken.sol";
import {Packing} from "./Packing.sol";
import {Test, Vm} from "./Test.sol";

/// @dev A payer with a channel to a pod: one escrow, one token, one open channel of 1,000.
abstract contract EscrowTest is Test {
    uint256 internal constant PAYER_KEY = 0xA11CE;
    uint256 internal constant SESSION_KEY = 0x5E55;
    uint256 internal constant SIGNER_KEY = 0x51617;
    uint128 internal constant DEPOSIT = 1000;
    uint40 internal constant DELAY = 24 hours;

    address internal immutable payer = vm.addr(PAYER_KEY);
    address internal immutable session = vm.addr(SESSION_KEY);
    address internal immutable signer = vm.addr(SIGNER_KEY);
    address internal constant PAYEE = address(0xBEEF01);
    address internal constant STRANGER = address(0xBEEF02);

    Escrow internal escrow;
    TestToken internal token;
    IEscrow.ChannelConfig internal config;
    bytes32 internal id;

    function setUp() public virtual {
        vm.warp(1_790_000_000);
        escrow = new Escrow();
        token = new TestToken();
        config = channelOf(PAYER_KEY, 7);
        id = escrow.getChannelId(config);
        open(config, DEPOSIT);
    }

    /// @dev A channel to the pod whose vouchers the payer signs with his own key.
    function channelOf(uint256 payerKey, uint256 salt)
        internal
        view
        returns (IEscrow.ChannelConfig memory)
    {
        return IEscrow.ChannelConfig({
            payer: vm.addr(payerKey),
            payerAuthorizer: vm.addr(payerKey),
            receiver: PAYEE,
            receiverAuthorizer: signer,
            token: address(token),
            withdrawDelay: DELAY,
            salt: bytes32(salt)
        });
    }

    function open(IEscrow.ChannelConfig memory channel, uint128 amount) internal {
        token.mint(channel.payer, amount);
        vm.prank(channel.payer);
        token.approve(address(escrow), amount);
        vm.prank(channel.payer);
        escrow.deposit(channel, amount, address(0), "");
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev A row whose voucher is signed by `key`.
    function claimOf(
        IEscrow.ChannelConfig memory channel,
        uint256 key,
        uint128 ceiling,
        uint128 total
    ) internal view returns (IEscrow.VoucherClaim memory) {
        bytes32 digest = escrow.getVoucherDigest(escrow.getChannelId(channel), ceiling);
        return IEscrow.VoucherClaim({
            voucher: IEscrow.Voucher({channel: channel, maxClaimableAmount: ceiling}),
            signature: sign(key, digest),
            totalClaimed: total
        });
    }

    function one(IEscrow.VoucherClaim memory claim)
        internal
        pure
        returns (IEscrow.VoucherClaim[] memory claims)
    {
        claims = new IEscrow.VoucherClaim[](1);
        claims[0] = claim;
    }

    /// @dev The pod's signature over a batch.
    function authorize(IEscrow.VoucherClaim[] memory claims) internal view returns (bytes memory) {
        return sign(SIGNER_KEY, escrow.getClaimBatchDigest(claims));
    }

    function pack(IEscrow.VoucherClaim[] memory claims) internal view returns (bytes memory) {
        return Packing.batch(claims, authorize(claims));
    }

    function balanceOf(bytes32 channelId) internal view returns (uint128 balance) {
        (balance,) = escrow.channels(channelId);
    }

    function claimedOf(bytes32 channelId) internal view returns (uint128 claimed) {
        (, claimed) = escrow.channels(channelId);
    }

    function unsettled() internal view returns (uint128) {
        (uint128 claimed, uint128 settled) = escrow.receivers(PAYEE, address(token));
        return claimed - settled;
    }

    /// @dev How many events of a kind the escrow emitted since `vm.recordLogs`.
    function emitted(bytes32 topic) internal returns (uint256 count) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            bool matches = topic == 0 || logs[i].topics[0] == topic;
            if (logs[i].emitter == address(escrow) && matches) ++count;
        }
    }

    function eventsOfEscrow() internal returns (uint256) {
        return emitted(0);
    }
}
