"""Speed: the gate adapts, the pace holds, the budget is never overspent."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2aco.llm.flow import Budget, BudgetSpent, Gate, Pace
from l2aco.llm.options import RunLimits


def test_the_gate_lets_no_more_through_than_its_limit_and_loses_nobody() -> None:
    async def run() -> tuple[int, int]:
        gate, most, done = Gate(8), 0, 0

        async def one() -> None:
            nonlocal most, done
            async with gate:
                most = max(most, gate.in_flight)
                await asyncio.sleep(0.001)
            done += 1

        await asyncio.gather(*(one() for _ in range(100)))
        return most, done

    assert asyncio.run(run()) == (8, 100)


def test_a_cancelled_wait_passes_its_turn_on() -> None:
    async def run() -> int:
        gate, done = Gate(1), 0

        async def one() -> None:
            nonlocal done
            async with gate:
                await asyncio.sleep(0.01)
            done += 1

        tasks = [asyncio.create_task(one()) for _ in range(5)]
        await asyncio.sleep(0.005)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    assert asyncio.run(asyncio.wait_for(run(), 5)) == 4


def test_the_gate_opens_fast_halves_at_overload_and_then_opens_slowly() -> None:
    gate = Gate(1000)
    for _ in range(100):
        gate.went_well()
    assert gate.limit == Gate.START + 100
    gate.overloaded()
    assert gate.limit == (Gate.START + 100) / 2
    gate.overloaded()
    assert gate.limit == (Gate.START + 100) / 2, "signs of one moment count once"
    before = gate.limit
    for _ in range(int(before)):
        gate.went_well()
    assert before + 0.9 < gate.limit < before + 1.1, "one more a round"


def test_the_gate_never_closes() -> None:
    gate = Gate(4)
    gate.CALM_S = 0.0
    for _ in range(20):
        gate.overloaded()
    assert gate.limit == 1


@given(
    st.integers(50, 2000),
    st.lists(st.tuples(st.integers(1, 100), st.floats(0, 1)), min_size=1, max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_a_budget_is_never_overspent(limit: int, calls: list[tuple[int, float]]) -> None:
    async def run() -> tuple[int, int, int]:
        budget, spent_by, refused = Budget(None, limit), 0, 0
        chance = random.Random(0)

        async def one(most: int, share: float) -> None:
            nonlocal spent_by, refused
            try:
                await budget.reserve(0.0, most)
            except BudgetSpent:
                refused += 1
                return
            await asyncio.sleep(chance.random() / 1000)
            used = int(most * share)
            spent_by += used
            budget.settle(0.0, most, used_dollars=0.0, used_tokens=used)

        await asyncio.gather(*(one(*call) for call in calls))
        return spent_by, budget.tokens, refused

    spent_by, counted, refused = asyncio.run(run())
    assert spent_by == counted <= limit
    if sum(most for most, _ in calls) <= limit:
        assert refused == 0


@pytest.mark.parametrize(("limits", "tokens"), [({"requests_per_minute": 1200}, 1), ({"tokens_per_minute": 12000}, 10)])
def test_the_pace_keeps_to_its_rate(limits: dict[str, float], tokens: int) -> None:
    async def run() -> float:
        pace = Pace(RunLimits(**limits))
        started = time.monotonic()
        await asyncio.gather(*(pace.turn(tokens) for _ in range(11)))
        return time.monotonic() - started

    assert asyncio.run(run()) >= 0.5 - 0.01, "eleven calls have ten gaps of 50 ms"
