//! `--shard`: each process stores only its part of the training rows.

use crate::cli_support::Place;
use crate::jobs::{kill, run, run_in_buckets, start_with, weights};
use crate::same_bits::table;
use std::fs::DirEntry;
use std::path::Path;
use std::time::{Duration, Instant};

/// A table whose windows are a part of an epoch, and one that fits into a single window.
const JOBS: [(&str, &str); 4] = [
    (
        "several windows",
        "large.csv --epochs 2 --memory-limit 1M --batch-size 256 --layers 16:relu --dropout 0.1",
    ),
    ("weights of rows", "table.csv --sample-weight w --epochs 4 --layers 16:relu --batch-size 48"),
    ("batch normalization", "table.csv --epochs 3 --layers 16:relu --norm batch --batch-size 48"),
    (
        "an early stop",
        "table.csv --epochs 40 --patience 3 --lr 0.02 --layers 32:relu --batch-size 32",
    ),
];

#[test]
fn shards_on_several_processes_give_the_bits_of_one() {
    let place = Place::new();
    table(&place, "table.csv", 300);
    table(&place, "large.csv", 20_000);
    for (i, (name, args)) in JOBS.into_iter().enumerate() {
        let train = |out: &str| {
            format!(
                "train {args} --shard --device cpu --reproducible --quiet --no-report --out {i}-{out}"
            )
        };
        let alone = place.run(&train("1"));
        assert_eq!(alone.code, 0, "{name}: {}", alone.stderr);
        let of = |out: &str| weights(&place.path(&format!("{i}-{out}")));
        for size in [2, 4] {
            let out = size.to_string();
            let ran = run(&place, size, &train(&out));
            assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
            assert!(of(&out) == of("1"), "{name}, {size} processes");
        }
        let ran = run_in_buckets(&place, 2, &train("buckets"), 1);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        assert!(of("buckets") == of("1"), "{name}, overlapping sums");
    }
}

#[test]
fn shards_on_an_adapter_give_the_bits_of_one_process() {
    let place = Place::new();
    if !place.run("devices --json").stdout.contains("\"index\"") {
        let required = std::env::var("WGRAD_REQUIRE_GPU").is_ok_and(|value| value == "1");
        assert!(!required, "no Vulkan adapter");
        return eprintln!("skipped: no Vulkan adapter: shards on one");
    }
    table(&place, "table.csv", 300);
    let train = |size: usize| {
        format!(
            "train table.csv --shard --device gpu --reproducible --epochs 2 --layers 16:relu --quiet --no-report --out {size}"
        )
    };
    assert_eq!(place.run(&train(1)).code, 0);
    let ran = run(&place, 2, &train(2));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(weights(&place.path("2")) == weights(&place.path("1")));
}

/// The line about shards, as its numbers: shards, fewest and most rows of a rank, rows of all.
fn held(stderr: &str) -> [usize; 4] {
    let mut lines = stderr.lines().filter_map(|line| line.strip_prefix("shards: "));
    let line = lines.next().unwrap_or_else(|| panic!("no line about shards: {stderr}"));
    assert_eq!(lines.next(), None, "said once");
    let line = line.replace(',', "");
    let (held, all) = line.split_once(" of ").unwrap();
    let numbers = |text: &str| -> Vec<usize> {
        let words = text.split(|c: char| !c.is_ascii_digit());
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let (held, all) = (numbers(held), numbers(all));
    [held[0], held[1], held[held.len() - 1], all[0]]
}

#[test]
fn each_rank_holds_its_part_of_the_rows() {
    let place = Place::new();
    table(&place, "table.csv", 8000);
    let train = |out: &str| {
        format!(
            "train table.csv --shard --epochs 1 --batch-size 64 --layers 4:relu --device cpu --no-report --out {out}"
        )
    };
    let alone = place.run(&train("1"));
    let [shards, least, most, all] = held(&alone.stderr);
    assert_eq!((shards, least, most), (1, all, all), "{}", alone.stderr);
    for (size, shards) in [(2, 8), (4, 8), (3, 3)] {
        let option = if shards == 8 { "--reproducible" } else { "--reproducible=no" };
        let ran = run(&place, size, &format!("{} {option}", train(&size.to_string())));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let [found, least, most, of] = held(&ran.stderr);
        assert_eq!((found, of), (shards, all));
        assert!(least <= all / size && most >= all / size, "{}", ran.stderr);
        // A shard has at most one row more than another in each batch.
        assert!(most - least <= all / 64 + 1, "{}", ran.stderr);
    }
}

/// The bytes of the files in a directory that a process has open; they have no name any more.
#[cfg(target_os = "linux")]
fn stored_bytes(process: u32, directory: &Path) -> u64 {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let is_there =
        |file: &DirEntry| std::fs::read_link(file.path()).is_ok_and(|to| to.starts_with(directory));
    let stored = files.filter(is_there);
    stored.map(|file| std::fs::metadata(file.path()).unwrap().len()).sum()
}

#[cfg(target_os = "linux")]
#[test]
fn the_file_of_a_rank_has_its_part_of_the_bytes() {
    let place = Place::new();
    table(&place, "table.csv", 8000);
    let train = |size: usize| {
        format!(
            "train table.csv --shard=4 --validation 0 --split random --epochs 100000 --time-limit 60s --layers 4:relu --device cpu --quiet --no-report --out {size}"
        )
    };
    let mut found = Vec::new();
    for size in [1, 2, 4] {
        let cache = place.path("cache");
        let environment = [("WGRAD_CACHE_DIR", cache.to_str().unwrap())];
        let mut job = start_with(&place, &[(size, train(size).as_str())], &environment);
        let begin = Instant::now();
        let is_training = || place.path(&format!("{size}/metrics.jsonl")).is_file();
        while !is_training() && !job.has_ended() && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let bytes: Vec<u64> =
            job.ranks().into_iter().map(|rank| stored_bytes(rank, &cache)).collect();
        job.ranks().into_iter().for_each(|rank| kill(rank, "TERM"));
        let ran = job.end(Duration::from_secs(30));
        assert_eq!(bytes.len(), size, "{}", ran.stderr);
        found.push(bytes);
    }
    let whole = found[0][0];
    assert!(whole > 100_000, "{found:?}");
    for bytes in &found[1..] {
        assert_eq!(bytes.iter().sum::<u64>(), whole, "{found:?}");
        let share = whole / bytes.len() as u64;
        assert!(bytes.iter().all(|bytes| bytes.abs_diff(share) < share / 10), "{found:?}");
    }
}

#[test]
fn another_number_of_processes_resumes_a_run_of_shards() {
    let place = Place::new();
    table(&place, "table.csv", 2000);
    let train =
        "train table.csv --layers 24:relu --dropout 0.2 --device cpu --shard --quiet --no-report";
    let whole = format!("{train} --reproducible --schedule constant --epochs 4 --out whole");
    assert_eq!(place.run(&whole).code, 0);
    let first = run(&place, 2, &whole.replace("4 --out whole", "2 --out parts"));
    assert_eq!(first.code, 0, "{}", first.stderr);
    let config = place.read("parts/config.toml");
    assert!(
        config.contains("shard = \"8\"") && config.contains("reproducible = \"8\""),
        "{config}"
    );
    let then = run(&place, 4, "train --resume parts --epochs 4 --quiet --no-report");
    assert_eq!(then.code, 0, "{}", then.stderr);
    assert!(weights(&place.path("parts")) == weights(&place.path("whole")));

    // Without fixed sums, fewer ranks hold the same shards, and more are refused.
    let fast = format!("{train} --reproducible=no --schedule constant --epochs 2 --out fast");
    assert_eq!(run(&place, 3, &fast).code, 0);
    let more = run(&place, 4, "train --resume fast --epochs 3 --no-report");
    assert!(more.stderr.contains("4 ranks for 3 shards"), "{}", more.stderr);
    assert_eq!(more.code, 2, "{}", more.stderr);
    let fewer = run(&place, 2, "train --resume fast --epochs 3 --no-report");
    assert_eq!((fewer.code, held(&fewer.stderr)[0]), (0, 3), "{}", fewer.stderr);
    let alone = place.run("train --resume fast --epochs 4 --no-report");
    assert_eq!((alone.code, held(&alone.stderr)[0]), (0, 3), "{}", alone.stderr);
}

#[test]
fn what_is_not_split_is_refused_with_what_to_do() {
    let place = Place::new();
    table(&place, "table.csv", 300);
    for (args, said) in [
        ("train digits --shard", "omit --shard"),
        ("train table.csv --shard --ensemble 3", "--ensemble 3 cannot be used with --shard"),
        ("train table.csv --shard --folds 3", "--folds cannot be used with --shard"),
        ("train table.csv --shard --test 0.2", "--split column:COL"),
        ("train table.csv --shard --on-error skip", "omit --shard, or omit --on-error"),
        ("train table.csv --shard --batch-size 4 --reproducible", "use --batch-size 8 or more"),
        ("train table.csv --shard=4 --reproducible", "4 shards for 8 blocks"),
        ("train table.csv --shard=4 --reproducible --dry-run", "4 shards for 8 blocks"),
        ("train table.csv --shard=4 --no-shuffle", "cannot be used with --no-shuffle"),
        ("train table.csv --shard=0", "not a number of shards"),
        ("train table.csv --shard=2 --optimizer lbfgs", "lbfgs"),
    ] {
        let ran = place.run(&format!("{args} --device cpu --no-report --out refused"));
        assert_eq!(ran.code, 2, "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{args}: {}", ran.stderr);
    }
    let ran = run(&place, 3, "train table.csv --shard=2 --device cpu --no-report --out refused");
    assert!(ran.stderr.contains("3 ranks for 2 shards"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
}
