// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {PackedClaim} from "../src/PackedClaim.sol";
import {Test} from "./utils/Test.sol";

/// @dev The parser's own recovery of signers. Its layout is tested through the escrow (Claim.tree).
contract PackedClaimParserTest is Test {
    using PackedClaim for PackedClaim.Row;

    uint256 private constant S_MAX =
        0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 private constant KEY = 0xA11CE;
    bytes32 private constant DIGEST = keccak256("a voucher");

    function test_recovers_who_signed() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, DIGEST);
        vm.assertTrue(row(DIGEST, v, r, s).voucherSigner() == vm.addr(KEY), "signer");
    }

    function test_takes_the_highest_low_s_and_refuses_the_next() public view {
        // With any r of a signature and any s the precompile recovers somebody.
        (, bytes32 r,) = vm.sign(KEY, DIGEST);
        bytes32 least = bytes32(S_MAX + 1);
        vm.assertTrue(ecrecover(DIGEST, 27, r, least) != address(0), "the precompile takes it");
        vm.assertTrue(row(DIGEST, 27, r, least).voucherSigner() == address(0), "we do not");

        address lowest = ecrecover(DIGEST, 27, r, bytes32(S_MAX));
        vm.assertTrue(lowest != address(0), "the precompile takes the lower one");
        vm.assertTrue(row(DIGEST, 27, r, bytes32(S_MAX)).voucherSigner() == lowest, "so do we");
    }

    function testFuzz_recovers_as_openzeppelin_does(bytes32 digest, bytes32 r, bytes32 vs)
        public
        view
    {
        (address wanted,,) = ECDSA.tryRecover(digest, r, vs);
        uint256 s = uint256(vs) << 1 >> 1;
        address got = row(digest, 27 + (uint256(vs) >> 255), r, bytes32(s)).voucherSigner();
        vm.assertTrue(got == wanted, "signer");
    }

    function testFuzz_recovers_every_signer(uint256 key, bytes32 digest) public view {
        key = bound(key, 1, type(uint128).max);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        vm.assertTrue(row(digest, v, r, s).voucherSigner() == vm.addr(key), "signer");
    }

    function row(bytes32 digest, uint256 v, bytes32 r, bytes32 s)
        private
        pure
        returns (PackedClaim.Row memory made)
    {
        made.voucherDigest = digest;
        made.v = v;
        made.r = r;
        made.s = s;
    }
}
