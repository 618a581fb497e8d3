"""The runner: claims a stage, runs its function under a lease, and commits what it wrote.

    claim ─▶ same key committed? ─▶ take its manifest
                 │ no
                 ▼
      bring inputs and earlier outputs into work/<job>/ ─▶ run the stage ─▶ store files, then manifest, then
      the row

What it survives: SIGKILL anywhere (the lease expires, the next run finds the work folder and the stage's own
checkpoints in it), a worker that slept past its lease (the fence in the row refuses its writes), an API that
went away (there is no channel but the database), a second delivery of the same stage id (the claim finds
nothing).

``workers/process.py`` makes a process of it: ``likeness worker``, and the embedded service's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError

from likeness import VERSION
from likeness.admission import clip_reused
from likeness.clock import now
from likeness.database import Database
from likeness.intake import require_free_disk, safe_suffix
from likeness.learned import sweep_revoked
from likeness.logs import bound
from likeness.loops import Board, Flag, Loop
from likeness.refusals import ConsentMismatch, ConsentMissing, StoreUnavailable, TookTooLong, WeightsCorrupt
from likeness.repositories.artifacts import ArtifactRepository
from likeness.repositories.leases import QUEUES, Claim, LeaseRepository, Standing
from likeness.repositories.people import PersonRepository
from likeness.requests import FACE, THUMBNAIL, container_of
from likeness.settings import Settings
from likeness.storage_faults import problem_of
from likeness.store import ObjectStore, file_digest
from problems import (
    Cancelled,
    InternalProblem,
    InvalidInput,
    LeaseLost,
    NotFound,
    OutOfDisk,
    OutOfMemory,
    Problem,
)
from training.progress import Progress, Tick
from workers.carry import Carrier, checkpoints_of, fetch_checkpoint
from workers.meter import FIT_S, Meter, Seconds, expected, led, render_s
from workers.presence import identity
from workers.previews import PreviewShelf, previews_of

if TYPE_CHECKING:
    from workers.earlier_takes import EarlierTakes

log = logging.getLogger("likeness.runner")

EXIT_TAINTED = 75
"""Exit status of a worker that ran out of memory: it asks for a fresh process."""

# -- stages --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageContext:
    """What a stage gets to work with."""

    work: Path
    """The job's folder: outputs of earlier stages lie in it, this one's go into it."""
    inputs: Mapping[str, Path]
    """Files by role: clip, recording, person, pose_video, expression_video."""
    params: Mapping[str, Any]
    device: str
    progress: Progress
    job_id: str = ""
    settings: Settings | None = None
    """Of the deployment; None outside of one."""
    takes: EarlierTakes | None = None
    """Of the tenant's uploads; None outside of a deployment."""


@dataclass(frozen=True)
class StageSpec:
    """How the runner runs a stage."""

    run: Callable[[StageContext], Mapping[str, Any] | None]
    """Runs it; what it returns (JSON types) is the job's result when this is the last stage."""
    version: str
    """Raised whenever the same inputs would give other outputs: old manifests are not reused then."""
    reads: tuple[str, ...] = ()
    """Roles of the input files it wants."""
    params: tuple[str, ...] = ()
    """Parameters its outputs depend on."""
    seconds: Seconds = field(default_factory=dict)
    """How long its parts take, for the job's percentage and ETA."""
    produces: tuple[str, ...] = ()
    """Files that must be in the work folder afterwards."""


def _inspect(context: StageContext) -> Mapping[str, Any]:
    from fitting.inspect.pictures import InspectionPictures
    from workers.inspection import inspect

    pictures = InspectionPictures()
    inspection = inspect(
        context.inputs["clip"],
        audio_track=context.params.get("audio_track"),
        rotate=context.params.get("rotate") or 0,
        progress=context.progress,
        watch=pictures.watch,
    )
    return pictures.write(inspection, context.work)


def _consent(context: StageContext) -> Mapping[str, Any]:
    from workers.hearing import recogniser_of
    from workers.stages import consent

    settings = context.settings
    return consent.run(
        context.inputs["consent"],
        passcode=context.params["passcode"],
        language=context.params["language"],
        earlier=context.takes,
        recogniser=(lambda: recogniser_of(settings))
        if settings is not None and settings.recogniser
        else None,
        progress=context.progress,
    )


def _require_another_take(context: StageContext) -> None:
    """Refuse a clip that is the recording of the consent, in whatever file; it may have come after that."""
    from media.takes import compare

    if context.takes is None:
        return
    recording, clip = (context.takes.of(role, context.inputs[role]) for role in ("consent", "clip"))
    if compare(recording, clip).parts or compare(clip, recording).parts:
        raise clip_reused("the clip", "that it is learned on")


def _require_same_face(recording: Path, clip: Path) -> None:
    from workers.stages.consent import ConsentLimits, same_face

    distance, most = same_face(recording, clip), ConsentLimits().same_person
    if distance > most:
        raise ConsentMismatch(
            "the clip shows somebody else than the recording of the consent",
            remedy="train with a clip of the person who gave the consent, or record their consent anew",
            details={"distance": round(distance, 3), "at_most": most},
        )


def _verify(context: StageContext) -> Mapping[str, Any]:
    from workers.stages import verify

    return verify.run(context.inputs["video"], progress=context.progress)


def _validate(context: StageContext) -> Mapping[str, Any]:
    from workers.stages import validate

    if "consent" in context.inputs:
        _require_another_take(context)
        _require_same_face(context.inputs["consent"], context.inputs["clip"])
    return validate.run(
        context.inputs["clip"],
        context.work,
        audio_track=context.params.get("audio_track"),
        rotate=context.params.get("rotate") or 0,
        accept=context.params.get("accept") or (),
        progress=context.progress,
    ).as_dict()


def _fit(context: StageContext) -> None:
    from workers.stages import fit

    fit.run(
        context.work,
        frames=None,
        preset=context.params["preset"],
        seed=context.params["seed"],
        device=context.device,
        progress=context.progress,
    )


def _motion(context: StageContext) -> None:
    from workers.stages import motion

    motion.run(
        context.work,
        preset=context.params["preset"],
        seed=context.params["seed"],
        progress=context.progress,
    )


def _render(context: StageContext) -> None:
    from workers.stages import render

    render.run(
        context.work,
        preset=context.params["preset"],
        seed=context.params["seed"],
        device=context.device,
        progress=context.progress,
    )


def _publish(context: StageContext) -> Mapping[str, Any]:
    from workers.stages import fit, publish

    portrait = context.work / fit.PORTRAIT
    if (
        portrait.is_file()
    ):  # committed with the weights, so that whoever shows a person finds both in one place
        shutil.copyfile(portrait, context.work / FACE)
    return publish.run(
        context.work,
        context.work / "person.likeness",
        preset=context.params["preset"],
        seed=context.params["seed"],
        progress=context.progress,
    )


def _speak(context: StageContext) -> Mapping[str, Any]:
    from workers.stages import speak

    return speak.run(
        context.inputs["person"],
        context.inputs["recording"],
        context.work,
        **_driving(context),
        motion_picture=context.work / "motion.png",
        preview=True,
        progress=context.progress,
    )


def _driving(context: StageContext) -> dict[str, Any]:
    """How they are to move, as the stages speak and dub both take it: the one shows what the other will do."""
    from motion.predict import MotionControls

    params = context.params
    face = params.get("face")
    return {
        "pose": params["pose"],
        "pose_video": context.inputs.get("pose_video"),
        "expression_video": context.inputs.get("expression_video"),
        "face": (face["x"], face["y"]) if face else None,
        "length_mismatch": params.get("length_mismatch", "bounce"),
        "audio_track": params.get("audio_track"),
        "seed": params["seed"],
        "controls": MotionControls(
            lip_strength=params.get("lip_strength", 1.0),
            head_strength=params.get("head_strength", 1.0),
            smoothing=params.get("smoothing", 0.0),
        ),
    }


def _dub(context: StageContext) -> Mapping[str, Any]:
    from media.encode import Encoding
    from workers.mark import Mark, credentials_of
    from workers.stages import dub

    params = context.params
    picture = params.get("output", "frame")
    # Rows may be older than the choices: what they do not name has its default.
    asked = {name: params[name] for name in ("height", "fps", "crf") if params.get(name) is not None}
    encoding = Encoding(container_of(picture, params.get("format")), **asked)  # type: ignore[arg-type]
    consent = params.get("consent") or {}
    mark = Mark(
        context.job_id,
        credentials_of(context.settings or Settings()),
        consent_kind=consent.get("kind"),
        consent_id=consent.get("id"),
    )
    frames = dub.run(
        context.inputs["person"],
        context.inputs["recording"],
        context.work / f"video.{encoding.container}",
        **_driving(context),
        preset=params.get("preset"),
        output=picture,
        encoding=encoding,
        device=context.device,
        mark=mark,
        motion_picture=context.work / "motion.png",
        thumbnail=context.work / THUMBNAIL,
        progress=context.progress,
    )
    return {"frames": frames, "video_seconds": frames / encoding.fps}


_LEARNS = ("preset", "seed")
_TURNS = (
    "pose",
    "seed",
    "lip_strength",
    "head_strength",
    "smoothing",
    "length_mismatch",
    "face",
    "audio_track",
)
_SHOWS = ("output", "format", "height", "fps", "crf", "preset", "mark")
_DRIVES = ("person", "recording", "pose_video", "expression_video")

STAGES: Mapping[str, StageSpec] = {
    "consent": StageSpec(_consent, "2", reads=("consent",), params=("passcode", "language")),
    "verify": StageSpec(_verify, "1", reads=("video",)),
    "inspect": StageSpec(_inspect, "3", reads=("clip",), params=("audio_track", "rotate")),
    "validate": StageSpec(
        _validate,
        "2",
        reads=("clip", "consent"),
        params=("audio_track", "rotate", "accept"),
        seconds={"inspect": 5, "validate": 5},
        produces=("clip.mp4",),
    ),
    "fit": StageSpec(
        _fit,
        "3",
        params=_LEARNS,
        seconds=FIT_S,
        produces=("track.safetensors", "texture.safetensors"),
    ),
    "motion": StageSpec(
        _motion,
        "2",
        params=_LEARNS,
        seconds={"motion.features": 5, "motion": 29},
        produces=("motion.safetensors", "motion.json"),
    ),
    "render": StageSpec(
        _render,
        "3",
        params=_LEARNS,
        seconds=render_s,
        produces=("surroundings.safetensors",),
    ),
    "publish": StageSpec(_publish, "3", params=_LEARNS, produces=("person.likeness",)),
    "speak": StageSpec(
        _speak,
        "2",
        reads=_DRIVES,
        params=_TURNS,
        seconds=led({"motion.predict": 1, "motion.preview": 9}),
        produces=("preview.mp4", "motion.png", "track.safetensors"),
    ),
    "dub": StageSpec(_dub, "4", reads=_DRIVES, params=(*_TURNS, *_SHOWS), seconds=led({"dub": 22})),
}
"""Every stage there is, by its name in ``likeness.requests.PLANS``; modules are imported when they run."""

_NOT_OUTPUTS = ("inputs", "checkpoints")
_EVENT_EVERY_S = 5.0
"""Seconds between two readings of progress that stay as events: what loss curves are drawn from."""


def stage_key(spec: StageSpec, claim: Claim) -> str:
    """sha256 of what the stage's outputs depend on: name, code version, config, and the hashes of its inputs.

    The scope is part of it, so nothing of one person is ever handed to another; so is the consent, so what was learned
    on one that is taken back later is not part of what was learned on another.
    """
    parts = {
        "stage": claim.stage,
        "version": spec.version,
        "scope": claim.scope,
        "params": {name: claim.params.get(name) for name in (*spec.params, "fresh")},
        "inputs": {item.role: item.sha256 for item in claim.inputs if item.role in spec.reads},
        "earlier": [[each.stage, [[f["name"], f["sha256"]] for f in each.files]] for each in claim.earlier],
    }
    if claim.consent_id is not None:
        parts["consent"] = claim.consent_id
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


# -- keeping a lease -----------------------------------------------------------------------------------------


class Pulse:
    """A loop beside a stage that extends the lease of its claim, and remembers what it heard."""

    def __init__(
        self, database: Database, claim: Claim, settings: Settings, board: Board | None = None
    ) -> None:
        self._database, self._claim, self._settings = database, claim, settings
        self._good_until = time.monotonic() + settings.lease_s
        beat = settings.heartbeat_s
        self._loop = Loop(
            "pulse",
            self._beat,
            pause_s=beat,
            longest_pause_s=beat,
            board=board or Board(),
            turn_s=settings.lease_s,
            at_once=False,
        )
        self._held = ExitStack()
        self.standing = Standing.HELD

    def __enter__(self) -> Pulse:
        self._held.enter_context(self._loop.beside())
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def hear(self, standing: Standing) -> None:
        """Take note of what a fenced write found; a lost lease stays lost."""
        if self.standing is not Standing.LOST:
            self.standing = standing

    def _beat(self) -> None:
        if self.standing is Standing.LOST:
            return
        started = time.monotonic()
        try:
            with self._database.write() as session:
                leases = LeaseRepository(session)
                self.hear(leases.heartbeat(self._claim, now=now(), lease_s=self._settings.lease_s))
            self._good_until = started + self._settings.lease_s
        except Exception:
            if time.monotonic() > self._good_until:
                self.hear(Standing.LOST)
            raise


# -- running -------------------------------------------------------------------------------------------------


class Runner:
    """Runs stages, one at a time. Several may share a database; each must have its own ``owner``."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        settings: Settings,
        *,
        registry: Mapping[str, StageSpec] = STAGES,
        owner: str = "",
        queues: Sequence[str] = QUEUES,
        stop: Flag | None = None,
        board: Board | None = None,
        takeover: Callable[[], None] | None = None,
    ) -> None:
        self.database, self.store, self.settings, self.registry = database, store, settings, registry
        self.queues = tuple(queues)
        self.owner = owner or identity("worker")
        self.stop: Flag = stop or threading.Event()
        self.board = board or Board()
        """Where the loops of its process note how they go."""
        self.takeover = takeover
        """Done before the first claim: see :class:`workers.slots.Takeover`."""
        self.tainted = False
        """True once memory ran out in this process: it should be replaced by a fresh one."""

    def run_once(self, stage_id: str | None = None) -> bool:
        """Claim and run one stage (or that one); False when there was nothing to do."""
        if self.takeover is not None:
            self.takeover()
        moment = now()
        with self.database.write() as session:
            leases = LeaseRepository(session)
            leases.reap(now=moment, max_attempts=self.settings.max_attempts)
            claim = leases.claim(
                owner=self.owner,
                now=moment,
                lease_s=self.settings.lease_s,
                queues=self.queues,
                stage_id=stage_id,
            )
        if claim is None:
            return False
        with bound(job_id=claim.job_id, stage=claim.stage, tenant_id=claim.tenant_id):
            log.info("job %s stage %s attempt %d starts", claim.job_id, claim.stage, claim.attempt)
            self._run(claim)
        return True

    def run_all(self) -> int:
        """Run stages until none is queued; returns how many."""
        count = 0
        while not self.stop.is_set() and self.run_once():
            count += 1
        return count

    def _run(self, claim: Claim) -> None:
        with Pulse(self.database, claim, self.settings, self.board) as pulse:
            try:
                self._execute(claim, pulse)
            except Cancelled as problem:
                self._put_down(claim, pulse, problem)
            except LeaseLost:
                log.warning("job %s stage %s went to another worker", claim.job_id, claim.stage)
                self._sweep_revoked()
            except SQLAlchemyError:
                # Nothing can be written now; the lease will expire and the stage go on from its checkpoint.
                log.exception("job %s stage %s lost the database", claim.job_id, claim.stage)
            except Problem as problem:
                self.tainted = self.tainted or isinstance(problem, OutOfMemory)
                self._end(claim, problem)
            # a stage may raise anything, and its job must still end
            except Exception as error:
                self._end(claim, self._typed(claim, error))

    def _execute(self, claim: Claim, pulse: Pulse) -> None:
        spec = self.registry.get(claim.stage)
        if spec is None:
            raise InternalProblem(
                f"this worker knows no stage {claim.stage!r}", remedy="update the worker to the API's version"
            )
        if not claim.consented:
            raise ConsentMissing(
                "the person's consent is not on record",
                remedy="make the person again with their consent",
                details={"job_id": claim.job_id},
            )
        if gone := [role for role in claim.missing_inputs if role in spec.reads]:
            raise InvalidInput(
                f"the {' and '.join(gone)} of this job was deleted",
                remedy="upload it again and make a new request",
                details={"missing": gone},
            )
        key = stage_key(spec, claim)
        with self.database.write() as session:
            pulse.hear(LeaseRepository(session).set_key(claim, key))
            committed = ArtifactRepository(session).committed(key)
        if committed is not None and self._whole(committed.prefix, committed.manifest):
            self._commit(claim, key=key, prefix="", manifest={}, reuse=committed.id)
            return
        if committed is not None:
            with self.database.write() as session:
                if LeaseRepository(session).hold(claim) is not Standing.LOST:
                    ArtifactRepository(session).delete([committed.id])
        require_free_disk(self.settings)
        work = self._work_folder(claim)
        inputs = self._bring(claim, spec, work)
        progress = self._listener(claim, pulse, work)
        with self._carrying(claim, work, pulse):
            result = spec.run(
                StageContext(
                    work,
                    inputs,
                    claim.params,
                    self.settings.device,
                    progress,
                    claim.job_id,
                    self.settings,
                    self._takes(claim),
                )
            )
        for name in spec.produces:
            if not (work / name).is_file():
                raise InternalProblem(
                    f"the stage {claim.stage} ended without writing {name}",
                    remedy="retry the job; if it happens again, report it with the worker's log",
                )
        prefix = f"{claim.scope}/stages/{key}/{claim.stage_id}-{claim.fence}"
        manifest = self._store_outputs(claim, work, prefix, dict(result or {}))
        self._commit(claim, key=key, prefix=prefix, manifest=manifest)

    def _takes(self, claim: Claim) -> EarlierTakes | None:
        own = {item.role: item.upload_id for item in claim.inputs if item.upload_id is not None}
        if "consent" not in own:
            return None
        from workers.earlier_takes import EarlierTakes

        return EarlierTakes(self.database, self.store, claim.tenant_id, own)

    def _work_folder(self, claim: Claim) -> Path:
        """The job's folder on this machine, emptied when the job was asked to be done anew since it was last here."""
        work = self.settings.work_dir / claim.job_id
        marker, wanted = work / ".fresh", str(claim.params.get("fresh", ""))
        if work.is_dir() and (marker.read_text() if marker.is_file() else "") != wanted:
            shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
        marker.write_text(wanted)
        return work

    def _bring(self, claim: Claim, spec: StageSpec, work: Path) -> dict[str, Path]:
        """Inputs and earlier outputs, in place and verified; what a crash left there whole is kept."""
        inputs = {}
        for item in claim.inputs:
            if item.role in spec.reads:
                inputs[item.role] = work / "inputs" / f"{item.role}{safe_suffix(item.filename)}"
                try:
                    self._bring_file(item.object_key, inputs[item.role], item.sha256)
                except (NotFound, InternalProblem) as problem:
                    if item.role != "person" or claim.package_artifact_id is None:
                        raise
                    self._refuse_weights(claim.package_artifact_id, problem)
        for each in claim.earlier:
            for entry in each.files:
                try:
                    self._bring_file(f"{each.prefix}/{entry['name']}", work / entry["name"], entry["sha256"])
                except (NotFound, InternalProblem) as problem:
                    raise InternalProblem(
                        f"{entry['name']}, made by the stage {each.stage}, is missing or damaged",
                        remedy=f"retry the job from the stage {each.stage}",
                        details={"stage": each.stage, "file": entry["name"]},
                    ) from problem
        return inputs

    def _carrying(self, claim: Claim, work: Path, pulse: Pulse) -> AbstractContextManager[object]:
        """Checkpoints come from the object store and go there, where other machines might have to go on."""
        if not self.settings.carries_checkpoints:
            return nullcontext()
        fetch_checkpoint(self.store, claim, work)
        return Carrier(
            self.database,
            self.store,
            claim,
            work,
            every_s=self.settings.checkpoint_every_s,
            hear=pulse.hear,
            board=self.board,
        )

    def _bring_file(self, key: str, target: Path, sha256: str) -> None:
        if not (target.is_file() and file_digest(target)[1] == sha256):
            self.store.fetch(key, target, sha256=sha256)

    def _refuse_weights(self, artifact_id: str, problem: Problem) -> NoReturn:
        """Mark a version of a person's weights as corrupt, and say so."""
        with self.database.write() as session:
            PersonRepository(session).mark_corrupt(artifact_id)
        raise WeightsCorrupt(
            "the person's weights are missing or damaged in the object store",
            remedy="use an older version of the person, or train again: POST /v1/persons/{id}/trainings",
            details={"artifact_id": artifact_id, "reason": problem.message},
        ) from problem

    def _whole(self, prefix: str, manifest: Mapping[str, Any]) -> bool:
        return all(self.store.exists(f"{prefix}/{entry['name']}") for entry in manifest["files"])

    def _store_outputs(self, claim: Claim, work: Path, prefix: str, result: dict[str, Any]) -> dict[str, Any]:
        """Store every file in the work folder that no earlier stage wrote; the manifest comes last."""
        known = {entry["name"] for each in claim.earlier for entry in each.files}
        files = []
        for path in sorted(work.rglob("*")):
            name = path.relative_to(work).as_posix()
            hidden = any(part.startswith(".") for part in path.relative_to(work).parts)
            if not path.is_file() or hidden or name in known or name.split("/")[0] in _NOT_OUTPUTS:
                continue
            stored = self.store.put_file(f"{prefix}/{name}", path)
            files.append({"name": name, "size": stored.size, "sha256": stored.sha256})
        manifest = {"stage": claim.stage, "product": VERSION, "files": files, "result": result}
        written = work / f".manifest-{claim.fence}.json"
        try:
            written.write_text(json.dumps(manifest, indent=1, sort_keys=True))
            self.store.put_file(f"{prefix}/manifest.json", written)
        finally:
            written.unlink(missing_ok=True)
        return manifest

    def _commit(
        self, claim: Claim, *, key: str, prefix: str, manifest: Mapping[str, Any], reuse: str | None = None
    ) -> None:
        with self.database.write() as session:
            leases = LeaseRepository(session)
            standing = leases.hold(claim)
            held = standing is Standing.HELD and leases.complete(
                claim, key=key, prefix=prefix, manifest=manifest, now=now(), reuse=reuse
            )
            taken = ArtifactRepository(session).committed(key)
        if prefix and (taken is None or taken.prefix != prefix):
            self._drop(prefix)
        if standing is Standing.CANCELING:
            raise Cancelled(f"the stage {claim.stage} was asked to stop", remedy="retry the job to go on")
        if not held:
            raise LeaseLost(
                f"the stage {claim.stage} of {claim.job_id} belongs to another worker now",
                remedy="nothing: the other worker finishes it",
            )
        if claim.checkpoint is not None or self.settings.carries_checkpoints:
            self._drop(checkpoints_of(claim.scope, claim.stage_id))
        log.info("job %s stage %s %s", claim.job_id, claim.stage, "reused" if reuse else "done")
        if claim.stage == claim.stages[-1]:
            shutil.rmtree(self.settings.work_dir / claim.job_id, ignore_errors=True)
            if "render" in claim.stages:  # the last pictures are among that stage's outputs now
                self._drop(previews_of(claim.scope, claim.job_id))

    def _drop(self, prefix: str) -> None:
        """Delete what nothing needs any more. The row is written: a store that is away must not undo that, and
        what stays there goes with its person or upload.
        """
        try:
            self.store.delete_prefix(prefix)
        except StoreUnavailable:
            log.warning("%s stays in the store until its scope is deleted", prefix)

    def _listener(self, claim: Claim, pulse: Pulse, work: Path) -> Progress:
        roles = {item.role for item in claim.inputs}
        specs = (self.registry.get(name) for name in claim.stages)
        plan = [expected(spec.seconds, claim.params, roles) if spec else {} for spec in specs]
        meter = Meter(plan, claim.stages.index(claim.stage))
        last, last_event = -self.settings.progress_every_s, -_EVENT_EVERY_S
        shelf = PreviewShelf(self.store, previews_of(claim.scope, claim.job_id), work)

        def listen(tick: Tick) -> None:
            nonlocal last, last_event
            moment = time.monotonic()
            if moment - last >= self.settings.progress_every_s:
                last = moment
                reading = meter.read(tick)
                event_at = now() if moment - last_event >= _EVENT_EVERY_S else None
                last_event = moment if event_at else last_event
                try:
                    with self.database.write() as session:
                        pulse.hear(LeaseRepository(session).report(claim, reading, event_at=event_at))
                except SQLAlchemyError:
                    log.warning("progress of %s did not reach the database", claim.job_id, exc_info=True)
                shelf.fill()
            if pulse.standing is Standing.LOST:
                raise LeaseLost(
                    f"the stage {claim.stage} of {claim.job_id} belongs to another worker now",
                    remedy="nothing: the other worker finishes it",
                )
            if pulse.standing is Standing.CANCELING or self.stop.is_set():
                raise Cancelled(f"the stage {claim.stage} was asked to stop", remedy="retry the job to go on")

        return listen

    # -- ends ------------------------------------------------------------------------------------------------

    def _put_down(self, claim: Claim, pulse: Pulse, problem: Cancelled) -> None:
        with self.database.write() as session:
            leases = LeaseRepository(session)
            pulse.hear(leases.hold(claim))
            if pulse.standing is Standing.CANCELING:
                leases.cancel(claim, now=now())
            elif self.stop.is_set():
                leases.release(claim, now=now())
            else:
                leases.fail(claim, problem, now=now())
        log.info("job %s stage %s was put down", claim.job_id, claim.stage)
        self._sweep_revoked()

    def _sweep_revoked(self) -> None:
        """What a stopped training left goes at once if it was its consent that was taken back."""
        try:
            sweep_revoked(self.database, self.store, self.settings)
        except (StoreUnavailable, SQLAlchemyError):
            log.warning("what was learned on a consent that was taken back is swept up later", exc_info=True)

    def _end(self, claim: Claim, problem: Problem) -> None:
        again = problem.retryable and claim.attempt < self.settings.max_attempts
        try:
            with self.database.write() as session:
                leases = LeaseRepository(session)
                if again:
                    delay = self.settings.retry_backoff_s * 2 ** (claim.attempt - 1)
                    leases.postpone(claim, problem, now=now(), not_before=now() + timedelta(seconds=delay))
                else:
                    leases.fail(claim, problem, now=now())
        except SQLAlchemyError:
            log.exception("the end of job %s did not reach the database; its lease will expire", claim.job_id)
            return
        log.warning("job %s stage %s: %s: %s", claim.job_id, claim.stage, problem.slug, problem.message)
        if isinstance(
            problem, InvalidInput
        ):  # the same input can't do better: nothing in the folder is worth keeping
            shutil.rmtree(self.settings.work_dir / claim.job_id, ignore_errors=True)

    def _typed(self, claim: Claim, error: Exception) -> Problem:
        if isinstance(problem_of(error), OutOfDisk):  # the data folder's, or the database's
            return OutOfDisk(
                f"the disk filled up during the stage {claim.stage}",
                remedy="free some disk space; the job goes on by itself",
            )
        if type(error).__name__ == "SoftTimeLimitExceeded":  # Celery's
            return TookTooLong(
                f"the stage {claim.stage} ran longer than {self.settings.stage_limit_s:g} s",
                remedy="retry the job, which goes on from its checkpoint, or raise LIKENESS_STAGE_LIMIT_S",
                details={"stage": claim.stage},
            )
        # torch's own class can't be named here without importing torch.
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            self.tainted = True
            return OutOfMemory(
                f"memory ran out during the stage {claim.stage}",
                remedy="close other programs, use a smaller preset, or a machine with more memory",
            )
        log.exception("job %s stage %s failed unexpectedly", claim.job_id, claim.stage, exc_info=error)
        return InternalProblem(
            f"the stage {claim.stage} failed unexpectedly ({type(error).__name__})",
            remedy="retry the job; if it happens again, report it with the worker's log",
            details={"stage": claim.stage, "exception": type(error).__name__},
        )
