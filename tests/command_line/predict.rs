//! The output of `wgrad predict`, row by row, in every format, and its errors.

use crate::cli_support::{Place, plane, ran};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use std::fmt::Write as _;
use wgrad::backend::device::{self, Device};
use wgrad::data::{self, DataOptions, Preprocessing};
use wgrad::{Activation, Loss, Net, Spec, Trainer};

/// Rows of two numbers and an identifier, whose class is the quadrant.
fn quadrants(rows: usize) -> String {
    let row = |i: usize| {
        let (x, y) = (i * 7 % 23, i * 5 % 19);
        let class = [["low, left", "high"], ["right", "both"]][x / 12][y / 10];
        format!("{:05},{x}.50,{},\"{class}\"\n", i + 1, y as f64 / 2.0)
    };
    std::iter::once("id,x,y,class\n".to_string()).chain((0..rows).map(row)).collect()
}

fn trained(place: &Place) {
    place.write("data.csv", quadrants(300));
    place.ok("train data.csv --ignore id --device cpu --quiet --epochs 5 --out run");
}

/// The cells of a text without quotes.
fn cells(text: &str, separator: char) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split(separator).map(str::to_string).collect()).collect()
}

fn parquet(place: &Place, name: &str) -> RecordBatch {
    let file = std::fs::File::open(place.path(name)).unwrap();
    let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
    builder.unwrap().build().unwrap().next().unwrap().unwrap()
}

#[test]
fn every_format_says_the_same() {
    let place = Place::new();
    trained(&place);
    let predict = "predict run data.csv --device cpu";
    let printed = place.ok(&format!("{predict} --format tsv --keep id,x")).stdout;
    let tsv = cells(&printed, '\t');
    assert_eq!(tsv[0], ["id", "x", "class", "p_both", "p_high", "p_low, left", "p_right"]);
    assert_eq!((tsv.len(), &tsv[1][0], &tsv[1][1]), (301, &"00001".into(), &"0.50".into()));
    let said = place.ok(&format!("{predict} --keep id,x -o out.tsv")).stderr;
    assert!(said.contains("300 rows predicted: out.tsv"), "{said}");
    assert_eq!(place.read("out.tsv"), printed);

    let csv = place.ok(&format!("{predict} --keep id,x")).stdout;
    assert!(csv.starts_with("id,x,class,p_both,p_high,\"p_low, left\",p_right\n"), "{csv}");
    assert!(csv.contains(",\"low, left\","), "{csv}");

    place.ok(&format!("{predict} --keep id,x -o out.jsonl"));
    let json: Vec<serde_json::Value> =
        place.read("out.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    place.ok(&format!("{predict} --keep id,x -o out.parquet"));
    let table = parquet(&place, "out.parquet");
    place.ok(&format!("{predict} -o out.npy"));
    let npy = std::fs::read(place.path("out.npy")).unwrap();
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (300, 4)"));
    assert_eq!((json.len(), table.num_rows(), npy.len()), (300, 300, 128 + 300 * 16));
    let schema = table.schema();
    let names: Vec<&String> = schema.fields().iter().map(|f| f.name()).collect();
    assert_eq!(names, tsv[0].iter().collect::<Vec<_>>());
    for (row, cells) in tsv[1..].iter().enumerate() {
        for (column, name) in tsv[0].iter().enumerate() {
            let cell = &cells[column];
            if column == 1 {
                // A number where the format knows numbers.
                let x: f64 = cell.parse().unwrap();
                assert_eq!(json[row][name].as_f64(), Some(x));
                assert_eq!(table.column(column).as_primitive::<Float64Type>().value(row), x);
                continue;
            }
            if column < 3 {
                assert_eq!(json[row][name], **cell);
                assert_eq!(table.column(column).as_string::<i32>().value(row), cell);
                continue;
            }
            let value: f32 = cell.parse().unwrap();
            assert_eq!(json[row][name].as_f64().unwrap() as f32, value);
            let in_parquet = table.column(column).as_primitive::<Float32Type>().value(row);
            assert_eq!(in_parquet.to_bits(), value.to_bits());
            let at = 128 + (row * 4 + column - 3) * 4;
            assert_eq!(npy[at..at + 4], value.to_le_bytes());
        }
    }
}

#[test]
fn columns_are_kept_as_they_stand_even_where_a_prediction_has_their_name() {
    let place = Place::new();
    place.write("plane.csv", plane());
    place.ok("train plane.csv --device cpu --quiet --epochs 1 --out run");
    place.write("new.csv", "note,y,b,a\n\"a \"\"b\"\"\n c\",NA,2,5.10\n?,,10,1e0\n");
    let out = place.ok("predict run new.csv --device cpu --keep note,a,y").stdout;
    assert!(out.starts_with("note,a,y,predicted_y\n\"a \"\"b\"\"\n c\",5.10,NA,"), "{out}");
    assert!(out.contains("\n?,1e0,,"), "{out}");
    let refused = place.run("predict run new.csv --device cpu --keep nota");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("no column to keep \"nota\""), "{}", refused.stderr);
    assert!(refused.stderr.contains("did you mean note?"), "{}", refused.stderr);
    // What was kept in a Parquet file can be predicted from again; there it has the type of its values.
    place.ok("predict run new.csv --device cpu --keep a,b --format parquet -o kept.bin");
    let again = place.ok("predict run kept.bin --device cpu --keep a").stdout;
    let first = place.ok("predict run new.csv --device cpu --keep a").stdout;
    assert_eq!(again, first.replace("5.10", "5.1").replace("1e0", "1"));
}

#[test]
fn kept_columns_have_the_types_of_their_values_where_the_format_knows_types() {
    let place = Place::new();
    trained(&place);
    let row = |i: usize| {
        let (whole, part) = (i as i64 * 7 - 5, i as f64 / 4.0);
        let note = if i == 70_000 { "late".to_string() } else { i.to_string() };
        format!("{i:05},{whole},{part},{},{},{},{note}\n", i % 9, i % 5, i.is_multiple_of(2))
    };
    // Many chunks: the type of the last column is told by its very last value.
    let text: String = std::iter::once("id,whole,part,x,y,flag,note\n".into())
        .chain((1..=70_000).map(row))
        .collect();
    place.write("typed.csv", text);
    let predict = "predict run typed.csv --device cpu --keep id,whole,part,flag,note";
    let line =
        place.ok(&format!("{predict} --format jsonl")).stdout.lines().next().unwrap().to_string();
    let start = r#"{"id":"00001","whole":2,"part":0.25,"flag":false,"note":"1","#;
    assert!(line.starts_with(start), "{line}");
    place.ok(&format!("{predict} -o typed.parquet"));
    let batch = parquet(&place, "typed.parquet");
    let types: Vec<String> = (0..5).map(|c| batch.column(c).data_type().to_string()).collect();
    assert_eq!(types, ["Utf8", "Int64", "Float64", "Boolean", "Utf8"]);
    let csv = place.ok(predict).stdout;
    assert!(csv.starts_with("id,whole,part,flag,note,"), "{}", &csv[..80]);
    assert_eq!(
        csv.lines().nth(1).unwrap().split(',').take(5).collect::<Vec<_>>(),
        ["00001", "2", "0.25", "false", "1"]
    );
}

#[test]
fn rows_that_cannot_be_read_stop_or_are_passed_over() {
    let place = Place::new();
    trained(&place);
    let mut lines: Vec<String> = quadrants(40).lines().map(str::to_string).collect();
    lines[7] = "00007,wide,3.5,high".into();
    lines[20] = "00020,3".into();
    place.write("broken.csv", lines.join("\n"));
    place.write("out.csv", "before");
    let predict = "predict run broken.csv --device cpu --keep id -o out.csv";
    let stopped = place.run(predict);
    assert_eq!(stopped.code, 3);
    assert!(stopped.stderr.contains("where: broken.csv, line 8, column 2 (x)"));
    assert!(stopped.stderr.contains("--on-error skip leaves out rows"), "{}", stopped.stderr);
    assert_eq!(place.read("out.csv"), "before", "nothing half-written");
    assert_eq!(place.names(""), ["broken.csv", "data.csv", "out.csv", "run"]);
    let skipped = place.ok(&format!("{predict} --on-error skip"));
    for part in [
        "skipped: \"wide\" is not a number (broken.csv, line 8, column 2 (x))",
        "the row has 2 cells, but the first row has 4 (broken.csv, line 21)",
        "2 rows could not be read and were skipped",
        "38 rows predicted",
    ] {
        assert!(skipped.stderr.contains(part), "{part} in {}", skipped.stderr);
    }
    let ids: Vec<String> =
        cells(&place.read("out.csv"), ',').into_iter().map(|c| c[0].clone()).collect();
    assert_eq!((ids.len(), &ids[6][..], &ids[7][..]), (39, "00006", "00008"));
    lines.truncate(20);
    place.write("one.csv", lines.join("\n"));
    let skipped = place.ok("predict run one.csv --device cpu --on-error skip");
    assert!(
        skipped.stderr.contains("1 row could not be read and was skipped"),
        "{}",
        skipped.stderr
    );
    let none: String = std::iter::once("id,x,y\n").chain(["1,a,b\n"; 30]).collect();
    place.write("none.csv", none);
    let skipped = place.ok("predict run none.csv --device cpu --on-error skip");
    assert_eq!(skipped.stdout.lines().count(), 1, "the header alone");
    assert_eq!(skipped.stderr.matches("skipped: \"a\"").count(), 10, "{}", skipped.stderr);
    assert!(skipped.stderr.contains("30 rows could not be read"), "{}", skipped.stderr);
}

/// A picture of one gray.
fn picture(value: u8) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::from_pixel(6, 6, image::Luma([value]));
    image.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

#[test]
fn images_that_cannot_be_read_stop_or_are_passed_over() {
    let place = Place::new();
    for i in 0..20u8 {
        place.write(&format!("pictures/dark/{i}.png"), picture(i));
        place.write(&format!("pictures/light/{i}.png"), picture(255 - i));
    }
    place.ok("train pictures --device cpu --quiet --epochs 2 --out run");
    place.write("new/1.png", picture(3));
    place.write("new/2.png", b"\x89PNG\r\n\x1a\nrubbish");
    place.write("new/3.png", picture(250));
    let stopped = place.run("predict run new --device cpu --keep file");
    assert_eq!((stopped.code, &stopped.stdout[..]), (3, ""), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("where: new/2.png"), "{}", stopped.stderr);
    let skipped = place.ok("predict run new --device cpu --keep file --on-error skip");
    let files: Vec<String> =
        cells(&skipped.stdout, ',').into_iter().map(|line| line[0].clone()).collect();
    assert_eq!(files, ["file", "1.png", "3.png"]);
    assert!(skipped.stderr.contains("skipped: not a readable image"), "{}", skipped.stderr);
    assert!(skipped.stderr.contains("1 row could not be read"), "{}", skipped.stderr);
}

#[test]
fn a_column_that_is_kept_twice_is_written_once() {
    let place = Place::new();
    trained(&place);
    let predict = "predict run data.csv --device cpu --keep id,x,id,x,id";
    let csv = place.ok(predict).stdout;
    assert!(csv.starts_with("id,x,class,p_both,"), "{}", &csv[..80]);
    place.ok(&format!("{predict} -o out.parquet"));
    let schema = parquet(&place, "out.parquet").schema();
    let names: Vec<&String> = schema.fields().iter().map(|f| f.name()).collect();
    assert_eq!(names[..3], ["id", "x", "class"]);
    assert_eq!(names.len(), 7);
}

#[test]
fn a_table_of_many_chunks_is_predicted_as_its_parts_are() {
    let place = Place::new();
    trained(&place);
    // A block is a mebibyte, and as many are read at once as there are processors, twice.
    let rows = 400_000;
    place.write("long.csv", quadrants(rows));
    let whole = place.ok("predict run long.csv --device cpu --keep id").stdout;
    let part: Vec<&str> = whole.lines().collect();
    assert_eq!(part.len(), rows + 1);
    // The rows repeat, so that the first ones say what all of them must be.
    let behind = |line: &str| line.split_once(',').unwrap().1.to_string();
    let period = 23 * 19;
    for (i, line) in part[1..].iter().enumerate() {
        assert!(line.starts_with(&format!("{:05},", i + 1)), "row {i}: {line}");
        assert_eq!(behind(line), behind(part[1 + i % period]), "row {i}");
    }
}

#[test]
fn the_saved_model_predicts_what_the_trainer_does_bit_for_bit() {
    let place = Place::new();
    place.write("plane.csv", plane());
    let path = place.path("plane.csv").to_string_lossy().into_owned();
    let table = data::open(&path, &DataOptions::default()).unwrap().train;
    let rows: Vec<usize> = (0..table.rows()).collect();
    let scaling = data::Scaling::Quantile;
    let fitting = data::Fitting::new(scaling);
    let fitted = Preprocessing::fit_rows(&table, &rows, &fitting).unwrap();
    let set = fitted.dataset(&table, &rows).unwrap();
    let inputs = set.features().cols();
    for (hidden, plan) in [(5, "fused"), (300, "fused"), (40, "plain")] {
        let net = Net::new(inputs)
            .layer(hidden, Activation::Tanh)
            .layer(hidden / 2, Activation::Gelu)
            .layer(1, Activation::Identity);
        let mut spec = Spec::new(net, Loss::SquaredError).epochs(3);
        spec.plan = plan.parse().unwrap();
        let backend = device::open(&Device::Cpu, None).unwrap().backend;
        let mut trainer = Trainer::new(&spec, &set, fitted.clone(), backend).unwrap();
        trainer.fit(None, &mut ()).unwrap();
        let model = trainer.model().unwrap();
        let at_end = model.predict_in(trainer.session(), set.features_shared()).unwrap();
        wgrad::files::checkpoint::save_model(&model, &place.path("model.safetensors")).unwrap();
        let printed = place.ok("predict model.safetensors plane.csv --device cpu").stdout;
        let mut expected = "y\n".to_string();
        at_end.as_f32().unwrap().data().iter().for_each(|y| writeln!(expected, "{y:?}").unwrap());
        assert_eq!(printed, expected, "{hidden} units, {plan}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_what_was_there_and_no_half_file() {
    let place = Place::new();
    trained(&place);
    place.write("long.csv", quadrants(5000));
    for format in ["csv", "jsonl", "parquet", "npy"] {
        let out = format!("out.{format}");
        place.write(&out, "before");
        let mut shell = std::process::Command::new("bash");
        // Files end at 16 KiB: writing more fails as on a full disk.
        shell.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "bash"]);
        shell.args([env!("CARGO_BIN_EXE_wgrad"), "predict", "run", "long.csv", "--device", "cpu"]);
        shell.args(["-o", &out]).current_dir(place.path("")).env_remove("WGRAD_SEED");
        let failed = ran(shell.output().unwrap());
        assert_eq!(failed.code, 1, "{format}: {}", failed.stderr);
        assert!(failed.stderr.contains(&format!("error: cannot write {out}")), "{}", failed.stderr);
        assert_eq!(place.read(&out), "before", "{format}");
        std::fs::remove_file(place.path(&out)).unwrap();
    }
    assert_eq!(place.names(""), ["data.csv", "long.csv", "run"], "no temporary file is left");
    for format in ["csv", "jsonl", "parquet", "npy"] {
        let full =
            place.run(&format!("predict run data.csv --device cpu --format {format} -o /dev/full"));
        assert_eq!(full.code, 1, "{format}: {}", full.stderr);
        assert!(full.stderr.contains("cannot write /dev/full"), "{format}: {}", full.stderr);
    }
}

#[test]
fn formats_that_make_no_sense_are_refused() {
    let place = Place::new();
    trained(&place);
    for (args, text) in [
        ("-o out.xlsx", ".xlsx"),
        ("--format json", "did you mean jsonl?"),
        ("--format npy", "standard output"),
        ("--keep id -o out.npy", "--keep"),
        ("--on-error pass", "known: stop, skip"),
        ("-o data.csv", "overwrite their input"),
    ] {
        let refused = place.run(&format!("predict run data.csv --device cpu {args}"));
        assert_eq!(refused.code, 2, "{args}: {}", refused.stderr);
        assert!(refused.stderr.contains(text), "{args}: {}", refused.stderr);
    }
    let digits = place.run("predict run digits --keep file --device cpu");
    assert_ne!(digits.code, 0);
}

/// Ctrl-C during predictions ends the process immediately.
#[cfg(unix)]
#[test]
fn ctrl_c_leaves_no_half_written_file() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    let place = Place::new();
    trained(&place);
    place.write("many.csv", quadrants(200_000));
    let is_half_written = || place.names("").iter().any(|name| name.starts_with(".out.csv."));
    let begin = Instant::now();
    loop {
        place.write("out.csv", "before");
        let mut command = place.command("predict run many.csv --device cpu -o out.csv");
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let send = |signal: &str, child: &std::process::Child| {
            let pid = child.id().to_string();
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        };
        while !is_half_written() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // It stands still while it is looked at; it may have been done just before.
        if child.try_wait().unwrap().is_none() {
            send("-STOP", &child);
            let is_caught = is_half_written();
            send("-INT", &child);
            send("-CONT", &child);
            let ran = ran(child.wait_with_output().unwrap());
            if is_caught && ran.code == 130 {
                assert!(!ran.stderr.contains("error"), "{}", ran.stderr);
                break;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "it was never caught");
    }
    assert_eq!(place.names(""), ["data.csv", "many.csv", "out.csv", "run"]);
    assert_eq!(place.read("out.csv"), "before");
}
