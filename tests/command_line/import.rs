//! Tables for nets of other programs, without column names: `wgrad import` and the commands after it.

use crate::cli_support::{Place, plane};

/// A net of two inputs and a number, imported.
fn imported(place: &Place) {
    place.write("plane.csv", plane());
    let train = "train plane.csv --device cpu --epochs 2 --layers 4:relu --quiet";
    place.ok(&format!("{train} --out run"));
    place.ok("export run --bare -o net.onnx");
    place.ok("import net.onnx --out net");
}

#[test]
fn a_header_is_no_row_and_its_names_are_not_compared() {
    let place = Place::new();
    imported(&place);
    let rows = "1.5,2\n-3,0.25\n4,4\n";
    place.write("bare.csv", rows);
    let expected = place.ok("predict net bare.csv --device cpu").stdout;
    assert_eq!(expected.lines().count(), 4, "{expected}");
    for (name, header) in [("same", "a,b\n"), ("other", "height,\"width, cm\"\n")] {
        place.write(&format!("{name}.csv"), format!("{header}{rows}"));
        let found = place.ok(&format!("predict net {name}.csv --device cpu")).stdout;
        assert_eq!(found, expected, "{name}");
    }
    // With the target behind the inputs, whatever it is called.
    place.write("with.csv", "a,b,price\n1.5,2,7\n-3,0.25,1\n4,4,2\n");
    assert_eq!(place.ok("predict net with.csv --device cpu").stdout, expected);
    place.ok("evaluate net with.csv --device cpu");
    // A text in a row of numbers is a fault of that row, and no header.
    place.write("fault.csv", "a,2\n-3,0.25\n4,4\n");
    let ran = place.run("predict net fault.csv --device cpu");
    assert!(ran.code == 3 && ran.stderr.contains("\"a\" is not a number"), "{}", ran.stderr);
    assert!(ran.stderr.contains("line 1, column 1"), "{}", ran.stderr);
}

#[test]
fn a_table_that_does_not_fit_is_refused_with_what_the_net_takes() {
    let place = Place::new();
    imported(&place);
    place.write("many.csv", "id,a,b,price\n1,1.5,2,7\n2,-3,0.25,1\n");
    place.write("few.csv", "a\n1.5\n2.5\n");
    place.write("text.csv", "a,b\n1.5,red\n2.5,blue\n");
    for (name, says) in [
        ("many", "4 columns, but the model takes 2, or 3 with the target"),
        ("few", "1 column, but the model takes 2, or 3 with the target"),
        ("text", "\"red\" is not a number"),
    ] {
        let ran = place.run(&format!("predict net {name}.csv --device cpu"));
        assert_eq!(ran.code, 3, "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!("{name}.csv")), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains("help: "), "{name}: {}", ran.stderr);
    }
    let ran = place.run("predict net many.csv --device cpu");
    assert!(ran.stderr.contains("identifies its columns by position"), "{}", ran.stderr);
}
