// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Releases
/// @notice The list of image measurements and model digests that clients accept. A digest is listed
/// by k of n publishers, becomes active after a delay in which anybody can look, and can be revoked
/// by any one publisher at once and for good. Nothing is ever taken off the list, and the
/// publishers never change: another set is another contract, named by another network file.
interface IReleases {
    /// @notice What a digest stands for.
    enum Kind {
        /// The measurement of an image.
        Measurement,
        /// The digest of a model's manifest.
        Model
    }

    /// @notice What is known of one digest.
    struct Release {
        /// How many publishers approved it.
        uint32 approvals;
        /// From when on it is active, in Unix seconds; 0 before the k-th approval.
        uint64 activeAt;
        /// Whether a publisher revoked it.
        bool revoked;
    }

    /// @notice A publisher approved a digest, as the `approvals`-th one.
    event Approved(
        Kind indexed kind, bytes32 indexed digest, address indexed publisher, uint256 approvals
    );

    /// @notice A digest got its k-th approval and is active from `activeAt` on.
    event Published(Kind indexed kind, bytes32 indexed digest, uint64 activeAt);

    /// @notice A publisher revoked a digest: nobody may rely on it from now on.
    event Revoked(Kind indexed kind, bytes32 indexed digest, address indexed publisher);

    /// @notice The publisher approved this digest before.
    error Releases_AlreadyApproved(Kind kind, bytes32 digest, address publisher);

    /// @notice The digest is revoked, which is final.
    error Releases_AlreadyRevoked(Kind kind, bytes32 digest);

    /// @notice The digest is zero.
    error Releases_DigestZero();

    /// @notice Only a publisher may do this.
    error Releases_NotPublisher(address caller);

    /// @notice A publisher is zero or named twice.
    error Releases_PublisherInvalid(address publisher);

    /// @notice There are no publishers, or too many.
    error Releases_PublisherCount(uint256 got, uint256 most);

    /// @notice The threshold is not within 1 and the number of publishers.
    error Releases_ThresholdOutOfRange(uint256 got, uint256 most);

    /// @notice Approves a digest; the k-th approval publishes it.
    function approve(Kind kind, bytes32 digest) external;

    /// @notice Revokes a digest, published or not, at once and for good.
    function revoke(Kind kind, bytes32 digest) external;

    /// @notice Whether the measurement is published, its delay over, and it is not revoked.
    function isMeasurementReleased(bytes32 measurement) external view returns (bool);

    /// @notice Whether the model is published, its delay over, and it is not revoked.
    function isModelReleased(bytes32 model) external view returns (bool);

    /// @notice What is known of a digest; zeros if nothing.
    function release(Kind kind, bytes32 digest) external view returns (Release memory);

    /// @notice Whether `publisher` approved the digest.
    function hasApproved(Kind kind, bytes32 digest, address publisher) external view returns (bool);

    /// @notice How many digests of a kind were ever published, revoked ones included.
    function publishedCount(Kind kind) external view returns (uint256);

    /// @notice Up to `limit` published digests in order of publication from number `offset` on;
    /// fewer at the end.
    function published(Kind kind, uint256 offset, uint256 limit)
        external
        view
        returns (bytes32[] memory digests, Release[] memory page);

    /// @notice The publishers, as fixed at construction.
    function publishers() external view returns (address[] memory);

    /// @notice How many approvals publish a digest.
    function threshold() external view returns (uint256);

    /// @notice Seconds between publication and activity.
    function publicationDelay() external view returns (uint64);
}
