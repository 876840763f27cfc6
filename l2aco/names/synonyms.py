"""The bundled synonyms: which names, codes and ids of public registries are one drug's or one cell line's."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from l2aco.names.fold import normalise_name

_REGISTRIES = ("drugbank", "cellosaurus", "depmap")
_SECOND_NAME = re.compile(r"(.*\S)\s+\((.+)\)")
_TISSUES = (
    "AUTONOMIC_GANGLIA|BILIARY_TRACT|BONE|BREAST|CENTRAL_NERVOUS_SYSTEM|CERVIX|ENDOMETRIUM|FIBROBLAST|"
    "HAEMATOPOIETIC_AND_LYMPHOID_TISSUE|KIDNEY|LARGE_INTESTINE|LIVER|LUNG|OESOPHAGUS|OVARY|PANCREAS|PLEURA|PROSTATE|"
    "SALIVARY_GLAND|SKIN|SMALL_INTESTINE|SOFT_TISSUE|STOMACH|THYROID|UPPER_AERODIGESTIVE_TRACT|URINARY_TRACT"
)
_WITH_TISSUE = re.compile(rf"(.+)_(?:{_TISSUES})")


@dataclass(frozen=True)
class Known:
    """One line of a table: the main name, the ids in public registries, and the other names. donor: of cell lines of
    one person, the main name of the one that stands for them; else empty."""

    name: str
    ids: tuple[str, ...]
    synonyms: tuple[str, ...]
    donor: str = ""


def read_table(kind: str) -> Iterator[Known]:
    """The lines of drugs.tsv or cell_lines.tsv."""
    with files(__package__).joinpath(f"{kind}s.tsv").open(encoding="utf-8") as stream:
        lines = (line for line in stream if not line.startswith("#"))
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            ids = tuple(filter(None, (row.get(registry) for registry in _REGISTRIES)))
            synonyms = tuple(filter(None, row["synonyms"].split("|")))
            yield Known(row["name"], ids, synonyms, row.get("donor") or "")


@cache
def _keys(kind: str) -> dict[str, str]:
    """The folded main name by every folded name and id."""
    return {
        normalise_name(written, kind): normalise_name(known.name, kind)
        for known in read_table(kind)
        for written in (known.name, *known.ids, *known.synonyms)
    }


@cache
def _donors() -> dict[str, str]:
    """The key of the line that stands for a person by that of each of the person's lines."""
    lines = [known for known in read_table("cell_line") if known.donor]
    return {normalise_name(line.name, "cell_line"): normalise_name(line.donor, "cell_line") for line in lines}


@cache
def _main_names(kind: str) -> dict[str, str]:
    """The main name as it is written by every id."""
    return {written: known.name for known in read_table(kind) for written in known.ids}


def name_key(name: str, kind: str) -> str:
    """What all names of one entity share: its main name, folded, where the table knows it, else `name`, folded.

    A second name in brackets is read as such where the table says that it is one, or it is a code, and so is the tissue
    behind a name of the CCLE.

    >>> name_key("Zolinza", "drug") == name_key("Vorinostat (SAHA)", "drug") == "vorinostat"
    True
    >>> name_key("A549_LUNG", "cell_line") == name_key("A549/ATCC", "cell_line") == "a549"
    True
    """
    folded, keys = normalise_name(name, kind), _keys(kind)
    if folded in keys:
        return keys[folded]
    if kind == "drug" and (two := _SECOND_NAME.fullmatch(name)):
        first, second = (normalise_name(part, kind) for part in two.groups())
        of_second = keys.get(second, keys.get(first) if re.search(r"\d\d", second) else None)
        if first in keys and keys[first] == of_second:
            return keys[first]
    if kind == "cell_line" and (line := _WITH_TISSUE.fullmatch(name)):
        return keys.get(normalise_name(line[1], kind), folded)
    return folded


def donor_key(name: str) -> str:
    """What the cell lines of one person share: the `name_key` of the line that stands for them, where the table knows
    that they are of one person, else the line's own.

    >>> donor_key("HCT-15") == donor_key("DLD1") != donor_key("HCT116")
    True
    """
    own = name_key(name, "cell_line")
    return _donors().get(own, own)


def name_of_id(id_: str, kind: str) -> str | None:
    """The main name of what a public registry calls `id_`, where the table knows it."""
    return _main_names(kind).get(id_)


def is_known(name: str, kind: str) -> bool:
    """Whether the table has a line for what is called `name`."""
    return name_key(name, kind) in _keys(kind)
