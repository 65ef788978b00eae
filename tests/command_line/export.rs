//! `wgrad export`: one table, every format, the same predictions; and what is refused.
//!
//! Exported C and Rust are compiled and run on the raw rows. ONNX files are run by tract inside the
//! command, which doesn't write a file whose predictions differ.

use crate::cli_support::Place;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Relative to the largest magnitude of a column of predictions.
const TOLERANCE: f64 = 1e-5;

/// The columns of the table, in the form for exported programs.
const COLUMNS: [&str; 8] =
    ["longitude", "income", "ocean side", "street", "flag", "bit", "sold", "class"];

/// Numbers, missing values, categories of few and of many names, yes and no, dates.
fn table(target: impl Fn(usize, f64) -> String) -> String {
    let mut text = "longitude,income,ocean side,street,flag,bit,sold,class,y\n".to_string();
    for i in 0..400usize {
        let u = |k: usize| (i * k % 397) as f64 / 397.0;
        let gap = |k: usize, value: String| if i % k == 3 { String::new() } else { value };
        let side = ["near bay", "inland", "\"<1H, \"\"OCEAN\"\"\"", "isl\u{e9}"][i * 7 % 4];
        let y = 3.0 * u(13) + (8.0 * u(29)).exp() / 500.0 + (i % 4) as f64;
        let (day, month) = (1 + i % 28, 1 + i / 28 % 12);
        writeln!(
            text,
            "{},{},{},{},{},{},{},{},{}",
            gap(17, format!("{}", -119.5 + 4.0 * u(13))),
            gap(23, format!("{}", (8.0 * u(29)).exp().round())),
            gap(19, side.to_string()),
            format_args!("s{}", i * 31 % 130),
            gap(11, if i * 5 % 3 == 0 { "yes" } else { "no" }.to_string()),
            i * 3 % 5 % 2,
            gap(37, format!("20{}-{month:02}-{day:02}", 18 + i % 5)),
            i % 3 + 1,
            target(i, y)
        )
        .unwrap();
    }
    text
}

/// The predictions of `wgrad predict`: the numbers of each row.
fn predicted(place: &Place, run: &str, data: &str) -> Vec<Vec<f64>> {
    let text = place.ok(&format!("predict {run} {data} --device cpu --format jsonl")).stdout;
    let rows = text.lines().map(|line| {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        row.values().filter_map(serde_json::Value::as_f64).collect()
    });
    rows.collect()
}

fn close(what: &str, found: &[Vec<f64>], expected: &[Vec<f64>]) {
    assert_eq!(found.len(), expected.len(), "{what}: rows");
    for c in 0..expected[0].len() {
        let scale = expected.iter().fold(1e-30, |s: f64, row| s.max(row[c].abs()));
        for (r, (y, x)) in found.iter().zip(expected).enumerate() {
            assert_eq!(y.len(), x.len(), "{what}: outputs");
            let difference = (y[c] - x[c]).abs() / scale;
            assert!(difference <= TOLERANCE, "{what}, row {r}, output {c}: {} {}", y[c], x[c]);
        }
    }
}

/// The cells of the table as literals of a language, in the order of the fields of a row.
fn literals(csv: &str, fields: &[(String, bool)], is_c: bool) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let plain = |name: &str| name.replace(' ', "_");
    let header: Vec<String> = reader.headers().unwrap().iter().map(plain).collect();
    let rows = reader.records().map(|record| {
        let record = record.unwrap();
        let cell = |(name, is_text): &(String, bool)| {
            let cell =
                &record[header.iter().position(|h| h == name.trim_end_matches('_')).unwrap()];
            let literal = match (is_text, name.as_str()) {
                (true, _) if is_c => format!("\"{}\"", cell.replace('"', "\\\"")),
                (true, _) => format!("{cell:?}"),
                (false, _) if cell.is_empty() => if is_c { "NAN" } else { "f64::NAN" }.to_string(),
                (false, "sold") => {
                    let day = chrono::NaiveDate::parse_from_str(cell, "%Y-%m-%d").unwrap();
                    format!("{}.0", day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp())
                }
                (false, _) => format!("{:?}", cell.parse::<f64>().unwrap()),
            };
            if is_c { format!(".{name} = {literal}") } else { format!("{name}: {literal}") }
        };
        fields.iter().map(cell).collect::<Vec<_>>().join(", ")
    });
    rows.collect()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let [out, err] =
        [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out
}

fn numbers(text: &str) -> Vec<Vec<f64>> {
    text.lines().map(|line| line.split(' ').map(|x| x.parse().unwrap()).collect()).collect()
}

/// The fields of a row in an exported program: name, and whether it is a text.
fn fields(source: &str, is_c: bool) -> Vec<(String, bool)> {
    let field = |line: &str| {
        let line = line.trim();
        match is_c {
            true if line.starts_with("double ") || line.starts_with("const char *") => {
                let name = line.split(';').next()?.rsplit([' ', '*']).next()?;
                line.contains(';').then(|| (name.to_string(), line.starts_with("const")))
            }
            false => {
                let (name, kind) =
                    line.strip_prefix("pub ")?.strip_suffix(',')?.split_once(": ")?;
                Some((name.to_string(), kind.contains("str")))
            }
            true => None,
        }
    };
    let (begin, end) = if is_c { ("typedef struct {", "}") } else { ("pub struct Row", "}\n") };
    let body = source.split(begin).nth(1).unwrap().split(end).next().unwrap();
    body.lines().filter_map(field).collect()
}

/// The predictions of the exported C for the rows of a table.
fn by_c(place: &Place, csv: &str) -> Vec<Vec<f64>> {
    let source = place.read("net.c");
    let rows = literals(csv, &fields(&source, true), true);
    let main = format!(
        "#include \"net.c\"\n#include <stdio.h>\nstatic const net_row rows[{}] = {{\n{{{}}}}};\nint main(void) {{\n  \
         double y[NET_OUTPUTS];\n  size_t r, i;\n  for (r = 0; r < {}; r++) {{\n    if (net_predict(&rows[r], y)) \
         return 1;\n    for (i = 0; i < NET_OUTPUTS; i++) printf(i ? \" %.17g\" : \"%.17g\", y[i]);\n    \
         printf(\"\\n\");\n  }}\n  return 0;\n}}\n",
        rows.len(),
        rows.join("},\n{"),
        rows.len()
    );
    place.write("main.c", main);
    compiled_c(place)
}

/// The predictions of tract with `net.onnx` for the rows of a table, with unchanged texts.
fn ran_onnx(place: &Place, csv: &str) -> wgrad::files::export::Outputs {
    use wgrad::data::{Features, RawColumn};
    use wgrad::files::export::rows::{Given, Rows};
    let model = place.model("run");
    let description = wgrad::files::export::Description::new(&model, Default::default()).unwrap();
    let wgrad::files::export::description::Inputs::Columns(columns) = &description.inputs else {
        panic!("columns")
    };
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let number = |cell: &str| match chrono::NaiveDate::parse_from_str(cell, "%Y-%m-%d") {
        Ok(day) => day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp() as f64,
        Err(_) if cell.is_empty() => f64::NAN,
        Err(_) => cell.parse().unwrap(),
    };
    let column = |column: &wgrad::files::export::description::Column| {
        let at = header.iter().position(|name| name == column.name).unwrap();
        let cells = records.iter().map(|record| &record[at]);
        match column.step.takes_texts() {
            true => RawColumn::Texts(cells.map(String::from).collect()),
            false => RawColumn::Numbers(cells.map(number).collect()),
        }
    };
    let given = Given::Columns(columns.iter().map(column).collect());
    // Of the features only their number of rows counts here.
    let features = wgrad::math::matrix::Matrix::from_fn(records.len(), 1, |_, _| 0.0);
    let rows = Rows { given, features: std::sync::Arc::new(Features::F32(features)) };
    let file = std::fs::read(place.path("net.onnx")).unwrap();
    wgrad::files::export::runtime::run(&file, &description, &rows).unwrap()
}

fn by_onnx(place: &Place, csv: &str) -> Vec<Vec<f64>> {
    let numbers = ran_onnx(place, csv).numbers;
    (0..numbers.rows()).map(|row| numbers.row(row).to_vec()).collect()
}

/// The output of `main.c`, which includes `net.c`.
fn compiled_c(place: &Place) -> Vec<Vec<f64>> {
    let flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"];
    run(Command::new("cc")
        .current_dir(place.path(""))
        .args(flags)
        .args(["-c", "net.c", "-o", "net.o"]));
    run(Command::new("cc")
        .current_dir(place.path(""))
        .args(flags)
        .args(["main.c", "-o", "by-c", "-lm"]));
    numbers(&run(&mut Command::new(place.path("by-c"))))
}

/// The predictions of the exported Rust for the rows of a table.
fn by_rust(place: &Place, csv: &str) -> Vec<Vec<f64>> {
    let source = place.read("net.rs");
    let rows = literals(csv, &fields(&source, false), false);
    let main = format!(
        "mod net;\nfn main() {{\n  for row in [\n    net::Row {{ {} }},\n  ] {{\n    let y = \
         net::predict(&row).unwrap();\n    let y: Vec<String> = y.iter().map(|y| format!(\"{{y:e}}\")).collect();\n    \
         println!(\"{{}}\", y.join(\" \"));\n  }}\n}}\n",
        rows.join(" },\n    net::Row { ")
    );
    place.write("main.rs", main);
    compiled_rust(place)
}

/// The output of `main.rs`, with the module `net`.
fn compiled_rust(place: &Place) -> Vec<Vec<f64>> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(place.path("")).args(["--edition", "2021", "-Dwarnings"]);
    run(rustc.args(["main.rs", "-o", "by-rust"]));
    numbers(&run(&mut Command::new(place.path("by-rust"))))
}

/// Parses and validates the exported shader, within what every WebGPU device allows.
fn valid_wgsl(place: &Place) {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let source = place.read("net.wgsl");
    let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{e}"));
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
    validator.validate(&module).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(module.entry_points[0].name, "predict");
}

/// Trains on a table, exports every format and compares all predictions.
fn all_alike(csv: &str, options: &str) -> Place {
    let place = Place::new();
    place.write("data.csv", csv);
    place.ok(&format!(
        "train data.csv --device cpu --epochs 2 --quiet --out run --target y {options}"
    ));
    let expected = predicted(&place, "run", "data.csv");
    let exported = place.ok("export run -o net.onnx").stderr;
    assert!(
        exported.contains("checked by tract on 256 random rows and 256 rows of its data"),
        "{exported}"
    );
    place.ok("export run -o net.c");
    place.ok("export run -o net.rs");
    close(&format!("C, {options}"), &by_c(&place, csv), &expected);
    close(&format!("Rust, {options}"), &by_rust(&place, csv), &expected);
    if !options.is_empty() && place.run("export run -o net.wgsl").code == 0 {
        valid_wgsl(&place);
    }
    place
}

#[test]
fn one_table_gives_the_same_predictions_in_every_format() {
    let csv = table(|_, y| format!("{y:.3}"));
    let place = all_alike(&csv, "--layers 12:relu,6:gelu --log income");
    let columns = wgrad::files::export::Description::new(&place.model("run"), Default::default())
        .map(|description| format!("{:?}", description.inputs))
        .unwrap();
    for name in COLUMNS {
        assert!(columns.contains(&format!("{name:?}")), "{name} is not an input");
    }
    place.ok("export run -o torch.safetensors");
    assert!(place.read("README.md").contains("nn.Linear"));
    place.ok("export run -o net.wgsl");
    valid_wgsl(&place);
    place.ok("export run --bare -o bare.onnx");
}

#[test]
fn each_scaling_is_exported() {
    let csv = table(|_, y| format!("{y:.3}"));
    for scaling in ["minmax", "robust", "quantile", "none"] {
        all_alike(&csv, &format!("--scaling {scaling} --layers 8:tanh --ignore street"));
    }
}

#[test]
fn classes_are_exported_with_their_probabilities() {
    let three = table(|i, y| if y > 4.0 { "\"high, very\"".into() } else { format!("c{}", i % 2) });
    all_alike(&three, "--layers 8:silu,8:silu,8:silu --norm layer --residual 1");
    let two = table(|_, y| if y > 3.0 { "yes" } else { "no" }.to_string());
    all_alike(&two, "--layers 8:elu --norm batch --calibrate temperature --bias subtract");
}

#[test]
fn normal_distributions_rates_and_targets_in_f64_are_exported() {
    let csv = table(|_, y| format!("{y:.3}"));
    all_alike(&csv, "--loss gaussian-nll --layers 8:softplus --ensemble 3");
    let counts = table(|i, _| format!("{}", i % 6));
    all_alike(&counts, "--loss poisson --task regression --layers 8:mish");
    let far = table(|_, y| format!("{}", 1.7e9 + y));
    all_alike(&far, "--layers 8:hard-swish");
}

#[test]
fn ensembles_are_exported_as_the_mean_of_their_nets() {
    let three = table(|i, _| format!("c{}", i % 3));
    all_alike(&three, "--layers 6:leaky-relu --ensemble 3");
}

#[test]
fn hashed_categories_are_exported_where_texts_can_be_hashed() {
    let csv = table(|_, y| format!("{y:.3}"));
    let place = Place::new();
    place.write("data.csv", &csv);
    place.ok("train data.csv --device cpu --epochs 1 --quiet --out run --target y --hash street");
    let ran = place.run("export run -o net.onnx");
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("hashes texts") && ran.stderr.contains("\"street\""),
        "{}",
        ran.stderr
    );
    assert!(!place.path("net.onnx").exists());
    place.ok("export run -o net.c");
    place.ok("export run -o net.rs");
    let expected = predicted(&place, "run", "data.csv");
    close("C", &by_c(&place, &csv), &expected);
    close("Rust", &by_rust(&place, &csv), &expected);
}

/// Rows whose texts `wgrad predict` accepts, but in other spellings than in training.
#[test]
fn padded_texts_and_marks_of_missing_values_are_what_they_are_to_predict() {
    let csv = table(|_, y| format!("{y:.3}"));
    let mut lines = csv.lines();
    let header = lines.next().unwrap();
    let marks = ["NA", "-", "None", "NULL", "?", "null", "NaN", "unknown", ""];
    let mut held = format!("{header}\n");
    for (i, line) in lines.take(60).enumerate() {
        let mut cells: Vec<String> = line.split(',').map(String::from).collect();
        // Quoted names have commas of their own.
        if cells.len() != 9 {
            continue;
        }
        for (k, c) in [2, 3, 4].into_iter().enumerate() {
            cells[c] = match (i + k) % 3 {
                0 => marks[(i / 3 + k) % marks.len()].to_string(),
                1 => format!(" {} ", cells[c]),
                _ => format!(" {}", cells[c]),
            };
        }
        writeln!(held, "{}", cells.join(",")).unwrap();
    }
    for street in ["", "--hash street"] {
        let place = Place::new();
        place.write("data.csv", &csv);
        place.write("held.csv", &held);
        place.ok(&format!(
            "train data.csv --device cpu --epochs 3 --quiet --out run --target y --missing unknown {street}"
        ));
        place.ok("export run -o net.c");
        place.ok("export run -o net.rs");
        let expected = predicted(&place, "run", "held.csv");
        assert!(expected.len() > 40);
        close("C", &by_c(&place, &held), &expected);
        close("Rust", &by_rust(&place, &held), &expected);
        if street.is_empty() {
            place.ok("export run -o net.onnx");
            close("ONNX", &by_onnx(&place, &held), &expected);
        }
    }
}

#[test]
fn a_row_without_probabilities_has_no_label() {
    // tract's tanh and sigmoid make numbers of NaN, where onnxruntime's don't.
    for (count, options) in [(2, ""), (3, "--ensemble 2")] {
        let csv = table(|i, _| format!("c{}", i % count));
        let place = Place::new();
        place.write("data.csv", &csv);
        place.ok(&format!(
            "train data.csv --device cpu --epochs 1 --quiet --out run --target y --layers 4:softsign {options}"
        ));
        place.ok("export run -o net.onnx");
        // Neither yes nor no: predict refuses such a row, ONNX can't.
        let first: Vec<&str> = csv.lines().take(3).collect();
        let mut cells: Vec<&str> = first[2].split(',').collect();
        cells[4] = "perhaps";
        let rows = format!("{}\n{}\n{}\n", first[0], first[1], cells.join(","));
        let found = ran_onnx(&place, &rows);
        let labels = found.labels.unwrap();
        assert!(labels[0].starts_with('c'), "{labels:?}");
        assert!(
            labels[1].is_empty() && found.numbers.row(1).iter().all(|p| p.is_nan()),
            "{labels:?}"
        );
    }
}

#[test]
fn a_net_without_columns_goes_out_and_comes_back() {
    let place = Place::new();
    place.ok("train --device cpu --epochs 1 --layers 16:relu,8:tanh --quiet --out run");
    place.ok("export run -o net.onnx");
    place.ok("export run -o torch.safetensors");
    place.ok("export run -o net.c");
    let pixels = wgrad::data::digits();
    let row = |r: usize| -> Vec<String> {
        (0..64).map(|c| format!("{:?}", pixels.features_shared().value(r, c))).collect()
    };
    let rows: Vec<String> = (0..50).map(|r| row(r).join(",")).collect();
    let (c, rust) = (rows.join("},\n{"), rows.join("],\n["));
    place.write("main.c", format!(
        "#include \"net.c\"\n#include <stdio.h>\nstatic const float rows[50][NET_INPUTS] = {{\n{{{c}}}}};\nint main(void) \
         {{\n  double y[NET_OUTPUTS];\n  size_t r, i;\n  for (r = 0; r < 50; r++) {{\n    if (net_predict(rows[r], y)) return \
         1;\n    for (i = 0; i < NET_OUTPUTS; i++) printf(i ? \" %.17g\" : \"%.17g\", y[i]);\n    \
         printf(\"\\n\");\n  }}\n  return 0;\n}}\n"
    ));
    place.write("main.rs", format!(
        "mod net;\nfn main() {{\n  for row in [\n[{rust}]] {{\n    let y = net::predict(&row).unwrap();\n    let y: Vec<String> = \
         y.iter().map(|y| format!(\"{{y:e}}\")).collect();\n    println!(\"{{}}\", y.join(\" \"));\n  }}\n}}\n"
    ));
    place.ok("export run -o net.rs");
    let own = predicted(&place, "run", "digits")[..50].to_vec();
    close("C, digits", &compiled_c(&place), &own);
    close("Rust, digits", &compiled_rust(&place), &own);
    place.ok("import net.onnx --out again");
    let expected = predicted(&place, "run", "digits");
    close("imported", &predicted(&place, "again", "digits"), &expected);
    assert_eq!(
        place.model("again").preprocessing.classes,
        place.model("run").preprocessing.classes
    );
    place.ok("train --init again/model.safetensors --layers 16:relu,8:tanh --epochs 1 --quiet --out more --device cpu");
    place.ok("evaluate again digits --device cpu");
    place.ok("import torch.safetensors --activation tanh --task classification --out dict");
    let dict = place.model("dict");
    assert_eq!(dict.members, place.model("run").members, "the weights come back to the bit");
    let again = place.run("import net.onnx --out again");
    assert_eq!(again.code, 2, "a run that is there stays: {}", again.stderr);
    assert!(again.stderr.contains("choose another --out"), "{}", again.stderr);
    assert!(!again.stderr.contains("--force"), "import has none: {}", again.stderr);
}

#[test]
fn what_cannot_be_exported_or_imported_is_refused_by_name() {
    let place = Place::new();
    place.write("data.csv", table(|_, y| format!("{y:.3}")));
    let train = "train data.csv --device cpu --epochs 1 --quiet --target y --ignore street";
    place.ok(&format!("{train} --layers 4:sine --out sine"));
    place.ok(&format!("{train} --layers 4:relu --ensemble 2 --out two"));
    for (args, code, what) in [
        ("export sine -o net.safetensors", 2, "sine"),
        ("export two --bare -o net.onnx", 2, "an ensemble (2 nets)"),
        ("export sine -o net.xyz", 2, "can't be inferred"),
        ("export nowhere -o net.onnx", 3, "there is no model"),
        ("import data.csv --out run", 3, "safetensors"),
        ("import nothing.onnx --out run", 3, "nothing.onnx"),
        ("import sine/model.safetensors --out run", 3, "a model of wgrad already: use it as RUN"),
        ("import two/model.safetensors --out run", 3, "a model of wgrad already: use it as RUN"),
        ("import sine --out run", 3, "help: give an ONNX or safetensors file"),
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, code, "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains(what), "{args}: {}", ran.stderr);
    }
    place.write("broken.onnx", [0x0A, 0xFF, 0xFF]);
    assert_eq!(place.run("import broken.onnx --out run").code, 3);
    assert!(!Path::new(&place.path("net.safetensors")).exists() && !place.path("run").exists());
    place.ok("export sine -o net.onnx");
    let ran = place.run("import net.onnx --out run");
    assert!(ran.code == 3 && ran.stderr.contains("inputs"), "{}", ran.stderr);
}
