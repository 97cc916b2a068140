# The web app as a container. Written with hadolint's rules in mind and NOT BUILT by this project's tests: they have no Docker. Its pip commands are the ones to check first if it fails.
#
#   docker build -t aivd .
#   docker run --read-only --tmpfs /tmp -v aivd-data:/data -p 127.0.0.1:8000:8000 -e AIVD_SERVE_API_KEY=... --memory 4g --pids-limit 256 --cap-drop ALL --security-opt no-new-privileges aivd
FROM python:3.12.8-slim-bookworm AS build
WORKDIR /src
COPY settings.ini setup.py pyproject.toml MANIFEST.in README.md LICENSE constraints.txt ./
COPY aivd_nb aivd_nb
RUN pip install --no-cache-dir build==1.3.0 \
 && python -m build --wheel --outdir /dist

FROM python:3.12.8-slim-bookworm
# The wheel's own requirements are what serving needs; training's are an extra.
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /dist /tmp/dist
RUN pip install --no-cache-dir -c /tmp/constraints.txt /tmp/dist/*.whl \
 && rm -r /tmp/dist /tmp/constraints.txt \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin aivd \
 && mkdir /data && chown 10001 /data
USER 10001
VOLUME /data
ENV AIVD_SERVE_HOST=0.0.0.0 AIVD_SERVE_DATA=/data AIVD_SERVE_BUNDLE=efficientnet_lite0 AIVD_CACHE=/tmp/aivd PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/api/v1/health', timeout=4)"]
ENTRYPOINT ["aivd", "serve"]
