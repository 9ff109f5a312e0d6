# One image for all parts. The container's command chooses the part: worker fetch, beat, api, ... See docs/deploy.md.
#
# To build from the same base image each time, pin it by its digest:
#   docker pull python:3.13-slim-bookworm   (prints the digest)
#   docker build --build-arg PYTHON=python:3.13-slim-bookworm@sha256:... -t data-tracker .
ARG PYTHON=python:3.13-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /build
RUN python -m venv --without-pip /venv
COPY requirements.txt constraints.txt ./
# Every requirement is a wheel, so the image needs no compiler. ccxt's asynchronous clients are unused and large.
RUN pip --python /venv/bin/python install --no-cache-dir --only-binary=:all: -c constraints.txt -r requirements.txt \
    && rm -r /venv/lib/python*/site-packages/ccxt/async_support /venv/lib/python*/site-packages/ccxt/pro
COPY pyproject.toml celeryconfig.py ./
COPY tracker tracker
COPY api api
RUN pip --python /venv/bin/python install --no-cache-dir --no-deps .

FROM ${PYTHON}
RUN install --directory --owner=10001 --group=10001 /data
COPY --from=build /venv /venv
# Only DATA_DIR is written: the rest may be read-only.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data BIND_ADDRESS=0.0.0.0
WORKDIR /data
# A number, because Kubernetes cannot tell whether a name is root.
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s CMD ["data-tracker", "health"]
ENTRYPOINT ["data-tracker"]
CMD ["--help"]
