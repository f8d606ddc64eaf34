# One image for the nodes (`python -m node`) and for the CA (`python -m ca`).
#
# BASE is any image with Python 3.13: python:3.13-slim, or the local ipseclab/base:trixie that `make image`
# makes where no registry can be reached. Written for the classic builder and for BuildKit alike.
# The wheels come from .wheelhouse/, which `make image` fills; where it is empty (a plain
# `docker compose up --build`) pip asks its index. The hashes of the lock file hold in both cases.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
LABEL org.ipseclab.stage=build
WORKDIR /opt/ipseclab
COPY requirements/node.txt requirements/pip.txt .wheelhouse/ /wheels/
RUN set -eu; \
    wheel="$(ls /wheels/pip-*.whl 2>/dev/null || true)"; \
    if [ -n "$wheel" ]; then pip="python3 $wheel/pip"; else pip="python3 -m pip"; fi; \
    $pip --version >/dev/null 2>&1 || { echo "no pip in the base and no wheels here: run 'make image'" >&2; exit 1; }; \
    if [ -n "$wheel" ]; then from="--no-index --find-links=/wheels"; else from=""; fi; \
    $pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        --no-compile --only-binary=:all: --require-hashes $from --target lib -r /wheels/node.txt; \
    rm -rf lib/bin; \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash lib
COPY yamlschema yamlschema/
COPY linetalk linetalk/
COPY ca ca/
COPY node node/
# Of the lab only the wire: the relay between the nodes, and the captures.
COPY lab/__init__.py lab/
COPY lab/wire lab/wire/
# The root file system is read-only when this runs, so bytecode is made here or never.
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash yamlschema linetalk ca node lab

FROM ${BASE}
# python:3.13-slim comes without the bytecode of the standard library, and Debian without `python`.
# The directories are there for the volumes: a fresh named volume takes owner and mode from the image,
# and the CA, which has no capabilities, could not chown it. The second user is that
# of the ESP process (docs/adr/0035).
RUN set -eu; \
    command -v python >/dev/null || ln -s "$(command -v python3)" /usr/local/bin/python; \
    stdlib="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"; \
    [ -d "$stdlib/asyncio/__pycache__" ] || python3 -m compileall -q -j 0 -x '/(test|site-packages)/' "$stdlib"; \
    printf 'ipsec:x:10001:\nipsec-esp:x:10002:\n' >>/etc/group; \
    printf '%s\n' 'ipsec:x:10001:10001:IKE and CA:/nonexistent:/usr/sbin/nologin' \
        'ipsec-esp:x:10002:10002:ESP:/nonexistent:/usr/sbin/nologin' >>/etc/passwd; \
    mkdir -p /pki/certs /pki/ca-key /pki/key /pki/keys/responder /pki/keys/initiator /evidence; \
    chmod 1777 /evidence; \
    chmod 0755 /pki /pki/certs /pki/keys; \
    chmod 0700 /pki/ca-key /pki/key /pki/keys/responder /pki/keys/initiator; \
    chown 10001:10001 /pki/certs /pki/ca-key /pki/key /pki/keys/responder /pki/keys/initiator
COPY --from=build /opt/ipseclab /opt/ipseclab
ENV PYTHONPATH=/opt/ipseclab/lib:/opt/ipseclab \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/ipseclab
STOPSIGNAL SIGTERM
CMD ["python", "-m", "node"]
ARG VERSION=0.1.0
ARG SOURCE=""
LABEL org.opencontainers.image.title="IPsec lab node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.ipseclab.source="${SOURCE}"
