//! Tables of every format give the same model, and their columns are found again by name.

use crate::cli_support::{Place, idx};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt8Array};
use std::io::Write;
use std::sync::Arc;
use wgrad::data::{self, Data, DataOptions, Preprocessing, Targets};

/// 200 images of 8 × 8 pixels: the class is the brighter half. (pixels, labels)
fn images() -> (Vec<u8>, Vec<u8>) {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 25) as u8
    };
    let labels: Vec<u8> = (0..200).map(|i| (i % 2) as u8).collect();
    let bright = |label: u8, x: usize| if (x < 4) == (label == 0) { 100 } else { 0 };
    let pixels = labels
        .iter()
        .flat_map(|&l| (0..64).map(move |p| bright(l, p % 8)))
        .map(|p| p + noise())
        .collect();
    (pixels, labels)
}

fn npy(descr: &str, fortran: bool, shape: &[usize], body: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let sizes: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({sizes}), }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((text.len() as u16).to_le_bytes());
    file.extend(text.as_bytes());
    file.extend(body);
    file
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, file) in arrays {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(file).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn arrow(batch: &RecordBatch, stream: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if stream {
        let mut writer =
            arrow_ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer =
            arrow_ipc::writer::FileWriter::try_new(&mut bytes, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
    }
    bytes
}

#[test]
fn the_same_images_in_every_format_give_the_same_model_bit_for_bit() {
    let place = Place::new();
    let (pixels, labels) = images();
    place.write("set/train-images-idx3-ubyte", idx(&[200, 8, 8], &pixels));
    place.write("set/train-labels-idx1-ubyte", idx(&[200], &labels));
    let rows = || pixels.chunks_exact(64).zip(&labels);
    let csv: String = rows()
        .map(|(row, label)| {
            row.iter().map(|p| format!("{p},")).collect::<String>() + &format!("{label}\n")
        })
        .collect();
    place.write("images.csv", &csv);
    let joined: Vec<u8> = rows().flat_map(|(row, label)| [row, &[*label]].concat()).collect();
    place.write("images.npy", npy("|u1", false, &[200, 65], &joined));
    let turned: Vec<u8> =
        (0..65).flat_map(|c| (0..200).map(|r| joined[r * 65 + c]).collect::<Vec<_>>()).collect();
    place.write("fortran.npy", npy("|u1", true, &[200, 65], &turned));
    let y: Vec<u8> = labels.iter().flat_map(|&l| i64::from(l).to_le_bytes()).collect();
    let x = npy("|u1", false, &[200, 8, 8], &pixels);
    place.write("images.npz", npz(&[("x.npy", x), ("y.npy", npy("<i8", false, &[200], &y))]));
    let column = |c: usize| -> ArrayRef {
        let values: Vec<u8> = joined.iter().skip(c).step_by(65).copied().collect();
        match c {
            64 => Arc::new(Int64Array::from_iter_values(values.into_iter().map(i64::from))),
            c if c % 2 == 0 => Arc::new(UInt8Array::from(values)),
            _ => Arc::new(Int64Array::from_iter_values(values.into_iter().map(i64::from))),
        }
    };
    let batch = RecordBatch::try_from_iter((0..65).map(|c| (format!("c{c}"), column(c)))).unwrap();
    place.write("images.parquet", parquet(&batch));
    place.write("images.arrow", arrow(&batch, false));
    place.write("images.arrows", arrow(&batch, true));
    let train = |data: &str, out: &str| {
        place.ok(&format!("train {data} --device cpu --quiet --epochs 3 --out {out}"));
        place.model(out)
    };
    let model = train("set", "idx");
    for data in [
        "images.csv",
        "images.npy",
        "fortran.npy",
        "images.npz",
        "images.parquet",
        "images.arrow",
        "images.arrows",
    ] {
        let other = train(data, "other");
        std::fs::remove_dir_all(place.path("other")).unwrap();
        assert_eq!(other.members, model.members, "{data}");
        assert_eq!(other.preprocessing.features, model.preprocessing.features, "{data}");
        assert_eq!(other.preprocessing.classes, model.preprocessing.classes, "{data}");
    }
    let from_idx = place.ok("predict idx set --device cpu").stdout;
    assert_eq!(place.ok("predict idx images.parquet --device cpu").stdout, from_idx);
    // Folders have an order of their own: class by class.
    for (i, (row, label)) in rows().enumerate() {
        let mut file = std::io::Cursor::new(Vec::new());
        let image = image::GrayImage::from_raw(8, 8, row.to_vec()).unwrap();
        image.write_to(&mut file, image::ImageFormat::Png).unwrap();
        place.write(&format!("folders/{label}/{i:03}.png"), file.into_inner());
    }
    let lines: Vec<&str> = from_idx.lines().collect();
    let mut order: Vec<usize> = (0..200).collect();
    order.sort_by_key(|&i| labels[i]);
    let expected: Vec<&str> = order.iter().map(|&i| lines[i + 1]).collect();
    let from_folders = place.ok("predict idx folders --device cpu").stdout;
    assert_eq!(from_folders.lines().skip(1).collect::<Vec<_>>(), expected);
}

#[test]
fn images_take_the_quantile_transform_whether_they_are_a_matrix_or_a_table() {
    let place = Place::new();
    let (pixels, labels) = images();
    place.write("set/train-images-idx3-ubyte", idx(&[200, 8, 8], &pixels));
    place.write("set/train-labels-idx1-ubyte", idx(&[200], &labels));
    let rows = pixels.chunks_exact(64).zip(&labels);
    let line = |(row, label): (&[u8], &u8)| {
        row.iter().map(|p| format!("{p},")).collect::<String>() + &format!("{label}\n")
    };
    place.write("images.csv", rows.map(line).collect::<String>());
    let train = "--device cpu --quiet --epochs 3 --scaling quantile";
    place.ok(&format!("train set {train} --out idx"));
    place.ok(&format!("train images.csv {train} --out csv"));
    let (idx, csv) = (place.model("idx"), place.model("csv"));
    assert_eq!(idx.preprocessing.quantiles.as_ref().map(Vec::len), Some(64));
    assert_eq!(csv.preprocessing.quantiles, idx.preprocessing.quantiles);
    assert_eq!(csv.members, idx.members);
    let predicted = place.ok("predict idx set --device cpu").stdout;
    assert_eq!(place.ok("predict csv images.csv --device cpu").stdout, predicted);
    place.ok("train set --device cpu --quiet --epochs 3 --scaling robust --out robust");
    assert_ne!(place.model("robust").members, idx.members);
    let refused = place.run("train set --device cpu --scaling quantile --augment standard");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("augmentation cannot be used with quantile scaling"),
        "{}",
        refused.stderr
    );
}

#[test]
fn columns_that_nothing_is_learnt_from_are_said_before_the_training() {
    let place = Place::new();
    let row = |i: u32| format!("c{i:04},{},note number {i} of many,1,{}\n", i * 7 % 23, i % 9);
    let rows = (0..60).map(row);
    place.write(
        "ids.csv",
        std::iter::once("code,a,note,z,y\n".into()).chain(rows).collect::<String>(),
    );
    let train = "train ids.csv --task regression --device cpu --epochs 1";
    let told = place.ok(train).stderr;
    let line = told
        .lines()
        .find(|line| line.starts_with("left out: "))
        .unwrap_or_else(|| panic!("{told}"));
    assert_eq!(
        line,
        "left out: code (an identifier), note (an identifier), z (the same in every row)"
    );
    // What was asked for needs no word, and neither does what is silent.
    for options in ["--ignore code,note,z", "--quiet"] {
        let told = place.ok(&format!("{train} {options}")).stderr;
        assert!(!told.contains("left out"), "{told}");
    }
}

/// A table with a bit of everything. (CSV, price of each row)
fn houses() -> String {
    let mut text = "id,rooms,town,garden,sold,area,price\n".to_string();
    for i in 0..300usize {
        let (rooms, town) = (1 + i * 7 % 6, ["Oslo", "Rome", "Lima"][i * 5 % 3]);
        let garden = ["no", "yes"][i / 3 % 2];
        let area = if i % 11 == 0 { String::new() } else { (20 * rooms + i % 13).to_string() };
        let sold = format!("20{:02}-{:02}-{:02}", 10 + i % 12, 1 + i % 12, 1 + i % 28);
        let price = 1000 * rooms + 500 * (i * 5 % 3) + 300 * (i / 3 % 2) + i * 3 % 101;
        text += &format!("{},{rooms},{town},{garden},{sold},{area},{price}\n", i + 1);
    }
    text
}

/// The same rows with the columns in this order, and a constant one for an unknown name.
fn reordered(text: &str, names: &[&str]) -> String {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let places: Vec<Option<usize>> =
        names.iter().map(|n| header.iter().position(|h| h == n)).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let cells: Vec<&str> = places.iter().map(|p| p.map_or("x", |p| cells[p])).collect();
        cells.join(",") + "\n"
    };
    names.join(",") + "\n" + &lines.map(row).collect::<String>()
}

#[test]
fn a_table_of_every_kind_is_understood_learnt_and_found_again_by_its_names() {
    let place = Place::new();
    let text = houses();
    place.write("houses.csv", &text);
    let plan = &place.ok("train houses.csv --dry-run --json --device cpu").json()[0];
    let columns = plan["columns"].as_array().unwrap();
    let kinds: Vec<(&str, &str)> = columns
        .iter()
        .map(|c| (c["kind"].as_str().unwrap(), c["role"].as_str().unwrap()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("text", "left out"),
            ("number", "learned from"),
            ("category", "learned from"),
            ("boolean", "learned from"),
            ("time", "learned from"),
            ("number", "learned from"),
            ("number", "target"),
        ]
    );
    assert!(plan["seconds"].is_number(), "{plan}");
    let shown = place.ok("train houses.csv --dry-run --device cpu").stdout;
    for part in ["one-hot: 3", "an identifier", "9.3 % missing", "1 for missing", "nothing was"] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }

    let end = place.ok("train houses.csv --device cpu --json --epochs 60 --out run").json();
    let end = end.last().unwrap();
    assert!(end["valid"]["r2"].as_f64().unwrap() > 0.9, "{end}");
    let predicted = place.ok("predict run houses.csv --device cpu").stdout;
    assert!(predicted.starts_with("price\n") && predicted.lines().count() == 301);
    for names in [
        &["price", "area", "sold", "garden", "town", "rooms", "id"][..],
        &["area", "more", "sold", "garden", "town", "rooms", "even more"],
    ] {
        place.write("other.csv", reordered(&text, names));
        assert_eq!(place.ok("predict run other.csv --device cpu").stdout, predicted, "{names:?}");
    }
    place.write("short.csv", reordered(&text, &["area", "sold", "garden", "rooms", "twon"]));
    let refused = place.run("predict run short.csv --device cpu");
    assert_eq!(refused.code, 3);
    assert!(refused.stderr.contains("\"town\", which the model needs, is missing"));
    assert!(refused.stderr.contains("did you mean twon?"), "{}", refused.stderr);
    place.write("new.csv", "rooms,town,garden,sold,area\n3,Paris,,,\n");
    let new = place.ok("predict run new.csv --device cpu").stdout;
    let value: f32 = new.lines().nth(1).unwrap().parse().unwrap();
    // With three rooms 3,000, and up to 1,000 for the town, 300 for the garden and 100 besides.
    assert!((3_000.0..4_400.0).contains(&value), "a town never seen, and what is missing: {new}");
}

#[test]
fn predictions_of_the_saved_model_are_those_at_the_end_of_training_bit_for_bit() {
    let place = Place::new();
    place.write("houses.csv", houses());
    let path = place.path("houses.csv").to_string_lossy().into_owned();
    place.ok("train houses.csv --device cpu --quiet --scaling quantile --epochs 3 --out run");
    let model = place.model("run");
    let options = DataOptions::default();
    let Data::Table(table) = data::open(&path, &options).unwrap().train else { panic!("a table") };
    let data = Data::Table(table);
    let rows = data::split::random(data.rows(), 0.1, 0).unwrap().training;
    let scaling = data::Scaling::Quantile;
    let fitting = data::Fitting::new(scaling);
    let fitted = Preprocessing::fit_rows(&data, &rows, &fitting).unwrap();
    assert_eq!(fitted, model.preprocessing, "what is saved reads back to the bit");
    let all: Vec<usize> = (0..data.rows()).collect();
    let direct = fitted.dataset(&data, &all).unwrap();
    let read = data::open_inputs(&path, &model.preprocessing, &options).unwrap();
    assert_eq!(*read.features, *direct.features());
}

#[test]
fn categories_become_inputs_as_is_asked_for() {
    let place = Place::new();
    let row = |i: usize| format!("{},s{},t{},{}\n", i % 31, i * i % 150, i % 4, i * 7 % 23);
    let text: String =
        std::iter::once("n,shop,town,y\n".to_string()).chain((0..3000).map(row)).collect();
    place.write("shops.csv", text);
    let planned = |options: &str| {
        let train = format!("train shops.csv --device cpu --dry-run --json {options}");
        let plan = place.ok(&train).json();
        let encoding = |name: &str| {
            let columns = plan[0]["columns"].as_array().unwrap().iter();
            let column = columns.clone().find(|c| c["name"] == name).unwrap();
            column["encoding"].as_str().unwrap().to_string()
        };
        [encoding("shop"), encoding("town")]
    };
    let few = planned("");
    assert!(few[0].starts_with("one-hot: ") && few[1] == "one-hot: 4", "{few:?}");
    let [shop, town] = planned("--hash shop --embed town");
    assert!(shop == "hashed into 128" && town == "embedded: 4 in 4 dimensions", "{shop} {town}");
    let row = |i: usize| format!("{},s{},t{},{}\n", i % 31, i % 150, i % 4, i * 7 % 23);
    let text: String =
        std::iter::once("n,shop,town,y\n".to_string()).chain((0..3000).map(row)).collect();
    place.write("shops.csv", text);
    assert!(planned("")[0].starts_with("embedded: 150 in "));
    assert_eq!(planned("--embedding-dims 0")[0], "hashed into 128");
    assert_eq!(planned("--one-hot shop --embedding-dims 0")[0], "one-hot: 150");
    for (options, text) in [
        ("--one-hot shop --hash shop", "--one-hot shop cannot be used with --hash shop"),
        ("--hash shopp", "there is no column"),
        ("--one-hot y", "it is not a column of categories"),
    ] {
        let refused = place.run(&format!("train shops.csv --device cpu {options}"));
        assert!(refused.code == 2 && refused.stderr.contains(text), "{}", refused.stderr);
    }
}

#[test]
fn labels_are_read_from_columns_or_from_one_with_separators() {
    let dir = tempfile::tempdir().unwrap();
    let open = |text: &str, target: &[&str]| {
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        let mut options = DataOptions { task: data::Task::Multilabel, ..DataOptions::default() };
        options.columns.target = target.iter().map(|t| t.to_string()).collect();
        data::open(path.to_str().unwrap(), &options)
    };
    let one = open("a,tags\n1,x|y\n2,\n3,y\n4,y | x\n", &[]).unwrap();
    let several = open("a,x,y\n1,1,yes\n2,0,no\n3,0,yes\n4,1,yes\n", &["x", "y"]).unwrap();
    for found in [&one, &several] {
        let Targets::Labels { values, names } = found.train.targets() else { panic!("labels") };
        assert_eq!(names, &["x", "y"]);
        assert_eq!(values.data(), [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }
    let error = open("a,x,y\n1,1,2\n2,0,0\n", &["x", "y"]).unwrap_err().to_string();
    assert!(error.contains("\"2\" is neither 0 nor 1") && error.contains("line 2"), "{error}");

    let place = Place::new();
    place.write(
        "tags.csv",
        (0..60).fold("a,b,tags\n".to_string(), |text, i| {
            let tags = [["", "left"], ["up", "left|up"]][i / 2 % 2][i % 2];
            text + &format!("{},{},{tags}\n", i % 2 * 10, i / 2 % 2 * 10 + i % 5)
        }),
    );
    let train = "train tags.csv --task multilabel --device cpu --quiet --epochs 400 --out run";
    place.ok(train);
    let out = place.ok("predict run tags.csv --device cpu").stdout;
    let rows: Vec<Vec<f32>> = out
        .lines()
        .skip(1)
        .map(|line| line.split(',').skip(1).map(|p| p.parse().unwrap()).collect())
        .collect();
    assert!(out.starts_with("labels,p_left,p_up\n"), "{out}");
    let labels = |row: usize| out.lines().nth(row + 1).unwrap().split(',').next().unwrap();
    assert_eq!((labels(0), labels(3)), ("", "left|up"));
    assert!(rows[0].iter().all(|&p| p < 0.3) && rows[3].iter().all(|&p| p > 0.7), "{out}");
}

#[test]
fn weights_of_rows_and_classes_come_with_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, "a,w,y\n1,0.5,u\n2,2,v\n3,1,u\n4,1,v\n").unwrap();
    let mut options = DataOptions::default();
    options.columns.sample_weight = Some("w".into());
    let data = data::open(path.to_str().unwrap(), &options).unwrap().train;
    let fitting = data::Fitting::new(data::Scaling::Standard);
    let fitted = Preprocessing::fit_rows(&data, &[0, 1, 2], &fitting).unwrap();
    let set = fitted.dataset(&data, &[0, 1, 2]).unwrap();
    assert_eq!(set.weights(), Some(&[0.5, 2.0, 1.0][..]));
    assert_eq!(set.features().cols(), 1, "nothing is learned from the weights");
    let balanced = data::ClassWeight::Balanced.of_classes(set.targets()).unwrap();
    let both = set.class_weighted(&balanced).unwrap();
    assert_eq!(both.weights(), Some(&[0.375, 3.0, 0.75][..]));
}

#[test]
fn nulls_texts_and_moments_of_parquet_are_those_of_csv() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    };
    let batch = RecordBatch::try_from_iter([
        ("x", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(-2.0)])) as ArrayRef),
        ("c", Arc::new(StringArray::from(vec![Some("a"), Some("b"), None])) as ArrayRef),
        ("y", Arc::new(Int64Array::from(vec![7, 8, 300])) as ArrayRef),
    ])
    .unwrap();
    let csv = write("t.csv", b"x,c,y\n1.5,a,7\n,b,8\n-2,,300\n");
    let mut options = DataOptions::default();
    options.columns.categorical = vec!["c".into()];
    let expected = data::open(&csv, &options).unwrap().train;
    let all = |data: &Data| {
        let rows: Vec<usize> = (0..data.rows()).collect();
        let fitting = data::Fitting::new(data::Scaling::Standard);
        let fitted = Preprocessing::fit_rows(data, &rows, &fitting).unwrap();
        (fitted.dataset(data, &rows).unwrap(), fitted)
    };
    for (name, bytes) in [
        ("t.parquet", parquet(&batch)),
        ("t.arrow", arrow(&batch, false)),
        ("t.arrows", arrow(&batch, true)),
    ] {
        let found = data::open(&write(name, &bytes), &options).unwrap().train;
        assert_eq!(all(&found), all(&expected), "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn damaged_columnar_files_are_refused_or_read_but_never_panic(
        at in 0usize..1000, flip in 1u8.., cut in 0usize..1000, format in 0..3,
    ) {
        let words = StringArray::from(vec![Some("a"), None, Some("b"), Some("a")]);
        let batch = RecordBatch::try_from_iter([
            ("c", Arc::new(words) as ArrayRef),
            ("y", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.5])) as ArrayRef),
        ]).unwrap();
        let mut bytes = match format {
            0 => parquet(&batch),
            1 => arrow(&batch, false),
            _ => arrow(&batch, true),
        };
        let place = at % bytes.len();
        bytes[place] ^= flip;
        let _ = data::open_bytes("t", &bytes, &DataOptions::default());
        bytes[place] ^= flip;
        bytes.truncate(cut % bytes.len());
        proptest::prop_assert!(data::open_bytes("t", &bytes, &DataOptions::default()).is_err());
    }

    #[test]
    fn what_is_written_as_parquet_reads_back_equal(
        numbers in proptest::collection::vec(proptest::option::of(-1e300f64..1e300), 2..40),
        // No usual mark of a missing value is made of these letters.
        words in proptest::collection::vec(proptest::option::of("[b-h ]{1,5}"), 40),
    ) {
        let numbers: Vec<Option<f64>> = [Some(1.0), Some(2.5)].into_iter().chain(numbers).collect();
        let words = &words[..numbers.len().min(40)];
        let numbers = &numbers[..words.len()];
        let targets: Vec<f64> = (0..words.len()).map(|i| i as f64 / 3.0).collect();
        let batch = RecordBatch::try_from_iter([
            ("x", Arc::new(Float64Array::from(numbers.to_vec())) as ArrayRef),
            ("c", Arc::new(StringArray::from(words.to_vec())) as ArrayRef),
            ("y", Arc::new(Float64Array::from(targets)) as ArrayRef),
        ]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), parquet(&batch)).unwrap();
        let found = data::open(file.path().to_str().unwrap(), &DataOptions::default()).unwrap();
        let table = found.train.table().unwrap().frame();
        for (row, (x, word)) in numbers.iter().zip(words).enumerate() {
            let value = table.column("x").unwrap().number(row);
            proptest::prop_assert_eq!(value.to_bits(), x.unwrap_or(f64::NAN).to_bits());
            // White space alone is a missing value.
            let word = word.clone().filter(|word| !word.trim().is_empty());
            proptest::prop_assert_eq!(table.column("c").unwrap().text(row), word);
        }
    }
}
