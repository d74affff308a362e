# The wheel is built apart, so that nothing of its build stays in the image.
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
# There is no Node.js here: pip takes the one that the build asks for from its own index.
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim
RUN useradd --uid 1000 --create-home rapidrtmp
COPY --from=build /wheels /wheels
# twistd --help writes the cache of plug-ins, which the user below may not.
RUN pip install --no-cache-dir /wheels/*.whl && rm -r /wheels && twistd --help > /dev/null
WORKDIR /app
RUN mkdir -p /app/data/streams && chown -R rapidrtmp /app/data
USER rapidrtmp
ENV STORAGE_DIR=/app/data/streams PYTHONUNBUFFERED=1
VOLUME /app/data
EXPOSE 8080 1935
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health')"]
STOPSIGNAL SIGTERM
CMD ["rapidrtmp", "serve"]
