# The images of the two ECS tasks: `trainer` (TensorFlow) and `promoter` (none). Neither holds Airflow.
#
#   make images     builds them all; by hand: docker build -f docker/trainer.Dockerfile --target trainer .
#
# On AWS give the base by digest: --build-arg BASE=python:3.11-slim@sha256:...
ARG BASE=python:3.11-slim

FROM ${BASE} AS base
# The official image comes without bytecode, and a read-only root could never keep it: compiled here, once.
RUN python -m compileall -q --invalidation-mode unchecked-hash -x '/(test|idlelib|lib2to3|tkinter|site-packages)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

FROM ${BASE} AS build
COPY requirements/tools.txt /locks/

FROM build AS trainer-environment
COPY requirements/trainer.txt /locks/
# What goes is for building against TensorFlow and for generating it; the image's test trains without it.
RUN --mount=type=bind,source=docker,target=/docker --mount=type=cache,target=/root/.cache \
    --mount=type=secret,id=index --mount=type=secret,id=ca \
    /docker/install environment /locks/trainer.txt \
    && rm -r /opt/mnist/lib/python3*/site-packages/tensorflow/include /opt/mnist/lib/python3*/site-packages/clang
COPY mnist_tasks /code/mnist_tasks
COPY examples /code/examples
RUN --mount=type=bind,source=docker,target=/docker \
    /docker/install code /code/mnist_tasks && /docker/install code /code/examples

FROM build AS promoter-environment
COPY requirements/promoter.txt /locks/
RUN --mount=type=bind,source=docker,target=/docker --mount=type=cache,target=/root/.cache \
    --mount=type=secret,id=index --mount=type=secret,id=ca \
    /docker/install environment /locks/promoter.txt
COPY mnist_tasks /code/mnist_tasks
COPY examples /code/examples
RUN --mount=type=bind,source=docker,target=/docker \
    /docker/install code /code/mnist_tasks && /docker/install code /code/examples

FROM base AS task
# Nobody in particular: by number, so that a platform can check that it is not root.
USER 10001:10001
WORKDIR /tmp
ENV HOME=/tmp LANG=C.UTF-8
ARG REVISION=unknown
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"

FROM task AS promoter
LABEL org.opencontainers.image.title="mnist-promoter" \
      org.opencontainers.image.description="Decides for one run which checkpoint is promoted and released."
COPY --from=promoter-environment /opt/mnist /opt/mnist
# -I: whoever may set the task's environment, command or folder makes Python import nothing of his own. With its whole
# path, because the environment includes PATH.
ENTRYPOINT ["/opt/mnist/bin/python", "-I", "-m", "mnist_tasks.promotion"]

FROM task AS trainer
LABEL org.opencontainers.image.title="mnist-trainer" \
      org.opencontainers.image.description="Trains one candidate and commits its checkpoint to S3."
COPY --from=trainer-environment /opt/mnist /opt/mnist
ENTRYPOINT ["/opt/mnist/bin/python", "-I", "-m", "mnist_tasks.training"]
