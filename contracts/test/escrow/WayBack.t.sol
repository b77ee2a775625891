// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {EscrowTest} from "../utils/EscrowTest.sol";
import {CallbackToken} from "../utils/Tokens.sol";

/// @dev Withdrawals, refunds and settlement. Branches: WayBack.tree.
contract WayBackTest is EscrowTest {
    function test_only_the_payers_side_starts_a_withdrawal() public {
        address[3] memory others = [PAYEE, signer, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotPayer.selector, id, others[i]));
            vm.prank(others[i]);
            escrow.initiateWithdraw(config, 10);
        }
    }

    function test_refuses_to_withdraw_nothing() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_AmountZero.selector, id));
        vm.prank(payer);
        escrow.initiateWithdraw(config, 0);
    }

    function test_refuses_to_withdraw_more_than_is_unclaimed() public {
        claim(400);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_WithdrawalTooLarge.selector, id, 601, 600)
        );
        vm.prank(payer);
        escrow.initiateWithdraw(config, 601);
    }

    function test_refuses_a_second_withdrawal() public {
        initiate(10);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_WithdrawalPending.selector, id));
        vm.prank(payer);
        escrow.initiateWithdraw(config, 10);
    }

    function test_starts_the_delay() public {
        uint40 start = uint40(block.timestamp);
        vm.expectEmit(address(escrow));
        emit IEscrow.WithdrawInitiated(id, 10, start + DELAY);
        initiate(10);
        (uint128 amount, uint40 initiatedAt) = escrow.pendingWithdrawals(id);
        vm.assertEq(amount, 10, "amount");
        vm.assertEq(initiatedAt, start, "start");
    }

    function test_a_session_key_withdraws_to_the_payer() public {
        IEscrow.ChannelConfig memory channel = channelOf(PAYER_KEY, 8);
        channel.payerAuthorizer = session;
        open(channel, 100);
        vm.prank(session);
        escrow.initiateWithdraw(channel, 100);
        vm.warp(block.timestamp + DELAY);
        vm.prank(session);
        escrow.finalizeWithdraw(channel);
        vm.assertEq(token.balanceOf(payer), 100, "tokens of the payer");
        vm.assertEq(token.balanceOf(session), 0, "tokens of the key");
    }

    function test_only_the_payers_side_ends_a_withdrawal() public {
        initiate(10);
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotPayer.selector, id, STRANGER));
        vm.prank(STRANGER);
        escrow.finalizeWithdraw(config);
    }

    function test_refuses_to_end_what_was_not_started() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_WithdrawalNotPending.selector, id));
        vm.prank(payer);
        escrow.finalizeWithdraw(config);
    }

    function test_refuses_to_end_a_withdrawal_before_its_time() public {
        uint256 dueAt = block.timestamp + DELAY;
        initiate(10);
        vm.warp(dueAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_WithdrawalNotDue.selector, id, dueAt));
        vm.prank(payer);
        escrow.finalizeWithdraw(config);
    }

    function test_a_claim_in_between_comes_first_and_the_rest_closes_the_channel() public {
        initiate(DEPOSIT);
        claim(400);
        finalize();
        vm.assertEq(token.balanceOf(payer), 600, "tokens of the payer");
        vm.assertEq(balanceOf(id), 400, "balance");
        vm.assertTrue(escrow.isClosed(id), "closed");
    }

    function test_a_withdrawal_of_what_was_all_claimed_closes_the_channel() public {
        initiate(DEPOSIT);
        claim(DEPOSIT);
        finalize();
        vm.assertEq(token.balanceOf(payer), 0, "tokens of the payer");
        vm.assertTrue(escrow.isClosed(id), "closed");
    }

    function test_a_partial_withdrawal_leaves_the_channel_open() public {
        initiate(400);
        finalize();
        vm.assertEq(token.balanceOf(payer), 400, "tokens of the payer");
        vm.assertFalse(escrow.isClosed(id), "closed");
        claim(DEPOSIT);
        vm.assertEq(claimedOf(id), 600, "claimed");
        initiateFails(1);
    }

    function test_a_top_up_does_not_enlarge_a_pending_withdrawal() public {
        initiate(DEPOSIT);
        open(config, 500);
        finalize();
        vm.assertEq(token.balanceOf(payer), DEPOSIT, "tokens of the payer");
        vm.assertEq(balanceOf(id), 500, "balance");
    }

    function test_only_the_receivers_side_refunds() public {
        address[2] memory others = [payer, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IEscrow.Escrow_NotReceiver.selector, id, others[i])
            );
            vm.prank(others[i]);
            escrow.refund(config, 10);
        }
    }

    function test_refuses_to_refund_nothing() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_AmountZero.selector, id));
        vm.prank(PAYEE);
        escrow.refund(config, 0);
    }

    function test_a_refund_pays_at_most_what_is_unclaimed_and_closes() public {
        claim(400);
        vm.expectEmit(address(escrow));
        emit IEscrow.ChannelClosed(id, config);
        vm.expectEmit(address(escrow));
        emit IEscrow.Refunded(id, signer, 600);
        vm.prank(signer);
        escrow.refund(config, type(uint128).max);
        vm.assertEq(token.balanceOf(payer), 600, "tokens of the payer");
        vm.assertTrue(escrow.isClosed(id), "closed");
        vm.assertEq(unsettled(), 400, "unsettled");
    }

    function test_a_partial_refund_leaves_the_channel_open() public {
        vm.prank(PAYEE);
        escrow.refund(config, 400);
        vm.assertFalse(escrow.isClosed(id), "closed");
        vm.assertEq(balanceOf(id), 600, "balance");
    }

    function test_a_refund_of_nothing_left_counts_the_nonce() public {
        claim(DEPOSIT);
        vm.prank(PAYEE);
        escrow.refund(config, 5);
        vm.assertEq(escrow.refundNonce(id), 1, "nonce");
        vm.assertFalse(escrow.isClosed(id), "closed");
        vm.assertEq(token.balanceOf(payer), 0, "tokens of the payer");
    }

    function test_a_refund_counts_towards_a_pending_withdrawal() public {
        initiate(500);
        vm.prank(PAYEE);
        escrow.refund(config, 200);
        (uint128 amount,) = escrow.pendingWithdrawals(id);
        vm.assertEq(amount, 300, "left to withdraw");
        vm.prank(PAYEE);
        escrow.refund(config, 300);
        (, uint40 initiatedAt) = escrow.pendingWithdrawals(id);
        vm.assertEq(initiatedAt, 0, "none is pending");
        vm.assertEq(token.balanceOf(payer), 500, "tokens of the payer");
    }

    function test_anyone_may_send_a_refund_that_the_authorizer_signed_once() public {
        bytes memory signature = sign(SIGNER_KEY, escrow.getRefundDigest(id, 0, 300));
        vm.prank(STRANGER);
        escrow.refundWithSignature(config, 300, 0, signature);
        vm.assertEq(token.balanceOf(payer), 300, "tokens of the payer");
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_RefundNonce.selector, id, 0, 1));
        escrow.refundWithSignature(config, 300, 0, signature);
    }

    function test_refuses_a_refund_that_another_signed_or_over_another_amount() public {
        bytes memory foreign = sign(PAYER_KEY, escrow.getRefundDigest(id, 0, 300));
        bytes memory other = sign(SIGNER_KEY, escrow.getRefundDigest(id, 0, 299));
        bytes memory reason =
            abi.encodeWithSelector(IEscrow.Escrow_AuthorizerSignature.selector, signer);
        vm.expectRevert(reason);
        escrow.refundWithSignature(config, 300, 0, foreign);
        vm.expectRevert(reason);
        escrow.refundWithSignature(config, 300, 0, other);
        vm.expectRevert(reason);
        escrow.refundWithSignature(config, 300, 0, "");
    }

    function test_settlement_pays_the_receiver_once_whoever_calls() public {
        claim(400);
        vm.expectEmit(address(escrow));
        emit IEscrow.Settled(PAYEE, address(token), STRANGER, 400);
        vm.prank(STRANGER);
        escrow.settle(PAYEE, address(token));
        vm.assertEq(token.balanceOf(PAYEE), 400, "tokens of the receiver");
        escrow.settle(PAYEE, address(token));
        vm.assertEq(token.balanceOf(PAYEE), 400, "not twice");
        claim(450);
        escrow.settle(PAYEE, address(token));
        vm.assertEq(token.balanceOf(PAYEE), 450, "and the difference later");
    }

    function test_settlement_of_nothing_does_nothing() public {
        vm.recordLogs();
        escrow.settle(STRANGER, address(token));
        vm.assertEq(eventsOfEscrow(), 0, "events");
    }

    function test_a_token_that_calls_back_is_not_settled_twice() public {
        CallbackToken callback = new CallbackToken();
        config.token = address(callback);
        callback.mint(payer, 100);
        vm.prank(payer);
        callback.approve(address(escrow), 100);
        vm.prank(payer);
        escrow.deposit(config, 100, address(0), "");
        claim(60);
        callback.callDuringTransfer(
            address(escrow), abi.encodeCall(IEscrow.settle, (PAYEE, address(callback)))
        );
        escrow.settle(PAYEE, address(callback));
        vm.assertFalse(callback.succeeded(), "the inner settlement");
        vm.assertEq(callback.balanceOf(PAYEE), 60, "tokens of the receiver");
    }

    function test_claim_and_settlement_go_into_one_transaction() public {
        bytes[] memory calls = new bytes[](2);
        calls[0] =
            abi.encodeCall(IEscrow.claimPacked, (pack(one(claimOf(config, PAYER_KEY, 400, 400)))));
        calls[1] = abi.encodeCall(IEscrow.settle, (PAYEE, address(token)));
        escrow.multicall(calls);
        vm.assertEq(token.balanceOf(PAYEE), 400, "tokens of the receiver");
    }

    function testFuzz_no_withdrawal_outruns_a_claim_within_its_delay(
        uint128 withdrawn,
        uint128 total,
        uint40 wait
    ) public {
        withdrawn = uint128(bound(withdrawn, 1, DEPOSIT));
        total = uint128(bound(total, 0, DEPOSIT));
        initiate(withdrawn);
        vm.warp(block.timestamp + bound(wait, 0, DELAY - 1));
        vm.prank(payer);
        try escrow.finalizeWithdraw(config) {
            vm.assertTrue(false, "ended early");
        } catch (bytes memory reason) {
            vm.assertEq(bytes4(reason), IEscrow.Escrow_WithdrawalNotDue.selector, "reason");
        }
        claim(total);
        vm.assertEq(claimedOf(id), total, "the claim is whole");
        finalize();
        uint128 left = DEPOSIT - total;
        vm.assertEq(token.balanceOf(payer), withdrawn < left ? withdrawn : left, "and the rest");
    }

    function claim(uint128 total) private {
        escrow.claimPacked(pack(one(claimOf(config, PAYER_KEY, total, total))));
    }

    function initiate(uint128 amount) private {
        vm.prank(payer);
        escrow.initiateWithdraw(config, amount);
    }

    function initiateFails(uint128 amount) private {
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_WithdrawalTooLarge.selector, id, amount, 0)
        );
        vm.prank(payer);
        escrow.initiateWithdraw(config, amount);
    }

    function finalize() private {
        vm.warp(block.timestamp + DELAY);
        vm.prank(payer);
        escrow.finalizeWithdraw(config);
    }
}
