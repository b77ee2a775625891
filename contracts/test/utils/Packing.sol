// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEscrow} from "../../src/interfaces/IEscrow.sol";

/// @dev Writes packed claims (spec/escrow.md section 4), as a pod does.
library Packing {
    function header(IEscrow.ChannelConfig memory shared, uint256 count, bytes memory signature)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodePacked(
            uint8(signature.length == 0 ? 0 : 1),
            shared.receiver,
            shared.receiverAuthorizer,
            shared.token,
            shared.withdrawDelay,
            uint16(count),
            compact(signature)
        );
    }

    function row(IEscrow.VoucherClaim memory claim) internal pure returns (bytes memory) {
        IEscrow.ChannelConfig memory config = claim.voucher.channel;
        bool own = config.payerAuthorizer == config.payer;
        bool long = uint256(config.salt) > type(uint64).max;
        return abi.encodePacked(
            uint8((own ? 1 : 0) | (long ? 2 : 0)),
            config.payer,
            own ? bytes("") : abi.encodePacked(config.payerAuthorizer),
            long ? abi.encodePacked(config.salt) : abi.encodePacked(uint64(uint256(config.salt))),
            claim.voucher.maxClaimableAmount,
            claim.totalClaimed,
            compact(claim.signature)
        );
    }

    function batch(IEscrow.VoucherClaim[] memory claims, bytes memory signature)
        internal
        pure
        returns (bytes memory packed)
    {
        packed = header(claims[0].voucher.channel, claims.length, signature);
        for (uint256 i = 0; i < claims.length; ++i) {
            packed = bytes.concat(packed, row(claims[i]));
        }
    }

    /// @dev r ‖ s ‖ v to r ‖ vs (EIP-2098); nothing stays nothing.
    function compact(bytes memory signature) internal pure returns (bytes memory) {
        if (signature.length == 0) return "";
        bytes32 r;
        bytes32 s;
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
        }
        uint256 parity = uint256(uint8(signature[64])) - 27;
        return abi.encodePacked(r, s | bytes32(parity << 255));
    }
}
