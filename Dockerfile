# The populator's image: the program and its locked packages, run as any user, with a read-only root file system.
# Built by any OCI builder: docker build -t xcopy-populator .
FROM registry.access.redhat.com/ubi9/python-312-minimal AS build
USER 0
WORKDIR /src
COPY deploy/requirements.txt .
RUN python3 -m venv /opt/populator \
 && /opt/populator/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY . .
RUN /opt/populator/bin/pip install --no-cache-dir --no-deps . \
 && /opt/populator/bin/python -m compileall -q /opt/populator/lib

FROM registry.access.redhat.com/ubi9/python-312-minimal
LABEL summary="vSphere XCOPY volume populator" \
      io.k8s.description="Copies a vSphere disk onto a Kubernetes volume of the same array, by the array itself"
COPY --from=build /opt/populator /opt/populator
USER 107:107
EXPOSE 8443
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# As a container's first process it loses every SIGTERM that it has no handler for; one that is blocked waits for it.
ENTRYPOINT ["env", "--block-signal=TERM", "/opt/populator/bin/populator"]
