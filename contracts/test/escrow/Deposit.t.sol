// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {EscrowTest} from "../utils/EscrowTest.sol";
import {CallbackToken, FeeToken} from "../utils/Tokens.sol";

/// @dev Branches: Deposit.tree.
contract DepositTest is EscrowTest {
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    function test_takes_the_amount_of_the_payer_and_credits_the_channel() public {
        token.mint(payer, 50);
        vm.prank(payer);
        token.approve(address(escrow), 50);
        vm.expectEmit(address(escrow));
        emit IEscrow.Deposited(id, payer, 50, DEPOSIT + 50);
        vm.prank(payer);
        escrow.deposit(config, 50, address(0), "");
        vm.assertEq(balanceOf(id), DEPOSIT + 50, "balance of the channel");
        vm.assertEq(token.balanceOf(address(escrow)), DEPOSIT + 50, "tokens of the escrow");
    }

    function test_a_new_channel_emits_its_config_and_an_old_one_does_not() public {
        IEscrow.ChannelConfig memory next = channelOf(PAYER_KEY, 8);
        vm.recordLogs();
        open(next, 5);
        vm.assertEq(emitted(IEscrow.ChannelCreated.selector), 1, "at the first deposit");
        vm.recordLogs();
        open(next, 5);
        vm.assertEq(emitted(IEscrow.ChannelCreated.selector), 0, "at the second");
    }

    function test_refuses_the_allowance_of_another() public {
        token.mint(payer, 50);
        vm.prank(payer);
        token.approve(address(escrow), 50);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotPayer.selector, id, STRANGER));
        vm.prank(STRANGER);
        escrow.deposit(config, 50, address(0), "");
    }

    function test_refuses_a_zero_amount() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_AmountZero.selector, id));
        vm.prank(payer);
        escrow.deposit(config, 0, address(0), "");
    }

    function test_refuses_each_zero_address_of_a_config() public {
        for (uint256 member = 0; member < 5; ++member) {
            IEscrow.ChannelConfig memory broken = channelOf(PAYER_KEY, 9);
            if (member == 0) broken.payer = address(0);
            if (member == 1) broken.payerAuthorizer = address(0);
            if (member == 2) broken.receiver = address(0);
            if (member == 3) broken.receiverAuthorizer = address(0);
            if (member == 4) broken.token = address(0);
            refuses(
                broken,
                abi.encodeWithSelector(
                    IEscrow.Escrow_ConfigAddressZero.selector, escrow.getChannelId(broken)
                )
            );
        }
    }

    function test_refuses_a_delay_below_an_hour_and_above_thirty_days() public {
        IEscrow.ChannelConfig memory broken = channelOf(PAYER_KEY, 9);
        uint40[2] memory delays = [uint40(1 hours - 1), uint40(30 days + 1)];
        for (uint256 i = 0; i < delays.length; ++i) {
            broken.withdrawDelay = delays[i];
            refuses(
                broken,
                abi.encodeWithSelector(
                    IEscrow.Escrow_DelayOutOfRange.selector,
                    delays[i],
                    uint40(1 hours),
                    uint40(30 days)
                )
            );
        }
    }

    function test_takes_the_shortest_and_the_longest_delay() public {
        IEscrow.ChannelConfig memory next = channelOf(PAYER_KEY, 9);
        next.withdrawDelay = 1 hours;
        open(next, 5);
        next.withdrawDelay = 30 days;
        open(next, 5);
        vm.assertEq(balanceOf(escrow.getChannelId(next)), 5, "balance");
    }

    function test_refuses_a_closed_channel() public {
        vm.prank(PAYEE);
        escrow.refund(config, DEPOSIT);
        refuses(config, abi.encodeWithSelector(IEscrow.Escrow_ChannelClosed.selector, id));
    }

    function test_refuses_a_balance_above_an_uint128() public {
        uint128 most = type(uint128).max;
        token.mint(payer, most);
        vm.prank(payer);
        token.approve(address(escrow), most);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_BalanceOverflow.selector, id, DEPOSIT, most)
        );
        vm.prank(payer);
        escrow.deposit(config, most, address(0), "");
    }

    function test_refuses_a_token_that_takes_a_fee() public {
        FeeToken fee = new FeeToken();
        IEscrow.ChannelConfig memory channel = channelOf(PAYER_KEY, 9);
        channel.token = address(fee);
        fee.mint(payer, 100);
        vm.prank(payer);
        fee.approve(address(escrow), 100);
        vm.expectRevert(
            abi.encodeWithSelector(
                IEscrow.Escrow_DepositMismatch.selector, escrow.getChannelId(channel), 99, 100
            )
        );
        vm.prank(payer);
        escrow.deposit(channel, 100, address(0), "");
    }

    function test_a_token_that_calls_back_cannot_deposit_within_a_deposit() public {
        CallbackToken callback = new CallbackToken();
        IEscrow.ChannelConfig memory channel = channelOf(PAYER_KEY, 9);
        channel.token = address(callback);
        callback.mint(payer, 100);
        vm.prank(payer);
        callback.approve(address(escrow), 100);
        callback.callDuringTransfer(
            address(escrow), abi.encodeCall(IEscrow.deposit, (channel, 50, address(0), ""))
        );
        vm.prank(payer);
        escrow.deposit(channel, 100, address(0), "");
        vm.assertFalse(callback.succeeded(), "the inner deposit");
        vm.assertEq(
            callback.answer(),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "its error"
        );
        vm.assertEq(balanceOf(escrow.getChannelId(channel)), 100, "balance");
    }

    function test_refuses_an_unknown_collector() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_UnknownCollector.selector, STRANGER));
        vm.prank(payer);
        escrow.deposit(config, 5, STRANGER, "");
    }

    function test_anyone_may_send_an_authorization_of_the_payer() public {
        token.mint(payer, 70);
        vm.prank(STRANGER);
        escrow.deposit(config, 70, address(escrow), authorization(id, 1, 70));
        vm.assertEq(balanceOf(id), DEPOSIT + 70, "balance");
        vm.assertEq(token.balanceOf(payer), 0, "tokens of the payer");
    }

    function test_refuses_an_authorization_for_another_channel() public {
        token.mint(payer, 70);
        bytes memory data = authorization(id, 1, 70);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        escrow.deposit(channelOf(PAYER_KEY, 8), 70, address(escrow), data);
    }

    function test_refuses_an_authorization_for_another_amount() public {
        token.mint(payer, 70);
        bytes memory data = authorization(id, 1, 70);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        escrow.deposit(config, 69, address(escrow), data);
    }

    function test_refuses_an_authorization_twice() public {
        token.mint(payer, 140);
        bytes memory data = authorization(id, 1, 70);
        escrow.deposit(config, 70, address(escrow), data);
        vm.expectRevert(
            abi.encodeWithSelector(
                ERC3009.ERC3009UsedAuthorization.selector,
                payer,
                keccak256(abi.encode(id, uint256(1)))
            )
        );
        escrow.deposit(config, 70, address(escrow), data);
    }

    function test_refuses_a_signature_of_another_length() public {
        token.mint(payer, 70);
        vm.expectRevert();
        escrow.deposit(
            config, 70, address(escrow), abi.encode(0, type(uint256).max, 1, hex"010203")
        );
        vm.expectRevert();
        escrow.deposit(config, 70, address(escrow), "");
        vm.assertEq(balanceOf(id), DEPOSIT, "balance");
    }

    function refuses(IEscrow.ChannelConfig memory broken, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(payer);
        escrow.deposit(broken, 5, address(0), "");
    }

    function authorization(bytes32 channelId, uint256 salt, uint256 amount)
        private
        view
        returns (bytes memory)
    {
        bytes32 nonce = keccak256(abi.encode(channelId, salt));
        uint256 last = type(uint256).max;
        bytes32 structHash =
            keccak256(abi.encode(RECEIVE_TYPEHASH, payer, address(escrow), amount, 0, last, nonce));
        bytes32 digest =
            keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        return abi.encode(0, last, salt, sign(PAYER_KEY, digest));
    }
}
