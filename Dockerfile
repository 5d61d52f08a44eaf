# The populator's image: the program and its locked packages, run as any user, with a read-only root file system.
# Built by any OCI builder: docker build -t xcopy-populator . (deploy/docs/image.md says more).
# A release pins the base by digest: --build-arg BASE=…@sha256:…
ARG BASE=registry.access.redhat.com/ubi9/python-312-minimal:9.8

FROM ${BASE} AS build
# hadolint ignore=DL3002
USER 0
# Else sets are compiled in another order each time, and the digest differs.
ENV PYTHONHASHSEED=0
WORKDIR /src
COPY deploy/requirements.txt deploy/image/build-requirements.txt ./
# The tools stay in /build, so that the program's environment has neither pip nor what pip brings.
RUN python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir --no-compile --require-hashes --requirement build-requirements.txt \
 && python3 -m venv --without-pip /opt/populator \
 && /build/bin/pip --python /opt/populator/bin/python install --no-cache-dir --no-compile --require-hashes \
    --requirement requirements.txt
COPY deploy/image/prune.py deploy/image/licences.py ./
COPY pyproject.toml README.md LICENSE ./
COPY populator populator
COPY vsphere vsphere
COPY lease lease
# Bytecode is checked against no time of change: builders set those anew, and nothing could be written at the start.
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && /build/bin/pip --python /opt/populator/bin/python install --no-cache-dir --no-compile --no-deps --no-index dist/*.whl \
 && /build/bin/cyclonedx-py environment /opt/populator/bin/python --pyproject pyproject.toml --output-reproducible \
    --output-file /opt/populator/sbom.cdx.json \
 && /opt/populator/bin/python licences.py /licenses LICENSE \
 && /opt/populator/bin/python prune.py \
 && /opt/populator/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/populator/lib

FROM ${BASE}
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL name="xcopy-populator" \
      version="${VERSION}" \
      summary="vSphere XCOPY volume populator" \
      description="Copies a vSphere disk onto a Kubernetes volume of the same array, by the array itself" \
      io.k8s.display-name="vSphere XCOPY volume populator" \
      io.k8s.description="Copies a vSphere disk onto a Kubernetes volume of the same array, by the array itself" \
      org.opencontainers.image.title="xcopy-populator" \
      org.opencontainers.image.description="Copies a vSphere disk onto a Kubernetes volume of the same array, by the array itself" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /licenses /licenses
COPY --from=build /opt/populator /opt/populator
USER 107:107
WORKDIR /tmp
EXPOSE 8443
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# As a container's first process it loses every SIGTERM that it has no handler for; one that is blocked waits for it.
ENTRYPOINT ["env", "--block-signal=TERM", "/opt/populator/bin/populator"]
CMD []
