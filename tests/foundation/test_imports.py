"""The house has no stairs that lead back: no two files import each other, however far around."""

from __future__ import annotations

import grimp
import pytest


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    graph = grimp.build_graph("l2aco", cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def loop_through(module: str, imports: dict[str, set[str]]) -> bool:
    seen: set[str] = set()
    ahead = list(imports[module])
    while ahead:
        found = ahead.pop()
        if found == module:
            return True
        if found not in seen:
            seen.add(found)
            ahead += imports[found]
    return False


@pytest.mark.parametrize("room", ["l2aco.data", "l2aco.tables", "l2aco.entities"])
def test_no_file_imports_itself_by_a_detour(room: str, imports: dict[str, set[str]]) -> None:
    inside = [module for module in imports if module == room or module.startswith(f"{room}.")]
    assert inside and not [module for module in inside if loop_through(module, imports)]


def test_the_reader_of_tables_stands_on_the_ground(imports: dict[str, set[str]]) -> None:
    assert imports["l2aco.tables"] <= {"l2aco.errors", "l2aco.files"}
