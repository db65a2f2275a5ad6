# Two stages: what builds stays behind, what runs is copied. The final image has neither a compiler
# nor a package cache, runs as nobody in particular, and writes to /data only.

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/mosaic
WORKDIR /src
COPY pyproject.toml README.md ./
COPY coordinator ./coordinator
# pip is of no use to the running program, and what is absent cannot be attacked. Byte code is
# compiled here because the running user may not write beside the code.
RUN /opt/mosaic/bin/pip install . \
 && /opt/mosaic/bin/pip uninstall --yes pip setuptools \
 && find /opt/mosaic -name __pycache__ -prune -exec rm -rf {} + \
 && python -m compileall -q -j 0 /opt/mosaic/lib

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin mosaic \
 && install -d -o mosaic -g mosaic -m 0750 /data
COPY --from=build /opt/mosaic /opt/mosaic
ENV PATH=/opt/mosaic/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    LOG_FORMAT=json
USER 10001
# A coordinator.toml mounted at /data/coordinator.toml is found without a setting.
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/opt/mosaic/bin/mosaic-coordinator", "health"]
ENTRYPOINT ["/opt/mosaic/bin/mosaic-coordinator"]
# `serve` with settings; without any, the demo, so that the bare image shows what it is.
CMD ["start"]
