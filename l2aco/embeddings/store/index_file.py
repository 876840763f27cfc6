"""A FAISS index on disk: written whole or not at all, and read only where it cannot lead FAISS astray.

FAISS trusts a file: a number that points outside of it crashes the process, or worse. So the bytes are compared with
their checksum, and, since a store may come from anybody with checksums that fit, the numbers that FAISS follows are
checked: those of a graph by FAISS (1.15) itself, those of lists here.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.embeddings.store.manifest import IndexInfo, check_file, repair_words
from l2aco.errors import DamagedError
from l2aco.files import atomic_path


def write_index(index: Any, path: Path) -> None:
    """Write an index atomically; raises OSError where FAISS cannot write it."""
    with atomic_path(path) as partial:
        write_faiss(index, partial)


def write_faiss(index: Any, path: Path) -> None:
    """FAISS's own writing; raises OSError where it cannot."""
    import faiss

    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:  # FAISS wraps what the system said
        full = os.strerror(errno.ENOSPC) in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error).splitlines()[0], str(path)) from None


def read_index(root: Path, info: IndexInfo, dimension: int) -> Any:
    """The FAISS index of a store, mapped where its kind allows. Raises DamagedError."""
    path = root / info.file.path
    try:
        if message := check_file(root, info.file, content=True):
            raise ValueError(message)
        index = map_index(path, info.kind)
        if index.ntotal != info.rows or index.d != dimension:
            raise ValueError(f"holds {index.ntotal:,} x {index.d}, not {info.rows:,} x {dimension}")
        if info.kind == "ivfpq":
            _check_lists(index)
        return index
    except (ValueError, RuntimeError, MemoryError) as error:
        said = (str(error) or "is no index").splitlines()[0].rpartition(" failed: ")[2]
        raise DamagedError(said, where=path, remedy=repair_words(root)) from None


def map_index(path: Path, kind: str) -> Any:
    """The index of a file that is trusted, mapped where its kind allows. Raises ValueError, RuntimeError."""
    import faiss

    mapped = kind == "ivfpq"
    flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY if mapped else faiss.IO_FLAG_MMAP_IFC
    index = faiss.read_index(str(path), flags)
    if not isinstance(index, faiss.IndexIVFPQ if mapped else faiss.IndexHNSWSQ):
        raise ValueError(f"holds {type(index).__name__}, and no {kind} index")
    return index


def _check_lists(index: Any) -> None:
    """Every row stands in one list, and the lists' centres and codes are of the right size."""
    import faiss

    lists, coarse = index.invlists, faiss.downcast_index(index.quantizer)
    sizes = np.array([lists.list_size(number) for number in range(lists.nlist)])
    sound = (
        isinstance(coarse, faiss.IndexFlat)
        and coarse.ntotal == index.nlist == lists.nlist
        and coarse.d == index.d == index.pq.M * index.pq.dsub
        and index.pq.nbits == 8
        and lists.code_size == index.code_size == index.pq.M
        and sizes.sum() == index.ntotal
    )
    if not sound:
        raise ValueError("holds lists that are not of its size")
    seen = np.zeros(index.ntotal, dtype=bool)
    for number in np.flatnonzero(sizes).tolist():
        rows = faiss.rev_swig_ptr(lists.get_ids(number), int(sizes[number]))
        if rows.min() < 0 or rows.max() >= index.ntotal:
            raise ValueError("holds a row that is none")
        seen[rows] = True
    if not seen.all():
        raise ValueError("holds a row twice")
