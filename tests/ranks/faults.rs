//! Errors and lost processes.

use crate::cli_support::Place;
use crate::jobs::{is_running, kill, run, start, weights};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest time that a job may wait for a lost process.
const SOON: Duration = Duration::from_secs(10);

/// The lines of an error message.
fn errors(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.starts_with("error: ")).collect()
}

#[test]
fn the_error_of_one_rank_ends_all_and_is_said_once() {
    let place = Place::new();
    place.write("good.csv", "a,b\n1,2\n2,4\n3,6\n4,8\n5,10\n6,12\n7,14\n8,16\n");
    place.write("bad.csv", "a,b\n1,2\n2,\"4\n");
    let options = "--device cpu --epochs 3 --no-report --validation 0 --reproducible";
    let [good, bad] = ["good", "bad"]
        .map(|name| format!("train {name}.csv {options} --out run-{name} --target b"));
    let job = start(&place, &[(1, good.as_str()), (1, bad.as_str())]);
    let ran = job.end(SOON);
    assert_eq!(errors(&ran.stderr).len(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("rank 1") && ran.stderr.contains("bad.csv"), "{}", ran.stderr);
    assert_eq!(ran.code, 3, "{}", ran.stderr);

    // All have it.
    let ran = run(&place, 3, &bad);
    assert_eq!(errors(&ran.stderr).len(), 1, "{}", ran.stderr);
    assert!(!ran.stderr.contains("rank 1"), "{}", ran.stderr);
    assert_eq!(ran.code, 3, "{}", ran.stderr);

    // Rank 0 alone can't write.
    let ran = run(&place, 2, &format!("train good.csv {options} --target b --out /dev/null/run"));
    assert_eq!(errors(&ran.stderr).len(), 1, "{}", ran.stderr);
    assert_ne!(ran.code, 0, "{}", ran.stderr);

    // Wrong arguments.
    let ran = run(&place, 2, "train good.csv --epohcs 3");
    assert_eq!(ran.stderr.matches("--epochs").count(), 1, "{}", ran.stderr);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[test]
fn divergence_ends_all() {
    let place = Place::new();
    let train =
        "train digits --device cpu --optimizer sgd --lr 1e30 --reproducible --no-report --out run";
    let ran = run(&place, 2, train);
    assert_eq!(errors(&ran.stderr).len(), 1, "{}", ran.stderr);
    assert!(errors(&ran.stderr)[0].contains("diverged"), "{}", ran.stderr);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
}

#[test]
fn other_options_are_refused() {
    let place = Place::new();
    let train = |lr: f64| {
        format!(
            "train digits --device cpu --epochs 1 --lr {lr} --reproducible --no-report --out run"
        )
    };
    let (first, second) = (train(0.01), train(0.02));
    let ran = start(&place, &[(1, first.as_str()), (1, second.as_str())]).end(SOON);
    assert_eq!(errors(&ran.stderr).len(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("rank 1 was given different options"), "{}", ran.stderr);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

/// As Slurm asks a job to end: all ranks get the signal, and rank 0 decides for all.
#[test]
fn ranks_that_are_asked_to_end_leave_a_checkpoint() {
    let place = Place::new();
    let train = "train digits --layers 64:relu --device cpu --reproducible --quiet --no-report";
    assert_eq!(place.run(&format!("{train} --epochs 8 --out whole")).code, 0);
    let args = format!("{train} --epochs 1000 --out run");
    let mut job = start(&place, &[(2, args.as_str())]);
    let begin = Instant::now();
    let has_epoch = || {
        let events = std::fs::read_to_string(place.path("run/metrics.jsonl"));
        events.is_ok_and(|events| events.contains("\"event\":\"epoch\""))
    };
    while !has_epoch() {
        assert!(begin.elapsed() < SOON * 6 && !job.has_ended(), "no epoch was done");
        thread::sleep(Duration::from_millis(20));
    }
    job.ranks().into_iter().for_each(|rank| kill(rank, "TERM"));
    let ran = job.end(SOON);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("interrupted: finishing").count(), 1, "{}", ran.stderr);
    let resumed = run(&place, 2, "train --resume run --epochs 8 --quiet --no-report");
    // More epochs than 8 may have been done before the signal came.
    if resumed.code == 0 {
        assert!(weights(&place.path("run")) == weights(&place.path("whole")));
    } else {
        assert!(resumed.stderr.contains("the run has already trained for"), "{}", resumed.stderr);
    }
}

/// A rank that is killed at any moment ends the job within seconds, and the run, resumed from its last
/// checkpoint, gives the bits of an uninterrupted one. `WGRAD_TEST_KILLS` is the number of kills; by default,
/// only some.
#[test]
fn a_rank_that_is_killed_leaves_no_hang_and_a_whole_checkpoint() {
    let kills = std::env::var("WGRAD_TEST_KILLS").ok().and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let place = Place::new();
    let train = "train digits --layers 64:relu --device cpu --reproducible --epochs 8 --quiet --no-report --checkpoint-every 0.1s";
    // As long as an uninterrupted job takes on this machine, a process may be killed.
    let begin = Instant::now();
    assert_eq!(run(&place, 2, &format!("{train} --out whole")).code, 0);
    let whole = begin.elapsed().as_millis() as u32;
    let expected = weights(&place.path("whole"));
    for number in 0..kills.unwrap_or(3) {
        let run = format!("run-{number}");
        let mut job = start(&place, &[(2, format!("{train} --out {run}").as_str())]);
        let moment = (now.wrapping_mul(number * 2 + 1) >> 8) % whole;
        let rank = (number % 2) as usize;
        println!("kill {number}: process {rank} after {moment} ms");
        thread::sleep(Duration::from_millis(moment.into()));
        let ranks = job.ranks();
        let Some(&process) = ranks.get(rank).filter(|_| !job.has_ended()) else {
            // Before it began, or after its end.
            job.end(SOON * 3);
            continue;
        };
        kill(process, "KILL");
        let begin = Instant::now();
        let ran = job.end(SOON);
        println!("ended after {:?} with {}", begin.elapsed(), ran.code);
        if ran.code == 0 {
            // The signal came after the end of that process.
            assert!(weights(&place.path(&run)) == expected, "kill {number}");
            continue;
        }
        assert!(ran.stderr.contains("process rank"), "{}", ran.stderr);
        let others = ranks.into_iter().filter(|rank| *rank != process);
        // mpirun may end before the system has ended all that it killed.
        for other in others {
            while is_running(other) {
                assert!(begin.elapsed() < SOON, "process {other} is left");
                thread::sleep(Duration::from_millis(20));
            }
        }
        if !place.path(&run).join("config.toml").is_file() {
            continue;
        }
        let resumed = place.run(&format!("train --resume {run} --quiet --no-report"));
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
        assert!(!resumed.stderr.contains("warning: "), "{}", resumed.stderr);
        assert!(weights(&place.path(&run)) == expected, "kill {number}");
    }
}
