"""Templates, and the few words in which pages say sizes, times and names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from markupsafe import Markup

from api.schemas import ProblemDetails
from api.views import ACTIVE
from likeness import VERSION

_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
STAGE_WORDS = {
    "validate": "Checks that the clip can be learned from, and brings it to 25 frames a second",
    "fit": "Follows the face through the clip: shape, pose, expression, light and skin",
    "motion": "Learns how they move when they speak",
    "render": "Learns how they look: hair, clothes, mouth and eyes",
    "publish": "Checks everything and puts it into one person file",
    "speak": "Turns the sound into movement, shown as a bare head",
    "dub": "Moves them by the sound, draws every frame and marks the video",
    "inspect": "Looks at faces, light, sharpness, cuts and sound",
    "consent": "Compares face, voice and lips of the recording",
    "verify": "Reads the signature and the watermark",
}
"""What happens in each stage, for people."""
_NOUNS = {"consent_check": "consent check", "motion": "motion preview"}


def _bytes(count: int | None) -> str:
    size = float(count or 0)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def duration_about(seconds: float) -> str:
    """A time that is a guess: "about 4 min"."""
    return (
        f"about {max(1, round(seconds / 60))} min" if seconds >= 45 else f"about {max(1, round(seconds))} s"
    )


def _utc(value: datetime | None) -> str:
    """A moment where no markup can be: in an attribute or an option."""
    return value.strftime("%Y-%m-%d %H:%M UTC") if value else ""


def _moment(value: datetime | None) -> Markup:
    """A moment as an element that a script shows in the reader's own time."""
    if value is None:
        return Markup("")
    return Markup('<time datetime="{}">{}</time>').format(_iso(value), _utc(value))


def _iso(value: datetime) -> str:
    """A moment as scripts read it, with its time zone."""
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _noun(kind: str) -> str:
    return _NOUNS.get(kind, kind)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _stage_words(name: str) -> str:
    return STAGE_WORDS.get(name, "")


_templates.env.filters.update(
    bytes=_bytes,
    duration=_duration,
    moment=_moment,
    iso=_iso,
    utc=_utc,
    noun=_noun,
    words=_words,
    stage_words=_stage_words,
)
_templates.env.globals.update(version=VERSION, ACTIVE=ACTIVE)


def render(request: Request, template: str, code: int = 200, **context: Any) -> HTMLResponse:
    """A page. Every one knows who looks (``account``), where they are (``here``) and the deployment's settings."""
    context.setdefault("account", request.scope.get("account"))
    return _templates.TemplateResponse(
        request,
        template,
        {"here": request.url.path, "settings": request.app.state.settings, **context},
        status_code=code,
    )


def error_page(request: Request, problem: ProblemDetails) -> HTMLResponse:
    """The page of a request that failed, with the way back to where it was made."""
    return render(request, "error.html", problem.status, problem=problem, back=_came_from(request))


def _came_from(request: Request) -> str | None:
    """The page of ours that the browser was on."""
    try:
        referrer = urlsplit(request.headers.get("referer", ""))
    except ValueError:  # "http://["
        return None
    if referrer.netloc != request.headers.get("host") or not referrer.path.startswith("/"):
        return None
    return None if referrer.path.startswith("//") else referrer.path
