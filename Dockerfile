# syntax=docker/dockerfile:1
# The lab on a CPU. docs/hosting.md says how to build, run and update it.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /venv
COPY requirements.txt /tmp/requirements.txt
RUN /venv/bin/pip install -r /tmp/requirements.txt "prometheus-client>=0.20"

FROM python:${PYTHON}-slim-bookworm
# A number, so that an orchestrator can tell that it is not root.
RUN groupadd --gid 10001 lab \
    && useradd --uid 10001 --gid lab --no-create-home --home-dir /cache --shell /usr/sbin/nologin lab \
    && install --directory --owner lab --group lab --mode 0700 /cache
COPY --from=build /venv /venv
WORKDIR /lab
# Owned by root, so that the server cannot change what it is made of.
COPY app.py README.md LICENSE requirements.txt ./
COPY app app
COPY model model
COPY weights weights
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_TEMP_DIR=/cache/files \
    HF_HOME=/cache/hub \
    MPLCONFIGDIR=/cache/matplotlib \
    TORCH_HOME=/cache/torch
USER 10001:10001
EXPOSE 7860
# Uploads, results and downloads; all else can be read-only.
VOLUME /cache
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/healthz', timeout=8)"]
STOPSIGNAL SIGTERM
CMD ["python", "app.py", "--device", "cpu"]
