"""Print the lowest versions that pyproject.toml promises to work, as constraints for pip.

They are those of the library and its extras. The tests' own tools are the newest.
"""

import re
import tomllib
from itertools import chain
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
    floor = re.fullmatch(r"([\w-]+)(?:\[[\w,-]+\])?>=([\w.]+)", requirement)
    if floor is None:
        raise SystemExit(f"{requirement!r} has no lowest version; write it as name>=version")
    print("==".join(floor.groups()))
