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


def a_round(gate: Gate, overloaded: float = 0.0) -> float:
    """As many calls as the limit is, of which a share meets overload; the limit afterwards."""
    calls = int(gate.limit)
    bad = round(calls * overloaded)
    for number in range(calls):
        if number < bad:
            gate.overloaded()
        else:
            gate.went_well()
    return gate.limit


def test_the_gate_opens_fast_and_closes_by_the_share_that_met_overload() -> None:
    gate = Gate(1000)
    assert [a_round(gate) for _ in range(3)] == [64, 128, 256]
    assert a_round(gate, 1.0) == 128
    assert a_round(gate, 0.5) == 96
    assert [a_round(gate) for _ in range(5)] == [97, 99, 103, 111, 127], "slowly first, then faster"


def test_a_stray_refusal_closes_nothing() -> None:
    gate, chance = Gate(64), random.Random(0)
    limits = []
    for _ in range(200):
        for _ in range(int(gate.limit)):
            gate.overloaded() if chance.random() < 0.05 else gate.went_well()
        limits.append(gate.limit)
    assert min(limits) >= 32 and sum(limits) / len(limits) > 62


def test_the_gate_follows_what_an_endpoint_bears_and_recovers() -> None:
    gate = Gate(64)
    for _ in range(100):
        a_round(gate, max(0.0, 1 - 20 / int(gate.limit)))
    assert 12 <= gate.limit <= 30
    for _ in range(8):
        a_round(gate)
    assert gate.limit == 64


def test_the_gate_never_closes() -> None:
    gate = Gate(4)
    for _ in range(100):
        gate.overloaded()
    assert 1 <= gate.limit < 2.1


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
