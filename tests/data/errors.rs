//! Invalid data: each kind with an exit code, a position and advice.

use crate::cli_support::{Place, idx, plane};

/// Trains on each file: exit code 3, and each of the texts in the message.
fn refuses(place: &Place, data: &str, texts: &[&str]) {
    let ran = place.run(&format!("train {data} --device cpu --quiet"));
    assert_eq!(ran.code, 3, "train {data}\n{}{}", ran.stdout, ran.stderr);
    for text in texts.iter().chain(&["error: ", "where: ", "help: "]) {
        assert!(ran.stderr.contains(text), "train {data}: no {text:?} in\n{}", ran.stderr);
    }
    assert!(!place.path("runs").exists(), "no run directory is left behind");
}

/// A file of NumPy.
fn npy(descr: &str, fortran: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((text.len() as u16).to_le_bytes());
    [&file, text.as_bytes(), body].concat()
}

/// A file of Parquet.
fn parquet(columns: [(&str, arrow_array::ArrayRef); 2]) -> Vec<u8> {
    let batch = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

/// Half a million rows of which one cell, in line 500,001, is odd.
fn late(usual: &str, odd: &str) -> String {
    let mut text = "a,b,y\n".to_string();
    for i in 2..=500_010u32 {
        let cell = if i == 500_001 { odd } else { usual };
        text += &format!("{cell},{}.5,{}\n", i % 7, i % 3);
    }
    text
}

#[test]
fn what_is_wrong_in_a_text_is_named_with_its_line_and_column() {
    let place = Place::new();
    place.write("ragged.csv", "a,b,y\n1,2,0\n3,4\n");
    place.write("quote.csv", "a,b,y\n1,\"2,0\n3,4,1\n");
    place.write("utf8.csv", b"a,b,y\n1,2,0\n3,\xE4,1\n");
    place.write("empty.csv", "");
    place.write("header.csv", "a,b,y\n");
    place.write("once.csv", "a,y\n1,5\n2,5\n");
    place.write("class.csv", "a,y\n1,u\n2,u\n");
    place.write("missing.csv", "a,y\n1,2\n2,\n");
    refuses(&place, "ragged.csv", &["the row has 2 cells", "where: ragged.csv, line 3\n"]);
    refuses(&place, "quote.csv", &["never closed", "where: quote.csv, line 2\n"]);
    refuses(&place, "utf8.csv", &["invalid UTF-8", "line 3, column 2 (b)", "iconv"]);
    refuses(&place, "empty.csv", &["the file is empty", "where: empty.csv"]);
    refuses(&place, "header.csv", &["a header, but no rows", "where: header.csv"]);
    refuses(&place, "once.csv", &["the target is 5 in every row", "column 2 (y)"]);
    refuses(&place, "class.csv", &["the only class is \"u\"", "column 2 (y)"]);
    refuses(&place, "missing.csv", &["the target is missing", "line 3, column 2 (y)"]);
    place.write("plane.csv", plane());
    let ran = place.run("train plane.csv --target yy --device cpu");
    assert!(ran.code == 2 && ran.stderr.contains("the columns are a, b, y"), "{}", ran.stderr);
    let ran = place.run("train plane.csv --target Y --ignore bb --device cpu");
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    place.write("houses.csv", plane().replace("a,b,y", "rooms,median_income,median_house_value"));
    let ran = place.run("train houses.csv --target median_house_valu --device cpu");
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    for text in ["where: houses.csv", "did you mean median_house_value?"] {
        assert!(ran.stderr.contains(text), "no {text:?} in\n{}", ran.stderr);
    }
}

#[test]
fn a_cell_of_another_kind_is_found_half_a_million_lines_down() {
    let place = Place::new();
    place.write("text.csv", late("1.25", "unknown"));
    place.write("number.csv", late("red", "17.5").replacen("red,", "blue,", 1000));
    let at = "line 500001, column 1 (a)";
    refuses(&place, "text.csv", &["\"unknown\" is not a number", at, "--categorical a"]);
    refuses(&place, "number.csv", &["17.5 is a number among texts", at, "--categorical a"]);
    place.ok("train number.csv --categorical a --device cpu --quiet --dry-run");
}

#[test]
fn binary_files_that_are_cut_or_lie_are_refused() {
    let place = Place::new();
    place.write("huge.npy", npy("<f8", "False", "(4611686018427387904, 3)", &[0; 24]));
    refuses(&place, "huge.npy", &["declares 4611686018427387904 × 3 elements", "where: huge.npy"]);
    place.write("objects.npy", npy("|O", "False", "(3,)", &[0; 24]));
    refuses(&place, "objects.npy", &["\"|O\"", "astype"]);
    // Fortran order isn't a mistake: it is read as what it means.
    let column =
        |c: usize| (0..40).map(move |r| [1.0, 2.0, -0.5][c] * f64::from(r * (c as i32 + 3) % 17));
    let bytes = |c: usize| column(c).flat_map(f64::to_le_bytes);
    let fortran: Vec<u8> = (0..3).flat_map(bytes).collect();
    let c_order: Vec<u8> = (0..40)
        .flat_map(|r| (0..3).flat_map(move |c| column(c).nth(r)))
        .flat_map(f64::to_le_bytes)
        .collect();
    for (name, order, body) in [("f", "True", fortran), ("c", "False", c_order)] {
        place.write(&format!("{name}.npy"), npy("<f8", order, "(40, 3)", &body));
        place.ok(&format!("train {name}.npy --device cpu --quiet --epochs 2 --out {name}"));
    }
    assert_eq!(place.model("f").members, place.model("c").members);
    std::fs::remove_dir_all(place.path("f")).unwrap();
    std::fs::remove_dir_all(place.path("c")).unwrap();
    place.write("images-idx3-ubyte", idx(&[u32::MAX, 28, 28], &[1; 100]));
    place.write("labels-idx1-ubyte", idx(&[1], &[1]));
    refuses(&place, "images-idx3-ubyte", &["28", "where: images-idx3-ubyte"]);
    let array: arrow_array::ArrayRef =
        std::sync::Arc::new(arrow_array::Float64Array::from_iter_values((0..999).map(f64::from)));
    let parquet = parquet([("a", array.clone()), ("y", array)]);
    for len in [4, 11, parquet.len() / 2, parquet.len() - 1] {
        place.write("cut.parquet", &parquet[..len]);
        refuses(&place, "cut.parquet", &["truncated or damaged", "where: cut.parquet"]);
    }
    place.write("cut.arrow", b"ARROW1\0\0rubbish");
    refuses(&place, "cut.arrow", &["truncated or damaged", "where: cut.arrow"]);
    place.write("cut.npz", b"PK\x03\x04rubbish");
    refuses(&place, "cut.npz", &["truncated or damaged", "where: cut.npz"]);
    place.write("pictures/cat/1.png", b"\x89PNG\r\n\x1a\nrubbish");
    place.write("pictures/dog/1.png", b"no image at all");
    refuses(&place, "pictures", &["not a readable image", "where: pictures/"]);
}

/// Every reader of numbers: NaN where it isn't a missing value, ±inf everywhere, and numbers beyond f32.
#[test]
fn a_number_that_is_not_finite_is_named_with_its_row_and_column() {
    let place = Place::new();
    let ramp = |odd: &str| {
        let cell = |i: usize| if i == 4 { odd.to_string() } else { format!("{i}.5") };
        let rows = (0..40).map(|i| format!("{},{},{}\n", cell(i), i * 7 % 11, i % 3));
        format!("a,b,y\n{}", rows.collect::<String>())
    };
    for odd in ["inf", "-inf", "Infinity", "1e999", "-1e999"] {
        place.write("odd.csv", ramp(odd));
        refuses(&place, "odd.csv", &["where: odd.csv, line 6, column 1 (a)"]);
        let target = ramp("1").replacen("\n1,6,1\n", &format!("\n1,6,{odd}\n"), 1);
        place.write("target.csv", target);
        refuses(
            &place,
            "target.csv --task regression",
            &["where: target.csv, line 6, column 3 (y)"],
        );
    }
    // What is finite in the file, and not in f32: by itself, and after scaling. No other row is
    // to blame.
    place.write("large.csv", ramp("1e300"));
    for scaling in ["", "--scaling none"] {
        refuses(
            &place,
            &format!("large.csv {scaling}"),
            &["1e300 overflows f32", "where: large, line 6, column 1 (a)"],
        );
    }
    place.write("apart.csv", ramp("-1e308").replacen("\n9.5,", "\n1e308,", 1));
    refuses(
        &place,
        "apart.csv --scaling minmax",
        &["-1e308 overflows f32", "line 6, column 1 (a)"],
    );

    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        // Two columns of features, and one of targets.
        let value = |i: usize| if i == 7 { odd } else { i as f32 * 0.25 };
        let body: Vec<u8> = (0..30).flat_map(|i| value(i).to_le_bytes()).collect();
        place.write("odd.npy", npy("<f4", "False", "(10, 3)", &body));
        match odd.is_nan() {
            // Missing, and learned from as such.
            true => drop(place.ok("train odd.npy --device cpu --quiet --dry-run")),
            false => refuses(&place, "odd.npy", &["where: odd.npy, row 3, column 2"]),
        }
        let bytes = (0..30).flat_map(|i| value(i).to_be_bytes()).collect::<Vec<u8>>();
        let mut file = vec![0, 0, 0x0D, 3];
        file.extend([10u32, 3, 1].iter().flat_map(|n| n.to_be_bytes()));
        file.extend(bytes);
        place.write("odd-images-idx3-ubyte", &file);
        let labels: Vec<u8> = (0..10).map(|i| i % 2).collect();
        place.write("odd-labels-idx1-ubyte", idx(&[10], &labels));
        let named = format!("a feature is {odd}");
        refuses(&place, "odd-images-idx3-ubyte", &[&named, "row 3, column 2"]);

        let cell = |i: usize| if i == 4 { f64::from(odd) } else { i as f64 * 0.5 };
        let columns = [
            ("a", (0..40).map(cell).collect()),
            ("y", (0..40).map(|i| f64::from(i % 7)).collect()),
        ];
        let columns = columns.map(|(name, values): (_, Vec<f64>)| {
            let array: arrow_array::ArrayRef =
                std::sync::Arc::new(arrow_array::Float64Array::from(values));
            (name, array)
        });
        place.write("odd.parquet", parquet(columns));
        match odd.is_nan() {
            true => drop(place.ok("train odd.parquet --device cpu --quiet --dry-run")),
            false => refuses(&place, "odd.parquet", &["row 5", "column 1 (a)"]),
        }
    }
}

#[test]
fn a_few_rows_that_cannot_be_read_are_skipped_if_asked_for() {
    let place = Place::new();
    let row = |i: i32| match i {
        7 => "4,oops,3\n".to_string(),
        20 => "4,5\n".to_string(),
        33 => "inf,5,3\n".to_string(),
        i => format!("{},{}.5,{}\n", i * 7 % 23, i * 5 % 19, i * 3 % 17),
    };
    let table = |rows: i32| format!("a,b,y\n{}", (0..rows).map(row).collect::<String>());
    place.write("bad.csv", table(100));
    place.write("short.csv", table(40));
    let good: String = (0..100).filter(|i| ![7, 20, 33].contains(i)).map(row).collect();
    place.write("good.csv", format!("a,b,y\n{good}"));
    let train = |data: &str, options: &str| {
        place.run(&format!("train {data} --device cpu --quiet --epochs 2 {options}"))
    };
    let stopped = train("bad.csv", "");
    assert_eq!(stopped.code, 3, "{}", stopped.stderr);
    assert!(!place.path("runs").exists());
    let ran = train("bad.csv", "--on-error skip --out bad");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for text in [
        "warning: 3 of 100 rows can't be read and are skipped: ",
        "line 9",
        "\"oops\"",
        "line 22",
        "line 35",
    ] {
        assert!(ran.stderr.contains(text), "{text} in {}", ran.stderr);
    }
    assert_eq!(train("good.csv", "--out good").code, 0);
    assert_eq!(place.model("bad").members, place.model("good").members);
    // The same rows again.
    place.ok("report bad --device cpu");
    let many = train("short.csv", "--on-error skip");
    assert_eq!(many.code, 3, "{}", many.stderr);
    assert!(many.stderr.contains("3 of 40 rows can't be read, more than 5%"), "{}", many.stderr);
}
