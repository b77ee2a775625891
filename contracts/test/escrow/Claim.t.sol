// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {EscrowTest} from "../utils/EscrowTest.sol";
import {Packing} from "../utils/Packing.sol";

/// @dev What holds for a claim in whatever form. Branches: Claim.tree.
abstract contract ClaimSuite is EscrowTest {
    uint256 internal constant OTHER_KEY = 0xB0B;

    /// @dev Claims as the pod does.
    function submit(IEscrow.VoucherClaim[] memory claims) internal virtual;

    function submit(IEscrow.VoucherClaim memory claim) internal {
        submit(one(claim));
    }

    function test_books_what_both_sides_signed() public {
        submit(claimOf(config, PAYER_KEY, 500, 390));
        vm.assertEq(claimedOf(id), 390, "claimed");
        vm.assertEq(balanceOf(id), DEPOSIT, "balance");
        vm.assertEq(unsettled(), 390, "unsettled");
    }

    function test_a_session_key_signs_for_the_payer() public {
        IEscrow.ChannelConfig memory channel = channelOf(PAYER_KEY, uint256(keccak256("salt")));
        channel.payerAuthorizer = session;
        open(channel, 100);
        submit(claimOf(channel, SESSION_KEY, 60, 60));
        vm.assertEq(claimedOf(escrow.getChannelId(channel)), 60, "claimed");
    }

    function test_a_total_above_the_ceiling_books_the_ceiling() public {
        submit(claimOf(config, PAYER_KEY, 300, 700));
        vm.assertEq(claimedOf(id), 300, "claimed");
    }

    function test_a_total_above_the_balance_books_the_rest_after_a_top_up() public {
        IEscrow.VoucherClaim memory claim = claimOf(config, PAYER_KEY, 1600, 1500);
        submit(claim);
        vm.assertEq(claimedOf(id), DEPOSIT, "capped");

        vm.expectEmit(address(escrow));
        emit IEscrow.RowSkipped(id, 0, IEscrow.SkipReason.Unfunded);
        submit(claim);
        vm.assertEq(claimedOf(id), DEPOSIT, "nothing more");

        open(config, 2000);
        submit(claim);
        vm.assertEq(claimedOf(id), 1500, "the rest");
        vm.assertEq(unsettled(), 1500, "unsettled");
    }

    function test_an_old_or_equal_total_does_nothing() public {
        submit(claimOf(config, PAYER_KEY, 500, 400));
        vm.recordLogs();
        submit(claimOf(config, PAYER_KEY, 500, 400));
        submit(claimOf(config, PAYER_KEY, 600, 399));
        submit(claimOf(config, PAYER_KEY, 100, 500));
        vm.assertEq(eventsOfEscrow(), 0, "events");
        vm.assertEq(claimedOf(id), 400, "claimed");
        vm.assertEq(unsettled(), 400, "unsettled");
    }

    function test_a_bad_row_is_skipped_and_the_others_are_booked() public {
        IEscrow.ChannelConfig memory bob = channelOf(OTHER_KEY, 1);
        open(bob, 100);
        IEscrow.VoucherClaim[] memory claims = new IEscrow.VoucherClaim[](3);
        claims[0] = claimOf(config, PAYER_KEY, 10, 10);
        claims[1] = claimOf(bob, PAYER_KEY, 20, 20);
        claims[2] = claimOf(config, PAYER_KEY, 30, 30);
        vm.expectEmit(address(escrow));
        emit IEscrow.RowSkipped(escrow.getChannelId(bob), 1, IEscrow.SkipReason.VoucherSignature);
        submit(claims);
        vm.assertEq(claimedOf(id), 30, "the good rows");
        vm.assertEq(claimedOf(escrow.getChannelId(bob)), 0, "the bad row");
        vm.assertEq(unsettled(), 30, "each amount once");
    }

    function test_a_channel_that_was_never_opened_is_skipped() public {
        IEscrow.ChannelConfig memory never = channelOf(OTHER_KEY, 1);
        vm.expectEmit(address(escrow));
        emit IEscrow.RowSkipped(escrow.getChannelId(never), 0, IEscrow.SkipReason.Unfunded);
        submit(claimOf(never, OTHER_KEY, 20, 20));
        vm.assertEq(unsettled(), 0, "unsettled");
    }

    function test_a_pending_withdrawal_stays_claimable() public {
        vm.prank(payer);
        escrow.initiateWithdraw(config, DEPOSIT);
        vm.warp(block.timestamp + DELAY - 1);
        submit(claimOf(config, PAYER_KEY, 700, 700));
        vm.warp(block.timestamp + 1);
        vm.prank(payer);
        escrow.finalizeWithdraw(config);
        vm.assertEq(token.balanceOf(payer), 300, "what was left");
        vm.assertEq(unsettled(), 700, "what was earned");
    }

    function test_an_emptied_channel_books_nothing() public {
        vm.prank(PAYEE);
        escrow.refund(config, DEPOSIT);
        submit(claimOf(config, PAYER_KEY, 700, 700));
        vm.assertEq(unsettled(), 0, "unsettled");
    }

    function test_a_voucher_of_another_chain_is_skipped() public {
        IEscrow.VoucherClaim memory claim = claimOf(config, PAYER_KEY, 700, 700);
        vm.chainId(1);
        // The id of the config is another one there, and the voucher is for the old id.
        submit(claim);
        vm.chainId(31337);
        vm.assertEq(claimedOf(id), 0, "claimed");
        vm.assertEq(unsettled(), 0, "unsettled");
    }

    function testFuzz_books_the_smallest_of_ceiling_total_and_balance(
        uint128 ceiling,
        uint128 total,
        uint128 more
    ) public {
        ceiling = uint128(bound(ceiling, 0, 2 * DEPOSIT));
        total = uint128(bound(total, 0, 2 * DEPOSIT));
        more = uint128(bound(more, 1, DEPOSIT));
        IEscrow.VoucherClaim memory claim = claimOf(config, PAYER_KEY, ceiling, total);
        submit(claim);
        uint128 limit = ceiling < total ? ceiling : total;
        vm.assertEq(claimedOf(id), limit < DEPOSIT ? limit : DEPOSIT, "before a top-up");
        open(config, more);
        submit(claim);
        uint128 balance = DEPOSIT + more;
        vm.assertEq(claimedOf(id), limit < balance ? limit : balance, "after it");
        vm.assertEq(unsettled(), claimedOf(id), "each amount once");
    }

    function testFuzz_the_order_of_totals_does_not_matter(uint128[4] memory totals) public {
        uint128 highest = 0;
        for (uint256 i = 0; i < totals.length; ++i) {
            uint128 total = uint128(bound(totals[i], 0, DEPOSIT));
            if (total > highest) highest = total;
            submit(claimOf(config, PAYER_KEY, DEPOSIT, total));
        }
        vm.assertEq(claimedOf(id), highest, "claimed");
        vm.assertEq(unsettled(), highest, "unsettled");
    }
}

contract PackedClaimTest is ClaimSuite {
    uint256 private constant ORDER =
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function submit(IEscrow.VoucherClaim[] memory claims) internal override {
        bytes memory batch = pack(claims);
        vm.prank(STRANGER);
        escrow.claimPacked(batch);
    }

    function test_emits_one_log_with_ids_and_totals() public {
        IEscrow.ChannelConfig memory bob = channelOf(OTHER_KEY, 1);
        open(bob, 100);
        IEscrow.VoucherClaim[] memory claims = new IEscrow.VoucherClaim[](4);
        claims[0] = claimOf(config, PAYER_KEY, 10, 10);
        claims[1] = claimOf(bob, PAYER_KEY, 20, 20);
        claims[2] = claimOf(config, PAYER_KEY, 5, 5);
        claims[3] = claimOf(bob, OTHER_KEY, 200, 150);
        bytes memory booked =
            abi.encodePacked(id, uint128(10), escrow.getChannelId(bob), uint128(100));
        bytes memory batch = pack(claims);
        vm.recordLogs();
        vm.expectEmit(address(escrow));
        emit IEscrow.RowSkipped(escrow.getChannelId(bob), 1, IEscrow.SkipReason.VoucherSignature);
        vm.expectEmit(address(escrow));
        emit IEscrow.BatchClaimed(PAYEE, address(token), signer, 110, booked);
        escrow.claimPacked(batch);
        vm.assertEq(eventsOfEscrow(), 2, "events");
    }

    function test_refuses_a_batch_signed_by_another_key() public {
        IEscrow.VoucherClaim[] memory claims = one(claimOf(config, PAYER_KEY, 10, 10));
        bytes memory signature = sign(PAYER_KEY, escrow.getClaimBatchDigest(claims));
        refuses(
            Packing.batch(claims, signature),
            abi.encodeWithSelector(IEscrow.Escrow_AuthorizerSignature.selector, signer)
        );
    }

    function test_refuses_a_signature_over_other_rows() public {
        IEscrow.VoucherClaim[] memory claims = one(claimOf(config, PAYER_KEY, 10, 9));
        bytes memory signature = authorize(claims);
        claims[0].totalClaimed = 10;
        refuses(
            Packing.batch(claims, signature),
            abi.encodeWithSelector(IEscrow.Escrow_AuthorizerSignature.selector, signer)
        );
    }

    function test_refuses_an_unsigned_batch_of_anybody_else() public {
        bytes memory batch = Packing.batch(one(claimOf(config, PAYER_KEY, 10, 10)), "");
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_NotReceiverAuthorizer.selector, PAYEE, signer)
        );
        vm.prank(PAYEE);
        escrow.claimPacked(batch);
    }

    function test_skips_a_row_with_a_high_s() public {
        IEscrow.VoucherClaim memory claim = claimOf(config, PAYER_KEY, 10, 10);
        claim.signature = flipped(claim.signature);
        // Bit 255 carries the parity, so a high s would read as another one; either way no signer.
        vm.expectEmit(address(escrow));
        emit IEscrow.RowSkipped(id, 0, IEscrow.SkipReason.VoucherSignature);
        submit(claim);
    }

    function test_refuses_a_high_s_over_the_batch() public {
        IEscrow.VoucherClaim[] memory claims = one(claimOf(config, PAYER_KEY, 10, 10));
        refuses(
            Packing.batch(claims, flipped(authorize(claims))),
            abi.encodeWithSelector(IEscrow.Escrow_AuthorizerSignature.selector, signer)
        );
    }

    function test_refuses_a_batch_without_rows() public {
        refuses(
            Packing.header(config, 0, ""),
            abi.encodeWithSelector(IEscrow.Escrow_EmptyBatch.selector)
        );
    }

    function test_refuses_unknown_flags_and_says_where() public {
        bytes memory batch = pack(one(claimOf(config, PAYER_KEY, 10, 10)));
        for (uint256 bit = 1; bit < 8; ++bit) {
            bytes memory broken = bytes.concat(batch);
            broken[0] |= bytes1(uint8(1 << bit));
            refuses(broken, malformed(0));
        }
        for (uint256 bit = 2; bit < 8; ++bit) {
            bytes memory broken = bytes.concat(batch);
            broken[132] |= bytes1(uint8(1 << bit));
            refuses(broken, malformed(132));
        }
    }

    function test_refuses_missing_bytes_wherever_the_end_is() public {
        IEscrow.VoucherClaim[] memory claims = new IEscrow.VoucherClaim[](2);
        claims[0] = claimOf(config, PAYER_KEY, 10, 10);
        IEscrow.ChannelConfig memory long = channelOf(PAYER_KEY, uint256(keccak256("salt")));
        long.payerAuthorizer = session;
        claims[1] = claimOf(long, SESSION_KEY, 10, 10);
        bytes memory batch = pack(claims);
        for (uint256 length = 0; length < batch.length; ++length) {
            bytes memory broken = bytes.concat(batch);
            assembly ("memory-safe") {
                mstore(broken, length)
            }
            try escrow.claimPacked(broken) {
                vm.assertTrue(false, "taken");
            } catch (bytes memory reason) {
                vm.assertEq(bytes4(reason), IEscrow.Escrow_MalformedBatch.selector, "reason");
            }
        }
        escrow.claimPacked(batch);
        vm.assertEq(claimedOf(id), 10, "the whole batch");
    }

    function test_refuses_bytes_left_over() public {
        bytes memory batch = pack(one(claimOf(config, PAYER_KEY, 10, 10)));
        refuses(bytes.concat(batch, hex"00"), malformed(batch.length));
    }

    function testFuzz_foreign_bytes_book_nothing(bytes calldata batch) public {
        (bool taken,) = address(escrow).call(abi.encodeCall(IEscrow.claimPacked, (batch)));
        vm.assertFalse(taken, "taken");
    }

    function testFuzz_a_changed_byte_books_nothing(uint256 place, uint8 change) public {
        bytes memory batch = pack(one(claimOf(config, PAYER_KEY, 500, 390)));
        place = bound(place, 0, batch.length - 1);
        batch[place] ^= bytes1(uint8(bound(change, 1, 255)));
        (bool taken,) = address(escrow).call(abi.encodeCall(IEscrow.claimPacked, (batch)));
        // Only the voucher's own signature is not covered by the authorizer's; then the row is bad.
        vm.assertTrue(!taken || place >= batch.length - 64, "taken");
        vm.assertEq(claimedOf(id), 0, "claimed");
        vm.assertEq(unsettled(), 0, "unsettled");
    }

    function refuses(bytes memory batch, bytes memory reason) private {
        vm.expectRevert(reason);
        escrow.claimPacked(batch);
        vm.assertEq(claimedOf(id), 0, "claimed");
    }

    function malformed(uint256 offset) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IEscrow.Escrow_MalformedBatch.selector, offset);
    }

    /// @dev The other valid signature of the same key over the same message.
    function flipped(bytes memory signature) private pure returns (bytes memory) {
        bytes32 r;
        uint256 s;
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
        }
        return abi.encodePacked(r, ORDER - s, uint8(signature[64]) == 27 ? uint8(28) : uint8(27));
    }
}

contract UnsignedPackedClaimTest is ClaimSuite {
    function submit(IEscrow.VoucherClaim[] memory claims) internal override {
        vm.prank(signer);
        escrow.claimPacked(Packing.batch(claims, ""));
    }
}

contract X402ClaimTest is ClaimSuite {
    function submit(IEscrow.VoucherClaim[] memory claims) internal override {
        vm.prank(signer);
        escrow.claim(claims);
    }

    function test_skips_the_rows_of_other_authorizers() public {
        IEscrow.VoucherClaim[] memory claims = one(claimOf(config, PAYER_KEY, 10, 10));
        vm.expectEmit(address(escrow));
        emit IEscrow.RowSkipped(id, 0, IEscrow.SkipReason.NotAuthorizer);
        vm.prank(PAYEE);
        escrow.claim(claims);
        vm.assertEq(claimedOf(id), 0, "claimed");
    }

    function test_refuses_a_claim_without_rows() public {
        vm.expectRevert(IEscrow.Escrow_EmptyBatch.selector);
        escrow.claim(new IEscrow.VoucherClaim[](0));
    }

    function test_skips_a_signature_of_another_length() public {
        IEscrow.VoucherClaim memory claim = claimOf(config, PAYER_KEY, 10, 10);
        claim.signature = Packing.compact(claim.signature);
        vm.expectEmit(address(escrow));
        emit IEscrow.RowSkipped(id, 0, IEscrow.SkipReason.VoucherSignature);
        submit(claim);
    }
}

contract SignedX402ClaimTest is ClaimSuite {
    function submit(IEscrow.VoucherClaim[] memory claims) internal override {
        bytes memory signature = authorize(claims);
        vm.prank(STRANGER);
        escrow.claimWithSignature(claims, signature);
    }

    function test_emits_the_event_of_x402() public {
        IEscrow.VoucherClaim[] memory claims = one(claimOf(config, PAYER_KEY, 10, 9));
        bytes memory signature = authorize(claims);
        vm.expectEmit(address(escrow));
        emit IEscrow.Claimed(id, STRANGER, 9, 9);
        vm.prank(STRANGER);
        escrow.claimWithSignature(claims, signature);
    }

    function test_refuses_a_signature_of_the_receiver() public {
        IEscrow.VoucherClaim[] memory claims = one(claimOf(config, PAYER_KEY, 10, 10));
        bytes memory signature = sign(PAYER_KEY, escrow.getClaimBatchDigest(claims));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_AuthorizerSignature.selector, signer));
        escrow.claimWithSignature(claims, signature);
    }

    function test_skips_the_rows_of_other_authorizers() public {
        IEscrow.ChannelConfig memory foreign = channelOf(OTHER_KEY, 1);
        foreign.receiverAuthorizer = STRANGER;
        open(foreign, 100);
        IEscrow.VoucherClaim[] memory claims = new IEscrow.VoucherClaim[](2);
        claims[0] = claimOf(config, PAYER_KEY, 10, 10);
        claims[1] = claimOf(foreign, OTHER_KEY, 20, 20);
        bytes memory signature = authorize(claims);
        vm.expectEmit(address(escrow));
        emit IEscrow.RowSkipped(escrow.getChannelId(foreign), 1, IEscrow.SkipReason.NotAuthorizer);
        escrow.claimWithSignature(claims, signature);
        vm.assertEq(unsettled(), 10, "unsettled");
    }

    function test_refuses_a_claim_without_rows() public {
        vm.expectRevert(IEscrow.Escrow_EmptyBatch.selector);
        escrow.claimWithSignature(new IEscrow.VoucherClaim[](0), "");
    }
}
