"""The real OpenAI client, pointed at the gateway, notices no difference."""

import concurrent.futures
import time

import openai
import pytest

CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]
STORY = [{"role": "user", "content": "Tell me a long story about a lighthouse."}]


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_lists_the_model_under_each_of_its_names(gateway):
    names = {model.id for model in gateway.openai.models.list()}
    assert {"smollm2", "smollm2:135m"} <= names
    assert gateway.openai.models.retrieve("smollm2").object == "model"


def test_answers_a_question_in_one_piece(gateway):
    answer, receipt = gateway.ask(CAPITAL, max_tokens=64)
    [choice] = answer.choices
    assert answer.object == "chat.completion"
    assert choice.message.role == "assistant"
    assert "Paris" in choice.message.content
    assert choice.finish_reason == "stop"
    usage = answer.usage
    assert usage.prompt_tokens > 0 and 0 < usage.completion_tokens < 64
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    counted = (receipt["input_tokens"], receipt["output_tokens"])
    assert counted == (usage.prompt_tokens, usage.completion_tokens)


def test_text_in_parts_is_the_same_question(gateway):
    texts = ["What is the capital", " of France?"]
    parts = [{"type": "text", "text": text} for text in texts]
    whole, _ = gateway.ask(CAPITAL, max_tokens=6)
    answer, _ = gateway.ask([{"role": "user", "content": parts}], max_tokens=6)
    assert answer.choices == whole.choices
    assert answer.usage == whole.usage


def test_answers_under_an_alias(gateway):
    answer, _ = gateway.ask(CAPITAL, model="smollm2:135m", max_tokens=2)
    assert answer.usage.completion_tokens == 2


def test_streams_the_answer_while_it_is_generated(gateway):
    stream, order = gateway.stream(STORY, max_tokens=48, stream_options={"include_usage": True})
    arrivals, chunks = [], []
    for chunk in stream:
        arrivals.append(time.monotonic())
        chunks.append(chunk)
    *pieces, last = chunks
    assert len({chunk.id for chunk in chunks}) == 1
    assert pieces[0].choices[0].delta.role == "assistant"
    reasons = [piece.choices[0].finish_reason for piece in pieces]
    assert reasons == [None] * (len(pieces) - 1) + ["length"]
    assert all(piece.usage is None for piece in pieces)
    assert last.choices == []
    assert last.usage.completion_tokens == 48
    # An answer that was held back until its end would come in few pieces, or in no time.
    assert len(pieces) > 12
    assert arrivals[-1] - arrivals[0] > 0.1
    assert gateway.receipt(order)["output_tokens"] == 48
    # Nothing is drawn at temperature 0, so the whole answer is the same text.
    whole, _ = gateway.ask(STORY, max_tokens=48)
    assert whole.choices[0].message.content == text_of(pieces)


def test_the_events_on_the_wire_end_with_done(gateway):
    chat = {"model": "smollm2", "messages": CAPITAL, "max_tokens": 4, "stream": True}
    answer = gateway.http.post("/v1/chat/completions", json=chat)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    *events, rest = answer.text.split("\n\n")
    assert rest == ""
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"
    gateway.receipt(answer.headers["x-subrosa-order"])


def test_a_stream_tells_no_usage_unless_it_is_asked_for(gateway):
    stream, order = gateway.stream(STORY, max_tokens=4)
    chunks = list(stream)
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert gateway.receipt(order)["output_tokens"] == 4


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_ends_at_the_bound_of_tokens_and_says_so(gateway, name):
    answer, _ = gateway.ask(STORY, **{name: 3})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_ends_before_a_stop_string(gateway):
    answer, _ = gateway.ask(CAPITAL, max_tokens=64, stop=["Paris"])
    assert answer.choices[0].finish_reason == "stop"
    assert "Paris" not in answer.choices[0].message.content


def test_answers_several_at_once_each_its_own(gateway):
    before = len(gateway.receipts())
    bounds = [2, 3, 4, 5, 6]
    with concurrent.futures.ThreadPoolExecutor(len(bounds)) as pool:
        asked = [pool.submit(gateway.ask, STORY, max_tokens=bound) for bound in bounds]
        answers, receipts = zip(*(one.result() for one in asked))
    assert [answer.usage.completion_tokens for answer in answers] == bounds
    assert [receipt["output_tokens"] for receipt in receipts] == bounds
    assert len({answer.id for answer in answers}) == len(bounds)
    assert len({(receipt["account"], receipt["seq"]) for receipt in receipts}) == len(bounds)
    assert len(gateway.receipts()) == before + len(bounds)


def test_a_caller_who_leaves_pays_for_what_was_generated(gateway):
    stream, order = gateway.stream(STORY, max_tokens=512)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()
    receipt = gateway.receipt(order)
    assert receipt["outcome"] == "cancelled"
    assert 0 < receipt["output_tokens"] < 512


def test_an_unknown_model_is_not_found(gateway):
    before = gateway.receipts()
    with pytest.raises(openai.NotFoundError) as refused:
        gateway.ask(CAPITAL, model="a-model-of-nowhere")
    assert refused.value.code == "model_not_found"
    assert "a-model-of-nowhere" not in refused.value.message
    assert gateway.receipts() == before


@pytest.mark.parametrize(
    ("param", "value", "code"),
    [
        ("temperature", 9, "out_of_range"),
        ("max_tokens", 0, "out_of_range"),
        ("max_tokens", 2.5, "out_of_range"),
        ("max_tokens", "4", "wrong_type"),
        ("top_p", -1, "out_of_range"),
        ("stop", [""], "empty"),
        ("messages", [], "empty"),
        ("messages", [{"role": "oracle", "content": "Hi"}], "unknown_value"),
    ],
)
def test_a_bad_parameter_is_named_and_costs_nothing(gateway, param, value, code):
    before = gateway.receipts()
    with pytest.raises(openai.BadRequestError) as refused:
        gateway.ask(**{"messages": CAPITAL, "max_tokens": 4, param: value})
    assert refused.value.code == code
    assert refused.value.param.startswith(param)
    assert gateway.receipts() == before


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("logprobs", True),
        ("n", 2),
        ("response_format", {"type": "json_object"}),
        ("tools", [{"type": "function", "function": {"name": "spend", "parameters": {}}}]),
    ],
)
def test_a_member_that_would_change_the_answer_is_refused_not_ignored(gateway, member, value):
    before = gateway.receipts()
    with pytest.raises(openai.BadRequestError) as refused:
        gateway.ask(CAPITAL, max_tokens=4, **{member: value})
    assert member in refused.value.message
    assert gateway.receipts() == before
