"""The examples that use the client, and the one that uses curl, against the real service on tiny stages."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from likeness.client import Client, WebhookEvent
from tests.examples.conftest import EXAMPLES, load
from tests.served import Service
from tests.workers.tiny_stages import chain

SPOKEN = chain(b"a clip", 0).encode() + b"sound"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A clip, a recording, and where the video goes."""
    clip, recording = tmp_path / "clip of Ada.mp4", tmp_path / "a recording.wav"
    clip.write_bytes(b"a clip")
    recording.write_bytes(b"sound")
    return clip, recording, tmp_path / "out.mp4"


def test_the_quickstart(
    at_service: Service, files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip, recording, out = map(str, files)
    quickstart = load("client_quickstart")
    assert quickstart.main(["--name", "Ada Example", "--i-have-consent", clip, recording, out]) == 0
    assert files[2].read_bytes().startswith(SPOKEN)
    said = capsys.readouterr().out
    assert "stage render" in said
    person = said.split(" is learned")[0].splitlines()[-1]
    files[2].unlink()
    assert quickstart.main(["--person", person, clip, recording, out]) == 0
    assert files[2].read_bytes().startswith(SPOKEN)


def test_the_quickstart_says_what_is_wrong(
    at_service: Service, files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip, recording, out = map(str, files)
    assert load("client_quickstart").main(["--person", "per_none", clip, recording, out]) == 1
    assert "What to do:" in capsys.readouterr().err


def learned(clip: Path) -> str:
    client = Client()
    consent = client.consents.create("Bea Example", attested=True)
    person = client.persons.create("Bea", consent_id=consent.id)
    training = client.trainings.create(person.id, client.uploads.create(clip, "clip").id)
    client.trainings.wait(training.id, timeout_s=30, poll_s=0.05)
    return person.id


def test_a_table_becomes_videos(
    at_service: Service, files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person, folder, table = learned(files[0]), tmp_path / "out", tmp_path / "lines.csv"
    (tmp_path / "b.wav").write_bytes(b"other")
    table.write_text("recording,out,pose\na recording.wav,first.mp4,clip\nb.wav,,\n")
    batch = load("batch_from_csv")
    assert batch.main(["--person", person, str(table), str(folder)]) == 0
    assert (folder / "first.mp4").read_bytes().startswith(SPOKEN + b"clip")
    assert (folder / "b.mp4").read_bytes().startswith(chain(b"a clip", 0).encode() + b"otherlearned")
    (folder / "b.mp4").unlink()
    before = len(list(Client().videos.list(person_id=person)))
    assert batch.main(["--person", person, str(table), str(folder)]) == 0
    assert (folder / "b.mp4").exists()
    assert len(list(Client().videos.list(person_id=person))) == before, "nothing was made twice"
    sent = [upload.filename for upload in Client().uploads.list(purpose="recording")]
    assert sent.count("b.wav") == 1, "nor sent twice"
    table.write_text("recording,pose\nb.wav,learned\nb.wav,sideways\n")
    capsys.readouterr()
    assert batch.main(["--person", person, str(table), str(folder)]) == 1
    assert "What to do:" in capsys.readouterr().err


def test_webhooks_are_taken_once(at_service: Service) -> None:
    module, seen = load("webhook_receiver"), list[WebhookEvent]()
    client = Client()
    with module.Receiver(0, [], seen.append) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{receiver.server_port}/"
        endpoint = client.webhook_endpoints.create(url, ["webhook.test"])
        old, new = endpoint.secret, client.webhook_endpoints.rotate(endpoint.id).secret
        sent = client.webhook_endpoints.test(endpoint.id)
        for secrets, expected in ((["whsec_" + "A" * 43 + "="], 401), ([old], 204), ([new], 204)):
            receiver.secrets = secrets
            assert deliver(at_service, sent.id) == expected
        receiver.shutdown()
        thread.join()
    assert [(event.id, event.type) for event in seen] == [(sent.event_id, "webhook.test")], (
        "once, and only signed"
    )


def deliver(service: Service, delivery_id: str) -> int | None:
    """One try, as the relay makes it; returns the receiver's status."""
    from likeness.repositories.webhooks import WebhookRepository
    from likeness.webhooks import send

    with service.database.read() as session:
        delivery = WebhookRepository(session).get(delivery_id)
        assert delivery is not None
        return send(delivery.endpoint, delivery, private=True).status


def test_the_receiver_wants_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert load("webhook_receiver").main([]) == 2
    assert "LIKENESS_WEBHOOK_SECRET" in capsys.readouterr().err


def shell(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(EXAMPLES / "quickstart.sh"), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "POLL_S": "0.2"},
        timeout=90,
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the script uses curl")
def test_the_shell_script(at_service: Service, files: tuple[Path, Path, Path]) -> None:
    clip, recording, out = files
    clip.write_bytes(b"a clip" + bytes(9 * 2**20))  # two parts
    done = shell('Ada "The" Example', clip, recording, out)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes().startswith(chain(clip.read_bytes(), 0).encode() + b"sound")
    assert "part 2 of clip of Ada.mp4" in done.stderr
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(path.name for path in files)
    clip.write_bytes(b"no face")
    failed = shell("Bo", clip, recording, out)
    assert failed.returncode == 1
    assert "What to do: film again" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="the script uses curl")
def test_the_shell_script_says_what_is_wrong(
    at_service: Service, files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIKENESS_API_KEY")
    refused = shell("Ada Example", *files)
    assert refused.returncode == 1
    assert "likeness keys create" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_batch_never_writes_over_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "lines.csv"
    table.write_text("recording\nhello.mp4\n")
    (tmp_path / "hello.mp4").write_bytes(b"filmed")
    assert load("batch_from_csv").main([str(table), str(tmp_path), "--person", "per_1"]) == 2
    assert "overwritten" in capsys.readouterr().err
    assert (tmp_path / "hello.mp4").read_bytes() == b"filmed"


def test_no_quickstart_writes_over_what_it_reads(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"filmed")
    for example in ("client_quickstart", "rest_client"):
        with pytest.raises(SystemExit) as ended:
            load(example).main(["--name", "Ada", "--i-have-consent", str(clip), str(clip), str(clip)])
        assert ended.value.code == 2
    said = subprocess.run(
        ["bash", EXAMPLES / "quickstart.sh", "Ada", clip, clip, clip],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 2
    assert "overwrite" in said.stderr
    assert clip.read_bytes() == b"filmed"
