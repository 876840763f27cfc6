"""A language model that costs nothing: deterministic answers, in this process or over HTTP.

`python -m l2aco.llm.fake --port 8000` serves it; point `--base-url http://127.0.0.1:8000/v1` at it.
"""
