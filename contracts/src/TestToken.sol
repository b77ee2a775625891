// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";

/// @title Token of development networks
/// @notice An ERC-20 with EIP-2612 permits and EIP-3009 authorizations. Everybody may mint, so it
/// is worth nothing: never deploy it where its units are taken for money.
/// EIP-712 domain: name "Subrosa Test Token", version "1".
contract TestToken is ERC20Permit, ERC3009 {
    constructor() ERC20("Subrosa Test Token", "SRT") ERC20Permit("Subrosa Test Token") {}

    /// @notice Six decimals, as the dollar tokens that pods are usually paid in.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice Makes `amount` atomic units for `to`. Open to everybody.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
