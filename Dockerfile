# Four images from one file:
#   api         API, dashboard, relay and migrations: no torch, OpenCV or mediapipe (deploy/service.txt)
#   worker      a worker on the CPU, and the embedded service; what `docker build .` makes
#   worker-gpu  the same with torch for CUDA, which brings its own libraries; the host needs NVIDIA's driver and
#               container toolkit only
#   s3          the object store of docker-compose.yml, with a folder that a user other than root may write
# A worker's image is built beside the API's, so a change of the API rebuilds no torch.

FROM python:3.11-slim-bookworm AS base
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

FROM base AS running
ENV PYTHONUNBUFFERED=1 LIKENESS_DATA_DIR=/data HOME=/data XDG_CACHE_HOME=/data/cache
RUN groupadd --system --gid 10001 likeness \
    && useradd --system --uid 10001 --gid likeness --home-dir /data likeness \
    && install -d -o likeness -g likeness -m 0700 /data
VOLUME /data
STOPSIGNAL SIGTERM

# -- api -----------------------------------------------------------------------------------------------------
FROM base AS build-api
COPY constraints.txt deploy/service.txt ./
RUN python -m venv /venv && pip install --no-deps --requirement service.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
RUN pip install --no-deps --no-build-isolation --editable .

FROM running AS api
COPY --from=build-api /venv /venv
COPY alembic.ini pyproject.toml README.md LICENSE NOTICE ./
COPY problems problems
COPY training training
COPY likeness likeness
COPY migrations migrations
COPY api api
COPY workers workers
COPY cli cli
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["likeness", "up", "--host", "0.0.0.0"]

# -- worker --------------------------------------------------------------------------------------------------
FROM base AS build-worker
COPY constraints.txt deploy/worker.txt ./
# What comes as source is built by the pinned tools. --no-deps as in ./dev: mediapipe asks for another OpenCV.
RUN python -m venv /venv \
    && grep -E '^(hatchling|packaging|pathspec|pluggy|setuptools|tomlkit|trove-classifiers|wheel)==' worker.txt > build.txt \
    && pip install --no-deps --requirement build.txt \
    && pip install --no-deps --no-build-isolation --requirement worker.txt

FROM build-worker AS build-worker-cpu
RUN pip install --constraint constraints.txt --index-url https://download.pytorch.org/whl/cpu \
        "$(grep '^torch==' constraints.txt)"
COPY pyproject.toml README.md LICENSE NOTICE ./
RUN pip install --no-deps --no-build-isolation --editable .

FROM build-worker AS build-worker-gpu
RUN pip install --constraint constraints.txt "$(grep '^torch==' constraints.txt)"
COPY pyproject.toml README.md LICENSE NOTICE ./
RUN pip install --no-deps --no-build-isolation --editable .

FROM running AS worker-files
# What MediaPipe loads from the system. Unpinned: Debian keeps only the newest, which holds its security fixes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libegl1 libgles2 \
    && rm -rf /var/lib/apt/lists/*
ENV NUMBA_CACHE_DIR=/data/cache/numba MPLCONFIGDIR=/data/cache/matplotlib
COPY alembic.ini pyproject.toml README.md LICENSE NOTICE ./
COPY weights weights
COPY problems problems
COPY faces faces
COPY media media
COPY provenance provenance
COPY training training
COPY evaluation evaluation
COPY fitting fitting
COPY motion motion
COPY rendering rendering
COPY likeness likeness
COPY migrations migrations
COPY api api
COPY workers workers
COPY cli cli
USER 10001:10001
# Seen in the register of workers lately; the embedded service has a check of its own (docker-compose.embedded.yml).
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s --retries=3 \
    CMD ["python", "-m", "likeness.alive"]

FROM worker-files AS worker-gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility LIKENESS_DEVICE=cuda
COPY --from=build-worker-gpu /venv /venv
CMD ["likeness", "worker", "--queue", "gpu"]

# -- s3 ------------------------------------------------------------------------------------------------------
# See docker-compose.yml for why this one; tag and digest as others run it (looked up in November 2026, not pulled).
FROM ghcr.io/versity/versitygw:v1.8.0@sha256:30292fc2eeacc67a36993b01f7a7a5e3361a19cced0e80c1d71cfa2a4b0a2499 AS s3
# A new volume takes over the owner of the folder it is mounted on.
USER 0
RUN mkdir -p /objects && chown 10001:10001 /objects && chmod 0700 /objects
USER 10001:10001
VOLUME /objects

# The last one is what a build without --target makes.
FROM worker-files AS worker
COPY --from=build-worker-cpu /venv /venv
EXPOSE 8000
CMD ["likeness", "worker", "--queue", "cpu", "--queue", "gpu"]
