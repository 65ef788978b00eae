"""Writes assets/housing.csv.zst from the CSV of the California housing data.

    python3 scripts/make_housing.py path/to/housing.csv

The CSV is datasets/housing/housing.csv of github.com/ageron/handson-ml2, 20,640 rows of 10 columns.
The target is moved behind the other columns, and `.0` behind whole numbers is left out: the values are
the same. `zstd`, the program, compresses the result. assets/README.md has the attribution.
"""

import csv
import subprocess
import sys
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent.parent / "assets" / "housing.csv.zst"
TARGET = "median_house_value"
ROWS, COLUMNS = 20_640, 10


def main():
    with open(sys.argv[1], newline="") as file:
        header, *rows = csv.reader(file)
    if len(rows) != ROWS or len(header) != COLUMNS or TARGET not in header:
        sys.exit(f"not {ROWS} rows of {COLUMNS} columns with {TARGET}")
    order = sorted(range(COLUMNS), key=lambda place: header[place] == TARGET)
    lines = [",".join(row[place].removesuffix(".0") for place in order) for row in [header, *rows]]
    text = "\n".join(lines) + "\n"
    command = ["zstd", "--ultra", "-22", "-q", "-f", "-o", str(OUTPUT)]
    subprocess.run(command, input=text.encode(), check=True)


if __name__ == "__main__":
    main()
