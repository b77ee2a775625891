"""What a person does after `make demo` has told its story: paste the lines that it prints."""

import shutil
import subprocess
import sys
import textwrap

import pytest

from running import eventually


def test_the_story_was_told_to_its_end_and_says_simulated(demo):
    text = demo.text()
    for step in range(1, 8):
        assert f"\n{step}. " in text
    assert "SIMULATED" in text
    assert "Nothing was paid twice" in text


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_line_for_curl_can_be_pasted(demo, gateway):
    line = printed(demo, "curl ", "'\n").replace('{"model"', '{"max_tokens":4,"model"')
    assert '"chat.completion"' in paste(gateway, ["sh", "-c", line])


def test_the_lines_for_python_can_be_pasted(demo, gateway):
    lines = textwrap.dedent(printed(demo, "    from openai", "content)\n"))
    program = lines.replace('model="smollm2"', 'model="smollm2", max_tokens=4')
    assert paste(gateway, [sys.executable, "-c", program]).strip()


def test_the_liar_is_refused_and_the_others_are_not(gateway):
    pods = gateway.get("pods")
    assert [pod["accepted"] for pod in pods].count(True) == 2
    [liar] = [pod for pod in pods if not pod["accepted"]]
    assert liar["failed_check"] == "tee_measurement"
    assert all(pod["simulated"] for pod in pods)


def test_the_report_of_each_pod_says_what_was_checked_and_seen(gateway):
    kinds = set()
    for listed in gateway.get("pods"):
        assert "SIMULATED" in listed["sentence"]
        pod = gateway.get(f"pods/{listed['id']}")
        report = pod["report"]
        kinds.add(report["kind"])
        assert (report["verdict"] == "accepted") == pod["accepted"]
        assert report["policy"] == "simulated" and report["at"] > 0
        assert all(check["name"] and check["protects"] for check in report["checks"])
        seen = [check for check in report["checks"] if check["outcome"] in ("passed", "failed")]
        assert seen and all(check["seen"] for check in seen)
    assert kinds == {"tdx_evidence", "snp_evidence"}


def printed(demo, start, end):
    """What stands between two marks, the marks included."""
    text = demo.text() + "\n"
    begin = text.index(start)
    return text[begin : text.index(end, begin) + len(end)]


def paste(gateway, command):
    """Runs what was printed, with a bound of tokens that keeps it short; waits for the receipt."""
    before = len(gateway.receipts())
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(gateway.receipts()) == before + 1, "the receipt is kept")
    return done.stdout
