//! `wgrad init`: a config file that gives the same training as without it, with explanations.

use crate::cli_support::Place;

/// 60 people with a number, a category, an identifier and a class.
fn people() -> String {
    let rows = (0..60).map(|i| {
        let town = ["Oslo", "Bergen", "Molde"][i % 3];
        let bought = if i % 8 > 3 { "yes" } else { "no" };
        format!("k{i:03}x,{}.5,{town},{bought}\n", i % 8)
    });
    std::iter::once("key,visits,town,bought\n".to_string()).chain(rows).collect()
}

#[test]
fn the_file_trains_as_the_data_would_be_and_its_lines_may_be_changed() {
    let place = Place::of_defaults();
    place.write("people.csv", people());
    let made = place.ok("init people.csv -o people.toml");
    assert!(made.stdout.is_empty(), "{}", made.stdout);
    assert!(made.stderr.contains("wgrad train --config people.toml"), "{}", made.stderr);
    let text = place.read("people.toml");
    for part in [
        "\ntarget = [\"bought\"]\n",
        "# Task: classification of bought (the last column): the target holds two texts, yes and no",
        "#   key ",
        "an identifier",
        "#   town ",
        "one-hot",
        "\n#ignore = [\"COLUMN\"]\n",
        "\n#epochs = ",
        "\n#layers = \"128:relu,128:relu\"",
        "# Learning rate",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 140), "{text}");

    place.ok("train people.csv --device cpu --quiet --out plain");
    place.ok("train --config people.toml --device cpu --quiet --out by-file");
    assert_eq!(place.model("by-file"), place.model("plain"), "the same bits");

    // Without its #, a line is an option.
    place.write(
        "changed.toml",
        text.replace("\n#epochs = ", "\nepochs = 3 #")
            .replace("\n#ignore = [\"COLUMN\"]", "\nignore = [\"town\"]"),
    );
    place.ok("train --config changed.toml --device cpu --quiet --out changed");
    let config = place.read("changed/config.toml");
    assert!(config.contains("epochs = 3\n") && config.contains("ignore = [\"town\"]"), "{config}");
    // And each commented option holds as it stands: nothing else is trained by it.
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(option)
            if !option.starts_with(' ') && option.contains(" = ") && !option.contains("COLUMN") =>
        {
            option
        }
        _ => line,
    });
    let all: Vec<&str> = lines
        .filter(|line| {
            !line.starts_with("preset")
                && !line.starts_with("patience")
                && !line.starts_with("validation")
        })
        .collect();
    place.write("all.toml", all.join("\n"));
    place.ok("train --config all.toml --device cpu --quiet --out all");
    assert_eq!(place.model("all"), place.model("plain"), "{}", all.join("\n"));
}

#[test]
fn sets_without_columns_and_tables_without_names_have_a_file_too() {
    let place = Place::new();
    let digits = place.ok("init digits").stdout;
    assert!(digits.contains("data = \"digits\"\n") && digits.contains("#epochs = 30"), "{digits}");
    assert!(!digits.contains("ignore"), "{digits}");
    let rows: String = (0..40).map(|i| format!("{},{}.5,{}\n", i % 7, i % 5, i % 2)).collect();
    place.write("plain.csv", rows);
    let text = place.ok("init plain.csv --header no").stdout;
    assert!(text.contains("target = [\"3\"]\n") && text.contains("header = \"no\"\n"), "{text}");
    place.write("plain.toml", text);
    place.ok("train --config plain.toml --device cpu --quiet --epochs 1");
}

#[test]
fn nothing_is_replaced_and_bad_data_are_named() {
    let place = Place::new();
    place.write("people.csv", people());
    place.write("here.toml", "mine");
    for (args, code, text) in [
        ("init people.csv -o here.toml", 2, "here.toml already exists"),
        ("init people.csv -o here.yaml", 2, "use the extension .toml"),
        ("init", 2, "name a data set or a file"),
        ("init -", 2, "standard input"),
        ("init nowhere.csv", 3, "nowhere.csv"),
        ("init people.csv --target town2", 2, "town2"),
    ] {
        let refused = place.run(args);
        assert_eq!(refused.code, code, "{args}: {}", refused.stderr);
        assert!(refused.stderr.contains(text), "{args}: {}", refused.stderr);
    }
    assert_eq!(place.read("here.toml"), "mine");
    place.ok("init people.csv -o here.toml --force");
    assert!(place.read("here.toml").contains("people.csv"));
}

#[test]
fn training_says_in_its_first_lines_what_it_concluded_and_why() {
    let place = Place::new();
    place.write("people.csv", people());
    let first = |options: &str| {
        let args = format!("train people.csv --device cpu --epochs 1 {options}");
        place.ok(&args).stderr
    };
    let said = first("--out run");
    let lines: Vec<&str> = said.lines().take(4).collect();
    assert!(lines[0].starts_with("data: people"), "{said}");
    assert_eq!(lines[1], "columns: 2 of 4 used, as 4 inputs: visits, town");
    assert_eq!(lines[2], "left out: key (an identifier)");
    let split = first("--out grouped --split group:town");
    let left_out = "left out: key (an identifier), town (determines the split)";
    assert!(split.contains(left_out), "{split}");
    assert_eq!(
        lines[3],
        "task: classification of bought (the last column): the target holds two texts, yes and no"
    );
    let named = first("--target visits --task regression --out named");
    assert!(named.contains("task: regression of visits: as --task says\n"), "{named}");
    let guessed = first("--target visits --ignore bought --out guessed");
    assert!(
        guessed.contains("task: regression of visits: the target holds numbers\n"),
        "{guessed}"
    );

    let columns = place.read("run/columns.txt");
    let plan = place.ok("train people.csv --device cpu --epochs 1 --dry-run").stdout;
    assert!(columns.starts_with("columns    4, 2 of them used as 4 inputs\n"), "{columns}");
    assert!(plan.contains(&columns), "the same as --dry-run shows: {columns}\n{plan}");
    // It is a part of the run: --force replaces it with the run.
    place.ok("train people.csv --device cpu --epochs 1 --quiet --out run --force");
    place.ok("train digits --device cpu --epochs 1 --quiet --out digits");
    assert!(!place.path("digits/columns.txt").exists(), "images have no columns");
}

#[test]
fn the_housing_data_are_bundled_as_a_table() {
    let place = Place::of_defaults();
    let plan = &place.ok("train housing --device cpu --epochs 1 --dry-run --json").json()[0];
    assert_eq!(plan["data"], "housing");
    assert_eq!((&plan["rows"], &plan["validation_rows"]), (&13_760.into(), &6880.into()));
    assert_eq!(plan["columns"].as_array().unwrap().len(), 10);
    assert!(place.names("").is_empty());
}
