"""Writes assets/digits.bin from the CSV of the UCI digits.

    python3 scripts/make_digits.py path/to/digits.csv

The CSV has 1,797 rows of 64 pixels (8 x 8, row by row, values 0 to 16) and
the label, without a header: the test part of the UCI set "Optical Recognition
of Handwritten Digits". assets/README.md gives the format and the attribution.
Only Python's standard library is needed; the same CSV gives the same pixels,
though another zlib may compress them to other bytes.
"""

import csv
import struct
import sys
import zlib
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent.parent / "assets" / "digits.bin"
WIDTH = HEIGHT = 8


def main():
    with open(sys.argv[1], newline="") as file:
        rows = [[int(cell) for cell in row] for row in csv.reader(file)]
    for row in rows:
        if len(row) != WIDTH * HEIGHT + 1 or max(row[:-1]) > 16 or row[-1] > 9 or min(row) < 0:
            sys.exit(f"not 64 pixels of 0 to 16 and a label of 0 to 9: {row}")
    pixels = bytes(pixel for row in rows for pixel in row[:-1])
    labels = bytes(row[-1] for row in rows)
    header = b"wgdigits" + struct.pack("<HBB", len(rows), WIDTH, HEIGHT)
    OUTPUT.write_bytes(header + zlib.compress(pixels + labels, 9))
    print(f"{OUTPUT}: {len(rows)} digits, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
