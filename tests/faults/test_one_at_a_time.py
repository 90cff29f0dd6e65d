"""What `make zoo` locks, nobody else locks until the last of its processes is gone."""

import subprocess
import sys
from pathlib import Path

from tests.faults.conftest import Reliability

CLAIM = (
    "from lesions.files import lock_range; import sys; lock_range(9, sys.argv[1], 'waiting'); print('mine', flush=True)"
)

HOLDER = f"""
exec 9>>"$1"
"{sys.executable}" -c "{CLAIM}" study
sleep infinity &
echo $!
wait
"""
"""A shell whose child locks, and which starts another child: what make does."""

ROOT = Path(__file__).parents[2]


def locks(file: Path, name: str) -> subprocess.Popen[str]:
    command = ["sh", "-c", f'exec 9>>"$1"; exec "{sys.executable}" -c "{CLAIM}" "$2"', "sh", str(file), name]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_lock_lasts_as_long_as_an_orphan(tmp_path: Path, reliability: Reliability) -> None:
    row = reliability.row("the shell that builds is killed (-9), its child not", "who comes next waits for the child")
    file = tmp_path / "lock"
    command = ["sh", "-c", HOLDER, "sh", str(file)]
    holder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    orphan = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    next_one = locks(file, "study")
    assert next_one.stderr is not None
    assert next_one.stderr.readline() == "waiting\n"
    other = locks(file, "another study")
    assert other.communicate(timeout=60) == ("mine\n", ""), "another study is free"
    assert next_one.poll() is None
    subprocess.run(["kill", "-9", str(orphan)], check=True)
    assert next_one.communicate(timeout=60)[0] == "mine\n"
    row.tried, row.seen = 1, "it waited, then went on; another study was free meanwhile"
