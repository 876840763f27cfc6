"""Every module that reads a file or an answer has a property test that feeds it anything.

The table is the registry of readers: one that is added to the package has to be added here, with its test. Each is fed
200 inputs, 10,000 under --long; where a test is parametrised over files that one reader takes, they share the number.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = "reads what ships in the package, or what it was handed read"
READERS = {
    "bench/execute.py": "bench/test_any_suite.py::test_anything_that_is_written_down_of_a_cell",
    "bench/finished.py": "bench/test_board.py::test_any_report",
    "bench/suite.py": "bench/test_any_suite.py::test_any_suite",
    "bounds.py": "data/test_any_source.py::test_any_parquet_and_excel_of_triples",
    "cli/complete.py": "data/test_any_data_set.py::test_what_a_shell_completes_of_any_data_set",
    "cli/train.py": "runs/test_any_run.py::test_files_with_any_bytes",
    "cli/tune.py": "runs/test_any_run.py::test_files_with_any_bytes",
    "data/dataset.py": "data/test_any_data_set.py::test_parquet_of_any_columns",
    "data/export.py": "data/test_any_data_set.py::test_any_mark_of_an_export",
    "data/extras.py": "data/test_any_source.py::test_anything_beside_a_table",
    "data/features/table.py": "data/test_any_data_set.py::test_a_kept_feature_with_anything_in_it_is_made_again",
    "data/fetch.py": "data/test_fetching.py::test_any_archive",
    "data/graph.py": "data/test_any_data_set.py::test_an_index_of_a_graph_with_anything_in_its_places",
    "data/manifest.py": "data/test_any_data_set.py::test_a_manifest_with_anything_in_its_places",
    "data/measured.py": "data/test_any_source.py::test_any_parquet_and_excel_of_triples",
    "data/resolution.py": "data/test_any_source.py::test_anything_beside_a_table",
    "data/sources/deepdds.py": "data/test_any_source.py::test_any_file_of_a_layout",
    "data/sources/demo.py": SHIPPED,
    "data/sources/dffndds.py": "data/test_any_source.py::test_any_file_of_a_layout",
    "data/sources/graphsynergy.py": "data/test_any_source.py::test_any_file_of_a_layout",
    "data/sources/laco.py": "data/test_any_source.py::test_any_file_of_a_layout",
    "data/sources/laco_features.py": "data/test_any_source.py::test_any_file_of_a_layout",
    "data/sources/table.py": "data/test_any_source.py::test_any_parquet_and_excel_of_triples",
    "data/splits/make.py": "data/test_any_data_set.py::test_split_files_of_anything",
    "data/splits/released.py": "data/test_any_data_set.py::test_npz_of_any_arrays",
    "embeddings/encoders/answers.py": "embeddings/test_embedding_servers.py::test_an_answer_with_anything_in_it",
    "embeddings/encoders/fetch.py": (
        "embeddings/test_any_input.py::test_a_model_folder_with_anything_in_its_configuration"
    ),
    "embeddings/store/exchange_parquet.py": "embeddings/test_any_input.py::test_an_import_of_any_table",
    "embeddings/store/generation.py": "embeddings/test_any_input.py::test_records_in_any_table",
    "embeddings/store/index_file.py": (
        "embeddings/test_any_input.py::test_an_index_that_is_not_as_written_never_reaches_faiss"
    ),
    "embeddings/store/manifest.py": "embeddings/test_any_input.py::test_any_manifest",
    "embeddings/store/repair.py": "embeddings/test_any_input.py::test_files_with_any_bytes",
    "embeddings/store/segments.py": "embeddings/test_any_input.py::test_files_with_any_array",
    "entities.py": "data/test_any_source.py::test_any_table_of_entities_or_pairs",
    "explore/pages/suites.py": "explore/test_any_suite_folder.py::test_any_report_and_anything_that_is_told_of_it",
    "files.py": "llm/test_llm_any_input.py::test_settings_of_any_bytes",
    "llm/batch_ledger.py": "llm/test_llm_batches.py::test_a_ledger_of_any_lines",
    "llm/batches.py": SHIPPED,
    "llm/by_ray.py": SHIPPED,
    "llm/catalog.py": "llm/test_llm_any_input.py::test_entries_of_the_catalog_with_anything_in_them",
    "llm/fake/server.py": SHIPPED,
    "llm/journal.py": "llm/test_llm_any_input.py::test_a_journal_of_any_lines",
    "llm/kept.py": "llm/test_llm_any_input.py::test_a_record_of_a_server_with_anything_in_it",
    "llm/lines.py": "profiles/test_profile_files.py::test_any_line_of_an_answer_file",
    "llm/refusals.py": "llm/test_llm_any_input.py::test_any_refusal",
    "llm/replies.py": "llm/test_llm_any_input.py::test_any_body_of_an_answered_call",
    "llm/vllm.py": SHIPPED,
    "locks.py": SHIPPED,
    "names/synonyms.py": SHIPPED,
    "parquet.py": "data/test_any_data_set.py::test_files_with_any_bytes",
    "profiles/audit/response.py": "profiles/test_profile_panels.py::test_any_response_table",
    "profiles/exchange.py": "profiles/test_profile_any_input.py::test_any_imported_bytes",
    "profiles/generate.py": "profiles/test_profile_any_input.py::test_any_manifest",
    "profiles/outside.py": "profiles/test_profile_files.py::test_any_line_of_an_answer_file",
    "profiles/prompt.py": "profiles/test_profile_any_input.py::test_any_template",
    "profiles/render.py": "profiles/test_profile_any_input.py::test_any_text_of_a_template",
    "profiles/schema.py": "profiles/test_profile_any_input.py::test_any_schema",
    "profiles/sets.py": "profiles/test_profile_any_input.py::test_any_line_in_a_set",
    "profiles/watching.py": "profiles/test_profile_any_input.py::test_any_line_in_a_set",
    "recommend/told.py": "runs/test_any_told.py::test_any_file_that_tells_of_a_line",
    "runs/ensemble.py": "runs/test_any_run.py::test_any_members_of_an_ensemble",
    "runs/evaluate.py": "data/test_any_data_set.py::test_anything_in_what_is_kept_beside_a_split",
    "runs/inputs.py": "runs/test_any_run.py::test_npz_of_any_arrays",
    "runs/keep.py": "runs/test_any_run.py::test_any_archive_of_runs",
    "runs/measured.py": "data/test_any_source.py::test_any_table_of_entities_or_pairs",
    "runs/network.py": "runs/test_any_run.py::test_npz_of_any_arrays",
    "runs/pairs.py": "data/test_any_source.py::test_any_table_of_entities_or_pairs",
    "runs/predictor.py": "runs/test_any_run.py::test_npz_of_any_arrays",
    "runs/run.py": "runs/test_any_run.py::test_metrics_with_anything_in_their_places",
    "runs/weights.py": "runs/test_any_run.py::test_models_with_any_bytes",
    "tables.py": "data/test_any_source.py::test_any_parquet_and_excel_of_triples",
    "training/checkpoint.py": "training/test_loop.py::test_any_state_of_an_unfinished_run",
    "training/request.py": SHIPPED,
    "training/tune.py": "training/test_tune.py::test_any_log_of_a_search",
    "workspace.py": "llm/test_llm_any_input.py::test_settings_with_anything_in_their_places",
}
READING = frozenset(
    "read_json parse_json read_arrays read_toml load_spec read_raw read_table read_lines read_written read_binary "
    "read_parquet read_csv read_excel ParquetFile open_parquet loads read_text read_bytes load_file read_index "
    "ZipFile memmap fromfile".split()
)
LOADING = frozenset({"np", "torch", "pickle"})


def reads(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            home = getattr(called.value, "id", "") if isinstance(called, ast.Attribute) else ""
            if name in READING or (name == "load" and home in LOADING):
                return True
    return False


def test_every_reader_is_in_the_table() -> None:
    package = ROOT / "l2aco"
    assert {str(path.relative_to(package)) for path in package.rglob("*.py") if reads(path)} == set(READERS)


@pytest.mark.parametrize("test", sorted(set(READERS.values()) - {SHIPPED}))
def test_its_property_test_is_one(test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    (found,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    text = ast.unparse(found)
    assert "feed(" in text or "@given" in text
