// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";
import {EscrowTest} from "../utils/EscrowTest.sol";

/// @dev What each operation costs as a transaction of its own, calldata and cold storage included.
/// The figures stand in snapshots/escrow.json.
/// forge-config: default.isolate = true
contract GasTest is EscrowTest {
    uint256 private constant FURTHER_ROW_MAX = 13_000;
    uint256 private constant FIRST_PAYER = 0x10000;

    function test_a_deposit_by_allowance() public {
        IEscrow.ChannelConfig memory next = channelOf(PAYER_KEY, 8);
        token.mint(payer, 2 * DEPOSIT);
        vm.prank(payer);
        token.approve(address(escrow), 2 * DEPOSIT);
        vm.prank(payer);
        escrow.deposit(next, DEPOSIT, address(0), "");
        vm.snapshotGasLastCall("escrow", "deposit");
        vm.prank(payer);
        escrow.deposit(next, DEPOSIT, address(0), "");
        vm.snapshotGasLastCall("escrow", "top_up");
    }

    function test_a_further_row_costs_less_than_the_mark() public {
        measure(false, "claim_1", "claim_50", "further_row");
    }

    function test_a_further_row_with_a_session_key_costs_less_than_the_mark() public {
        measure(true, "claim_1_session_key", "claim_50_session_key", "further_row_session_key");
    }

    function measure(bool ownKey, string memory first, string memory many, string memory further)
        private
    {
        // The receiver's account is not empty on a pod that claims every day.
        bytes memory before = pack(one(claimOf(config, PAYER_KEY, 10, 10)));
        escrow.claimPacked(before);

        bytes memory single = pack(rows(1, 0x100, ownKey));
        escrow.claimPacked(single);
        uint256 gasOfOne = vm.snapshotGasLastCall("escrow", first);
        bytes memory fifty = pack(rows(50, 0x200, ownKey));
        escrow.claimPacked(fifty);
        uint256 gasOfFifty = vm.snapshotGasLastCall("escrow", many);

        uint256 gasOfFurther = (gasOfFifty - gasOfOne) / 49;
        vm.snapshotValue("escrow", further, gasOfFurther);
        vm.assertLt(gasOfFurther, FURTHER_ROW_MAX, "gas of a further row");
    }

    function test_a_claim_in_the_form_of_x402() public {
        IEscrow.VoucherClaim[] memory claims = one(claimOf(config, PAYER_KEY, 10, 10));
        bytes memory signature = authorize(claims);
        escrow.claimWithSignature(claims, signature);
        vm.snapshotGasLastCall("escrow", "claim_x402_1");
    }

    function test_settlement() public {
        escrow.claimPacked(pack(one(claimOf(config, PAYER_KEY, 100, 100))));
        escrow.settle(PAYEE, address(token));
        vm.snapshotGasLastCall("escrow", "settle_first");
        escrow.claimPacked(pack(one(claimOf(config, PAYER_KEY, 200, 200))));
        escrow.settle(PAYEE, address(token));
        vm.snapshotGasLastCall("escrow", "settle");
    }

    /// @dev Rows of as many payers, with amounts of a usual size and random 8-byte salts.
    function rows(uint256 count, uint256 offset, bool ownKey)
        private
        returns (IEscrow.VoucherClaim[] memory claims)
    {
        claims = new IEscrow.VoucherClaim[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 key = FIRST_PAYER + offset + i;
            uint64 salt = uint64(uint256(keccak256(abi.encode(key))));
            IEscrow.ChannelConfig memory channel = channelOf(key, salt);
            uint256 voucherKey = key;
            if (ownKey) {
                voucherKey = key + 0x100000;
                channel.payerAuthorizer = vm.addr(voucherKey);
            }
            open(channel, 10_000_000);
            claims[i] = claimOf(channel, voucherKey, 6_543_210, 1_234_567);
        }
    }
}
