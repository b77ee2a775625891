"""Each question leaves one receipt, which anybody can check without asking anyone."""

import base64
import json

import pytest

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def answered(gateway):
    """The receipt of one question, and how many there were before."""
    before = len(gateway.receipts())
    _, receipt = gateway.ask(QUESTION, max_tokens=64)
    return receipt, before


@pytest.fixture(scope="module")
def bundle(gateway, answered):
    receipt, _ = answered
    return gateway.get(f"receipts/{receipt['order']}")


@pytest.fixture
def verify(subrosa, tmp_path):
    """Runs `subrosa verify` on a bundle; returns its exit status and what it prints."""

    def run(bundle, *arguments):
        file = tmp_path / "receipt.json"
        file.write_text(bundle if isinstance(bundle, str) else json.dumps(bundle))
        done = subrosa.run("verify", file, "--json", *arguments)
        return done.returncode, done.stdout, done.stderr

    return run


def test_the_list_grows_by_one_a_question(gateway, answered):
    receipt, before = answered
    receipts = gateway.receipts()
    assert len(receipts) == before + 1
    assert receipts[0] == receipt
    assert receipt["verified"]
    assert receipt["outcome"] == "complete"


def test_the_charge_is_the_offered_price_of_what_was_counted(gateway, answered):
    receipt, _ = answered
    [pod] = [pod for pod in gateway.get("pods") if pod["id"] == receipt["pod"]]
    [model] = [model for model in pod["models"] if model["digest"] == receipt["model_digest"]]
    millionths = receipt["input_tokens"] * int(model["input_price"])
    millionths += receipt["output_tokens"] * int(model["output_price"])
    assert int(receipt["charged"]) == -(-millionths // 1_000_000)
    assert int(receipt["charged"]) > 0


def test_the_exported_receipt_is_accepted_offline(verify, bundle, network):
    status, printed, complaint = verify(bundle, "--network", network)
    assert status == 0, complaint
    report = json.loads(printed)
    assert report["verdict"] == "accepted"
    assert report["simulated"] is True
    assert report["checks"]
    assert {check["outcome"] for check in report["checks"]} <= {"passed", "waived"}


def test_simulated_evidence_is_refused_where_no_network_file_allows_it(verify, bundle):
    status, printed, _ = verify(bundle)
    assert status == 1
    assert json.loads(printed)["verdict"] == "refused"


def test_a_receipt_with_another_charge_is_refused(verify, bundle, network):
    signed = bytearray(base64.b64decode(bundle["receipt"]))
    # The twelfth of fourteen words of 32 bytes is the charge.
    signed[12 * 32 - 1] ^= 1
    forged = {**bundle, "receipt": base64.b64encode(signed).decode()}
    status, printed, _ = verify(forged, "--network", network)
    assert status == 1
    report = json.loads(printed)
    assert report["verdict"] == "refused"
    assert "receipt" in next(c["name"] for c in report["checks"] if c["outcome"] == "failed")


@pytest.mark.parametrize("damage", ["", "{}", "not json"])
def test_what_is_no_receipt_is_unreadable(verify, network, damage):
    status, _, _ = verify(damage, "--network", network)
    assert status == 2


def test_no_receipt_is_kept_of_an_order_that_was_never_made(gateway):
    answer = gateway.http.get(f"/subrosa/v1/receipts/0x{'00' * 32}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "receipt_unknown"
