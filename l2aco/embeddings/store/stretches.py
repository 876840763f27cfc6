"""An IVF index over more rows than memory holds the codes of: built in stretches, and joined on disk list by list.

Each stretch is added to the trained index, written beside the file that comes of it, and leaves memory. What they are
joined to is the file that FAISS (1.15, "ilar") writes of the whole index, byte for byte.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.embeddings.store.index_file import map_index, write_faiss
from l2aco.errors import L2aCoError
from l2aco.files import atomic_path, partial_path

STRETCH_BYTES = 2**28
"""Codes and row numbers in memory."""
_NONE = struct.Struct("<4sQQ4sQ")
"""How FAISS ends the file of an index without rows: format, lists, bytes of a code, how sizes are told, how many."""


def write_in_stretches(trained: Any, blocks: Iterable[np.ndarray], path: Path) -> None:
    """Write the index over all `blocks`, float32 (b, D), numbered as they come. `trained` is empty before and after.

    Raises OSError where it cannot be written.
    """
    most = STRETCH_BYTES // (trained.code_size + 8)
    pieces: list[Path] = []
    total = 0
    with ExitStack() as stack, atomic_path(path) as partial:
        for block in blocks:
            if trained.ntotal and trained.ntotal + len(block) > most:
                pieces.append(stack.enter_context(partial_path(path)))
                write_faiss(trained, pieces[-1])
                trained.reset()
            trained.add_with_ids(block, np.arange(total, total + len(block)))
            total += len(block)
        if not pieces:
            write_faiss(trained, partial)
        else:
            pieces.append(stack.enter_context(partial_path(path)))
            write_faiss(trained, pieces[-1])
            trained.reset()
            _join(trained, [map_index(piece, "ivfpq") for piece in pieces], total, partial)
    trained.reset()


def _join(empty: Any, parts: Sequence[Any], total: int, path: Path) -> None:
    """Write the file of the index that holds the rows of all `parts`: that of `empty`, with other lists at its end."""
    from faiss import rev_swig_ptr

    empty.ntotal = total
    write_faiss(empty, path)
    lists = [part.invlists for part in parts]
    sizes = np.array([[item.list_size(number) for number in range(empty.nlist)] for item in lists], dtype=np.uint64)
    with path.open("r+b") as stream:
        stream.seek(-_NONE.size, os.SEEK_END)
        start = stream.tell()
        if stream.read() != _NONE.pack(b"ilar", empty.nlist, empty.code_size, b"sprs", 0):
            raise L2aCoError(
                "this version of FAISS writes lists in another way",
                remedy="Install faiss-cpu 1.15, or choose --index hnsw or flat.",
            )
        stream.seek(start)
        stream.write(_NONE.pack(b"ilar", empty.nlist, empty.code_size, b"full", empty.nlist))
        stream.write(sizes.sum(axis=0).astype("<u8").data)
        for number in range(empty.nlist):
            for read, width in (("get_codes", empty.code_size), ("get_ids", 1)):
                for item, size in zip(lists, sizes[:, number].tolist(), strict=True):
                    if size:
                        stream.write(rev_swig_ptr(getattr(item, read)(number), size * width).data)
