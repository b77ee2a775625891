// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {PodRegistry} from "../../src/PodRegistry.sol";
import {EscrowTest} from "../utils/EscrowTest.sol";

/// @dev The vectors that Rust reads as well: the same files, the same bytes.
contract VectorsTest is EscrowTest {
    string private constant MESSAGES = "../spec/vectors/eip712.json";
    string private constant PACKED_CLAIM = "../spec/vectors/packed-claim.json";
    uint256 private constant VECTOR_KEY =
        uint256(bytes32(hex"0101010101010101010101010101010101010101010101010101010101010101"));

    function test_the_channel_id_is_that_of_x402() public {
        (string memory json, string memory path) = message("ChannelConfig");
        IEscrow escrowThere = moveEscrow(json, path);
        IEscrow.ChannelConfig memory channel = vectorConfig(json, path);
        vm.assertEq(escrowThere.getChannelId(channel), digestOf(json, path), "channel id");
        vm.assertEq(
            digestOf(json, path),
            0x8ea4b277c96d508b2d34b4f68ed56a23326b1e86baadcc7dd94a251cab3ec016,
            "the vector of x402 itself"
        );
    }

    function test_the_voucher_digest_and_signature_are_those_of_x402() public {
        (string memory json, string memory path) = message("Voucher");
        IEscrow escrowThere = moveEscrow(json, path);
        (bytes32 channelId, uint128 ceiling) =
            abi.decode(bytesOf(json, path, ".encoded"), (bytes32, uint128));
        bytes32 digest = escrowThere.getVoucherDigest(channelId, ceiling);
        vm.assertEq(digest, digestOf(json, path), "voucher digest");
        vm.assertEq(
            digest,
            0x497645720fdbcf270e0861960fe24ab63e9554ebfefa92874c134afc2a034de2,
            "the vector of x402 itself"
        );
        vm.assertEq(sign(VECTOR_KEY, digest), bytesOf(json, path, ".signature"), "signature");
    }

    function test_the_claim_batch_digest_is_that_of_x402() public {
        (string memory configJson, string memory configAt) = message("ChannelConfig");
        (string memory json, string memory path) = message("ClaimBatch");
        IEscrow escrowThere = moveEscrow(json, path);
        IEscrow.VoucherClaim[] memory claims = one(
            IEscrow.VoucherClaim({
                voucher: IEscrow.Voucher({
                    channel: vectorConfig(configJson, configAt), maxClaimableAmount: 5000
                }),
                signature: "",
                totalClaimed: 3900
            })
        );
        vm.assertEq(escrowThere.getClaimBatchDigest(claims), digestOf(json, path), "batch digest");
        vm.assertEq(
            digestOf(json, path),
            0x802a449f7a72e1860678ad8fede81fea5bdad9f785934c56bf98625f9ff8ef28,
            "the vector of x402 itself"
        );
    }

    function test_the_refund_digest_is_that_of_x402() public {
        (string memory json, string memory path) = message("Refund");
        IEscrow escrowThere = moveEscrow(json, path);
        (bytes32 channelId, uint256 nonce, uint128 amount) =
            abi.decode(bytesOf(json, path, ".encoded"), (bytes32, uint256, uint128));
        vm.assertEq(
            escrowThere.getRefundDigest(channelId, nonce, amount),
            digestOf(json, path),
            "refund digest"
        );
        vm.assertEq(
            digestOf(json, path),
            0x43cf746faef755c8060af2d78f31c4b669d822595dd23561f87dda936523cf01,
            "the vector of x402 itself"
        );
    }

    function test_the_authorization_nonce_is_that_of_x402() public pure {
        bytes32 channelId = 0x8ea4b277c96d508b2d34b4f68ed56a23326b1e86baadcc7dd94a251cab3ec016;
        vm.assertEq(
            keccak256(abi.encode(channelId, uint256(1))),
            0x6a978793d96dcb65c35d3d86b10ca53507fe16a47fd6cb12296edd41735ff284,
            "ERC-3009 nonce"
        );
    }

    function test_the_registration_digest_is_that_of_the_vector() public {
        (string memory json, string memory path) = message("Registration");
        (
            address registry,
            bytes32 podId,
            address operator,
            address payee,
            address podSigner,
            bytes32 offer,
            bytes32 evidence
        ) = abi.decode(
            bytesOf(json, path, ".encoded"),
            (address, bytes32, address, address, address, bytes32, bytes32)
        );
        vm.chainId(vm.parseJsonUint(json, string.concat(path, ".chain_id")));
        address escrowThere = vm.parseJsonAddress(json, string.concat(path, ".escrow"));
        vm.etch(registry, address(new PodRegistry(escrowThere)).code);
        vm.assertEq(
            PodRegistry(registry)
                .registrationDigest(podId, operator, payee, podSigner, offer, evidence),
            digestOf(json, path),
            "registration digest"
        );
    }

    function test_the_packed_claim_of_the_vector_books_what_it_says() public {
        (IEscrow escrowThere, IEscrow.VoucherClaim[] memory claims) = vectorClaims();
        escrowThere.claimPacked(vm.parseJsonBytes(vm.readFile(PACKED_CLAIM), ".packed"));
        checkBooked(escrowThere, claims);
    }

    function test_the_unsigned_packed_claim_books_the_same_for_the_authorizer() public {
        (IEscrow escrowThere, IEscrow.VoucherClaim[] memory claims) = vectorClaims();
        vm.prank(claims[0].voucher.channel.receiverAuthorizer);
        escrowThere.claimPacked(vm.parseJsonBytes(vm.readFile(PACKED_CLAIM), ".packed_unsigned"));
        checkBooked(escrowThere, claims);
    }

    /// @dev Each row was funded, so it books the smaller of ceiling and total.
    function checkBooked(IEscrow escrowThere, IEscrow.VoucherClaim[] memory claims) private view {
        for (uint256 i = 0; i < claims.length; ++i) {
            uint128 ceiling = claims[i].voucher.maxClaimableAmount;
            uint128 total = claims[i].totalClaimed;
            (, uint128 claimed) =
                escrowThere.channels(escrowThere.getChannelId(claims[i].voucher.channel));
            uint128 funded = fundingOf(i);
            uint128 limit = ceiling < total ? ceiling : total;
            vm.assertEq(claimed, limit < funded ? limit : funded, "claimed");
        }
    }

    /// @dev Amounts such that all rows together fit the token; the last row is capped by it.
    function fundingOf(uint256 row) private pure returns (uint128) {
        return row == 3 ? 1_000_000 : 10_000;
    }

    /// @dev Reads the file, checks each digest on the way, and funds its channels.
    function vectorClaims()
        private
        returns (IEscrow escrowThere, IEscrow.VoucherClaim[] memory claims)
    {
        string memory json = vm.readFile(PACKED_CLAIM);
        escrowThere = moveEscrow(json, "");
        claims = new IEscrow.VoucherClaim[](vm.parseJsonUint(json, ".row_count"));
        for (uint256 i = 0; i < claims.length; ++i) {
            string memory path = string.concat(".rows[", vm.toString(i), "]");
            claims[i] = vectorRow(json, path);
            bytes32 channelId = vm.parseJsonBytes32(json, string.concat(path, ".channel_id"));
            vm.assertEq(
                escrowThere.getChannelId(claims[i].voucher.channel), channelId, "channel id"
            );
            vm.assertEq(
                escrowThere.getVoucherDigest(channelId, claims[i].voucher.maxClaimableAmount),
                vm.parseJsonBytes32(json, string.concat(path, ".voucher_digest")),
                "voucher digest"
            );
            fund(escrowThere, claims[i].voucher.channel, fundingOf(i));
        }
        vm.assertEq(
            escrowThere.getClaimBatchDigest(claims),
            vm.parseJsonBytes32(json, ".claim_batch_digest"),
            "batch digest"
        );
    }

    function vectorRow(string memory json, string memory path)
        private
        pure
        returns (IEscrow.VoucherClaim memory)
    {
        return IEscrow.VoucherClaim({
            voucher: IEscrow.Voucher({
                channel: IEscrow.ChannelConfig({
                    payer: vm.parseJsonAddress(json, string.concat(path, ".payer")),
                    payerAuthorizer: vm.parseJsonAddress(
                        json, string.concat(path, ".payer_authorizer")
                    ),
                    receiver: vm.parseJsonAddress(json, ".receiver"),
                    receiverAuthorizer: vm.parseJsonAddress(json, ".receiver_authorizer"),
                    token: vm.parseJsonAddress(json, ".token"),
                    withdrawDelay: uint40(vm.parseJsonUint(json, ".withdraw_delay")),
                    salt: vm.parseJsonBytes32(json, string.concat(path, ".salt"))
                }),
                maxClaimableAmount: uint128(
                    vm.parseJsonUint(json, string.concat(path, ".max_claimable_amount"))
                )
            }),
            signature: vm.parseJsonBytes(json, string.concat(path, ".voucher_signature")),
            totalClaimed: uint128(vm.parseJsonUint(json, string.concat(path, ".total_claimed")))
        });
    }

    /// @dev Puts our escrow and token where the vector says they stand.
    function fund(IEscrow escrowThere, IEscrow.ChannelConfig memory channel, uint128 amount)
        private
    {
        if (channel.token.code.length == 0) vm.etch(channel.token, address(token).code);
        (bool minted,) = channel.token.call(abi.encodeCall(token.mint, (channel.payer, amount)));
        vm.assertTrue(minted, "minted");
        vm.prank(channel.payer);
        (bool approved,) =
            channel.token.call(abi.encodeCall(token.approve, (address(escrowThere), amount)));
        vm.assertTrue(approved, "approved");
        vm.prank(channel.payer);
        escrowThere.deposit(channel, amount, address(0), "");
    }

    function moveEscrow(string memory json, string memory path) private returns (IEscrow) {
        vm.chainId(vm.parseJsonUint(json, string.concat(path, ".chain_id")));
        address there = vm.parseJsonAddress(json, string.concat(path, ".escrow"));
        vm.etch(there, address(escrow).code);
        return IEscrow(there);
    }

    function message(string memory name)
        private
        view
        returns (string memory json, string memory path)
    {
        json = vm.readFile(MESSAGES);
        for (uint256 i = 0;; ++i) {
            path = string.concat(".messages[", vm.toString(i), "]");
            string memory found = vm.parseJsonString(json, string.concat(path, ".name"));
            if (keccak256(bytes(found)) == keccak256(bytes(name))) return (json, path);
        }
    }

    function vectorConfig(string memory json, string memory path)
        private
        pure
        returns (IEscrow.ChannelConfig memory)
    {
        return abi.decode(bytesOf(json, path, ".encoded"), (IEscrow.ChannelConfig));
    }

    function bytesOf(string memory json, string memory path, string memory member)
        private
        pure
        returns (bytes memory)
    {
        return vm.parseJsonBytes(json, string.concat(path, member));
    }

    function digestOf(string memory json, string memory path) private pure returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(path, ".digest"));
    }
}
