# The one-machine cloud for docker-compose.yaml: for development, never for data that matters.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
COPY requirements/tools.txt requirements/cloud.txt /locks/
RUN --mount=type=bind,source=docker,target=/docker --mount=type=cache,target=/root/.cache \
    --mount=type=secret,id=index --mount=type=secret,id=ca \
    /docker/install environment /locks/cloud.txt

FROM ${BASE} AS localcloud
COPY --from=build /opt/mnist /opt/mnist
COPY localcloud /opt/localcloud/localcloud
COPY infra/mnist.yaml /opt/localcloud/infra/mnist.yaml
RUN /opt/mnist/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/localcloud
WORKDIR /opt/localcloud
ENV LANG=C.UTF-8
LABEL org.opencontainers.image.title="mnist-localcloud" \
      org.opencontainers.image.description="An AWS account on one machine, for development." \
      org.opencontainers.image.licenses="Apache-2.0"
# As root: it holds the engine's socket, and who holds that is root on the host anyway. docker-compose.yaml takes all
# capabilities away.
ENTRYPOINT ["/opt/mnist/bin/python", "-m", "localcloud"]
CMD ["serve", "--home", "/var/lib/localcloud"]
