"""docs/masks.md: the audits of some kernels, made from the data (`make docs`)."""

from __future__ import annotations

from pathlib import Path

from tifbpf.layouts import catalogue, claims, history
from tifbpf.reporters import gfm, masks, masks_history

PAGE = Path(__file__).parents[1] / "docs" / "masks.md"
BEGIN = "<!-- made from the data: make docs -->"
END = "<!-- end -->"
KERNELS = ("3.13", "6.1", "6.12", "6.18", "7.3")

_MAIL = """## Linux 3.13, beside the mail

{author} took two masks of that kernel apart by hand on {list} ({date}, "{subject}").
The audit differs in {different} of the {all} claims that can be checked: {differences}.
"""


def update(text: str) -> str:
    """Return the page with its audits made anew.

    Raises:
        ValueError: the page does not have both marks.
    """
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{audits()}\n{END}{after}"


def audits() -> str:
    """Return the audits of `KERNELS`, and what is said of all kernels."""
    parts = []
    for kernel in KERNELS:
        parts.append(_mail() if kernel == claims.mail().era else f"## Linux {kernel}\n")
        document = masks.build(kernel, catalogue.for_kernel(kernel))
        parts.append(gfm.text(masks.sections(document), level=3))
    parts += ["## All kernels\n", gfm.text(masks_history.of_history(history.history()), level=3)]
    return "\n".join(parts)


def _mail() -> str:
    mail, checked = claims.mail(), claims.checked()
    different = [claim for claim in checked if claim.outcome is not claims.Outcome.HOLDS]
    told = "; ".join(f"{gfm.escape(claim.says)} ({claim.outcome})" for claim in different)
    return _MAIL.format(
        author=mail.author,
        list=mail.list,
        date=mail.date,
        subject=mail.subject,
        different=len(different),
        all=len(checked),
        differences=told,
    )
