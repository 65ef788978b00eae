//! Jobs of several processes, with a time limit.

use crate::cli_support::{Place, Ran};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use wgrad::backend::session::LayerWeights;
use wgrad::files::checkpoint::load_model;

/// The time after which a job counts as hanging.
const LONGEST: Duration = Duration::from_secs(120);

/// A running job.
pub struct Job {
    child: Child,
    output: [thread::JoinHandle<String>; 2],
}

fn text(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Starts `mpirun` with the arguments of each group of processes.
pub fn start(place: &Place, groups: &[(usize, &str)]) -> Job {
    start_with(place, groups, &[])
}

/// As [`start`], with environment variables.
pub fn start_with(place: &Place, groups: &[(usize, &str)], environment: &[(&str, &str)]) -> Job {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]);
    for (i, (count, args)) in groups.iter().enumerate() {
        let program = place.command(args);
        if i == 0 {
            command.current_dir(program.get_current_dir().unwrap());
            for (name, value) in program.get_envs() {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
        } else {
            command.arg(":");
        }
        command.args(["-n", &count.to_string()]).arg(program.get_program());
        command.args(program.get_args());
    }
    command.envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("mpirun, of the package openmpi-bin");
    let output = [text(child.stdout.take().unwrap()), text(child.stderr.take().unwrap())];
    Job { child, output }
}

/// Runs `ranks` processes with the same arguments to their end.
pub fn run(place: &Place, size: usize, args: &str) -> Ran {
    start(place, &[(size, args)]).end(LONGEST)
}

/// As [`run`], with sums of gradients in buckets of at least `least` elements, which overlap with the backward pass.
pub fn run_in_buckets(place: &Place, size: usize, args: &str, least: usize) -> Ran {
    let least = least.to_string();
    start_with(place, &[(size, args)], &[("WGRAD_TEST_BUCKET", &least)]).end(LONGEST)
}

impl Job {
    /// Its result; a failure if it takes too long.
    pub fn end(mut self, longest: Duration) -> Ran {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > longest {
                for process in self.ranks() {
                    kill(process, "KILL");
                }
                let _ = self.child.kill();
                let [stdout, stderr] = self.output.map(|text| text.join().unwrap());
                panic!("no end after {longest:?}:\n{stdout}\n{stderr}");
            }
            thread::sleep(Duration::from_millis(10));
        };
        let [stdout, stderr] = self.output.map(|text| text.join().unwrap());
        assert!(!stderr.contains("panicked"), "{stderr}");
        Ran { code: status.code().unwrap_or(-1), stdout, stderr }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The processes of the existing ranks, in any order.
    pub fn ranks(&self) -> Vec<u32> {
        let parent = self.child.id().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_rank = |process: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // Behind the name, which may have spaces: state, parent.
            let behind = stat.rsplit(')').next().unwrap_or_default();
            behind.split_whitespace().nth(1) == Some(&parent) && stat.contains("(wgrad)")
        };
        numbers.filter(is_rank).collect()
    }
}

/// Whether a process runs. One that has ended may wait to be noticed by its parent.
pub fn is_running(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|behind| behind.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// Sends a signal.
pub fn kill(process: u32, signal: &str) {
    let _ = Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status();
}

/// The weights of a model.
pub fn weights(run: &Path) -> Vec<Vec<LayerWeights>> {
    load_model(&run.join("model.safetensors")).unwrap().members
}
