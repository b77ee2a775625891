// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Registry of pods
/// @notice Where clients find pods: who operates one, who is paid, which attested key signs for it,
/// where it answers, and the digests of its offer and of its evidence at registration.
///
/// Every entry carries the signer's own consent: an EIP-712 signature
/// `Registration(address registry,bytes32 id,address operator,address payee,address signer,
/// bytes32 offer,bytes32 evidence)` under the domain {name "Subrosa", version "1", chainId,
/// verifyingContract = escrow}. So nobody can list another's signer as his own.
interface IPodRegistry {
    /// @notice One pod.
    struct Pod {
        /// Who registered it and alone changes it.
        address operator;
        /// The receiver of its channels.
        address payee;
        /// The pod's attested key: receiverAuthorizer of its channels.
        address signer;
        /// When `evidence` was set, in Unix seconds: the evidence existed by then.
        uint64 anchoredAt;
        /// Retired pods take no new channels; the entry stays for old receipts.
        bool retired;
        /// EIP-712 digest of the signed offer. Clients take only this one.
        bytes32 offer;
        /// SHA-256 of the evidence document at registration, an anchor in time.
        bytes32 evidence;
        /// Base URLs, in order of preference.
        string[] endpoints;
    }

    /// @notice A pod entered the registry.
    event PodRegistered(
        bytes32 indexed id,
        address indexed operator,
        address indexed signer,
        address payee,
        bytes32 offer,
        bytes32 evidence,
        string[] endpoints
    );

    /// @notice A pod's entry was replaced by this one.
    event PodUpdated(
        bytes32 indexed id,
        address indexed operator,
        address indexed signer,
        address payee,
        bytes32 offer,
        bytes32 evidence,
        string[] endpoints
    );

    /// @notice A pod retired, for good.
    event PodRetired(bytes32 indexed id, address indexed operator);

    /// @notice `payee` or `signer` is zero.
    error PodRegistry_AddressZero(bytes32 id);

    /// @notice The operator used this salt before.
    error PodRegistry_AlreadyRegistered(bytes32 id);

    /// @notice An endpoint is empty or longer than permitted.
    error PodRegistry_EndpointLength(uint256 index, uint256 got, uint256 most);

    /// @notice There are no endpoints, or too many.
    error PodRegistry_EndpointCount(uint256 got, uint256 most);

    /// @notice Only the pod's operator may do this.
    error PodRegistry_NotOperator(bytes32 id, address caller, address operator);

    /// @notice The pod is retired; register another with a new salt.
    error PodRegistry_Retired(bytes32 id);

    /// @notice The signature is not a valid low-s one of `signer` over this registration.
    error PodRegistry_SignerSignature(bytes32 id, address signer);

    /// @notice No pod has this id.
    error PodRegistry_Unknown(bytes32 id);

    /// @notice Registers a pod of the caller.
    /// @param salt Tells the operator's pods apart; the id is `podId(caller, salt)`.
    /// @param signature 65 bytes r ‖ s ‖ v of `signer` over `registrationDigest`.
    function register(
        bytes32 salt,
        address payee,
        address signer,
        string[] calldata endpoints,
        bytes32 offer,
        bytes32 evidence,
        bytes calldata signature
    ) external returns (bytes32 id);

    /// @notice Replaces all members of a pod's entry but its id and operator.
    /// @param signature 65 bytes r ‖ s ‖ v of the new `signer` over `registrationDigest`.
    function update(
        bytes32 id,
        address payee,
        address signer,
        string[] calldata endpoints,
        bytes32 offer,
        bytes32 evidence,
        bytes calldata signature
    ) external;

    /// @notice Retires a pod of the caller.
    function retire(bytes32 id) external;

    /// @notice The escrow whose address is in the EIP-712 domain.
    function escrow() external view returns (address);

    /// @notice keccak256(abi.encode(operator, salt)): known before registration, and it outlives a
    /// change of signer.
    function podId(address operator, bytes32 salt) external pure returns (bytes32);

    /// @notice A pod's entry.
    function pod(bytes32 id) external view returns (Pod memory);

    /// @notice How many pods were ever registered, retired ones included.
    function podCount() external view returns (uint256);

    /// @notice Up to `limit` entries in order of registration from number `offset` on; fewer at the
    /// end.
    function pods(uint256 offset, uint256 limit)
        external
        view
        returns (bytes32[] memory ids, Pod[] memory page);

    /// @notice What a pod's signer signs.
    function registrationDigest(
        bytes32 id,
        address operator,
        address payee,
        address signer,
        bytes32 offer,
        bytes32 evidence
    ) external view returns (bytes32);
}
