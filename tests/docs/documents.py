"""The README and the pages of the documentation, and the code that they show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pages"

# what each document says, by its path inside `docs/pages`
DOCUMENTS = {
    "README.md": (ROOT / "README.md").read_text(),
    **{path.relative_to(PAGES).as_posix(): path.read_text() for path in PAGES.rglob("*.md")},
}


@dataclass(frozen=True)
class Snippet:
    """A block of code, and where it stands."""

    document: str
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.document}: {self.code.strip().splitlines()[0]}"


SNIPPETS = tuple(
    Snippet(document, language, code)
    for document, text in DOCUMENTS.items()
    for language, code in re.findall(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
)


def snippets(language: str, document: str | None = None) -> list[Snippet]:
    """Those of a language, in their order."""
    return [
        snippet
        for snippet in SNIPPETS
        if snippet.language == language and document in {None, snippet.document}
    ]


QUICK_START = snippets("python", "README.md")[0].code


def code_of(document: str) -> list[str]:
    """The Python code of a document, after what it says that it builds on."""
    own = [snippet.code for snippet in snippets("python", document)]
    builds_on = re.search(r"builds? on the\s+\[quick\s+start\]", DOCUMENTS[document])
    return [QUICK_START, *own] if builds_on else own
