"""A channel that runs dry is filled again, and nobody who asks notices."""

import pytest

from gateway import Gateway
from team import ready

STORY = [{"role": "user", "content": "Tell me a long story about a lighthouse."}]


@pytest.fixture(scope="module")
def frugal(subrosa, demo, tmp_path_factory):
    """A gateway of the demo's payer that deposits next to nothing at a time."""
    folder = demo.network.parent
    wallet = ["--wallet", folder / "payer.json", "--passphrase-file", folder / "payer.pass"]
    own = ["--state-dir", tmp_path_factory.mktemp("frugal"), "--network", demo.network, *wallet]
    process = subrosa.start("gateway", *own, "--listen", "127.0.0.1:0", "--deposit", "700", "--json")
    yield f"http://{ready(process)['address']}"
    assert process.interrupt() == 0


def test_a_channel_that_runs_dry_is_filled_while_questions_go_on(frugal):
    gateway = Gateway(frugal, "smollm2")
    for _ in range(10):
        gateway.ask(STORY, max_tokens=40)
    receipts = gateway.receipts()
    assert len(receipts) == 10
    # The cheap pod answers all of them: to run dry is no reason to pay another.
    assert len({receipt["pod"] for receipt in receipts}) == 1
    [channel] = gateway.get("balance")["channels"]
    assert int(channel["balance"]) > 700
    gateway.close()
