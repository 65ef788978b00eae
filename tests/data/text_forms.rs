//! Delimited texts as found in practice: numbers, separators, headers, marks of missing values and dates
//! in every form give the model and the predictions of the same table in plain form.

use crate::cli_support::Place;

const ROWS: i32 = 160;

/// What a row holds: a size with two decimals, a change with one and of either sign, a kind, a day and
/// the target.
struct Row {
    size: f64,
    change: f64,
    kind: &'static str,
    day: (i32, u32, u32),
    y: f64,
}

fn row(i: i32) -> Row {
    let size = 100.25 + f64::from(i * i * 7 % 90_000) / 4.0;
    let change = f64::from(i * 37 % 240 - 120) / 10.0;
    let kind = ["house", "flat", "garage"][(i * 7 % 3) as usize];
    let day = (2018 + i % 4, 1 + (i * 5 % 12) as u32, 1 + (i * 11 % 12) as u32);
    let y = (size / 100.0 + change * 3.0 + f64::from(i % 3) + f64::from(day.1 * 5)) * 8.0;
    Row { size, change, kind, day, y: y.round() / 8.0 }
}

/// A number with the given decimals, thousands separator and decimal mark.
fn number(x: f64, decimals: usize, thousands: &str, decimal: &str) -> String {
    let text = format!("{:.decimals$}", x.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped += thousands;
        }
        grouped.push(digit);
    }
    let sign = if x < 0.0 { "-" } else { "" };
    let mark = if decimals > 0 { decimal } else { "" };
    format!("{sign}{grouped}{mark}{fraction}")
}

/// A table with these cells, quoted where they hold the separator.
fn table(header: &str, separator: &str, cells: impl Fn(&Row) -> Vec<String>) -> String {
    let quote = |cell: String| if cell.contains(separator) { format!("\"{cell}\"") } else { cell };
    let line = |i| cells(&row(i)).into_iter().map(quote).collect::<Vec<_>>().join(separator) + "\n";
    std::iter::once(format!("{header}\n")).chain((0..ROWS).map(line)).collect()
}

fn plain() -> String {
    table("size,change,kind,y", ",", |r| {
        vec![
            number(r.size, 2, "", "."),
            number(r.change, 1, "", "."),
            r.kind.into(),
            r.y.to_string(),
        ]
    })
}

/// Trains on a file, predicts it, and returns the predictions and all messages.
fn learnt(place: &Place, file: &str, options: &str) -> (String, String) {
    let said =
        place.ok(&format!("train {file} --device cpu --epochs 3 --force --out run {options}"));
    let found = place.ok(&format!("predict run {file} --device cpu"));
    // Numbers alone, since a target may go by another name.
    let lines = found.stdout.lines().skip(1).map(|line| format!("{line}\n"));
    (lines.collect(), said.stderr + &found.stderr)
}

#[test]
fn numbers_of_every_form_are_the_same_numbers() {
    let place = Place::new();
    place.write("plain.csv", plain());
    let (expected, said) = learnt(&place, "plain.csv", "");
    assert!(!said.contains("warning"), "{said}");
    let forms: [(&str, &str, &str); 6] = [
        ("", ",", ";"),
        (".", ",", ";"),
        (" ", ",", ";"),
        ("\u{202f}", ",", "\t"),
        (",", ".", ","),
        ("'", ".", "|"),
    ];
    let mut files = Vec::new();
    for (k, (thousands, decimal, separator)) in forms.into_iter().enumerate() {
        let file = format!("form{k}.csv");
        let header = ["size", "change", "kind", "y"].join(separator);
        let text = table(&header, separator, |r| {
            let number = |x: f64, decimals| number(x, decimals, thousands, decimal);
            vec![number(r.size, 2), number(r.change, 1), r.kind.into(), number(r.y, 3)]
        });
        place.write(&file, text);
        let (found, said) = learnt(&place, &file, "");
        assert_eq!(found, expected, "{thousands:?} {decimal:?}");
        assert!(!said.contains("warning"), "{said}");
        files.push(file);
    }
    let sold = table("size,change,kind,y", ",", |r| {
        let sign = if r.change < 0.0 { "-" } else { "" };
        let dollars = format!("{sign}${}", number(r.change.abs(), 1, ",", "."));
        vec![format!("{} €", number(r.size, 2, ",", ".")), dollars, r.kind.into(), r.y.to_string()]
    });
    place.write("currency.csv", sold);
    assert_eq!(learnt(&place, "currency.csv", "").0, expected);
    let signs: [fn(&str) -> String; 3] = [
        |digits| format!("({digits})"),
        |digits| format!("{digits}-"),
        |digits| format!("\u{2212}{digits}"),
    ];
    for sign in signs {
        let signed = table("size,change,kind,y", ",", |r| {
            let change = number(r.change.abs(), 1, "", ".");
            let change = if r.change < 0.0 { sign(&change) } else { change };
            vec![number(r.size, 2, "", "."), change, r.kind.into(), r.y.to_string()]
        });
        place.write("signs.csv", signed);
        assert_eq!(learnt(&place, "signs.csv", "").0, expected, "{}", sign("5"));
    }
    let dry = place.ok(&format!("train {} --dry-run --device cpu", files[1])).stdout;
    assert!(dry.contains("numbers with decimal comma, thousands 1.234"), "{dry}");
    // A model reads files of any form.
    place.ok(&format!("train {} --device cpu --epochs 3 --force --out run", files[1]));
    for file in &files {
        let found = place.ok(&format!("predict run {file} --device cpu")).stdout;
        assert_eq!(found.split_once('\n').unwrap().1, expected, "{file}");
    }
    // Beyond the memory limit too.
    let streamed = |file: &str| {
        let text = place.read(file);
        let (header, rows) = text.split_once('\n').unwrap();
        place.write("long.csv", format!("{header}\n{}", rows.repeat(100)));
        let train = "train long.csv --device cpu --epochs 1 --memory-limit 1M --force --out run";
        let said = place.ok(train).stderr;
        assert!(said.contains("disk"), "{said}");
        let found = place.ok("predict run long.csv --device cpu").stdout;
        found.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>()
    };
    assert!(streamed(&files[1]) == streamed("plain.csv"), "beyond the memory limit");
}

#[test]
fn shares_are_what_stands_before_the_percent_sign() {
    let place = Place::new();
    let shares = |sign: &str| {
        table("share,kind,y", ",", |r| {
            vec![format!("{}{sign}", r.change * 2.5), r.kind.into(), r.y.to_string()]
        })
    };
    place.write("plain.csv", shares(""));
    place.write("percent.csv", shares("%"));
    let (expected, _) = learnt(&place, "plain.csv", "");
    let said = place.ok("predict run percent.csv --device cpu").stderr;
    assert!(said.contains("warning: column share: numbers with %"), "{said}");
    assert_eq!(learnt(&place, "percent.csv", "").0, expected);
    let said = place.ok("predict run plain.csv --device cpu").stderr;
    assert!(said.contains("warning: column share: numbers with no unit"), "{said}");
}

#[test]
fn a_header_is_found_or_said() {
    let place = Place::new();
    let rows = |header: &str| {
        table(header, ",", |r| {
            vec![
                r.kind.into(),
                number(r.size, 2, "", "."),
                number(r.change, 1, "", "."),
                r.y.to_string(),
            ]
        })
    };
    place.write("plain.csv", rows("kind,a,b,y"));
    let (expected, _) = learnt(&place, "plain.csv", "");
    for header in ["kind,2019,2020,2021", "kind,0,1,2", "sep=,\nkind,a,b,y", "\u{feff}kind,a,b,y"] {
        place.write("other.csv", rows(header));
        assert_eq!(learnt(&place, "other.csv", "").0, expected, "{header}");
    }
    let numbers = |header: &str| {
        table(header, ",", |r| {
            vec![r.size.to_string(), r.change.to_string(), format!("{:.3}", r.y)]
        })
    };
    place.write("names.csv", numbers("a,b,y"));
    let (expected, _) = learnt(&place, "names.csv", "");
    for header in ["2019,2020,2021", "0,1,2"] {
        place.write("other.csv", numbers(header));
        let (found, said) = learnt(&place, "other.csv", "");
        assert_eq!(found, expected, "{header}");
        assert!(said.contains("is used as the column names: use --header no"), "{said}");
        let (found, said) = learnt(&place, "other.csv", "--header no");
        assert_eq!(found.lines().count(), ROWS as usize + 1, "{header}");
        assert!(!said.contains("is used as the column names"), "{said}");
    }
}

#[test]
fn missing_values_are_known_by_their_marks() {
    let place = Place::new();
    let with = |mark: &str| {
        table("size,change,kind,y", ",", |r| {
            let is_missing = r.day.2 == 3;
            let change = if is_missing { mark.into() } else { number(r.change, 1, "", ".") };
            let kind = if r.day.2 == 4 { mark } else { r.kind };
            vec![number(r.size, 2, "", "."), change, kind.into(), r.y.to_string()]
        })
    };
    place.write("plain.csv", with(""));
    let (expected, _) = learnt(&place, "plain.csv", "");
    for mark in ["None", "-", "--", "#N/A", ".", "\\N", "<NA>", "nil", "NaT", "?", "N/A", "NULL"] {
        place.write("marked.csv", with(mark));
        let (found, said) = learnt(&place, "marked.csv", "");
        assert_eq!(found, expected, "{mark}");
        assert!(!said.contains("warning"), "{mark}: {said}");
    }
    for mark in ["-999", "unknown"] {
        place.write("marked.csv", with(mark));
        assert_eq!(
            learnt(&place, "marked.csv", &format!("--missing {mark}")).0,
            expected,
            "{mark}"
        );
    }
    let sentinel = |mark: &str| with(mark).replace(&format!(",{mark},y"), ",y");
    place.write("sentinel.csv", sentinel("-999"));
    let (_, said) = learnt(&place, "sentinel.csv", "");
    assert!(said.contains("warning: column change: -999"), "{said}");
    assert!(said.contains("use --missing -999"), "{said}");
}

#[test]
fn texts_among_numbers_are_named_where_the_column_is_left_out() {
    let place = Place::new();
    let text = table("size,note,y", ",", |r| {
        let odd = r.day.1 == 3 || r.day.1 == 8;
        let note = if odd { "unknown".into() } else { number(r.change + r.size, 2, "", ".") };
        vec![number(r.size, 2, "", "."), note, r.y.to_string()]
    });
    place.write("t.csv", text);
    let (_, said) = learnt(&place, "t.csv", "");
    let line = said.lines().find(|line| line.starts_with("warning: column note")).unwrap_or("");
    assert!(line.contains("left out") && line.contains("of its values are numbers"), "{said}");
    assert!(line.contains("\"unknown\" (") && line.contains("--missing \"unknown\""), "{said}");
}

#[test]
fn days_and_months_are_told_apart_by_the_whole_column_or_said() {
    let place = Place::new();
    let with = |day: &dyn Fn(&Row) -> String| {
        table("day,change,y", ",", |r| vec![day(r), r.change.to_string(), r.y.to_string()])
    };
    let dated = |day: &dyn Fn((i32, u32, u32)) -> String| with(&|r| day(r.day));
    place.write("plain.csv", dated(&|(y, m, d)| format!("{y}-{m:02}-{d:02}")));
    let (expected, _) = learnt(&place, "plain.csv", "");
    place.write("turned.csv", dated(&|(y, m, d)| format!("{d:02}/{m:02}/{y}")));
    let (found, said) = learnt(&place, "turned.csv", "");
    assert_ne!(found, expected);
    assert!(said.contains("warning: column day: ") && said.contains("--date-format DD/MM/YYYY"));
    for format in ["DD/MM/YYYY", "%d/%m/%Y"] {
        let (found, said) = learnt(&place, "turned.csv", &format!("--date-format {format}"));
        assert_eq!(found, expected);
        assert!(!said.contains("warning"), "{said}");
    }
    type Day = fn((i32, u32, u32)) -> String;
    let others: [Day; 4] = [
        |(y, m, d)| format!("{d:02}.{m:02}.{}", y % 100),
        |(y, m, d)| format!("{y}{m:02}{d:02}"),
        |(y, m, d)| format!("{y}{m:02}{d:02}T000000"),
        |(y, m, d)| format!("{d:02}.{m:02}.{y} 00:00"),
    ];
    for day in others {
        place.write("other.csv", dated(&day));
        assert_eq!(learnt(&place, "other.csv", "").0, expected, "{}", day((2020, 3, 4)));
    }
    let first = row(0).size;
    let slip = |mark: &str| {
        with(&|r| match (r.size == first, r.day) {
            (true, _) => mark.into(),
            (_, (y, m, d)) => format!("{y}-{m:02}-{d:02}"),
        })
    };
    place.write("gap.csv", slip(""));
    let (expected, _) = learnt(&place, "gap.csv", "");
    for mark in ["0000-00-00", "2018-02-30"] {
        place.write("slip.csv", slip(mark));
        let (found, said) = learnt(&place, "slip.csv", "");
        assert_eq!(found, expected, "{mark}");
        assert!(said.contains("read as missing: \""), "{said}");
    }
}

#[test]
fn identifiers_of_64_bits_are_told_apart() {
    let place = Place::new();
    let shops = |name: &dyn Fn(u32) -> String| {
        table("shop,change,y", ",", |r| {
            let shop = r.day.1 % 2;
            vec![name(shop), r.change.to_string(), (r.y + f64::from(shop * 50)).to_string()]
        })
    };
    place.write("plain.csv", shops(&|shop| ["a", "b"][shop as usize].into()));
    let (expected, _) = learnt(&place, "plain.csv", "");
    place.write("ids.csv", shops(&|shop| (9_007_199_254_740_992 + u64::from(shop)).to_string()));
    assert_eq!(learnt(&place, "ids.csv", "").0, expected);
    assert_eq!(learnt(&place, "ids.csv", "--categorical shop").0, expected);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let place = Place::new();
    place.write("plain.csv", plain());
    for options in
        ["--decimal x", "--thousands 5", "--separator ab", "--header maybe", "--date-format soon"]
    {
        let ran = place.run(&format!("train plain.csv --device cpu {options}"));
        assert_eq!(ran.code, 2, "{options}: {}", ran.stderr);
        let option = options.split(' ').next().unwrap();
        assert!(ran.stderr.contains(option), "{options}: {}", ran.stderr);
    }
}

#[test]
fn marks_that_may_be_something_else_are_counted_in_a_note() {
    let place = Place::new();
    let row = |i: i32| {
        let power = if i % 30 == 7 { "?".into() } else { (i * 7 % 40).to_string() };
        let weight = ["-".into(), "NA".into(), (i * 3 % 50).to_string()];
        let id = if i < 3 { "?" } else { "x" };
        format!("{power},{},{id},{}\n", weight[(i as usize).min(2)], i * 5 % 60)
    };
    let rows: String = (0..60).map(row).collect();
    place.write("cars.csv", format!("power,weight,id,y\n{rows}"));
    let said = place.ok("train cars.csv --ignore id --dry-run").stderr;
    let note = "note: read as missing values: \"?\" in power (2 cells), \"-\" in weight (1 cell)\n";
    assert!(said.contains(note), "{said}");
    let said = place.ok("train cars.csv --ignore id --missing ?,- --dry-run").stderr;
    assert!(!said.contains("read as missing"), "what is asked for isn't noted: {said}");
    let said = place.ok("train cars.csv --ignore power,weight --dry-run").stderr;
    assert!(said.contains("read as missing values: \"?\" in id (3 cells)\n"), "{said}");
}
