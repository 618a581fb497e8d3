"""docs/operations.md names what there is: each setting, each metric, each file."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client import generate_latest

from api.app import create_app
from likeness.database import Database
from likeness.schema import migrate
from likeness.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "operations.md").read_text()


def settings_rows() -> dict[str, str]:
    """First default of each variable in the tables of settings."""
    found = {}
    for names, defaults in re.findall(r"^\| (`LIKENESS_[^|]*) \| ([^|]*) \|", TEXT, re.MULTILINE):
        variables = re.findall(r"`(LIKENESS_\w+)`", names)
        values = re.findall(r"`([^`]*)`", defaults)
        found.update(zip(variables, values or [""] * len(variables), strict=False))
        found.update({variable: "" for variable in variables if variable not in found})
    return found


def test_every_setting_is_told() -> None:
    told = settings_rows()
    missing = {f"LIKENESS_{name.upper()}" for name in Settings.model_fields} - set(told)
    assert not missing


def test_the_defaults_are_those_of_the_code() -> None:
    told = settings_rows()
    checked = 0
    for name, field in Settings.model_fields.items():
        default = told[f"LIKENESS_{name.upper()}"]
        if isinstance(field.default, bool):
            assert default == str(field.default).lower(), name
        elif isinstance(field.default, int | float):
            assert float(default) == field.default, name
        elif name in ("environment", "host", "device", "log_level", "log_format", "store"):
            assert default == field.default, name
        else:
            continue
        checked += 1
    assert checked >= 15


def test_the_metrics_it_tells_are_those_that_are_served(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    database = Database.of(settings)
    migrate(database)
    database.close()
    served = generate_latest(create_app(settings).state.registry).decode()
    names = set(re.findall(r"^# TYPE (likeness_\w+)", served, re.MULTILINE))
    table = TEXT[TEXT.index("| Metric | Labels |") : TEXT.index("All but the last are read")]
    assert set(re.findall(r"`(likeness_\w+)`", table)) == {
        name.removesuffix("_created") for name in names if not name.endswith("_created")
    }
    parts = ("_bucket", "_count", "_sum")
    used = {
        name if name in names else re.sub(rf"({'|'.join(parts)})$", "", name)
        for name in re.findall(r"\b(likeness_\w+)", TEXT)
    }
    assert used <= names


def test_the_alerts_are_rules() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
    [groups] = [block["groups"] for block in blocks if "groups" in block]
    for rule in groups[0]["rules"]:
        assert rule["alert"].startswith("Likeness")
        assert "likeness_" in rule["expr"]
        assert re.fullmatch(r"\d+m", rule["for"])


def test_the_services_it_tells_are_those_of_the_compose_file() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    table = TEXT[TEXT.index("| Service | What it does |") : TEXT.index("**On several machines**")]
    told = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    assert {name for cell in told for name in re.findall(r"`([^`]*)`", cell)} == set(services)


def test_no_text_says_that_there_are_no_accounts_where_there_may_be_some() -> None:
    """Who says so says of which mode: compose's own deployment has keys."""
    files = [
        *(ROOT / name for name in ("README.md", "Dockerfile", ".env.example")),
        *ROOT.glob("docker-compose*.yml"),
        *(ROOT / "docs").glob("*.md"),
        *(path for folder in ("api", "cli", "likeness") for path in (ROOT / folder).rglob("*.py")),
        *(ROOT / "api").rglob("*.html"),
    ]
    claims = 0
    for path in files:
        text = path.read_text()
        for claim in re.finditer(r"no accounts|accounts are not|can do everything|may do everything", text):
            around = text[max(0, claim.start() - 300) : claim.end() + 200]
            mode = re.search(
                r"LIKENESS_AUTH|auth == \"local\"|``auth`` local|local: no accounts"
                r"|where (there are|the deployment has) no accounts",
                around,
            )
            assert mode, f"{path.relative_to(ROOT)}: …{around[200:380]}…"
            claims += 1
    assert claims > 5
