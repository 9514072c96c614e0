# Label Studio, in the version that the stack of `carpal up` runs as well.
FROM python:3.11.9-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*

COPY labeling_config/label-studio-requirements.txt labeling_config/label-studio-constraints.txt /tmp/
RUN pip install --no-cache-dir --constraint /tmp/label-studio-constraints.txt \
    --requirement /tmp/label-studio-requirements.txt

RUN useradd --uid 10001 --create-home label-studio \
    && mkdir -p /workspace/label-studio /workspace/pool/images \
    && chown -R label-studio:label-studio /workspace
USER label-studio
EXPOSE 8080
ENTRYPOINT ["tini", "--"]
