// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CHANNEL_CONFIG_TYPEHASH, CLAIM_ENTRY_TYPEHASH, VOUCHER_TYPEHASH} from "./X402.sol";
import {IEscrow} from "./interfaces/IEscrow.sol";

/// @title Parser of packed claims
/// @notice Turns the bytes of `IEscrow.claimPacked` (spec/escrow.md section 4) into rows with their
/// digests. It checks the layout only; signatures and money are the escrow's matter.
library PackedClaim {
    /// What all rows of a batch share.
    struct Header {
        address receiver;
        address receiverAuthorizer;
        address token;
        uint40 withdrawDelay;
        uint256 count;
        /// Whether `r` and `vs` hold the authorizer's compact signature over the batch.
        bool signed;
        bytes32 r;
        bytes32 vs;
    }

    /// One row, as far as it can be known without the chain's state. The assembly of `parse`
    /// writes these members by their place.
    struct Row {
        bytes32 channelId;
        address payerAuthorizer;
        /// The smaller of the payer's ceiling and the signer's total, at most 128 bits.
        uint256 limit;
        /// The last four members are what the recovery precompile reads.
        bytes32 voucherDigest;
        uint256 v;
        bytes32 r;
        bytes32 s;
    }

    /// Half the order of secp256k1: of the two valid values of s only the lower one is taken.
    uint256 private constant S_MAX =
        0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 private constant HEADER_BYTES = 68;
    uint256 private constant SIGNATURE_BYTES = 64;
    uint256 private constant PACKED_ROW_BYTES_MIN = 125;
    uint256 private constant ROW_BYTES = 0xe0;

    /// @notice Reads a whole batch.
    /// @param domain The escrow's EIP-712 domain separator.
    /// @return header What the rows share.
    /// @return rows The rows in their order.
    /// @return entriesHash keccak256 over the rows' `ClaimEntry` hashes.
    function parse(bytes calldata batch, bytes32 domain)
        internal
        pure
        returns (Header memory header, Row[] memory rows, bytes32 entriesHash)
    {
        uint256 start;
        (header, start) = _parseHeader(batch);
        rows = _allocate(header.count);

        uint256 offset;
        assembly {
            offset := batch.offset
        }
        uint256 buffers = _prepare(domain, header);
        (bool whole, uint256 end) = _parseRows(offset + start, offset + batch.length, rows, buffers);
        if (!whole || end != offset + batch.length) {
            revert IEscrow.Escrow_MalformedBatch(end - offset);
        }
        entriesHash = _hashEntries(buffers, header.count);
    }

    /// @notice Who signed the row's voucher; zero if the signature is not a valid low-s one.
    function voucherSigner(Row memory row) internal view returns (address signer) {
        if (uint256(row.s) > S_MAX) return address(0);
        // Address 1 recovers from what stands at `voucherDigest`. On bad input it returns nothing,
        // so the result's place is cleared before. `memory-safe`: writes to scratch space only.
        assembly ("memory-safe") {
            mstore(0, 0)
            pop(staticcall(gas(), 1, add(row, 0x60), 0x80, 0, 0x20))
            signer := mload(0)
        }
    }

    function _parseHeader(bytes calldata batch)
        private
        pure
        returns (Header memory header, uint256 start)
    {
        if (batch.length < HEADER_BYTES) revert IEscrow.Escrow_MalformedBatch(batch.length);
        uint8 flags = uint8(batch[0]);
        if (flags > 1) revert IEscrow.Escrow_MalformedBatch(0);
        header.signed = flags == 1;
        header.receiver = address(bytes20(batch[1:21]));
        header.receiverAuthorizer = address(bytes20(batch[21:41]));
        header.token = address(bytes20(batch[41:61]));
        header.withdrawDelay = uint40(bytes5(batch[61:66]));
        header.count = uint16(bytes2(batch[66:68]));
        if (header.count == 0) revert IEscrow.Escrow_EmptyBatch();

        start = HEADER_BYTES;
        if (header.signed) {
            start += SIGNATURE_BYTES;
            if (batch.length < start) revert IEscrow.Escrow_MalformedBatch(batch.length);
            header.r = bytes32(batch[68:100]);
            header.vs = bytes32(batch[100:132]);
        }
        // Bounds the memory that a count without rows could demand.
        if (batch.length < start + header.count * PACKED_ROW_BYTES_MIN) {
            revert IEscrow.Escrow_MalformedBatch(batch.length);
        }
    }

    /// @dev What `new Row[](count)` gives, without its loop that clears each member: `_parseRows`
    /// writes them all.
    function _allocate(uint256 count) private pure returns (Row[] memory rows) {
        assembly ("memory-safe") {
            rows := mload(0x40)
            mstore(rows, count)
            let pointer := add(rows, 0x20)
            let row := add(pointer, shl(5, count))
            let first := row
            for {} lt(pointer, first) { pointer := add(pointer, 0x20) } {
                mstore(pointer, row)
                row := add(row, ROW_BYTES)
            }
            mstore(0x40, row)
        }
    }

    /// @dev Lays out what `_parseRows` hashes, with all that rows share already in place, from the
    /// returned pointer on:
    ///
    /// 0x000 ChannelConfig, 8 words: type, payer, payerAuthorizer, receiver, receiverAuthorizer,
    ///       token, withdrawDelay, salt
    /// 0x100 Voucher, 3 words: type, channel id, ceiling
    /// 0x160 ClaimEntry, 4 words: type, channel id, ceiling, total
    /// 0x1e0 EIP-712 preimage, 66 bytes: 0x1901, domain separator, hash of the struct
    /// 0x240 one word for the hash of each row's ClaimEntry
    function _prepare(bytes32 domain, Header memory header) private pure returns (uint256 buffers) {
        bytes32 configType = CHANNEL_CONFIG_TYPEHASH;
        bytes32 voucherType = VOUCHER_TYPEHASH;
        bytes32 entryType = CLAIM_ENTRY_TYPEHASH;
        // `memory-safe`: takes the memory that it writes.
        assembly ("memory-safe") {
            buffers := mload(0x40)
            mstore(0x40, add(add(buffers, 0x240), shl(5, mload(add(header, 0x80)))))

            mstore(buffers, configType)
            mstore(add(buffers, 0x60), mload(header)) // receiver
            mstore(add(buffers, 0x80), mload(add(header, 0x20))) // receiverAuthorizer
            mstore(add(buffers, 0xa0), mload(add(header, 0x40))) // token
            mstore(add(buffers, 0xc0), mload(add(header, 0x60))) // withdrawDelay
            mstore(add(buffers, 0x100), voucherType)
            mstore(add(buffers, 0x160), entryType)
            mstore(add(buffers, 0x1e0), shl(240, 0x1901))
            mstore(add(buffers, 0x1e2), domain)
        }
    }

    /// @dev Reads the rows between two places of the calldata and hashes them in the buffers of
    /// `_prepare`. In assembly, because `abi.encode` copies all that rows share for each of them,
    /// which alone costs a thousand gas a row.
    /// @return whole Whether each row follows the layout.
    /// @return cursor Where the last row ends, or where a faulty one stands.
    function _parseRows(uint256 start, uint256 last, Row[] memory rows, uint256 buffers)
        private
        pure
        returns (bool whole, uint256 cursor)
    {
        // `memory-safe`: writes to `rows` and the buffers only.
        assembly ("memory-safe") {
            cursor := start
            whole := 1
            let entry := add(buffers, 0x240)
            let row := add(add(rows, 0x20), shl(5, mload(rows)))
            let rowsEnd := add(row, mul(mload(rows), ROW_BYTES))
            for {} lt(row, rowsEnd) { row := add(row, ROW_BYTES) } {
                // Flags and payer lie in one word.
                let word := calldataload(cursor)
                let flags := byte(0, word)
                if gt(flags, 3) {
                    whole := 0
                    break
                }
                word := shr(96, shl(8, word))
                mstore(add(buffers, 0x20), word)
                let at := add(cursor, 21)
                if iszero(and(flags, 1)) {
                    word := shr(96, calldataload(at))
                    at := add(at, 20)
                }
                mstore(add(buffers, 0x40), word)
                mstore(add(row, 0x20), word)
                word := calldataload(at)
                switch and(flags, 2)
                case 0 {
                    word := shr(192, word)
                    at := add(at, 8)
                }
                default { at := add(at, 32) }
                mstore(add(buffers, 0xe0), word)

                // Calldata reads as zeros behind its end: only a whole row counts.
                if gt(add(at, 96), last) {
                    whole := 0
                    break
                }
                cursor := add(at, 96)
                mstore(add(row, 0xa0), calldataload(add(at, 32))) // r
                word := calldataload(add(at, 64)) // parity of v and s
                mstore(add(row, 0x80), add(27, shr(255, word)))
                mstore(add(row, 0xc0), shr(1, shl(1, word)))

                mstore(add(buffers, 0x202), keccak256(buffers, 0x100))
                let id := keccak256(add(buffers, 0x1e0), 0x42)
                mstore(row, id)
                mstore(add(buffers, 0x120), id)
                mstore(add(buffers, 0x180), id)

                // Ceiling and total lie in one word.
                let total := calldataload(at)
                let ceiling := shr(128, total)
                total := and(total, 0xffffffffffffffffffffffffffffffff)
                mstore(add(buffers, 0x140), ceiling)
                mstore(add(buffers, 0x1a0), ceiling)
                mstore(add(buffers, 0x1c0), total)
                if lt(ceiling, total) { total := ceiling }
                mstore(add(row, 0x40), total)

                mstore(add(buffers, 0x202), keccak256(add(buffers, 0x100), 0x60))
                mstore(add(row, 0x60), keccak256(add(buffers, 0x1e0), 0x42))
                mstore(entry, keccak256(add(buffers, 0x160), 0x80))
                entry := add(entry, 0x20)
            }
        }
    }

    /// @dev The entries' hashes stand at the end of the buffers of `_prepare`.
    function _hashEntries(uint256 buffers, uint256 count) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(add(buffers, 0x240), shl(5, count))
        }
    }
}
