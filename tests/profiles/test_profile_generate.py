"""The stage `profile` through its entry function: sets, keys, what is asked and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from l2aco.entities import Entity, EntityKind
from l2aco.errors import UsageError
from l2aco.llm.fake.server import FakeServer
from l2aco.profiles.generate import generate_profiles
from l2aco.profiles.job import plan_job
from l2aco.profiles.plan import plan_costs
from l2aco.profiles.sets import ProfileSet, list_profile_sets
from l2aco.profiles.spec import ProfileSpec
from l2aco.workspace import Workspace


def entities(number: int, first: int = 0) -> list[Entity]:
    kinds = (EntityKind.drug, EntityKind.cell_line)
    return [Entity(f"E{place}", kinds[place % 2], f"Name {place}") for place in range(first, first + number)]


FAKE = ProfileSpec(llm="fake")


def test_adding_one_entity_to_a_finished_set_makes_one_call(workspace: Workspace) -> None:
    with FakeServer() as server:
        spec = ProfileSpec(llm="qwen", base_urls=(server.url,))
        generate_profiles(spec, entities(1000), workspace)
        assert server.calls == 1000
        report = generate_profiles(spec, entities(1001), workspace)
        assert server.calls == 1001
    assert (report.run.before, report.run.answered, report.profiles) == (1000, 1, 1001)
    ids = [(record.kind, record.entity_id) for record in report.set.records()]
    assert ids == sorted(ids), "in a fixed order, whenever they were written"


def test_a_second_run_asks_nothing_and_rewrites_nothing(workspace: Workspace) -> None:
    first = generate_profiles(FAKE, entities(10), workspace)
    before = (first.set.path / "records.jsonl").read_bytes()
    second = generate_profiles(FAKE, reversed(entities(10)), workspace)
    assert second.run.calls == 0
    assert (first.set.path / "records.jsonl").read_bytes() == before


def test_the_same_job_writes_the_same_profiles_anywhere(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        report = generate_profiles(FAKE, entities(20), Workspace(tmp_path / name))
        texts.append([(record.key, record.text) for record in report.set.records()])
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "change", [{"temperature": 0.7}, {"prompt": "grounded"}, {"max_tokens": 77}, {"temperature": 0.7, "top_p": 0.5}]
)
def test_another_way_of_asking_starts_a_set_beside_the_old_one(workspace: Workspace, change: dict[str, object]) -> None:
    generate_profiles(FAKE, entities(4), workspace)
    other = generate_profiles(ProfileSpec.model_validate({"llm": "fake", **change}), entities(4), workspace)
    assert other.set.name.startswith("fake-")
    assert other.run.calls == 4
    assert [item.name for item in list_profile_sets(workspace, bundled=False)] == ["fake", other.set.name]


def test_a_new_version_of_the_prompt_starts_a_set_beside_the_old_one(workspace: Workspace) -> None:
    generate_profiles(FAKE, entities(4), workspace)
    folder = workspace.prompts / "plain@2"
    folder.mkdir(parents=True)
    for kind in EntityKind:
        head = f'name = "plain"\nversion = 2\nkind = "{kind}"\nschema = "{kind}@1"\n'
        text = head + 'system = "S"\nuser = "{{ entity.name }}"\n'
        (folder / f"{kind}.toml").write_text(text)
    newer = generate_profiles(FAKE, entities(4), workspace)
    assert newer.set.name.startswith("fake-plain2-")
    assert newer.run.calls == 4
    again = generate_profiles(FAKE.model_copy(update={"prompt": "plain@1"}), entities(4), workspace)
    assert again.run.calls == 0
    assert again.set.name == "fake"


def test_one_named_set_never_mixes_two_ways_of_asking(workspace: Workspace) -> None:
    generate_profiles(ProfileSpec(llm="fake", set_name="mine"), entities(2), workspace)
    with pytest.raises(UsageError, match="never mixes"):
        generate_profiles(ProfileSpec(llm="fake", set_name="mine", temperature=1.0), entities(2), workspace)


def test_several_samples_stand_side_by_side(workspace: Workspace) -> None:
    spec = ProfileSpec(llm="fake", samples=3, temperature=0.8)
    report = generate_profiles(spec, entities(2), workspace)
    samples = sorted((record.entity_id, record.sample) for record in report.set.records())
    assert samples == [(name, number) for name in ("E0", "E1") for number in range(3)]
    assert len({record.text for record in report.set.records()}) == 6, "each was asked with its own seed"
    more = generate_profiles(spec.model_copy(update={"samples": 4}), entities(2), workspace)
    assert more.run.calls == 2
    with pytest.raises(ValidationError, match="equal"):
        ProfileSpec(llm="fake", samples=2)


def test_the_same_entity_twice_is_asked_once(workspace: Workspace) -> None:
    report = generate_profiles(FAKE.model_copy(update={"delay_s": 0.05}), entities(3) * 4, workspace)
    assert (report.profiles, report.run.calls) == (3, 3)
    assert report.complete


def test_a_stopped_run_says_how_much_was_asked_of_it(workspace: Workspace) -> None:
    report = generate_profiles(FAKE.model_copy(update={"budget_tokens": 9000}), entities(40), workspace)
    assert report.run.stopped is not None
    assert 0 < report.covered < report.requested == 40
    assert not report.complete


def test_a_limit_takes_the_first_of_a_stream(workspace: Workspace) -> None:
    def endless() -> object:
        yield from entities(5)
        raise AssertionError("read further than needed")

    assert generate_profiles(FAKE.model_copy(update={"limit": 5}), endless(), workspace).profiles == 5  # type: ignore[arg-type]


def test_a_record_says_how_it_was_made(workspace: Workspace) -> None:
    with FakeServer() as server:
        report = generate_profiles(ProfileSpec(llm="gpt-4o-mini", base_urls=(server.url,)), entities(1), workspace)
    record = next(report.set.records())
    template = plan_job(ProfileSpec(llm="gpt-4o-mini"), workspace).templates["drug"]
    assert (record.llm, record.model, record.endpoint) == ("gpt-4o-mini", "gpt-4o-mini", "chat.completions")
    assert (record.prompt_name, record.prompt_version, record.prompt_sha256) == ("plain", 1, template.sha256)
    assert record.sampling == {"max_tokens": 2048, "temperature": 0.0}
    assert record.usage is not None
    assert record.cost_usd == pytest.approx((record.usage["input"] * 0.15 + record.usage["output"] * 0.6) / 1e6)
    assert record.created_at is not None
    assert record.created_at.endswith("+00:00")
    assert record.attempts == 1
    assert report.set.manifest["identity"]["model"] == "gpt-4o-mini"


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_the_key_follows_the_entity_and_nothing_else(one: str, two: str) -> None:
    job = plan_job(FAKE, Workspace("/nonexistent"))

    def key(name: str, **facts: str) -> str:
        return next(job.requests([Entity(name, EntityKind.drug, name, (), facts)])).key

    assert key(one) == key(one)
    assert (key(one) == key(two)) == (one == two)
    assert key(one, smiles="CCO") == key(one), "the prompt does not use it"


@pytest.mark.parametrize(
    "change", [{"llm": "qwen"}, {"prompt": "brief"}, {"temperature": 0.5}, {"max_tokens": 9}, {"top_p": 0.5}]
)
def test_the_key_follows_the_model_the_prompt_and_the_sampling(change: dict[str, object]) -> None:
    entity = Entity("X", EntityKind.drug, "X")
    keys = {
        next(plan_job(ProfileSpec.model_validate(values), Workspace("/nonexistent")).requests([entity])).key
        for values in ({"llm": "fake"}, {"llm": "fake", **change}, {"llm": "fake", "concurrency": 3, "timeout_s": 5})
    }
    assert len(keys) == 2, "and how fast it is asked is no part of it"


def test_the_key_follows_the_facts_that_the_prompt_uses() -> None:
    job = plan_job(FAKE.model_copy(update={"prompt": "grounded"}), Workspace("/nonexistent"))
    bare = Entity("X", EntityKind.drug, "X")
    known = Entity("X", EntityKind.drug, "X", (), {"smiles": "CCO"})
    assert next(job.requests([bare])).key != next(job.requests([known])).key


def test_reference_is_installed_whole_and_says_what_it_lacks(workspace: Workspace) -> None:
    wanted = [Entity("DB00530", EntityKind.drug, "Erlotinib"), Entity("Z", EntityKind.drug, "Nosuchine")]
    report = generate_profiles(ProfileSpec(llm="reference"), wanted, workspace)
    assert report.set.path == workspace.profiles / "reference"
    assert (report.profiles, report.requested, report.covered, report.missing) == (669, 2, 1, ("Nosuchine",))
    assert len(ProfileSet(workspace.profiles / "reference")) == 669
    assert generate_profiles(ProfileSpec(llm="reference"), wanted, workspace).profiles == 669


def test_a_plan_counts_what_is_missing_and_prices_it(workspace: Workspace) -> None:
    generate_profiles(FAKE, entities(6), workspace)
    plan, rows = plan_costs(FAKE, entities(10), workspace)
    assert (plan.requested, plan.finished, plan.calls) == (10, 6, 4)
    by_name = {row["llm"]: row for row in rows}
    assert {"fake", "gpt-4o-mini", "gpt-3.5-turbo", "gpt-5"} == set(by_name)
    mini = by_name["gpt-4o-mini"]
    assert mini["expected_usd"] == pytest.approx((plan.tokens_in * 0.15 + plan.tokens_out * 0.6) / 1e6)
    assert mini["expected_usd"] < mini["at_most_usd"]
    assert 200 < plan.tokens_out / plan.calls < 800, "what a reference profile takes"
