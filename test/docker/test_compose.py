# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-compose 1.29 brings a project up, changes it and takes it down, through wharfd and through dockerd."""
import os
import re
import shutil
import subprocess

import pytest

PROJECT = """
version: "2.4"
services:
  db:
    image: busybox
    command: sh -c 'while :; do echo hi | nc -l -p 80; done'
    networks: { back: { aliases: [database] } }
    volumes: [ "data:/data" ]
    healthcheck: { test: ["CMD", "true"], interval: 1s, retries: 3 }
    ulimits: { nofile: 1000 }
    tmpfs: [ /run ]
    labels: { a: b }
  web:
    image: busybox
    command: sh -c 'echo $$HELLO; nc database 80; while :; do sleep 0.1; done'
    environment: { HELLO: world }
    networks: [ back, front ]
    ports: [ "127.0.0.1:8081:80" ]
    depends_on: { db: { condition: service_healthy } }
networks: { back: {}, front: { driver: bridge } }
volumes: { data: {} }
"""

STEPS = ["up -d", "ps", "exec -T web echo in", "exec -T db sh -c 'ulimit -n'", "run --rm -T db echo ran",
         "up -d --scale db=2", "restart -t 0 web", "pause web", "unpause web", "port web 80", "stop -t 0", "ps -q",
         "start", "down -v -t 0", "ps"]


def compose(daemon, line):
    """(code, what it said, in an order that does not depend on who was first)"""
    done = subprocess.run(f"docker-compose -p proj {line}", shell=True, cwd="/tmp/w/project", text=True, timeout=60,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "DOCKER_HOST": daemon.socket, "COMPOSE_HTTP_TIMEOUT": "50"})
    said = re.sub(r"\b[0-9a-f]{64}\b|db_run_\w+", "ID", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout))
    lines = {" ".join(x.split()).replace("...done", "... done").strip() for x in re.split("[\r\n]", said)}
    return done.returncode, sorted(x for x in lines if x and not x.startswith("---"))


@pytest.fixture
def project(world):
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed")
    os.mkdir("project")
    with open("project/docker-compose.yml", "w") as f:
        f.write(PROJECT)
    yield
    shutil.rmtree("/tmp/w/project")


@pytest.mark.slow
@pytest.mark.limit(150)
def test_a_project(project, wharfd, dockerd):
    ours = [compose(wharfd, line) for line in STEPS]  # one after the other: both publish the port
    theirs = [compose(dockerd, line) for line in STEPS]
    for line, a, b in zip(STEPS, ours, theirs):
        assert a == b, line
        assert a[0] == 0, (line, a)
