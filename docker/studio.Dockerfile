# The studio on a CPU, with the commands of README. From the repository:
#   docker build -t synctrack-studio -f docker/studio.Dockerfile .
#   docker run -p 127.0.0.1:7860:7860 -v synctrack-studio:/work/studio synctrack-studio
FROM python:3.12-slim

WORKDIR /synctrack
# torch for CPUs alone is a tenth of the size.
RUN pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY ckpt/demo ckpt/demo
RUN pip install --no-cache-dir '.[studio]'

# Sessions and their takes are kept in /work/studio, a volume, which has this owner; a folder of the host would have its own.
RUN useradd --create-home synctrack && mkdir -p /work/studio && chown -R synctrack /work
USER synctrack
WORKDIR /work
VOLUME /work/studio
EXPOSE 7860
# As Ctrl-C does; the first process of a container heeds no other signal.
STOPSIGNAL SIGINT
CMD ["synctrack", "studio", "--host", "0.0.0.0"]
