"""An example of each body and answer of the API, by the name of its schema; a test holds them against the schemas.

All belong to one story: Ada is learned from a clip, and a video of her is made.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

_PERSON, _CONSENT = "per_01kbb2m6sv4q2x0w8d5zj7n9ea", "con_01kbb2kz3e9t5r7y1m4c8h2pqd"
_CLIP, _SPEECH, _FILMED = (
    "upl_01kbb2jq8w3n6v9b2x5c7z1mdf",
    "upl_01kbb31h5k8p2s4u6w9y3a7ceg",
    "upl_01kbb2kb7d1f3h5j9m2p4r6tvx",
)
_TRAINING, _VIDEO = "job_01kbb2p0r4t6v8x1z3b5d7f9hk", "job_01kbb32m6p8r1t3v5x7z9b2d4f"
_BATCH, _ENDPOINT = "bat_01kbb34a2c4e6g8j1m3p5r7t9v", "whk_01kbb2hw1y3a5c7e9g2j4m6p8r"
_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_ASKED, _BEGUN, _ENDED = "2026-12-01T09:00:00Z", "2026-12-01T09:00:01Z", "2026-12-01T09:04:12Z"
_STATEMENT = (
    "I am Ada Example. I agree that a model of my face and of how I speak is made from my video, and that videos are "
    "made with it in which I say other words. The words of today are: needle coffee window tiger."
)


def example_of(schema: str) -> Any:
    """The example of a schema, the caller's own to change; None when there is none."""
    return deepcopy(_EXAMPLES.get(schema))


def _stage(name: str, seconds: float | None, status: str = "succeeded") -> dict[str, Any]:
    return {
        "name": name,
        "status": status,
        "attempt": 0 if seconds is None else 1,
        "reused": False,
        "seconds": seconds,
    }


def _ended_job(job_id: str, stages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": job_id,
        "status": "succeeded",
        "metadata": {},
        "stage": stages[-1]["name"],
        "progress": {
            "percent": 100.0,
            "done": 1,
            "total": 1,
            "eta_seconds": 0.0,
            "message": "",
            "metrics": {},
        },
        "stages": stages,
        "queue_position": None,
        "attempt": 1,
        "error": None,
        "created_at": _ASKED,
        "started_at": _BEGUN,
        "finished_at": _ENDED,
    }


_OUTPUT = {"picture": "frame", "format": "mp4", "height": None, "fps": 25.0, "crf": 18}
_POSE = {
    "mode": "learned",
    "seed": 0,
    "video_upload_id": None,
    "expression_upload_id": None,
    "length_mismatch": "bounce",
    "face": None,
    "head_strength": 1.0,
    "lip_strength": 1.0,
    "smoothing": 0.0,
}
_CONSENT_OUT = {
    "object": "consent",
    "id": _CONSENT,
    "status": "verified",
    "subject_name": "Ada Example",
    "purposes": ["train", "dub"],
    "language": "en",
    "statement": _STATEMENT,
    "passcode": "needle coffee window tiger",
    "recording_upload_id": _FILMED,
    "job_id": "job_01kbb2kd9f2h4k6n8q1s3u5w7y",
    "report": {"accepted": True, "findings": []},
    "expires_at": "2026-12-01T09:30:00Z",
    "created_at": _ASKED,
    "revoked_at": None,
}
_WEBHOOK_DATA = {
    "id": _TRAINING,
    "object": "training",
    "status": "succeeded",
    "stage": "publish",
    "person_id": _PERSON,
    "error": None,
    "result": {"preset": "preview", "seed": 0},
}
_MESSAGE = {"type": "training.succeeded", "timestamp": _ENDED, "data": _WEBHOOK_DATA}
_CHECKS = [
    {"name": "database", "ok": True, "detail": "migrated"},
    {"name": "worker", "ok": True, "detail": "alive"},
]
_UPLOAD = {
    "object": "upload",
    "id": _CLIP,
    "purpose": "clip",
    "status": "ready",
    "filename": "ada.mp4",
    "size": 1823114,
    "sha256": _SHA,
    "source_url": None,
    "part_size": None,
    "parts": [],
    "expires_at": None,
    "created_at": _ASKED,
}
_VIDEO_IN = {
    "title": "Lesson 12",
    "person_id": _PERSON,
    "audio": {"upload_id": _SPEECH},
    "pose": {"mode": "learned", "seed": 3, "head_strength": 0.9},
    "output": {"format": "mp4", "height": 720},
    "metadata": {"lesson": "12"},
}

_EXAMPLES: dict[str, Any] = {
    # Bodies.
    "UploadIn": {
        "purpose": "clip",
        "filename": "ada.mp4",
        "size": 1823114,
        "sha256": _SHA,
        "media_type": "video/mp4",
    },
    "InspectionIn": {"upload_id": _CLIP},
    "ConsentRequestIn": {"subject_name": "Ada Example", "language": "en", "purposes": ["train", "dub"]},
    "RecordingIn": {"upload_id": _FILMED},
    "ReviewIn": {"words_heard": True},
    "PersonIn": {"name": "Ada", "consent_id": _CONSENT, "metadata": {"team": "e-learning"}},
    "PersonPatch": {"name": "Ada (studio)"},
    "TrainingIn": {"upload_id": _CLIP, "preset": "preview", "seed": 0, "metadata": {}},
    "MotionIn": {
        "person_id": _PERSON,
        "audio": {"upload_id": _SPEECH},
        "pose": {"mode": "learned", "seed": 3},
    },
    "VideoIn": _VIDEO_IN,
    "BatchIn": {"name": "Lesson 12", "items": [_VIDEO_IN], "dry_run": False},
    "EstimateIn": {"kind": "video", "seconds": 42.5},
    "VerificationIn": {"upload_id": "upl_01kbb33f4h6k8n1q3s5u7w9y2a"},
    "WebhookIn": {
        "url": "https://studio.example/likeness-events",
        "events": ["training.succeeded", "video.succeeded"],
    },
    "WebhookPatch": {"enabled": False},
    "ApiKeyIn": {"name": "The website", "scopes": ["read", "render"]},
    "RetryIn": {"from_stage": "render"},
    # Answers.
    "UploadOut": _UPLOAD,
    "ConsentOut": _CONSENT_OUT,
    "PersonOut": {
        "object": "person",
        "id": _PERSON,
        "name": "Ada",
        "status": "ready",
        "consent": _CONSENT_OUT,
        "metadata": {"team": "e-learning"},
        "training_id": _TRAINING,
        "weights": {"sha256": _SHA, "size": 18224310},
        "portrait": {"url": f"/v1/persons/{_PERSON}/portrait", "sha256": _SHA, "size": 21004},
        "created_at": _ASKED,
    },
    "VersionOut": {
        "object": "version",
        "number": 1,
        "status": "ready",
        "promoted": True,
        "training_id": _TRAINING,
        "sha256": _SHA,
        "size": 18224310,
        "created_at": _ENDED,
    },
    "TrainingOut": {
        **_ended_job(
            _TRAINING,
            [
                _stage("validate", 9.1),
                _stage("fit", 61.4),
                _stage("motion", 20.2),
                _stage("render", 155.0),
                _stage("publish", 2.3),
            ],
        ),
        "object": "training",
        "person_id": _PERSON,
        "upload_id": _CLIP,
        "preset": "preview",
        "seed": 0,
        "result": {"preset": "preview", "seed": 0},
    },
    "MotionOut": {
        **_ended_job("job_01kbb31z3b5d7f9h2k4n6q8s1u", [_stage("speak", 6.0)]),
        "object": "motion",
        "person_id": _PERSON,
        "audio_upload_id": _SPEECH,
        "pose": {**_POSE, "seed": 3},
        "preview": {
            "url": "/v1/motions/job_01kbb31z3b5d7f9h2k4n6q8s1u/preview",
            "sha256": _SHA,
            "size": 812004,
        },
        "curves": None,
        "track": None,
        "result": {"frames": 1062, "head_std_deg": [1.2, 2.3, 0.7]},
    },
    "VideoOut": {
        **_ended_job(_VIDEO, [_stage("dub", 88.0)]),
        "object": "video",
        "title": "Lesson 12",
        "person_id": _PERSON,
        "audio_upload_id": _SPEECH,
        "pose_mode": "learned",
        "seed": 3,
        "output": {**_OUTPUT, "height": 720},
        "batch_id": None,
        "download_url": f"/v1/videos/{_VIDEO}/download",
        "sha256": _SHA,
        "size": 9120044,
        "thumbnail": {"url": f"/v1/videos/{_VIDEO}/thumbnail", "sha256": _SHA, "size": 9320},
    },
    "InspectionOut": {
        **_ended_job("job_01kbb2k1m3p5r7t9v2x4z6b8df", [_stage("inspect", 7.2)]),
        "object": "inspection",
        "upload_id": _CLIP,
        "report": {"trainable": True, "seconds": 12.4, "findings": []},
    },
    "VerificationOut": {
        **_ended_job("job_01kbb33h6k8n1q3s5u7w9y2a4c", [_stage("verify", 3.1)]),
        "object": "verification",
        "upload_id": "upl_01kbb33f4h6k8n1q3s5u7w9y2a",
        "ours": True,
        "video_id": _VIDEO,
        "report": {
            "watermark": {"found": True, "confidence": 1.0, "frames": 50},
            "c2pa": None,
            "agree": None,
        },
    },
    "EventsOut": {
        "object": "list",
        "data": [
            {
                "object": "event",
                "id": 41,
                "type": "status",
                "data": {"from": "queued", "to": "running"},
                "created_at": _BEGUN,
            }
        ],
    },
    "FilesOut": {
        "object": "list",
        "data": [{"name": "frame-88.jpg", "url": "/v1/objects/frame-88.jpg?signature=…"}],
    },
    "BatchOut": {
        "object": "batch",
        "id": _BATCH,
        "name": "Lesson 12",
        "status": "running",
        "total": 2,
        "counts": {"succeeded": 1, "running": 1},
        "created_at": _ASKED,
    },
    "DryRunOut": {"object": "dry_run", "items": 2, "errors": []},
    "EstimateOut": {
        "object": "estimate",
        "compute_seconds": 88.0,
        "eta_seconds": 120.0,
        "queue_ahead": 1,
        "basis": "history",
    },
    "UsageOut": {
        "object": "usage",
        "since": "2026-12-01T00:00:00Z",
        "until": "2026-12-02T00:00:00Z",
        "totals": {"video_seconds": 42.5, "cpu_seconds": 336.0},
        "days": [{"date": "2026-12-01", "kind": "video_seconds", "amount": 42.5}],
        "stored_bytes": 6100221,
        "active_jobs": 1,
        "limits": {"concurrent_jobs": 4, "video_minutes": None, "stored_bytes": None},
    },
    "WebhookOut": {
        "object": "webhook_endpoint",
        "id": _ENDPOINT,
        "url": "https://studio.example/likeness-events",
        "events": ["training.succeeded", "video.succeeded"],
        "enabled": True,
        "secret": None,
        "created_at": _ASKED,
    },
    "DeliveryOut": {
        "object": "webhook_delivery",
        "id": "dlv_01kbb2qx1z3b5d7f9h2k4n6q8s",
        "event_id": "evt_01kbb2qx0w2y4a6c8e1g3j5m7p",
        "event": "training.succeeded",
        "status": "delivered",
        "attempts": 1,
        "next_at": None,
        "last_status": 204,
        "last_error": None,
        "payload": _MESSAGE,
        "created_at": _ENDED,
        "delivered_at": _ENDED,
    },
    "ApiKeyOut": {
        "object": "api_key",
        "id": "key_01kbb2g5m7p9r2t4v6x8z1b3d5",
        "name": "The website",
        "prefix": "lk_3fq8",
        "scopes": ["read", "render"],
        "key": None,
        "created_at": _ASKED,
        "last_used_at": None,
        "revoked_at": None,
    },
    "AuditOut": {
        "object": "audit_event",
        "id": "aud_01kbb2p0s5u7w9y2a4c6e8g1jm",
        "actor": "key_01kbb2g5m7p9r2t4v6x8z1b3d5",
        "action": "train",
        "subject": _PERSON,
        "details": {
            "method": "POST",
            "path": f"/v1/persons/{_PERSON}/trainings",
            "request_id": "req_01kbb2p0",
        },
        "created_at": _ASKED,
    },
    "DeletionOut": {
        "object": "deletion",
        "id": "del_01kbb35c6e8g1j3m5p7r9t2v4x",
        "subject": _PERSON,
        "status": "done",
        "waiting": [],
        "deleted": [_PERSON],
        "rows": {"people": 1, "jobs": 1},
        "objects": [f"people/{_PERSON}/ada.likeness"],
        "created_at": _ASKED,
        "finished_at": _ENDED,
    },
    "SystemOut": {
        "object": "system",
        "version": "0.1.0",
        "auth": "keys",
        "consent": "recorded",
        "checks": _CHECKS,
        "workers": [
            {
                "id": "worker-1-4711/9c2f41aa",
                "queues": ["cpu"],
                "alive": True,
                "started_at": _ASKED,
                "last_seen": _ENDED,
            }
        ],
        "queues": {"cpu": {"queued": 0, "running": 1}, "gpu": {"queued": 0, "running": 0}},
    },
    "HealthOut": {"status": "ok", "version": "0.1.0"},
    "ReadyOut": {"status": "ready", "checks": _CHECKS},
    # Webhooks.
    "WebhookJobMessage": _MESSAGE,
    "WebhookTestMessage": {"type": "webhook.test", "timestamp": _ENDED, "data": {"endpoint_id": _ENDPOINT}},
}
