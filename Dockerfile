# The sidecar. Both stages start from the same image, so that the virtual environment's interpreter is where it was;
# any Debian-like image with Python 3.11 or later will do: --build-arg BASE=…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE outrider.py ./
COPY agent agent
# pip works on the virtual environment from outside, so that it does not end up in it. Dependencies come as wheels
# only: a missing one is an error here, not a compiler in the image.
RUN python3 -m venv /opt/pip \
 && /opt/pip/bin/python -m pip install --quiet --upgrade 'pip>=25.1' \
 && /opt/pip/bin/python -m pip wheel --quiet --no-deps --wheel-dir /wheels . \
 && python3 -m venv --without-pip /opt/outrider \
 && /opt/pip/bin/python -m pip --python /opt/outrider/bin/python install --quiet --only-binary :all: /wheels/*.whl \
 && /opt/outrider/bin/outrider --version

FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="Outrider" \
      org.opencontainers.image.description="An observability sidecar: stores what a workload says and does crash-proof, and hands it on over OTLP, Prometheus and Sentry." \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing that installs: whoever gets in finds an interpreter and the agent. The state directory belongs to the user
# and to nobody else, and a new volume takes that over.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip \
           /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/site-packages/setuptools* \
           /usr/local/lib/python3*/site-packages/wheel* /usr/bin/pip* /usr/lib/python3/dist-packages/pip* \
 && groupadd --system --gid 65532 outrider \
 && useradd --system --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/outrider --shell /usr/sbin/nologin outrider \
 && install -d -o 65532 -g 65532 -m 0700 /var/lib/outrider
COPY --from=build /opt/outrider /opt/outrider
ENV PATH=/opt/outrider/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OUTRIDER_STATE_DIR=/var/lib/outrider
USER 65532:65532
WORKDIR /var/lib/outrider
VOLUME ["/var/lib/outrider"]
# It needs no other writable place: run it with --read-only, --cap-drop ALL and --security-opt no-new-privileges.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["outrider", "healthcheck"]
ENTRYPOINT ["outrider"]
CMD ["run"]
