"""Every path, flag, variable and port in `docker/` exists in the repository and in the binaries.

No Docker is needed: what the files say is compared with what they speak of. PAILOU_BIN names the
gateway's binary.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILES = sorted(DOCKER.glob("*Dockerfile"))

# What the start script of the stock image reads, of what the compose file sets.
NACOS_IMAGE_VARIABLES = {
    "MODE",
    "NACOS_AUTH_ENABLE",
    "NACOS_AUTH_ADMIN_ENABLE",
    "NACOS_AUTH_CONSOLE_ENABLE",
    "NACOS_AUTH_TOKEN",
    "NACOS_AUTH_IDENTITY_KEY",
    "NACOS_AUTH_IDENTITY_VALUE",
    "JVM_XMS",
    "JVM_XMX",
    "JVM_XMN",
}
NACOS_IMAGE_PORTS = {8848, 9848, 8080}


def pailou(*args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NACOS_", "PAILOU_"))}
    return subprocess.run(
        [os.environ["PAILOU_BIN"], *args],
        env={**clean, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


def instructions(file: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, as words and the rest of the line."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    split = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in split]


def stages(file: Path) -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, by its name, or its number when it has none."""
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions(file):
        if word == "FROM":
            _, _, name = rest.partition(" AS ")
            found[name or str(len(found))] = []
        elif found:
            list(found.values())[-1].append((word, rest))
    return found


def exposed(stage: list[tuple[str, str]]) -> set[int]:
    return {int(port) for word, rest in stage if word == "EXPOSE" for port in rest.split()}


def exec_form(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    rest = next(rest for word, rest in stage if word == instruction)
    return json.loads(rest[rest.index("[") :])


def ignored(path: str) -> bool:
    """Whether the build context leaves a path of the repository out."""
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    return any(Path(path).match(pattern) or path == pattern for pattern in patterns)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_what_is_copied_exists(file: Path) -> None:
    for word, rest in instructions(file):
        if word != "COPY" or rest.startswith("--from"):
            continue
        *sources, _ = rest.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert not ignored(source), f"{source} is in .dockerignore"


def test_the_build_context_holds_what_cargo_needs() -> None:
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    for path in ["Cargo.toml", "Cargo.lock", *members]:
        assert not ignored(path.split("/")[0]), path


def test_the_packages_and_binaries_that_are_built_exist() -> None:
    metadata = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version=1", "--offline"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    packages = {package["name"]: package for package in json.loads(metadata.stdout)["packages"]}
    build = " ".join(rest for _, rest in stages(DOCKER / "Dockerfile")["build"])
    wanted = re.findall(r" -p (\S+)", build)
    assert wanted
    binaries = {
        target["name"]
        for name in wanted
        for target in packages[name]["targets"]
        if "bin" in target["kind"]
    }
    assert set(re.findall(r"target/release/(\S+)", build)) == binaries
    for stage in ("gateway", "rust-order-service"):
        copied = stages(DOCKER / "Dockerfile")[stage]
        source = next(rest for word, rest in copied if rest.startswith("--from=build")).split()[1]
        assert source.removeprefix("/built/") in binaries


def test_the_compiler_is_new_enough() -> None:
    version = re.search(r"ARG RUST_VERSION=(\S+)", (DOCKER / "Dockerfile").read_text())
    needed = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    assert version is not None
    assert as_numbers(version[1]) >= as_numbers(needed["rust-version"])


def as_numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_every_image_runs_as_somebody_else_than_root() -> None:
    for file in DOCKERFILES:
        text = file.read_text()
        final = list(stages(file).values())[-1]
        user = next((rest for word, rest in final if word == "USER"), None)
        assert ":nonroot AS gateway" in text or (user and not user.startswith(("root", "0")))


def test_the_commands_of_the_gateway_image_exist() -> None:
    stage = stages(DOCKER / "Dockerfile")["gateway"]
    (entry,) = exec_form(stage, "ENTRYPOINT")
    check = exec_form(stage, "HEALTHCHECK")
    assert check[0] == entry
    for command in (check[1:], exec_form(stage, "CMD"), SERVICES["gateway"]["command"]):
        name, *flags = command
        help_text = pailou(name, "--help")
        assert help_text.returncode == 0, help_text.stderr
        for flag in (word for word in flags if word.startswith("-")):
            assert re.search(rf"{flag}\b", help_text.stdout), f"pailou {name} has no {flag}"


def test_the_health_check_tells_a_gateway_that_is_not_there() -> None:
    _, *check = exec_form(stages(DOCKER / "Dockerfile")["gateway"], "HEALTHCHECK")
    *command, _ = check
    assert pailou(*command, "127.0.0.1:9").returncode != 0


def test_the_settings_and_routes_are_valid() -> None:
    checked = pailou("check", DOCKER / "gateway.yaml", DOCKER / "routes.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_gateway_honours_each_variable_and_listens_where_the_images_say() -> None:
    service = SERVICES["gateway"]
    printed = pailou(
        "run", "--config", DOCKER / "gateway.yaml", "--print-config", **service["environment"]
    )
    assert printed.returncode == 0, printed.stderr
    for name in service["environment"]:
        assert re.search(rf"#.*\b{name}\b", printed.stdout), f"{name} sets nothing"
    ports = exposed(stages(DOCKER / "Dockerfile")["gateway"])
    for port in ports:
        assert f"0.0.0.0:{port}" in printed.stdout
    assert published("gateway") <= ports


def test_the_variables_of_the_samples_exist() -> None:
    sources = {
        "fastapi-user-service": "examples/fastapi-user-service/user_service/settings.py",
        "rust-order-service": "examples/rust-order-service/src/main.rs",
    }
    for service, source in sources.items():
        text = (ROOT / source).read_text()
        for name in SERVICES[service]["environment"]:
            assert f'"{name}"' in text, f"{source} does not read {name}"


def test_the_variables_and_ports_of_the_nacos_image_are_known() -> None:
    assert set(SERVICES["nacos"]["environment"]) <= NACOS_IMAGE_VARIABLES
    assert published("nacos") <= NACOS_IMAGE_PORTS


def published(service: str) -> set[int]:
    """The container's side of the published ports."""
    return {int(port.rsplit(":", 1)[1]) for port in SERVICES[service]["ports"]}


def test_the_paths_of_the_compose_file_exist() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DOCKER / source).is_file(), f"{name}: {source}"
        if "build" in service:
            context = (DOCKER / service["build"]["context"]).resolve()
            assert context == ROOT
            dockerfile = context / service["build"]["dockerfile"]
            assert dockerfile in DOCKERFILES
            target = service["build"].get("target")
            assert target is None or target in stages(dockerfile)


def test_the_services_are_called_what_the_routes_say() -> None:
    routes = yaml.safe_load((DOCKER / "routes.yaml").read_text())["routes"]
    named = {route["service"] for route in routes.values()}
    settings = (ROOT / "examples/fastapi-user-service/user_service/settings.py").read_text()
    order = (ROOT / "examples/rust-order-service/src/main.rs").read_text()
    assert named == {"fastapi-user-service", "order-service"}
    assert 'service_name: str = "fastapi-user-service"' in settings
    assert '"order-service"' in order


def test_the_makefile_builds_a_stage_that_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    build = re.search(r"docker build --file (\S+) --target (\S+)", makefile)
    assert build is not None
    assert build[2] in stages(ROOT / build[1])


@pytest.fixture
def registry() -> Iterator[str]:
    """The address of a running `pailou registry`."""
    port, grpc_port = free_port(), free_port()
    process = subprocess.Popen(
        [os.environ["PAILOU_BIN"], "registry", f"--port={port}", f"--grpc-port={grpc_port}"],
        stdin=subprocess.DEVNULL,
    )
    yield f"127.0.0.1:{port}"
    process.kill()
    process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_first_routes_are_published_once(registry: str, tmp_path: Path) -> None:
    def publish(file: Path) -> str:
        command = [sys.executable, DOCKER / "publish-routes.py", registry, file]
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout

    # The registry may still be starting: the script is made to wait for it.
    assert "published" in publish(DOCKER / "routes.yaml").splitlines()[-1]
    other = tmp_path / "other.yaml"
    other.write_text("routes: {}")
    assert "they stay" in publish(other)
