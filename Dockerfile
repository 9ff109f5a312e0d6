# One image for all processes. The container's command chooses one: `python -m tracker COMMAND`.
FROM python:3.12-slim

RUN useradd --create-home tracker
WORKDIR /app
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt -r requirements.txt
COPY celeryconfig.py ./
COPY tracker tracker
COPY api api
RUN mkdir var && chown tracker var
USER tracker

ENV PYTHONUNBUFFERED=1 BIND_ADDRESS=0.0.0.0
ENTRYPOINT ["python", "-m", "tracker"]
CMD ["--help"]
