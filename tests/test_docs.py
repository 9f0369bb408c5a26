"""What the documentation shows works: docstrings, the README and docs/."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import databases

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")])
MODULES = [module.name for module in pkgutil.walk_packages(databases.__path__, "databases.")]
EXAMPLES = [
    (page, number, code)
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    "code", [pytest.param(code, id=f"{page.name}-{number}") for page, number, code in EXAMPLES]
)
def test_examples_in_pages_run(code: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    variables = {"PYTHONPATH": str(ROOT)}
    if "DATABASE_URL" in code:
        variables["DATABASE_URL"] = request.getfixturevalue("postgresql_server").url
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readme_begins_with_the_two_commands() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:45]
    shown = "\n".join(first_screen)
    assert shown.index("scripts/run") < shown.index("scripts/test") < shown.index("uv run")
    assert "Moving over from databases 0.9" in shown


def test_public_names_have_docstrings_with_what_they_promise() -> None:
    for name in databases.__all__:
        assert getattr(databases, name).__doc__, name
    for method in ("fetch_all", "fetch_one", "fetch_val", "execute", "execute_many", "iterate"):
        assert ">>>" in (getattr(databases.Database, method).__doc__ or ""), method


def test_every_setting_of_the_service_is_in_the_readme() -> None:
    from users_service.settings import Settings

    readme = (ROOT / "README.md").read_text()
    for name in Settings.model_fields:
        assert f"`--{name.replace('_', '-')}`" in readme
        assert f"`USERS_{name.upper()}`" in readme
