// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {TestToken} from "../src/TestToken.sol";
import {Test} from "./utils/Test.sol";

/// @dev Branches: TestToken.tree.
contract TestTokenTest is Test {
    uint256 private constant OWNER_KEY = 0xA11CE;
    address private constant RECIPIENT = address(0xBEEF01);
    address private constant STRANGER = address(0xBEEF02);

    TestToken private _token;
    address private _owner;

    function setUp() public {
        vm.warp(1_790_000_000);
        _token = new TestToken();
        _owner = vm.addr(OWNER_KEY);
        _token.mint(_owner, 100);
    }

    function test_has_six_decimals_and_its_names() public view {
        vm.assertEq(_token.decimals(), 6, "decimals");
        (, string memory name, string memory version, uint256 chainId, address where,,) =
            _token.eip712Domain();
        vm.assertEq(bytes(name), "Subrosa Test Token", "name of the domain");
        vm.assertEq(bytes(version), "1", "version");
        vm.assertEq(chainId, block.chainid, "chain");
        vm.assertTrue(where == address(_token), "contract");
    }

    function test_mints_for_everybody() public {
        vm.prank(STRANGER);
        _token.mint(STRANGER, 7);
        vm.assertEq(_token.balanceOf(STRANGER), 7, "balance");
        vm.assertEq(_token.totalSupply(), 107, "supply");
    }

    function test_a_permit_sets_the_allowance_once() public {
        uint256 deadline = block.timestamp + 1 hours;
        bytes32 digest = typed(
            keccak256(
                abi.encode(
                    keccak256(
                        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                    ),
                    _owner,
                    RECIPIENT,
                    60,
                    0,
                    deadline
                )
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(OWNER_KEY, digest);
        _token.permit(_owner, RECIPIENT, 60, deadline, v, r, s);
        vm.assertEq(_token.allowance(_owner, RECIPIENT), 60, "allowance");
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        _token.permit(_owner, RECIPIENT, 60, deadline, v, r, s);
    }

    function test_the_recipient_receives_once_by_authorization() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(OWNER_KEY, receiveDigest());
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, RECIPIENT)
        );
        vm.prank(STRANGER);
        receiveWith(v, r, s);

        vm.prank(RECIPIENT);
        receiveWith(v, r, s);
        vm.assertEq(_token.balanceOf(RECIPIENT), 60, "balance");

        vm.expectRevert(
            abi.encodeWithSelector(
                ERC3009.ERC3009UsedAuthorization.selector, _owner, bytes32(uint256(5))
            )
        );
        vm.prank(RECIPIENT);
        receiveWith(v, r, s);
    }

    function receiveWith(uint8 v, bytes32 r, bytes32 s) private {
        _token.receiveWithAuthorization(
            _owner, RECIPIENT, 60, 0, type(uint256).max, bytes32(uint256(5)), v, r, s
        );
    }

    function receiveDigest() private view returns (bytes32) {
        return typed(
            keccak256(
                abi.encode(
                    keccak256(
                        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                    ),
                    _owner,
                    RECIPIENT,
                    60,
                    0,
                    type(uint256).max,
                    bytes32(uint256(5))
                )
            )
        );
    }

    function typed(bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", _token.DOMAIN_SEPARATOR(), structHash));
    }
}
