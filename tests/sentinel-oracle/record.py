"""Asks a real Spring Cloud Gateway with Sentinel's adapter, and writes down what it answers.

    python3 record.py

Builds the gateway with Maven, starts it, runs every case of cases.json and writes recorded.json.
"""

import http.client
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = pathlib.Path(__file__).parent
START_SECONDS = 90


class Backend(BaseHTTPRequestHandler):
    """Answers 200 after as many milliseconds as `x-slow-ms` says."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        time.sleep(int(self.headers.get("x-slow-ms", 0)) / 1000)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = do_OPTIONS = answer

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def named(text, name):
    return text.replace("$", name)


def route_document(cases, backend):
    """The routes of all cases, two for each, and CORS for those that are about it."""
    routes = [
        {
            "id": f"{case['name']}-{route}",
            "uri": backend,
            "predicates": [f"Path=/{case['name']}/{route}/**"],
        }
        for case in cases
        for route in "ab"
    ]
    allowed = {"allowedOrigins": ["https://ok.test"], "allowedMethods": ["GET"]}
    cors = {f"[/{case['name']}/**]": allowed for case in cases if case["name"].startswith("cors")}
    settings = {"routes": routes, "globalcors": {"corsConfigurations": cors}}
    return {"spring": {"cloud": {"gateway": {"server": {"webflux": settings}}}}}


def ask(port, case, step):
    """One request; its status, how long it took, and what it was told if it was blocked."""
    client = step.get("client", "127.0.0.1")
    connection = http.client.HTTPConnection("127.0.0.1", port, source_address=(client, 0))
    headers = dict(step.get("headers", {}))
    if "slow_ms" in step:
        headers["x-slow-ms"] = str(step["slow_ms"])
    began = time.monotonic()
    target = f"/{case['name']}/{step.get('to', 'a/x')}"
    connection.request(step.get("method", "GET"), target, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    took = (time.monotonic() - began) * 1000 - step.get("slow_ms", 0)
    told = {"content_type": response.getheader("content-type"), "body": body}
    connection.close()
    return response.status, took, told


def run_step(port, case, step):
    if "wait_ms" in step:
        time.sleep(step["wait_ms"] / 1000)
        return {}
    count = step["send"]
    answers = [None] * count
    if "every_ms" in step:

        def one(place):
            answers[place] = ask(port, case, step)

        threads = []
        for place in range(count):
            thread = threading.Thread(target=one, args=(place,))
            thread.start()
            threads.append(thread)
            time.sleep(step["every_ms"] / 1000)
        for thread in threads:
            thread.join()
    else:
        answers = [ask(port, case, step) for _ in range(count)]
    result = {"statuses": [status for status, _, _ in answers]}
    if "every_ms" in step:
        result["waits_ms"] = [round(took / 50) * 50 for _, took, _ in answers]
    blocked = [told for status, _, told in answers if status == 429]
    if blocked:
        result["told"] = blocked[0]
    return result


def until_up(port, process):
    due = time.monotonic() + START_SECONDS
    while time.monotonic() < due and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit("the gateway did not start: see target/gateway.log")


def main():
    cases = json.loads((HERE / "cases.json").read_text())
    classpath = HERE / "target" / "classpath"
    build = ["compile", "dependency:build-classpath", f"-Dmdep.outputFile={classpath}"]
    subprocess.run(["mvn", "-q", "-B", *build], cwd=HERE, check=True)
    backend = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    backend.daemon_threads = True
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    routes = HERE / "target" / "routes.yml"
    document = route_document(cases, f"http://127.0.0.1:{backend.server_address[1]}")
    routes.write_text(json.dumps(document))
    port, rules_port = free_port(), free_port()
    command = [
        "java",
        f"-Doracle.rules-port={rules_port}",
        f"-Dcsp.sentinel.log.dir={HERE / 'target'}",
        "-cp",
        f"{HERE / 'target' / 'classes'}:{classpath.read_text()}",
        "pailou.oracle.Oracle",
        f"--server.port={port}",
        f"--spring.config.additional-location=file:{routes}",
    ]
    with (HERE / "target" / "gateway.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until_up(port, process)
        recorded = record(cases, port, rules_port)
    finally:
        process.terminate()
        process.wait()
    lines = ",\n".join("  " + json.dumps(case) for case in recorded)
    (HERE / "recorded.json").write_text(f"[\n{lines}\n]\n")


def record(cases, port, rules_port):
    load = {"rules": [], "groups": []}
    for case in cases:
        for kind, items in load.items():
            items += json.loads(named(json.dumps(case.get(kind, [])), case["name"]))
    connection = http.client.HTTPConnection("127.0.0.1", rules_port)
    connection.request("PUT", "/", json.dumps(load))
    response = connection.getresponse()
    said = response.read().decode()
    if response.status != 200:
        sys.exit(f"the rules are not accepted: {said}")
    # The first requests of a JVM are slow.
    for _ in cases:
        ask(port, {"name": "none"}, {"to": "warm"})
    recorded = []
    for case in cases:
        steps = [run_step(port, case, step) for step in case["steps"]]
        recorded.append({"name": case["name"], "steps": steps})
        print(case["name"], json.dumps(steps), flush=True)
    return recorded


if __name__ == "__main__":
    main()
