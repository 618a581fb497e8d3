"""The service's truth: settings, tables, people and consent, uploads, jobs and leases, the object store.

Nothing in here knows a pixel: no torch, no OpenCV, no media library. `api` and `workers` meet only through
these rows.
"""

from __future__ import annotations

VERSION = "0.1.0"
"""Version of the product; written into manifests and shown by the API."""
