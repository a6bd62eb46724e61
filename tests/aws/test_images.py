"""The Dockerfiles against the code, and how images are booted; `make images` itself builds them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest

from infra.booting import boot
from infra.constructs.image import CONTEXTS, excludes
from infra.container_builder import ENTER_SERVER, MissingTool, base_of
from infra.container_images import SERVER, main
from infra.image_table import IMAGES
from infra.package_index import UV_NAMES, PackageIndex, uv_environment

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("query", "ingest")
PORTABLE = "-ffast-math,-fno-associative-math,-std=c++14,-DANNOYLIB_MULTITHREADED_BUILD"
HEAVY = ("tensorflow", "keras", "sklearn", "matplotlib", "scipy", "faiss", "moto", "aws_cdk")


def dockerfile(name: str) -> str:
    return (ROOT / IMAGES[name].dockerfile).read_text("utf-8")


@pytest.mark.parametrize("name", IMAGES)
def test_the_base_is_an_argument_and_names_no_registry(name: str) -> None:
    assert re.fullmatch(r"python:[\w.-]+", base_of(ROOT / IMAGES[name].dockerfile))
    assert not re.search(r"\w+\.(com|io|aws|org)\b", dockerfile(name))
    assert all(line.endswith("AS build") or "${BASE}" in line for line in instructions(name, "FROM"))


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_last_build_step_imports_what_the_image_is_for(name: str) -> None:
    last = dockerfile(name).replace("\\\n", " ").split("\nRUN ")[-1]
    for argument, value in IMAGES[name].arguments.items():
        last = last.replace(f"${{{argument}}}", value)
    code = re.findall(r'-c", "(.*)"\]|-c +"(.*)"', last)[0]
    ran = here(
        "".join(code).replace("/opt/program", str(ROOT / "sagemaker")) + "; import sys; print(*sys.modules)"
    )
    assert ran.returncode == 0, ran.stderr
    for handler in IMAGES[name].handlers or ("train.main",):
        assert handler.rpartition(".")[0] in ran.stdout.split()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_import_nothing_heavy_and_run_as_nobody(name: str) -> None:
    modules = sorted({handler.rpartition(".")[0] for handler in IMAGES[name].handlers})
    ran = here(f"import sys, {', '.join(modules)}; print([name for name in {HEAVY} if name in sys.modules])")
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr
    assert instructions(name, "USER") == ["USER nobody"]


def test_annoy_is_portable_in_every_image() -> None:
    for text in ((ROOT / "lambdas" / "build.sh").read_text("utf-8"), dockerfile("training")):
        assert PORTABLE in text
        assert "x86-64-v2" in text
        assert "native" not in text


def test_each_service_that_a_function_calls_is_kept_of_the_sdk() -> None:
    kept = set(re.findall(r"! -name (\S+)", (ROOT / "lambdas" / "build.sh").read_text("utf-8")))
    sources = [*(ROOT / "lambdas").rglob("*.py"), *(ROOT / "shared" / "lookalike").rglob("*.py")]
    called = {
        service
        for source in sources
        for service in re.findall(r'boto(?:3\.|_)client\(\s*"(\w+)"', source.read_text("utf-8"))
    }
    assert called
    assert called <= kept


@pytest.mark.parametrize("name", CONTEXTS)
def test_what_is_copied_is_in_the_context_that_the_cdk_sends(name: str) -> None:
    context = CONTEXTS[name]  # type: ignore[index]
    for line in instructions(name, "COPY"):
        if "--from" in line:
            continue
        for written in line.split()[1:-1]:
            source = written.replace("${FUNCTIONS}", IMAGES[name].arguments.get("FUNCTIONS", ""))
            assert list(ROOT.glob(source)), f"{source} of {name} does not exist"
            # `shared` is sent as shared/lookalike: nothing else of it is wanted.
            sent = any(source.startswith(part) or part.startswith(f"{source}/") for part in context)
            assert sent, f"{source} is not sent"


def test_docker_is_told_the_same_by_hand() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    by_hand = {line for line in lines if line and not line.startswith("#")}
    sent = [line for name in CONTEXTS for line in excludes(name)]
    assert all(line in by_hand or line.startswith(("!lambdas/", "!requirements/")) for line in sent)
    assert by_hand - set(sent) == {"!lambdas", "!requirements"}
    assert any(fnmatch("shared/lookalike/x.pyc", line) for line in by_hand)


def test_nothing_is_compiled_where_no_compiler_is() -> None:
    """A package without a wheel would fail there, if it did not come from a cache of another build."""
    for name in IMAGES:
        second = dockerfile(name).split("\nFROM ")[-1]
        for install in re.findall(r"pip install[^&\n]*(?:\\\n[^&\n]*)*", second):
            assert "--only-binary :all:" in install or "/library/*.whl" in install, install


@pytest.mark.parametrize(("changed", "image"), [("ingest", "query"), ("query", "ingest")])
def test_a_change_of_one_leaves_the_other_as_it_is(changed: str, image: str) -> None:
    context = CONTEXTS[image]  # type: ignore[index]
    assert not [path for path in context if path in {"lambdas", f"lambdas/{changed}"}]


# The server's image, which is not the CDK's


def test_the_server_s_image_copies_what_docker_gets() -> None:
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    for line in instructions(SERVER, "COPY"):
        for source in () if "--from" in line else line.split()[1:-1]:
            assert (ROOT / source).exists()
            assert any(part == source or part.startswith(f"{source}/") for part in sent), source


def test_the_server_runs_as_a_user_of_its_own_and_writes_to_its_volume_only() -> None:
    assert instructions(SERVER, "USER") == ["USER 10001:10001"]
    assert instructions(SERVER, "VOLUME") == ["VOLUME /data"]
    assert len(instructions(SERVER, "HEALTHCHECK")) == 1
    compose = (ROOT / "compose.yaml").read_text("utf-8")
    for line in ("read_only: true", "cap_drop: [ALL]", '"no-new-privileges:true"', '"127.0.0.1:8000:8000"'):
        assert line in compose


def test_the_server_s_image_is_started_as_its_dockerfile_says() -> None:
    """Where there is no Docker, the command and the environment are repeated for the check."""
    variables = dict(re.findall(r"(\w+)=(\S+)", " ".join(instructions(SERVER, "ENV"))))
    for name, value in variables.items():
        assert f"{name}={value.replace('$PATH', '/usr/bin:/bin')}" in ENTER_SERVER
    command = " ".join(re.findall(r'"([^"]+)"', instructions(SERVER, "CMD")[-1]))
    assert f"lookalike {command}" in ENTER_SERVER


# Settings of pip, for a build alone


def test_settings_of_pip_are_handed_over_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index" / "simple"
    index.mkdir(parents=True)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"file://{index}")
    monkeypatch.setenv("PIP_TIMEOUT", "77")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "false")
    with PackageIndex.of_this_machine(tmp_path / "cache") as found:
        text = found.file.read_text("utf-8")
        assert f"extra-index-url = file://{index}" in text
        assert "timeout = 77" in text
        assert f"cache-dir = {tmp_path / 'cache'}" in text
        assert "virtualenv" not in text
        assert {index.parent, tmp_path / "cache"} <= set(found.folders)
        kept = found.file
    assert not kept.exists()


def test_uv_gets_the_settings_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UV_NAMES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.test/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    monkeypatch.setenv("PIP_TIMEOUT", "77")
    monkeypatch.setenv("SSL_CERT_FILE", "/mine.pem")
    monkeypatch.setenv("PIP_CERT", "/pips.pem")
    found = uv_environment()
    assert found["UV_DEFAULT_INDEX"] == "https://packages.test/simple"
    assert found["UV_FIND_LINKS"] == "/wheels,/more"
    assert found["UV_HTTP_TIMEOUT"] == "77"
    assert found["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert "SSL_CERT_FILE" not in found, "the caller's own setting is kept"


# Booting


class Here:
    """A `Builder` whose images are this machine's own environment."""

    title = "nothing"

    def prepare(self) -> None:
        """Everything is there."""

    def build(self, context: Path, dockerfile: str, name: str, arguments: Mapping[str, str]) -> None:
        """There is nothing to build."""

    def added_bytes(self, name: str) -> int:
        return 0

    def command(self, name: str, variables: Sequence[str]) -> list[str]:
        return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "awslambdaric"]

    def server_command(self, name: str, store: Path) -> list[str]:
        return ["env", f"LOOKALIKE_STORE={store}", sys.executable, "-m", "lookalike", "serve"]

    def close(self) -> None:
        """There is nothing to remove."""


def test_a_handler_is_ready_when_it_asks_for_an_event() -> None:
    assert 0 < boot(Here(), "query", "lambdas.query.handler.handler") < 120


@pytest.mark.parametrize("handler", ["lambdas.nowhere.handler", "lambdas.query.handler.nobody"])
def test_a_handler_that_cannot_be_imported_is_told(handler: str) -> None:
    with pytest.raises(MissingTool, match="does not start in the image query"):
        boot(Here(), "query", handler)


def test_an_unknown_image_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 2
    assert "unknown image: nonsense; expected query, ingest, training" in capsys.readouterr().err


def instructions(name: str, kind: str) -> list[str]:
    lines = dockerfile(name).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(f"{kind} ")]


def here(code: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "LOOKALIKE_IMAGES": "s3://none",
        "LOOKALIKE_ARTIFACTS": "s3://none",
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
