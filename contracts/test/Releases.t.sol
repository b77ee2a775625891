// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Releases} from "../src/Releases.sol";
import {IReleases} from "../src/interfaces/IReleases.sol";
import {Test} from "./utils/Test.sol";

/// @dev Branches: Releases.tree. Two of three publishers, an hour's delay.
contract ReleasesTest is Test {
    address private constant STRANGER = address(0xBEEF02);
    bytes32 private constant DIGEST = keccak256("an image");
    uint64 private constant DELAY = 1 hours;
    IReleases.Kind private constant IMAGE = IReleases.Kind.Measurement;
    IReleases.Kind private constant MODEL = IReleases.Kind.Model;

    address[] private _publishers;
    Releases private _releases;

    function setUp() public {
        vm.warp(1_790_000_000);
        _publishers.push(address(0xF001));
        _publishers.push(address(0xF002));
        _publishers.push(address(0xF003));
        _releases = new Releases(_publishers, 2, DELAY);
    }

    function test_shows_what_it_was_built_with() public view {
        vm.assertEq(abi.encode(_releases.publishers()), abi.encode(_publishers), "publishers");
        vm.assertEq(_releases.threshold(), 2, "threshold");
        vm.assertEq(_releases.publicationDelay(), DELAY, "delay");
    }

    function test_refuses_no_publishers_and_too_many() public {
        uint256[2] memory counts = [uint256(0), 33];
        for (uint256 i = 0; i < counts.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IReleases.Releases_PublisherCount.selector, counts[i], 32)
            );
            new Releases(new address[](counts[i]), 1, DELAY);
        }
    }

    function test_refuses_a_zero_and_a_repeated_publisher() public {
        address[2] memory wrong = [address(0), _publishers[0]];
        for (uint256 i = 0; i < wrong.length; ++i) {
            address[] memory publishers = _publishers;
            publishers[2] = wrong[i];
            vm.expectRevert(
                abi.encodeWithSelector(IReleases.Releases_PublisherInvalid.selector, wrong[i])
            );
            new Releases(publishers, 2, DELAY);
        }
    }

    function test_refuses_a_threshold_out_of_range() public {
        uint256[2] memory thresholds = [uint256(0), 4];
        for (uint256 i = 0; i < thresholds.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    IReleases.Releases_ThresholdOutOfRange.selector, thresholds[i], 3
                )
            );
            new Releases(_publishers, thresholds[i], DELAY);
        }
    }

    function test_only_publishers_approve_and_revoke() public {
        bytes memory reason =
            abi.encodeWithSelector(IReleases.Releases_NotPublisher.selector, STRANGER);
        vm.expectRevert(reason);
        vm.prank(STRANGER);
        _releases.approve(IMAGE, DIGEST);
        vm.expectRevert(reason);
        vm.prank(STRANGER);
        _releases.revoke(IMAGE, DIGEST);
    }

    function test_refuses_a_zero_digest() public {
        vm.expectRevert(IReleases.Releases_DigestZero.selector);
        approve(0, IMAGE, 0);
        vm.expectRevert(IReleases.Releases_DigestZero.selector);
        revoke(0, IMAGE, 0);
    }

    function test_refuses_a_publishers_second_approval() public {
        approve(0, IMAGE, DIGEST);
        vm.expectRevert(
            abi.encodeWithSelector(
                IReleases.Releases_AlreadyApproved.selector, IMAGE, DIGEST, _publishers[0]
            )
        );
        approve(0, IMAGE, DIGEST);
    }

    function test_one_approval_releases_nothing() public {
        vm.expectEmit(address(_releases));
        emit IReleases.Approved(IMAGE, DIGEST, _publishers[0], 1);
        approve(0, IMAGE, DIGEST);
        vm.warp(block.timestamp + 365 days);
        vm.assertFalse(_releases.isMeasurementReleased(DIGEST), "released");
        vm.assertTrue(_releases.hasApproved(IMAGE, DIGEST, _publishers[0]), "approved by 0");
        vm.assertFalse(_releases.hasApproved(IMAGE, DIGEST, _publishers[1]), "approved by 1");
        vm.assertEq(_releases.publishedCount(IMAGE), 0, "published");
    }

    function test_is_released_after_the_delay_and_not_before() public {
        uint64 activeAt = uint64(block.timestamp) + DELAY;
        approve(0, IMAGE, DIGEST);
        vm.expectEmit(address(_releases));
        emit IReleases.Published(IMAGE, DIGEST, activeAt);
        approve(1, IMAGE, DIGEST);
        vm.warp(activeAt - 1);
        vm.assertFalse(_releases.isMeasurementReleased(DIGEST), "a second before");
        vm.warp(activeAt);
        vm.assertTrue(_releases.isMeasurementReleased(DIGEST), "then");
        vm.assertFalse(_releases.isModelReleased(DIGEST), "as a model");
    }

    function test_a_model_is_no_measurement() public {
        approve(0, MODEL, DIGEST);
        approve(1, MODEL, DIGEST);
        vm.warp(block.timestamp + DELAY);
        vm.assertTrue(_releases.isModelReleased(DIGEST), "as a model");
        vm.assertFalse(_releases.isMeasurementReleased(DIGEST), "as a measurement");
    }

    function test_approvals_for_two_kinds_do_not_add_up() public {
        approve(0, IMAGE, DIGEST);
        approve(1, MODEL, DIGEST);
        vm.warp(block.timestamp + DELAY);
        vm.assertFalse(_releases.isMeasurementReleased(DIGEST), "as a measurement");
        vm.assertFalse(_releases.isModelReleased(DIGEST), "as a model");
    }

    function test_a_later_approval_leaves_the_time_as_it_is() public {
        approve(0, IMAGE, DIGEST);
        approve(1, IMAGE, DIGEST);
        uint64 activeAt = _releases.release(IMAGE, DIGEST).activeAt;
        vm.warp(block.timestamp + DELAY);
        approve(2, IMAGE, DIGEST);
        vm.assertEq(_releases.release(IMAGE, DIGEST).activeAt, activeAt, "time");
        vm.assertEq(_releases.release(IMAGE, DIGEST).approvals, 3, "approvals");
        vm.assertEq(_releases.publishedCount(IMAGE), 1, "published once");
        vm.assertTrue(_releases.isMeasurementReleased(DIGEST), "released");
    }

    function test_any_one_publisher_revokes_at_once_and_for_good() public {
        approve(0, IMAGE, DIGEST);
        approve(1, IMAGE, DIGEST);
        vm.warp(block.timestamp + DELAY);
        vm.expectEmit(address(_releases));
        emit IReleases.Revoked(IMAGE, DIGEST, _publishers[2]);
        revoke(2, IMAGE, DIGEST);
        vm.assertFalse(_releases.isMeasurementReleased(DIGEST), "released");
        bytes memory reason =
            abi.encodeWithSelector(IReleases.Releases_AlreadyRevoked.selector, IMAGE, DIGEST);
        vm.expectRevert(reason);
        approve(2, IMAGE, DIGEST);
        vm.expectRevert(reason);
        revoke(0, IMAGE, DIGEST);
        vm.assertEq(_releases.publishedCount(IMAGE), 1, "the record stays");
    }

    function test_a_revocation_within_the_delay_stops_the_release() public {
        approve(0, IMAGE, DIGEST);
        approve(1, IMAGE, DIGEST);
        revoke(0, IMAGE, DIGEST);
        vm.warp(block.timestamp + DELAY);
        vm.assertFalse(_releases.isMeasurementReleased(DIGEST), "released");
    }

    function test_a_digest_can_be_barred_before_anybody_approves_it() public {
        revoke(0, IMAGE, DIGEST);
        vm.expectRevert(
            abi.encodeWithSelector(IReleases.Releases_AlreadyRevoked.selector, IMAGE, DIGEST)
        );
        approve(1, IMAGE, DIGEST);
    }

    function test_pages_hold_what_was_published_in_order() public {
        for (uint256 i = 1; i <= 3; ++i) {
            approve(0, MODEL, bytes32(i));
            approve(2, MODEL, bytes32(i));
        }
        revoke(1, MODEL, bytes32(uint256(2)));
        (bytes32[] memory digests, IReleases.Release[] memory page) =
            _releases.published(MODEL, 1, 10);
        vm.assertEq(digests.length, 2, "to the end");
        vm.assertEq(digests[0], bytes32(uint256(2)), "first");
        vm.assertTrue(page[0].revoked, "revoked");
        vm.assertEq(digests[1], bytes32(uint256(3)), "second");
        vm.assertFalse(page[1].revoked, "not revoked");
        (digests,) = _releases.published(MODEL, 3, 10);
        vm.assertEq(digests.length, 0, "behind the end");
    }

    /// @dev Whoever approves in whatever order: active only with two different publishers.
    function testFuzz_is_released_only_by_different_publishers(uint8[5] memory who) public {
        bool[3] memory approved;
        uint256 count = 0;
        for (uint256 i = 0; i < who.length; ++i) {
            uint256 index = who[i] % 3;
            vm.prank(_publishers[index]);
            try _releases.approve(IMAGE, DIGEST) {
                vm.assertFalse(approved[index], "twice");
                approved[index] = true;
                count += 1;
            } catch {
                vm.assertTrue(approved[index], "refused the first time");
            }
        }
        vm.warp(block.timestamp + DELAY);
        vm.assertTrue(_releases.isMeasurementReleased(DIGEST) == (count >= 2), "released");
    }

    function approve(uint256 publisher, IReleases.Kind kind, bytes32 digest) private {
        vm.prank(_publishers[publisher]);
        _releases.approve(kind, digest);
    }

    function revoke(uint256 publisher, IReleases.Kind kind, bytes32 digest) private {
        vm.prank(_publishers[publisher]);
        _releases.revoke(kind, digest);
    }
}
