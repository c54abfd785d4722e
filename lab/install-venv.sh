#!/bin/bash
# Makes the virtual environment with pbxbill and what its development needs:
#   lab/install-venv.sh .venv      (PYTHON: the interpreter, 3.11 or later)
# pip finds its packages where the machine's own configuration says.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${1:?usage: $0 FOLDER}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "pbxbill needs Python 3.11 or later; $python is $("$python" --version 2>&1)" >&2
  exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  # Debian keeps these two in a package of their own.
  "$here/install-packages.sh" "$(basename "$(readlink -f "$(command -v "$python")")")-venv"
fi
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi
echo "pip: installing pbxbill and its tools into $venv"
"$venv/bin/python" -m pip install --quiet --use-pep517 --disable-pip-version-check --retries 5 -e "$here/..[dev]"
