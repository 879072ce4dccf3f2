# The operator's image. Both stages use one base: Python 3.11 or newer with venv, and certificates.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN ["python3", "-m", "venv", "/opt/build"]
RUN ["python3", "-m", "venv", "--without-pip", "/opt/qbsync"]
# What changes seldom comes first: all that comes from the network, and only with the locked hashes.
COPY dev/image/build-requirements.txt requirements.lock ./
RUN ["/opt/build/bin/pip", "install", "--require-hashes", "-r", "build-requirements.txt"]
RUN ["/opt/build/bin/pip", "--python", "/opt/qbsync/bin/python3", "install", "--require-hashes", "-r", "requirements.lock"]
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY operator operator
RUN ["/opt/build/bin/pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", "/wheels", "."]
RUN ["/opt/build/bin/pip", "--python", "/opt/qbsync/bin/python3", "install", "--no-deps", "--no-index", "--find-links", "/wheels", "qbsync"]

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="qbsync" \
      org.opencontainers.image.description="Kubernetes operator for QuickBooks Online" \
      org.opencontainers.image.licenses="Apache-2.0"
# The user has a name, since libraries ask for it.
RUN ["groupadd", "--gid", "65532", "qbsync"]
RUN ["useradd", "--key", "UID_MAX=65535", "--uid", "65532", "--gid", "65532", "--no-create-home", "--home-dir", "/tmp", "--shell", "/usr/sbin/nologin", "qbsync"]
# For --spool-dir: a volume mounted here belongs to the user from the start.
RUN ["install", "--directory", "--mode=0700", "--owner=65532", "--group=65532", "/var/spool/qbsync"]
COPY --from=build /opt/qbsync /opt/qbsync
ENV PATH=/opt/qbsync/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["qbsync"]
CMD ["operator"]
