# Airflow with the DAGs, the plugins and mnist_tasks. Not made from the apache/airflow image: that one brings providers and
# versions of its own, and what runs here is to be what the lock says and the tests ran with.
#
#   make images     builds them all; by hand: docker build -f docker/airflow.Dockerfile .
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
COPY requirements/tools.txt requirements/airflow-image.txt /locks/
RUN --mount=type=bind,source=docker,target=/docker --mount=type=cache,target=/root/.cache \
    --mount=type=secret,id=index --mount=type=secret,id=ca \
    /docker/install environment /locks/airflow-image.txt
COPY mnist_tasks /code/mnist_tasks
COPY examples /code/examples
RUN --mount=type=bind,source=docker,target=/docker \
    /docker/install code /code/mnist_tasks && /docker/install code /code/examples

FROM ${BASE} AS airflow
# See trainer.Dockerfile.
RUN python -m compileall -q --invalidation-mode unchecked-hash -x '/(test|idlelib|lib2to3|tkinter|site-packages)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/mnist /opt/mnist
COPY dags /opt/airflow/dags
COPY plugins /opt/airflow/plugins
COPY docker/compose /opt/compose
# matplotlib's font cache, which would otherwise be made anew in every container.
RUN MPLCONFIGDIR=/opt/airflow/matplotlib /opt/mnist/bin/python -c "import matplotlib.font_manager"
# The Helm chart's probes call the official image's entry point by its path.
RUN printf '#!/bin/sh\nexec "$@"\n' > /entrypoint && chmod 755 /entrypoint
# A named volume takes over the owner of the folder that it covers. An empty airflow.cfg keeps Airflow from writing one.
RUN mkdir -p /opt/airflow/logs /secrets/airflow /secrets/broker /secrets/database /secrets/ui \
    && touch /opt/airflow/airflow.cfg \
    && chown -R 50000:0 /opt/airflow/logs /secrets \
    && chmod -R g=u /opt/airflow/logs
USER 50000:0
WORKDIR /opt/airflow
# Airflow wants a user name, and the number may be any (docker-compose.aws.yaml).
ENV PATH=/opt/mnist/bin:$PATH PYTHONSAFEPATH=1 HOME=/tmp LOGNAME=airflow LANG=C.UTF-8 AIRFLOW_HOME=/opt/airflow MPLCONFIGDIR=/opt/airflow/matplotlib \
    AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mnist-airflow" \
      org.opencontainers.image.description="Airflow with the MNIST training pipeline." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
# No entry point: as the official image does, it runs what it is told, `bash -c "exec airflow scheduler"` of the Helm chart
# as well as `airflow scheduler`.
CMD ["airflow", "version"]
