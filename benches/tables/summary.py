"""What the lines of the results say, as Markdown."""

import math
import statistics

BASE = ("lightgbm", "")
FLOOR = 1e-3  # log losses below count as this: a ratio of two that are nearly 0 says nothing


def number(line, name):
    return float(line[name]) if line.get(name) else None


def error(line):
    """The log loss or the RMSE; none of a run that failed."""
    if line["log_loss"]:
        return max(float(line["log_loss"]), FLOOR)
    return number(line, "rmse")


def ratios(found, tables, contenders):
    """{(contender, table): mean error of its splits ÷ LightGBM's over the same splits}, where each split has both."""
    ratio = {}
    for table in tables:
        base = {split: error(line) for split, line in found.get((BASE, table.name), {}).items()}
        for contender in contenders:
            own = {split: error(line) for split, line in found.get((contender, table.name), {}).items()}
            both = [split for split in own if base.get(split) is not None]
            if both and None not in own.values():
                ratio[contender, table.name] = sum(own[s] for s in both) / sum(base[s] for s in both)
    return ratio


def geometric(values):
    return math.exp(statistics.fmean(math.log(value) for value in values)) if values else None


def shown(value, form):
    return "" if value is None else format(value, form)


def mean(values):
    values = [value for value in values if value is not None]
    return statistics.fmean(values) if values else None


def title(contender):
    return " ".join(part for part in contender if part)


def overview(found, tables, contenders, ratio):
    """Ranks and wins are among the contenders of this table, on the tables that all of them have."""
    whole = [t for t in tables if all((contender, t.name) in ratio for contender in contenders)]
    ranks = {contender: [] for contender in contenders}
    for table in whole:
        order = sorted(ratio[contender, table.name] for contender in contenders)
        for contender in contenders:
            own = ratio[contender, table.name]
            ranks[contender].append(1 + order.index(own) + (order.count(own) - 1) / 2)
    print(f"Ranks and wins: on the {len(whole)} tables that all have, of {len(tables)}.\n")
    print("| method | tables | classes ÷ | numbers ÷ | **all ÷** | rank | wins | accuracy | AUC | seconds, median | processor, median | in all | failed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for contender in contenders:
        own = {t: ratio[contender, t.name] for t in tables if (contender, t.name) in ratio}
        lines = [line for t in tables for line in found.get((contender, t.name), {}).values()]
        seconds, cpu = ([float(line[name]) for line in lines if line[name]] for name in ["seconds", "cpu"])
        cells = [
            title(contender),
            len(own),
            shown(geometric([r for t, r in own.items() if t.task == "classes"]), ".3f"),
            shown(geometric([r for t, r in own.items() if t.task == "numbers"]), ".3f"),
            shown(geometric(list(own.values())), ".3f"),
            shown(mean(ranks[contender]), ".2f"),
            sum(rank < 2 for rank in ranks[contender]),
            shown(mean(number(line, "accuracy") for line in lines), ".4f"),
            shown(mean(number(line, "auc") for line in lines), ".4f"),
            shown(statistics.median(seconds) if seconds else None, ".2f"),
            shown(statistics.median(cpu) if cpu else None, ".2f"),
            shown(sum(cpu), ".0f"),
            sum(bool(line["failed"]) for line in lines) or "",
        ]
        print("|", " | ".join(str(cell) for cell in cells), "|")
    print()


def each(found, tables, contenders, ratio, halves):
    print("| table | half | LightGBM | " + " | ".join(title(c) for c in contenders if c != BASE) + " |")
    print("| --- | --- | --- |" + " --- |" * sum(c != BASE for c in contenders))
    for table in tables:
        base = mean(error(line) for line in found.get((BASE, table.name), {}).values())
        cells = [shown(ratio.get((c, table.name)), ".3f") for c in contenders if c != BASE]
        print(f"| {table.name} | {halves[table.name]} | {shown(base, ',.4g')} | " + " | ".join(cells) + " |")
    print()


def show(lines, tables, halves, methods=None, labels=None, splits=None):
    """Prints, for each half and for all, errors ÷ LightGBM's, and the ratio of each table."""
    found = {}
    for line in lines:
        contender = (line["method"], line["label"])
        asked = not methods or contender[0] in methods or contender == BASE
        if asked and not (labels and contender[1] and contender[1] not in labels) and line["split"] in splits:
            found.setdefault((contender, line["table"]), {})[line["split"]] = line
    contenders = list(dict.fromkeys(contender for contender, _ in found))
    ratio = ratios(found, tables, contenders)
    for half in ["choosing", "reporting", "all"]:
        part = [table for table in tables if half in ("all", halves[table.name])]
        if part and (half != "all" or len({halves[table.name] for table in tables}) > 1):
            print(f"## {'All tables' if half == 'all' else f'The half for {half}'}\n")
            overview(found, part, contenders, ratio)
    print("## Each table: error ÷ LightGBM's\n")
    each(found, tables, contenders, ratio, halves)
    failures = [line for of in found.values() for line in of.values() if line["failed"]]
    for line in failures:
        print(f"- {line['method']} {line['label']} {line['table']} {line['split']}: {line['failed']}")
