// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IPodRegistry} from "./interfaces/IPodRegistry.sol";

/// @title PodRegistry
/// @notice See `IPodRegistry`. No owner, no upgrade.
contract PodRegistry is IPodRegistry {
    bytes32 private constant REGISTRATION_TYPEHASH = keccak256(
        "Registration(address registry,bytes32 id,address operator,address payee,address signer,bytes32 offer,bytes32 evidence)"
    );
    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );

    // Clients read every endpoint of every pod: what one operator can make them read is bounded.
    uint256 private constant ENDPOINTS_MAX = 8;
    uint256 private constant ENDPOINT_BYTES_MAX = 256;

    /// @inheritdoc IPodRegistry
    address public immutable escrow;

    bytes32[] private _ids;
    mapping(bytes32 id => Pod) private _pods;

    /// @param escrow_ The escrow of the network, which our EIP-712 domain names.
    constructor(address escrow_) {
        escrow = escrow_;
    }

    /// @inheritdoc IPodRegistry
    function register(
        bytes32 salt,
        address payee,
        address signer,
        string[] calldata endpoints,
        bytes32 offer,
        bytes32 evidence,
        bytes calldata signature
    ) external returns (bytes32 id) {
        id = podId(msg.sender, salt);
        if (_pods[id].operator != address(0)) revert PodRegistry_AlreadyRegistered(id);
        _pods[id].operator = msg.sender;
        _ids.push(id);
        _set(id, payee, signer, endpoints, offer, evidence, signature);
        emit PodRegistered(id, msg.sender, signer, payee, offer, evidence, endpoints);
    }

    /// @inheritdoc IPodRegistry
    function update(
        bytes32 id,
        address payee,
        address signer,
        string[] calldata endpoints,
        bytes32 offer,
        bytes32 evidence,
        bytes calldata signature
    ) external {
        _checkOperator(id);
        _set(id, payee, signer, endpoints, offer, evidence, signature);
        emit PodUpdated(id, msg.sender, signer, payee, offer, evidence, endpoints);
    }

    /// @inheritdoc IPodRegistry
    function retire(bytes32 id) external {
        _checkOperator(id);
        _pods[id].retired = true;
        emit PodRetired(id, msg.sender);
    }

    /// @inheritdoc IPodRegistry
    function pod(bytes32 id) external view returns (Pod memory) {
        if (_pods[id].operator == address(0)) revert PodRegistry_Unknown(id);
        return _pods[id];
    }

    /// @inheritdoc IPodRegistry
    function podCount() external view returns (uint256) {
        return _ids.length;
    }

    /// @inheritdoc IPodRegistry
    function pods(uint256 offset, uint256 limit)
        external
        view
        returns (bytes32[] memory ids, Pod[] memory page)
    {
        uint256 left = offset < _ids.length ? _ids.length - offset : 0;
        uint256 count = limit < left ? limit : left;
        ids = new bytes32[](count);
        page = new Pod[](count);
        for (uint256 i = 0; i < count; ++i) {
            ids[i] = _ids[offset + i];
            page[i] = _pods[ids[i]];
        }
    }

    /// @inheritdoc IPodRegistry
    function podId(address operator, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(operator, salt));
    }

    /// @inheritdoc IPodRegistry
    function registrationDigest(
        bytes32 id,
        address operator,
        address payee,
        address signer,
        bytes32 offer,
        bytes32 evidence
    ) public view returns (bytes32) {
        bytes32 structHash = keccak256(
            abi.encode(
                REGISTRATION_TYPEHASH, address(this), id, operator, payee, signer, offer, evidence
            )
        );
        return MessageHashUtils.toTypedDataHash(_domainSeparator(), structHash);
    }

    function _set(
        bytes32 id,
        address payee,
        address signer,
        string[] calldata endpoints,
        bytes32 offer,
        bytes32 evidence,
        bytes calldata signature
    ) private {
        if (payee == address(0) || signer == address(0)) {
            revert PodRegistry_AddressZero(id);
        }
        _checkEndpoints(endpoints);
        bytes32 digest = registrationDigest(id, msg.sender, payee, signer, offer, evidence);
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (recovered != signer) revert PodRegistry_SignerSignature(id, signer);

        Pod storage entry = _pods[id];
        entry.payee = payee;
        entry.signer = signer;
        entry.anchoredAt = uint64(block.timestamp);
        entry.offer = offer;
        entry.evidence = evidence;
        // Member by member: the compiler copies no nested array from calldata to storage.
        delete entry.endpoints;
        for (uint256 i = 0; i < endpoints.length; ++i) {
            entry.endpoints.push(endpoints[i]);
        }
    }

    function _checkEndpoints(string[] calldata endpoints) private pure {
        uint256 count = endpoints.length;
        if (count == 0 || count > ENDPOINTS_MAX) {
            revert PodRegistry_EndpointCount(count, ENDPOINTS_MAX);
        }
        for (uint256 i = 0; i < count; ++i) {
            uint256 length = bytes(endpoints[i]).length;
            if (length == 0 || length > ENDPOINT_BYTES_MAX) {
                revert PodRegistry_EndpointLength(i, length, ENDPOINT_BYTES_MAX);
            }
        }
    }

    function _checkOperator(bytes32 id) private view {
        Pod storage entry = _pods[id];
        address operator = entry.operator;
        if (operator == address(0)) revert PodRegistry_Unknown(id);
        if (msg.sender != operator) revert PodRegistry_NotOperator(id, msg.sender, operator);
        if (entry.retired) revert PodRegistry_Retired(id);
    }

    /// @dev Computed anew each time, so that a fork of the chain has a domain of its own.
    function _domainSeparator() private view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256("Subrosa"), keccak256("1"), block.chainid, escrow)
        );
    }
}
