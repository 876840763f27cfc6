"""A schema in pieces: nothing is lost, nothing is asked twice, and the joined answers satisfy the whole."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from l2aco.llm.fake.engine import fake_answer
from l2aco.llm.pieces import ask_for, joined, pieces_of
from l2aco.llm.structured import explain

NAMES = st.text("abcdefgh", min_size=1, max_size=3)
VALUE = st.sampled_from([{"type": "number"}, {"type": "string", "maxLength": 9}, {"enum": ["x", "y"]}])


def an_object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


OBJECT = st.dictionaries(NAMES, VALUE, min_size=1, max_size=6).map(an_object)
SCHEMA = st.dictionaries(NAMES, st.one_of(VALUE, OBJECT), min_size=1, max_size=6).map(an_object)


@given(SCHEMA, st.integers(1, 9), st.integers(0, 99))
def test_answers_to_all_pieces_are_an_answer_to_the_whole(schema: dict[str, Any], most: int, seed: int) -> None:
    pieces = pieces_of(schema, most)
    values = sum(len(field.get("properties", [0])) for field in schema["properties"].values())
    assert len(pieces) == (0 if values <= most else -(-values // most))
    if pieces:
        answers = [fake_answer(piece, seed) for piece in pieces]
        assert not any(explain(answer, piece) for answer, piece in zip(answers, pieces, strict=True))
        assert explain(joined(schema, answers), schema) == ""
        assert list(joined(schema, answers)) == list(schema["properties"])


def test_a_piece_says_what_is_wanted_and_keeps_the_question() -> None:
    schema = an_object({"hours": {"type": "number"}, "grades": an_object({"A": {"type": "number"}, "B": {}})})
    first, second = pieces_of(schema, 2)
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Cell line: A375"})
    assert ask_for(messages, first)[0] == messages[0]
    assert ask_for(messages, first)[1]["content"].endswith("Give only this part of it now: hours; grades (A).")
    assert second["properties"]["grades"]["required"] == ["B"] and second["required"] == ["grades"]
