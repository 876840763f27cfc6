"""Folding: what never tells two entities apart is taken out of a name."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SALTS = frozenset(
    "hydrochloride dihydrochloride hcl hydrobromide sodium disodium potassium calcium mesylate dimesylate mesilate "
    "maleate malate tartrate citrate phosphate sulfate sulphate acetate fumarate succinate tosylate ditosylate "
    "besylate hydrate monohydrate dihydrate anhydrous lactate nitrate bromide chloride trihydrate".split()
)
_BARE = _SALTS | frozenset(
    "aluminium aluminum ammonium barium benzyl butyl cobalt copper cupric cuprous ethyl ferric ferrous gallium gold "
    "hydrogen iron lead lithium magnesium manganese mercuric mercury methyl nickel propyl selenium silver stannous "
    "strontium tin vinyl zinc".split()
)
"""What is no compound without the salt word behind it: potassium bromide is not potassium chloride."""
_APART = {"kmh-2": "kmh-2", "t.t": "t.t", "t-t": "t.t"}
"""Cell lines that fold like another one and are not it, by the Cellosaurus: KMH-2, a thyroid carcinoma, not KM-H2, a
Hodgkin lymphoma; T.T (in screens also T-T), an oesophageal carcinoma, not TT, a medullary thyroid carcinoma."""
_SIGN = re.compile(r"\s*\(\s*(\+\s*/?\s*[-−–]|±|\+|[-−–])\s*\)")
_GREEK = str.maketrans(
    dict(
        zip(
            "αβγδεζηθικλμνξοπρστυφχψω",
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon "
            "phi chi psi omega".split(),
            strict=True,
        )
    )
)
_ACCENTS = re.compile("[\u0300-\u036f]")


@lru_cache(maxsize=1 << 16)
def normalise_name(name: str, kind: str) -> str:
    """Fold case, accents, punctuation and, for drugs, trailing salt words. What tells two compounds apart stays:
    letters of any script, Greek ones spelled out, and the sign of rotation that a name begins with. So does how a cell
    line is written that nothing else tells from another.

    >>> normalise_name("HT-29", "cell_line")
    'ht29'
    >>> normalise_name("Erlotinib Hydrochloride", "drug")
    'erlotinib'
    >>> normalise_name("(-)-β-Elemene", "drug")
    'minusbetaelemene'
    """
    plain = unicodedata.normalize("NFKC", name)
    if kind == "cell_line" and (apart := _APART.get(plain.strip().casefold())):
        return apart
    sign = _SIGN.match(plain)
    words = _words(plain[sign.end() :] if sign else plain)
    if kind == "drug":
        while words[:-1] and words[-1] in _SALTS and not _BARE.issuperset(words[:-1]):
            words.pop()
    folded = unicodedata.normalize("NFKC", "".join(words))
    return (_sign(sign[1]) if sign else "") + folded or name.strip().casefold()


def _sign(written: str) -> str:
    return "plus" * (written[0] in "+±") + "minus" * (written[-1] != "+")


def _words(name: str) -> list[str]:
    """Runs of letters, digits and vowel marks."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", name)).casefold().translate(_GREEK)
    return "".join(letter if unicodedata.category(letter)[0] in "LNM" else " " for letter in plain).split()
