"""A pod dies in the middle of an answer: the client is told, and never sees an invented end."""

import openai
import pytest

import digests
from gateway import Gateway
from team import Team

BACKEND = """
[backend.builtin]
model = "smollm2"
parallel = 2
queue = 8
"""
STORY = [{"role": "user", "content": "Tell me a long story about a lighthouse."}]


@pytest.fixture
def team(subrosa, tmp_path):
    team = Team(subrosa, tmp_path, "our-team/builtin", digests.smollm2(), BACKEND)
    yield team
    assert set(team.stop()) == {0}


def test_a_pod_that_dies_ends_its_stream_in_an_error(team):
    gateway = Gateway(team.url, "smollm2")
    stream, _ = gateway.stream(STORY, max_tokens=400)
    heard = []
    with pytest.raises(openai.APIError) as broken:
        for chunk in stream:
            heard.append(chunk.choices[0])
            if len(heard) == 4:
                team.kill_pod()
    assert broken.value.code == "answer_broken_off"
    assert len(heard) >= 4
    assert all(choice.finish_reason is None for choice in heard)

    with pytest.raises(openai.APIStatusError) as refused:
        gateway.ask(STORY, max_tokens=4)
    assert refused.value.status_code in (502, 503)
    assert refused.value.code in ("pods_failed", "no_pod_accepted")
    assert int(refused.value.response.headers["retry-after"]) > 0
    assert "lighthouse" not in refused.value.message
    gateway.close()
