//! `report.html`, `report.json` and `README.md` of a run directory, and `wgrad report`.

use crate::cli_support::{self, Place, plane};
use serde_json::Value;

fn report(place: &Place, run: &str) -> (Value, String) {
    let json = serde_json::from_str(&place.read(&format!("{run}/report.json"))).unwrap();
    let html = place.read(&format!("{run}/report.html"));
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    for outside in ["http:", "https:", "<script", "url(", "@import", "<link"] {
        assert!(!html.contains(outside), "{run} has {outside}");
    }
    assert_eq!(html.matches("<h1").count(), 1);
    for drawing in html.split("<svg").skip(1) {
        let head = drawing.split('>').next().unwrap();
        let is_named = head.contains("role=\"img\"") && drawing.contains("<title");
        assert!(is_named || head.contains("aria-hidden"), "{head}");
    }
    for table in html.split("<table").skip(1) {
        assert!(table.trim_start_matches('>').starts_with("<caption>"));
    }
    (json, html)
}

/// The metrics of a part by name.
fn metrics(report: &Value, part: &str) -> Vec<(String, f64)> {
    let parts = report["evaluations"].as_array().unwrap();
    let found = parts.iter().find(|p| p["part"] == part).unwrap();
    let metrics = found["metrics"].as_array().unwrap().iter();
    metrics.map(|m| (m["name"].as_str().unwrap().into(), m["value"].as_f64().unwrap())).collect()
}

/// A table of two classes, numbers, names and missing values.
fn mixed(rows: usize) -> String {
    let mut text = "size,color,same,id,class\n".to_string();
    for i in 0..rows {
        let size = if i % 11 == 0 { String::new() } else { format!("{}.5", i * 7 % 40) };
        let color = ["red", "green", "blue"][i * 5 % 3];
        let class = if (i * 7 % 40) + (i % 3) > 20 { "large" } else { "small" };
        text += &format!("{size},{color},1,note {i},{class}\n");
    }
    text
}

const SECTIONS: [&str; 5] = ["quality", "training", "data", "net", "again"];

fn has_sections(html: &str, more: &[&str]) {
    for id in SECTIONS.iter().chain(more) {
        assert!(html.contains(&format!("<section id=\"{id}\"")), "no section {id}");
        assert!(html.contains(&format!("href=\"#{id}\"")), "no link to {id}");
    }
}

#[test]
fn the_end_of_a_run_names_its_report_and_the_columns_that_mattered_most() {
    let place = Place::of_defaults();
    place.write("a.csv", mixed(400));
    let train = "train a.csv --device cpu --epochs 30";
    for (options, page) in [
        ("--ensemble 1 --out one", "one/report.html"),
        ("--out three", "three/report.html"),
        ("--folds 2 --ensemble 1 --out folds", "folds/report.html"),
    ] {
        let ran = place.ok(&format!("{train} {options}"));
        assert!(ran.stdout.contains(&format!("\nreport      {page}\nnext ")), "{}", ran.stdout);
        assert!(place.path(page).is_file());
        let important = ran.stdout.contains("\nimportance  highest for size");
        // The net of all rows isn't explained on rows that it wasn't trained on.
        assert_eq!(important, page != "folds/report.html", "{}", ran.stdout);
    }
    let ran = place.ok(&format!("{train} --ensemble 1 --no-report --out bare"));
    assert!(!ran.stdout.contains("\nreport"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("\nimportance"), "{}", ran.stdout);
}

#[test]
fn a_report_of_two_classes_has_the_figures_of_evaluate() {
    let place = Place::new();
    place.write("a.csv", mixed(200));
    place.write("test.csv", mixed(90));
    place.ok("train a.csv --test test.csv --epochs 4 --out run --quiet");
    let (json, html) = report(&place, "run");
    has_sections(&html, &["columns", "mistakes", "doubts"]);
    let evaluated = place.ok("evaluate run test.csv --json").json().remove(0);
    let found = metrics(&json, "test");
    assert!(found.len() > 8, "{found:?}");
    for (name, value) in found {
        assert_eq!(evaluated[&name].as_f64(), Some(value), "{name}");
    }
    let test = &json["evaluations"][1];
    assert_eq!(test["confusion"], evaluated["report"]["confusion"]);
    assert_eq!(test["baselines"][0]["values"], {
        let name = test["baselines"][0]["name"].as_str().unwrap();
        evaluated["baselines"][name].clone()
    });
    assert!(test["ranking"]["roc"].as_array().unwrap().len() > 2);
    let interval = test["metrics"][0]["interval"].as_array().unwrap();
    let accuracy = test["metrics"][0]["value"].as_f64().unwrap();
    assert!(interval[0].as_f64() <= Some(accuracy) && Some(accuracy) <= interval[1].as_f64());
    // What nothing is learned from is said, and what is learned from is shuffled.
    for (name, why) in [("same", "the same"), ("id", "identifier")] {
        let columns = json["columns"]["columns"].as_array().unwrap();
        let column = columns.iter().find(|c| c["name"] == name).unwrap();
        let said = column["left_out"].as_str().unwrap();
        assert!(said.contains(why) || html.contains(said), "{said}");
    }
    let names: Vec<&str> = json["influence"]["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["column"].as_str().unwrap())
        .collect();
    assert_eq!((names[0], names.len()), ("size", 2), "{names:?}");
    let dependence = json["dependence"].as_array().unwrap();
    assert_eq!(dependence.len(), 2);
    let means = dependence[0]["means"][0].as_array().unwrap();
    assert_eq!(means.len(), dependence[0]["values"].as_array().unwrap().len());
    assert_eq!(json["evaluations"][0]["wrong_rows"][0]["values"][0][0], "size");
    // Made again from its own files and the data, it is the same.
    let before = place.read("run/report.html");
    place.ok("report run --device cpu");
    assert_eq!(report(&place, "run").0["evaluations"], json["evaluations"]);
    assert_eq!(place.read("run/report.html"), before);
}

#[test]
fn a_report_of_numbers_has_residuals_and_goes_on_without_the_data() {
    let place = Place::new();
    place.write("plane.csv", plane());
    place.ok("train plane.csv --epochs 3 --validation 0.4 --out run --quiet");
    let (json, html) = report(&place, "run");
    has_sections(&html, &["columns", "mistakes"]);
    let evaluation = &json["evaluations"][0];
    assert_eq!(evaluation["residuals"][0]["points"].as_array().unwrap().len(), 24);
    assert_eq!(json["regions"]["columns"], serde_json::json!(["a", "b"]));
    assert_eq!(json["curves"][0]["points"].as_array().unwrap().len(), 3);
    std::fs::remove_file(place.path("plane.csv")).unwrap();
    let ran = place.ok("report run --plots plots");
    assert!(ran.stderr.contains("warning: the report uses only the files of the run"));
    assert_eq!(ran.stdout.trim(), "run/report.html");
    let (without, html) = report(&place, "run");
    assert_eq!(metrics(&without, "validation").len(), metrics(&json, "validation").len());
    assert!(html.contains("could not be used again"), "what is missing is said");
    assert_eq!(without["layers"], json["layers"]);
    let plots = place.names("plots");
    assert!(plots.contains(&"loss.svg".into()), "{plots:?}");
    let svg = place.read("plots/loss.svg");
    assert!(svg.starts_with("<svg xmlns=") && !svg.contains("var("), "{svg}");
    // What each line is stands below; the same in pixels, two for each unit, in the colors of both lines.
    assert!(svg.contains("viewBox=\"0 0 360 272\"") && svg.contains(">validation</text>"), "{svg}");
    let svgs = plots.iter().filter_map(|name| name.strip_suffix(".svg"));
    let pairs: Vec<String> = svgs.flat_map(|n| [format!("{n}.png"), format!("{n}.svg")]).collect();
    assert_eq!(plots, pairs);
    let png = image::open(place.path("plots/loss.png")).unwrap().to_rgb8();
    assert_eq!(png.dimensions(), (720, 544));
    for color in [[0x00, 0x72, 0xb2], [0xc2, 0x4e, 0x00]] {
        let count = png.pixels().filter(|pixel| pixel.0 == color).count();
        assert!(count > 300, "{count} pixels of {color:?}");
    }
}

#[test]
fn hostile_names_are_text_and_the_card_is_theirs_who_edit_it() {
    let place = Place::new();
    let long = "x".repeat(5000);
    let mut text = format!("\"<script>alert(1)</script>\",\"a\n\"\"b\"\" & c\",{long},y\n");
    for i in 0..60 {
        let class = ["</title><script>", "\"'&", "multi\nline: - x"][i % 3];
        let class = class.replace('"', "\"\"");
        text += &format!("{i},{},{},\"{class}\"\n", i % 7, i * 3 % 11);
    }
    place.write("a.csv", text);
    place.ok("train a.csv --target y --epochs 2 --out run --quiet");
    let (_, html) = report(&place, "run");
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!html.contains(&long));
    let card = place.read("run/README.md");
    assert!(card.starts_with("---\n") && card.contains("library_name: wgrad\n"), "{card}");
    assert!(!card.contains("<script>"), "{card}");
    let head = card.split("---\n").nth(1).unwrap();
    assert!(head.lines().all(|line| !line.starts_with(": - x")), "{head}");
    // A card as it was written is made again; one that was edited stays, and guards its run.
    place.ok("report run --device cpu");
    assert_eq!(place.read("run/README.md"), card);
    place.write("run/README.md", format!("{card}\nMine."));
    place.ok("report run --device cpu");
    assert!(place.read("run/README.md").ends_with("\nMine."));
    let again = "train a.csv --target y --epochs 1 --out run --force --quiet";
    let refused = place.run(again);
    assert!(refused.code == 2 && refused.stderr.contains("README.md"), "{}", refused.stderr);
    place.write("run/README.md", card);
    place.ok(again);
}

#[test]
fn images_are_shown_and_many_classes_and_columns_stay_small() {
    let place = Place::new();
    place.ok("train digits --epochs 1 --out digits --quiet");
    let (json, html) = report(&place, "digits");
    has_sections(&html, &["mistakes", "doubts"]);
    assert_eq!(json["evaluations"][0]["confusion"].as_array().unwrap().len(), 10);
    let picture = &json["evaluations"][0]["wrong_rows"][0]["picture"];
    assert_eq!((picture["width"].as_u64(), picture["height"].as_u64()), (Some(8), Some(8)));
    assert!(html.contains("src=\"data:image/png;base64,") && json["first_layer"].is_object());

    let header: Vec<String> = (0..1000).map(|i| format!("column number {i}")).collect();
    let mut text = header.join(",") + ",class\n";
    for row in 0..600 {
        let cells: Vec<String> = (0..1000).map(|c| format!("{}", (row * (c + 3)) % 17)).collect();
        text += &format!("{},a rather long name of class {}\n", cells.join(","), row % 200);
    }
    place.write("wide.csv", text);
    place.ok("train wide.csv --epochs 1 --layers 8 --out wide --quiet");
    let (json, html) = report(&place, "wide");
    assert_eq!(json["columns"]["total"], 1001);
    assert!(json["evaluations"][0]["confusion"].as_array().unwrap().is_empty());
    assert!(html.contains("with the lowest F1 of 200 classes"), "the worst classes are shown");
}

#[test]
fn labels_one_row_and_one_value_have_reports() {
    let place = Place::new();
    let rows = (0..80).map(|i| {
        let tags = ["warm", "warm;wet", "wet", ""][i % 4];
        format!("{},{},{tags}\n", i % 4, i * 3 % 5)
    });
    let text: String = std::iter::once("a,b,tags\n".to_string()).chain(rows).collect();
    place.write("tags.csv", text);
    place.ok("train tags.csv --task multilabel --epochs 2 --out tags --quiet");
    let (json, html) = report(&place, "tags");
    has_sections(&html, &["columns", "mistakes"]);
    assert_eq!(json["target"]["kind"], "labels");
    assert_eq!(json["evaluations"][0]["classes"].as_array().unwrap().len(), 2);
    place.write("one.csv", "a,b,y\n1,2,3\n");
    place.ok("train one.csv --numeric a,b --epochs 1 --validation 0 --out one --quiet");
    let (json, html) = report(&place, "one");
    assert!(json["evaluations"].as_array().unwrap().is_empty());
    for id in ["training", "data", "net", "again"] {
        assert!(html.contains(&format!("<section id=\"{id}\"")), "no section {id}");
    }
    let card = place.read("one/README.md");
    assert!(card.contains("None: no rows were held out"), "{card}");
    assert!(card.contains("one: 1 row to train on, none held out.\n"), "{card}");
    // Held-out rows of one value.
    place.write("flat.csv", "a,b,y\n1,2,3\n2,2,3\n".to_string() + &"1,2,3\n".repeat(30));
    place.write("plane.csv", plane());
    place.ok("train plane.csv --validation flat.csv --epochs 1 --out flat --quiet");
    report(&place, "flat");
}

#[test]
fn folds_ensembles_and_streamed_tables_have_reports() {
    let place = Place::new();
    place.write("plane.csv", plane());
    place.ok("train plane.csv --folds 3 --epochs 2 --out folds --quiet");
    let (json, html) = report(&place, "folds");
    assert!(html.contains("the reports in fold-1"), "where the judged nets are is said");
    let folds: Value = serde_json::from_str(&place.read("folds/folds.json")).unwrap();
    for (name, value) in metrics(&json, "validation") {
        assert_eq!(folds["valid"][&name].as_f64(), Some(value), "{name}");
    }
    place.ok("report folds --device cpu");
    assert_eq!(report(&place, "folds").0["evaluations"], json["evaluations"]);
    let card = place.read("folds/README.md");
    assert!(
        card.contains("plane: 60 rows to train on. For validation, one net per fold"),
        "{card}"
    );
    let card = place.read("folds/fold-2/README.md");
    let rows = "plane: 36 rows to train on, 4 for validation, 20 for testing.\n";
    assert!(card.contains(rows), "{card}");
    let (json, _) = report(&place, "folds/fold-2");
    assert_eq!(json["run"], "folds/fold-2");
    assert_eq!(json["evaluations"][0]["rows"], 4);
    assert_eq!(
        (&json["evaluations"][1]["part"], &json["evaluations"][1]["rows"]),
        (&"test".into(), &20.into())
    );

    place.ok("train plane.csv --ensemble 3:folds --epochs 2 --out nets --quiet");
    let (json, html) = report(&place, "nets");
    has_sections(&html, &["columns", "mistakes"]);
    let evaluation = &json["evaluations"][0];
    assert_eq!((evaluation["rows"].as_u64(), &evaluation["out_of_fold"]), (Some(60), &true.into()));
    let card = place.read("nets/README.md");
    assert!(
        card.contains("60 rows to train on. Each net was trained on all of them except"),
        "{card}"
    );
    assert_eq!(json["curves"].as_array().unwrap().len(), 3);
    assert_eq!(json["influence"]["rows"], 60);
    // Also where several nets are predicted with: some hundred million operations.
    let dependence = json["dependence"].as_array().unwrap();
    assert_eq!((dependence.len(), &dependence[0]["rows"]), (2, &60.into()));
    let (net, _) = report(&place, "nets/net-3");
    assert_eq!(net["evaluations"][0]["rows"], 20);
    place.ok("report nets --device cpu");
    assert_eq!(report(&place, "nets").0["evaluations"], json["evaluations"]);
    // Runs of all kinds are compared on one page.
    let ran = place.ok("report nets folds folds/fold-1 -o both.html");
    assert_eq!(ran.stdout.trim(), "both.html");
    let html = place.read("both.html");
    assert!(html.contains("Comparison of 3 runs") && html.contains("folds/fold-1"));

    let rows: String = (0..60_000).map(|i| format!("{},{},{}\n", i % 97, i % 13, i % 7)).collect();
    place.write("long.csv", format!("a,b,y\n{rows}"));
    place.ok("train long.csv --memory-limit 1M --epochs 1 --layers 4 --out long --quiet");
    let (json, html) = report(&place, "long");
    assert_eq!(json["evaluations"][0]["rows"], json["rows"]["validation"]);
    assert!(html.contains("larger than --memory-limit"), "what is sampled is said");
}

/// The held-out rows are found by the number of rows: with another number, the report would be about other
/// rows.
#[test]
fn data_that_grew_or_shrank_since_training_are_refused_and_the_rest_is_told() {
    let place = Place::new();
    let rows = plane();
    let lines: Vec<&str> = rows.lines().collect();
    let options = "--epochs 2 --layers 4 --device cpu --quiet";
    for (name, more, trained) in [
        ("one", "", "but the run had 54"),
        ("nets", "--ensemble 3:folds", "but the run had 60"),
        ("seeds", "--ensemble 2", "but the run had 54"),
        ("folds", "--folds 3", "but the run had 54"),
    ] {
        place.write("plane.csv", &rows);
        place.ok(&format!("train plane.csv {more} {options} --out {name}"));
        let before = report(&place, name).0;
        for (length, now) in [(31, "30 rows"), (2, "1 row")] {
            place.write("plane.csv", lines[..length].join("\n") + "\n");
            let ran = place.ok(&format!("report {name} --device cpu"));
            let says = "warning: the report uses only the files of the run: ";
            assert!(ran.stderr.contains(says), "{name} {now}: {}", ran.stderr);
            let (after, html) = report(&place, name);
            // Of folds they lie in folds.json.
            if name != "folds" {
                let mut both = [&after, &before].map(|report| metrics(report, "validation"));
                both.iter_mut().for_each(|all| all.sort_by(|a, b| a.0.cmp(&b.0)));
                assert_eq!(both[0], both[1], "{name}");
            }
            assert!(html.contains("could not be used again"));
            if length == 31 {
                let says = ["the data have changed since training: ", trained];
                assert!(says.iter().all(|says| ran.stderr.contains(says)), "{}", ran.stderr);
            }
        }
        place.write("plane.csv", format!("{rows}1,2,3\n"));
        let ran = place.ok(&format!("report {name} --device cpu"));
        assert!(ran.stderr.contains("the data have changed since training: "), "{}", ran.stderr);
    }
}

/// For rows that aren't held in memory, a sample is permuted, and must give the true importances.
#[test]
fn the_importance_of_columns_is_found_for_tables_beyond_the_memory_limit() {
    let place = Place::new();
    let mut rows = "a,b,noise,y\n".to_string();
    for i in 0..60_000_u64 {
        // Independent of each other: bits of a product that are mixed well.
        let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let digit = |shift: u32| ((mixed >> shift) & 1023) as f64 / 1023.0;
        let (a, b, noise) = (digit(10), digit(24), digit(40));
        rows += &format!("{a:.4},{b:.4},{noise:.4},{:.4}\n", 3.0 * a + b);
    }
    place.write("long.csv", rows);
    let options = "--memory-limit 1M --epochs 8 --layers 8:relu --seed 3 --device cpu --quiet";
    place.ok(&format!("train long.csv {options} --out long"));
    let (json, html) = report(&place, "long");
    has_sections(&html, &["columns"]);
    let influence = &json["influence"];
    assert_eq!(
        (influence["rows"].as_u64(), influence["part"].as_str()),
        (Some(500), Some("validation"))
    );
    let of = |name: &str| -> f64 {
        let columns = influence["columns"].as_array().unwrap();
        columns.iter().find(|c| c["column"] == name).unwrap()["increase"].as_f64().unwrap()
    };
    // Permuting a column of variance 1/12 that counts k times adds 2 k²/12 to the squared error.
    let base = influence["base"].as_f64().unwrap();
    let expected = |k: f64| (base * base + k * k / 6.0).sqrt() - base;
    for (name, k) in [("a", 3.0), ("b", 1.0), ("noise", 0.0)] {
        let (found, expected) = (of(name), expected(k));
        assert!((found - expected).abs() < 0.12 * expected + 0.01, "{name}: {found} {expected}");
    }
    assert!(base < 0.1, "{base}");
    place.ok("report long --device cpu");
    assert_eq!(report(&place, "long").0["influence"], *influence);
}

/// A run ended by Ctrl-C has a report of its current state.
#[cfg(unix)]
#[test]
fn a_run_that_was_interrupted_has_a_report_that_says_so() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    let place = Place::new();
    place.write("plane.csv", plane());
    let mut command = place.command("train plane.csv --epochs 100000000 --device cpu --out run");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let file = place.path("run/metrics.jsonl");
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"epoch\":3,")) {
        assert!(begin.elapsed() < Duration::from_secs(60), "no third epoch");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let ran = cli_support::ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    let (json, html) = report(&place, "run");
    let epochs = json["net"]["interrupted_after"].as_u64().unwrap();
    assert!(epochs >= 3 && json["net"]["ending"] == "it was interrupted", "{epochs}");
    let points = json["curves"][0]["points"].as_array().unwrap();
    assert_eq!(points.last().unwrap()["epoch"].as_u64(), Some(epochs));
    let says = format!("interrupted after {} epochs", wgrad::base::words::thousands(epochs as f64));
    assert!(
        html.contains(&says)
            && html.contains("wgrad report run builds the report from what exists"),
        "{says}"
    );
    assert!(place.read("run/README.md").contains(&says));
    assert!(!metrics(&json, "validation").is_empty());
    // Made again it has all that a report has, and still says so.
    place.ok("report run --device cpu");
    let (json, html) = report(&place, "run");
    assert!(html.contains(&says) && !html.contains("builds the report from"));
    has_sections(&html, &["columns"]);
    assert!(json["influence"]["columns"].as_array().is_some_and(|columns| columns.len() == 2));
    // Resumed to its end, nothing is said of it.
    let epochs = epochs + 2;
    place.ok(&format!("train --resume run --epochs {epochs} --device cpu --quiet"));
    let (json, html) = report(&place, "run");
    assert!(json["net"]["interrupted_after"].is_null() && !html.contains("interrupted after"));
}

#[test]
fn no_report_is_made_where_none_is_wanted_or_possible() {
    let place = Place::new();
    place.write("plane.csv", plane());
    place.ok("train plane.csv --epochs 1 --no-report --out run --quiet");
    let names = place.names("run");
    assert!(!names.iter().any(|name| name.contains("report") || name == "README.md"), "{names:?}");
    let refused = place.run("report nothing-here");
    assert_eq!(refused.code, 3);
    assert_eq!(place.run("report run -o x.html").code, 2);
    assert_eq!(place.run("report").code, 2);
}
