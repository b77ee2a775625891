// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PodRegistry} from "../src/PodRegistry.sol";
import {IPodRegistry} from "../src/interfaces/IPodRegistry.sol";
import {Test} from "./utils/Test.sol";

/// @dev Branches: PodRegistry.tree.
contract PodRegistryTest is Test {
    struct Entry {
        address operator;
        address payee;
        uint256 signerKey;
        bytes32 offer;
        bytes32 evidence;
        string[] endpoints;
    }

    address private constant OPERATOR = address(0xC0FFEE);
    address private constant STRANGER = address(0xBEEF02);
    address private constant ESCROW = address(0xE5C);
    bytes32 private constant SALT = bytes32(uint256(7));

    PodRegistry private _registry;
    bytes32 private _id;

    function setUp() public {
        vm.warp(1_790_000_000);
        _registry = new PodRegistry(ESCROW);
        _id = _registry.podId(OPERATOR, SALT);
    }

    function test_the_id_is_known_before() public view {
        vm.assertEq(_id, keccak256(abi.encode(OPERATOR, SALT)), "id");
        vm.assertTrue(_registry.escrow() == ESCROW, "escrow");
    }

    function test_keeps_and_emits_every_member() public {
        Entry memory entry = sample();
        vm.expectEmit(address(_registry));
        emit IPodRegistry.PodRegistered(
            _id,
            OPERATOR,
            vm.addr(entry.signerKey),
            entry.payee,
            entry.offer,
            entry.evidence,
            entry.endpoints
        );
        register(SALT, entry);
        matches(entry, false);
        vm.assertEq(_registry.podCount(), 1, "count");
    }

    function test_refuses_a_salt_twice() public {
        register(SALT, sample());
        bytes memory signature = consent(sample());
        vm.expectRevert(
            abi.encodeWithSelector(IPodRegistry.PodRegistry_AlreadyRegistered.selector, _id)
        );
        send(SALT, sample(), signature);
    }

    function test_two_operators_may_use_one_salt() public {
        register(SALT, sample());
        Entry memory other = sample();
        other.operator = STRANGER;
        register(SALT, other);
        vm.assertEq(_registry.podCount(), 2, "count");
    }

    function test_refuses_a_zero_payee_or_signer() public {
        Entry memory entry = sample();
        entry.payee = address(0);
        bytes memory signature = consent(entry);
        vm.expectRevert(abi.encodeWithSelector(IPodRegistry.PodRegistry_AddressZero.selector, _id));
        send(SALT, entry, signature);

        entry = sample();
        vm.expectRevert(abi.encodeWithSelector(IPodRegistry.PodRegistry_AddressZero.selector, _id));
        vm.prank(OPERATOR);
        _registry.register(
            SALT, entry.payee, address(0), entry.endpoints, entry.offer, entry.evidence, ""
        );
    }

    function test_refuses_no_endpoint_and_too_many() public {
        uint256[2] memory counts = [uint256(0), 9];
        for (uint256 i = 0; i < counts.length; ++i) {
            Entry memory entry = sample();
            entry.endpoints = new string[](counts[i]);
            bytes memory signature = consent(entry);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IPodRegistry.PodRegistry_EndpointCount.selector, counts[i], 8
                )
            );
            send(SALT, entry, signature);
        }
    }

    function test_refuses_an_empty_and_an_overlong_endpoint() public {
        uint256[2] memory lengths = [uint256(0), 257];
        for (uint256 i = 0; i < lengths.length; ++i) {
            Entry memory entry = sample();
            entry.endpoints[1] = string(new bytes(lengths[i]));
            bytes memory signature = consent(entry);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IPodRegistry.PodRegistry_EndpointLength.selector, 1, lengths[i], 256
                )
            );
            send(SALT, entry, signature);
        }
    }

    function test_refuses_a_consent_to_anything_else() public {
        for (uint256 change = 0; change < 7; ++change) {
            Entry memory other = sample();
            bytes32 id = _id;
            address registry = address(_registry);
            if (change == 0) other.operator = STRANGER;
            if (change == 1) other.payee = STRANGER;
            if (change == 2) other.offer = 0;
            if (change == 3) other.evidence = 0;
            if (change == 4) id = 0;
            if (change == 5) registry = address(new PodRegistry(ESCROW));
            if (change == 6) registry = address(new PodRegistry(STRANGER));
            bytes32 digest = PodRegistry(registry)
                .registrationDigest(
                    id,
                    other.operator,
                    other.payee,
                    vm.addr(other.signerKey),
                    other.offer,
                    other.evidence
                );
            refusesConsent(sign(other.signerKey, digest));
        }
    }

    function test_refuses_the_consent_of_another_key_and_none() public {
        Entry memory entry = sample();
        refusesConsent(sign(entry.signerKey + 1, digestOf(entry)));
        refusesConsent("");
        refusesConsent(new bytes(65));
    }

    function test_refuses_a_consent_given_on_another_chain() public {
        bytes memory signature = consent(sample());
        vm.chainId(1);
        refusesConsent(signature);
    }

    function test_an_update_replaces_every_member_but_the_operator() public {
        register(SALT, sample());
        vm.warp(block.timestamp + 1 days);
        Entry memory next = sample();
        next.payee = STRANGER;
        next.signerKey += 1;
        next.offer = bytes32(uint256(100));
        next.evidence = bytes32(uint256(101));
        next.endpoints = new string[](1);
        next.endpoints[0] = "https://elsewhere.example:7443";
        bytes memory signature = consent(next);
        vm.expectEmit(address(_registry));
        emit IPodRegistry.PodUpdated(
            _id,
            OPERATOR,
            vm.addr(next.signerKey),
            next.payee,
            next.offer,
            next.evidence,
            next.endpoints
        );
        sendUpdate(OPERATOR, next, signature);
        matches(next, false);
        vm.assertEq(_registry.podCount(), 1, "count");
    }

    function test_refuses_an_update_without_the_new_signers_consent() public {
        register(SALT, sample());
        Entry memory next = sample();
        bytes memory signature = consent(next);
        next.signerKey += 1;
        vm.expectRevert(
            abi.encodeWithSelector(
                IPodRegistry.PodRegistry_SignerSignature.selector, _id, vm.addr(next.signerKey)
            )
        );
        sendUpdate(OPERATOR, next, signature);
    }

    function test_only_the_operator_updates_and_retires() public {
        register(SALT, sample());
        bytes memory signature = consent(sample());
        bytes memory reason = abi.encodeWithSelector(
            IPodRegistry.PodRegistry_NotOperator.selector, _id, STRANGER, OPERATOR
        );
        vm.expectRevert(reason);
        sendUpdate(STRANGER, sample(), signature);
        vm.expectRevert(reason);
        vm.prank(STRANGER);
        _registry.retire(_id);
    }

    function test_refuses_to_change_or_show_an_unknown_pod() public {
        bytes memory reason = abi.encodeWithSelector(IPodRegistry.PodRegistry_Unknown.selector, _id);
        bytes memory signature = consent(sample());
        vm.expectRevert(reason);
        sendUpdate(OPERATOR, sample(), signature);
        vm.expectRevert(reason);
        _registry.retire(_id);
        vm.expectRevert(reason);
        _registry.pod(_id);
    }

    function test_retirement_is_final_and_keeps_the_entry() public {
        register(SALT, sample());
        vm.expectEmit(address(_registry));
        emit IPodRegistry.PodRetired(_id, OPERATOR);
        vm.prank(OPERATOR);
        _registry.retire(_id);
        matches(sample(), true);

        bytes memory signature = consent(sample());
        bytes memory reason = abi.encodeWithSelector(IPodRegistry.PodRegistry_Retired.selector, _id);
        vm.expectRevert(reason);
        sendUpdate(OPERATOR, sample(), signature);
        vm.expectRevert(reason);
        vm.prank(OPERATOR);
        _registry.retire(_id);
        vm.expectRevert(
            abi.encodeWithSelector(IPodRegistry.PodRegistry_AlreadyRegistered.selector, _id)
        );
        send(SALT, sample(), signature);
    }

    function testFuzz_pages_hold_each_pod_once_in_order(uint256 total, uint256 limit) public {
        total = bound(total, 0, 5);
        limit = bound(limit, 1, 6);
        for (uint256 i = 0; i < total; ++i) {
            register(bytes32(i), sample());
        }
        uint256 seen = 0;
        while (true) {
            (bytes32[] memory ids, IPodRegistry.Pod[] memory page) = _registry.pods(seen, limit);
            vm.assertLe(ids.length, limit, "length of the page");
            vm.assertEq(ids.length, page.length, "entries of the page");
            if (ids.length == 0) break;
            for (uint256 i = 0; i < ids.length; ++i) {
                vm.assertEq(ids[i], _registry.podId(OPERATOR, bytes32(seen + i)), "id");
                vm.assertEq(page[i].offer, sample().offer, "offer");
            }
            seen += ids.length;
        }
        vm.assertEq(seen, total, "all of them");
    }

    function test_a_page_behind_the_end_is_empty() public {
        register(SALT, sample());
        (bytes32[] memory ids,) = _registry.pods(type(uint256).max, type(uint256).max);
        vm.assertEq(ids.length, 0, "behind the end");
        (ids,) = _registry.pods(0, type(uint256).max);
        vm.assertEq(ids.length, 1, "a limit beyond the end");
    }

    function sample() private pure returns (Entry memory entry) {
        entry.operator = OPERATOR;
        entry.payee = address(0xBEEF01);
        entry.signerKey = 0x51617;
        entry.offer = bytes32(uint256(1));
        entry.evidence = bytes32(uint256(2));
        entry.endpoints = new string[](2);
        entry.endpoints[0] = "https://pod.example";
        entry.endpoints[1] = "https://[2001:db8::1]:7443";
    }

    function digestOf(Entry memory entry) private view returns (bytes32) {
        return _registry.registrationDigest(
            _id, entry.operator, entry.payee, vm.addr(entry.signerKey), entry.offer, entry.evidence
        );
    }

    function consent(Entry memory entry) private view returns (bytes memory) {
        return sign(entry.signerKey, digestOf(entry));
    }

    function register(bytes32 salt, Entry memory entry) private {
        bytes32 id = _registry.podId(entry.operator, salt);
        bytes32 digest = _registry.registrationDigest(
            id, entry.operator, entry.payee, vm.addr(entry.signerKey), entry.offer, entry.evidence
        );
        send(salt, entry, sign(entry.signerKey, digest));
    }

    function send(bytes32 salt, Entry memory entry, bytes memory signature) private {
        vm.prank(entry.operator);
        _registry.register(
            salt,
            entry.payee,
            vm.addr(entry.signerKey),
            entry.endpoints,
            entry.offer,
            entry.evidence,
            signature
        );
    }

    function sendUpdate(address caller, Entry memory entry, bytes memory signature) private {
        vm.prank(caller);
        _registry.update(
            _id,
            entry.payee,
            vm.addr(entry.signerKey),
            entry.endpoints,
            entry.offer,
            entry.evidence,
            signature
        );
    }

    function refusesConsent(bytes memory signature) private {
        Entry memory entry = sample();
        vm.expectRevert(
            abi.encodeWithSelector(
                IPodRegistry.PodRegistry_SignerSignature.selector, _id, vm.addr(entry.signerKey)
            )
        );
        send(SALT, entry, signature);
        vm.assertEq(_registry.podCount(), 0, "count");
    }

    function matches(Entry memory entry, bool retired) private view {
        IPodRegistry.Pod memory pod = _registry.pod(_id);
        IPodRegistry.Pod memory wanted = IPodRegistry.Pod({
            operator: OPERATOR,
            payee: entry.payee,
            signer: vm.addr(entry.signerKey),
            anchoredAt: uint64(block.timestamp),
            retired: retired,
            offer: entry.offer,
            evidence: entry.evidence,
            endpoints: entry.endpoints
        });
        vm.assertEq(abi.encode(pod), abi.encode(wanted), "entry");
    }

    function sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
