"""The errors that only the service knows; branches of the one family in ``problems``.

Problem
├── ConsentMissing (403)    a person may not be learned without the consent of who it shows
├── ConsentMismatch (403)   the clip shows somebody else than who recorded the consent
├── RecordingReused (422)   a consent's recording is that of a clip, or was handed in before
├── Unauthenticated (401)   no key, or one that is not known
├── Forbidden (403)         the key lacks a scope
├── RateLimited (429)       too many requests a minute; retryable
├── QuotaExceeded (429)     a tenant has used what they may
├── InProgress (409)        the first request with this Idempotency-Key has not been answered yet; retryable
├── KeyReused (422)         the Idempotency-Key was used with another request
├── ForeignOrigin (403)     another web site tried to act through the user's browser
├── UnknownHost (400)       the request names a host this service is not known by (DNS rebinding)
├── NotReady (503)          a part of the service is missing right now; retryable
├── StoreUnavailable (503)  the object store does not answer, or asks to slow down; retryable
├── SignatureRefused (403)  a signed address of an object is expired, changed, or not ours
├── WeightsCorrupt (409)    a person's stored weights are not those that were stored
├── FetchRefused (422)      an address that the service does not call: not http, private, or spelt to be misread
├── NothingToFetch (422)    there is no file at an address: a web page, 404 and the like, redirects without end
├── FetchFailed (502)       the network or a server failed while a file was fetched; retryable
├── UploadStalled (408)     a client stopped in the middle of a body; retryable
├── TookTooLong (503)       a stage ran longer than the deployment allows
└── Poisoned (500)          a stage took its worker down too often to be tried again by itself
"""

from __future__ import annotations

from problems import Problem


class ConsentMissing(Problem):
    slug, title, status = "consent_missing", "There is no consent for this person", 403


class ConsentMismatch(Problem):
    slug, title, status = "consent_mismatch", "The consent was given by somebody else", 403


class RecordingReused(Problem):
    slug, title, status = "recording_reused", "The recording of the consent is no new one", 422


class Unauthenticated(Problem):
    slug, title, status = "unauthenticated", "A key is needed", 401


class Forbidden(Problem):
    slug, title, status = "forbidden", "The key may not do this", 403


class RateLimited(Problem):
    slug, title, status, retryable = "rate_limited", "Too many requests", 429, True


class QuotaExceeded(Problem):
    slug, title, status = "quota_exceeded", "The quota is used up", 429


class InProgress(Problem):
    slug, title, status, retryable = "request_in_progress", "The same request is in progress", 409, True


class KeyReused(Problem):
    slug, title, status = "idempotency_key_reused", "The Idempotency-Key belongs to another request", 422


class ForeignOrigin(Problem):
    slug, title, status = "foreign_origin", "The request came from another web site", 403


class UnknownHost(Problem):
    slug, title, status = "unknown_host", "The service is not known by this host name", 400


class NotReady(Problem):
    slug, title, status, retryable = "not_ready", "The service is not ready", 503, True


class WeightsCorrupt(Problem):
    slug, title, status = "weights_corrupt", "The person's weights are damaged", 409


class StoreUnavailable(Problem):
    slug, title, status, retryable = "store_unavailable", "The object store can't be reached", 503, True


class SignatureRefused(Problem):
    slug, title, status = "signature_refused", "The signed address is not valid (any more)", 403


class FetchRefused(Problem):
    slug, title, status = "fetch_refused", "The address is not one that the service calls", 422


class NothingToFetch(Problem):
    slug, title, status = "nothing_to_fetch", "There is no file at the address", 422


class FetchFailed(Problem):
    slug, title, status, retryable = "fetch_failed", "The file could not be fetched", 502, True


class RangeNotSatisfiable(Problem):
    slug, title, status = "range_not_satisfiable", "The range lies behind the object's end", 416


class UploadStalled(Problem):
    slug, title, status, retryable = "upload_stalled", "The upload stopped in its middle", 408, True


class TookTooLong(Problem):
    slug, title, status = "took_too_long", "The work took longer than is allowed", 503


class Poisoned(Problem):
    slug, title, status = "poisoned", "The work stopped its worker too often", 500
