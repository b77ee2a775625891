// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IReleases} from "./interfaces/IReleases.sol";

/// @title Releases
/// @notice See `IReleases`. No owner, no upgrade.
contract Releases is IReleases {
    // The constructor compares each publisher with those before it.
    uint256 private constant PUBLISHERS_MAX = 32;

    /// @inheritdoc IReleases
    uint256 public immutable threshold;
    /// @inheritdoc IReleases
    uint64 public immutable publicationDelay;

    address[] private _publishers;
    mapping(address publisher => bool) private _isPublisher;
    mapping(Kind kind => mapping(bytes32 digest => Release)) private _releases;
    mapping(Kind kind => mapping(bytes32 digest => mapping(address publisher => bool))) private
        _approved;
    mapping(Kind kind => bytes32[]) private _published;

    /// @param publishers_ Who approves and revokes.
    /// @param threshold_ How many of them publish a digest.
    /// @param publicationDelay_ Seconds in which anybody can look before a digest is active.
    constructor(address[] memory publishers_, uint256 threshold_, uint64 publicationDelay_) {
        uint256 count = publishers_.length;
        if (count == 0 || count > PUBLISHERS_MAX) {
            revert Releases_PublisherCount(count, PUBLISHERS_MAX);
        }
        if (threshold_ == 0 || threshold_ > count) {
            revert Releases_ThresholdOutOfRange(threshold_, count);
        }
        for (uint256 i = 0; i < count; ++i) {
            address publisher = publishers_[i];
            if (publisher == address(0) || _isPublisher[publisher]) {
                revert Releases_PublisherInvalid(publisher);
            }
            _isPublisher[publisher] = true;
        }
        _publishers = publishers_;
        threshold = threshold_;
        publicationDelay = publicationDelay_;
    }

    modifier onlyPublisher() {
        if (!_isPublisher[msg.sender]) revert Releases_NotPublisher(msg.sender);
        _;
    }

    /// @inheritdoc IReleases
    function approve(Kind kind, bytes32 digest) external onlyPublisher {
        if (digest == 0) revert Releases_DigestZero();
        Release storage entry = _releases[kind][digest];
        if (entry.revoked) revert Releases_AlreadyRevoked(kind, digest);
        if (_approved[kind][digest][msg.sender]) {
            revert Releases_AlreadyApproved(kind, digest, msg.sender);
        }

        _approved[kind][digest][msg.sender] = true;
        entry.approvals += 1;
        emit Approved(kind, digest, msg.sender, entry.approvals);
        if (entry.approvals == threshold) {
            entry.activeAt = uint64(block.timestamp) + publicationDelay;
            _published[kind].push(digest);
            emit Published(kind, digest, entry.activeAt);
        }
    }

    /// @inheritdoc IReleases
    function revoke(Kind kind, bytes32 digest) external onlyPublisher {
        if (digest == 0) revert Releases_DigestZero();
        Release storage entry = _releases[kind][digest];
        if (entry.revoked) revert Releases_AlreadyRevoked(kind, digest);
        entry.revoked = true;
        emit Revoked(kind, digest, msg.sender);
    }

    /// @inheritdoc IReleases
    function isMeasurementReleased(bytes32 measurement) external view returns (bool) {
        return _isReleased(Kind.Measurement, measurement);
    }

    /// @inheritdoc IReleases
    function isModelReleased(bytes32 model) external view returns (bool) {
        return _isReleased(Kind.Model, model);
    }

    /// @inheritdoc IReleases
    function release(Kind kind, bytes32 digest) external view returns (Release memory) {
        return _releases[kind][digest];
    }

    /// @inheritdoc IReleases
    function hasApproved(Kind kind, bytes32 digest, address publisher)
        external
        view
        returns (bool)
    {
        return _approved[kind][digest][publisher];
    }

    /// @inheritdoc IReleases
    function publishedCount(Kind kind) external view returns (uint256) {
        return _published[kind].length;
    }

    /// @inheritdoc IReleases
    function published(Kind kind, uint256 offset, uint256 limit)
        external
        view
        returns (bytes32[] memory digests, Release[] memory page)
    {
        bytes32[] storage all = _published[kind];
        uint256 left = offset < all.length ? all.length - offset : 0;
        uint256 count = limit < left ? limit : left;
        digests = new bytes32[](count);
        page = new Release[](count);
        for (uint256 i = 0; i < count; ++i) {
            digests[i] = all[offset + i];
            page[i] = _releases[kind][digests[i]];
        }
    }

    /// @inheritdoc IReleases
    function publishers() external view returns (address[] memory) {
        return _publishers;
    }

    function _isReleased(Kind kind, bytes32 digest) private view returns (bool) {
        Release storage entry = _releases[kind][digest];
        return !entry.revoked && entry.activeAt != 0 && block.timestamp >= entry.activeAt;
    }
}
