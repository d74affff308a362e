# The wheels are made apart, so that nothing of their build stays in the image. Both lists name
# versions and checksums of all that there is; `make pins` writes them anew. Wheels alone: what builds
# a source distribution is in no list.
FROM python:3.13-slim AS build
WORKDIR /src
COPY deploy/image deploy/image
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r deploy/image/build.txt && \
    pip wheel --no-cache-dir --require-hashes --only-binary :all: --wheel-dir /wheels \
    -r deploy/image/requirements.txt
COPY . .
# There is no Node.js here: the build takes the one of its own list.
RUN pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
RUN useradd --uid 1000 --create-home rapidrtmp
COPY --from=build /wheels /wheels
# twistd --help writes the cache of plug-ins, which the user below may not.
RUN pip install --no-cache-dir --no-index /wheels/*.whl && rm -r /wheels && twistd --help > /dev/null
WORKDIR /app
RUN mkdir -p /app/data/streams && chown -R rapidrtmp /app/data
# by number, so that whoever runs it can tell that it is not root
USER 1000
ENV STORAGE_DIR=/app/data/streams PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /app/data
EXPOSE 8080 1935
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health')"]
STOPSIGNAL SIGTERM
# given by whoever builds it: --build-arg VERSION=... and so on
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="RapidRTMP" \
      org.opencontainers.image.description="Live-streaming server on Twisted: RTMP in, CMAF HLS out" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
CMD ["rapidrtmp", "serve"]
