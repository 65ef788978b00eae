//! The display on terminals of several sizes and kinds, captured by tmux; skipped without tmux,
//! unless `WGRAD_REQUIRE_TMUX` is set.

use crate::cli_support::Place;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A terminal with a shell, in a separate tmux server.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// A terminal with the given columns and lines, whose shell is in the directory of `place`. None without
    /// tmux.
    fn open(place: &Place, columns: usize, lines: usize, environment: &str) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let has_tmux =
            Command::new("tmux").arg("-V").output().is_ok_and(|out| out.status.success());
        if !has_tmux {
            let is_required = std::env::var("WGRAD_REQUIRE_TMUX").is_ok_and(|value| value == "1");
            assert!(!is_required, "there is no tmux, and WGRAD_REQUIRE_TMUX=1");
            println!("skipped: there is no tmux here");
            return None;
        }
        let n = COUNT.fetch_add(1, Ordering::SeqCst);
        let terminal = Terminal { socket: format!("wgrad-test-{}-{n}", std::process::id()) };
        let binary = env!("CARGO_BIN_EXE_wgrad");
        let directory = std::path::Path::new(binary).parent().unwrap().display();
        let shell = format!(
            "env -u NO_COLOR LC_ALL=C.UTF-8 PATH={directory}:$PATH {environment} PS1='$ ' sh"
        );
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let at = place.path("").display().to_string();
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &lines,
            "-c",
            &at,
            &shell,
        ]);
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WGRAD_") || name == "TMUX" {
                command.env_remove(name);
            }
        }
        let out = command.args(["-u", "-L", &self.socket]).args(args).output().unwrap();
        assert!(out.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Types keys, without Enter.
    fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", "-l", keys]);
    }

    fn enter(&self, command: &str) {
        self.keys(command);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Its visible content.
    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Its content, including scrolled lines.
    fn all(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-"])
    }

    /// Waits until `is_there` and returns the content.
    fn wait(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let shown = self.shown();
            if is_there(&shown) {
                return shown;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "no {what} in\n{}", self.all());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_for(&self, text: &str) -> String {
        self.wait(text, |shown| shown.contains(text))
    }

    fn is_alternate(&self) -> bool {
        self.tmux(&["display-message", "-p", "#{alternate_on}"]).trim() == "1"
    }

    /// Runs a command to its end and returns its output.
    fn run(&self, command: &str) -> String {
        self.enter(&format!("{command}; echo code=$?"));
        self.wait("end", |shown| shown.lines().any(|line| line.starts_with("code=")));
        self.all()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

const TRAIN: &str = "wgrad train digits --device cpu --threads 1 --layers 16:relu";

/// The output of a training on a terminal, after the typed line.
fn trained(columns: usize, environment: &str) -> Option<String> {
    let place = Place::new();
    let terminal = Terminal::open(&place, columns, 24, environment)?;
    let all = terminal.run(&format!("clear; {TRAIN} --epochs 40 --out run"));
    assert!(all.contains("code=0"), "{all}");
    Some(all)
}

#[test]
fn a_bar_is_redrawn_in_its_line_and_is_gone_at_the_end() {
    for (columns, environment) in [(80, ""), (80, "NO_COLOR=1"), (40, ""), (40, "LC_ALL=C")] {
        let Some(all) = trained(columns, environment) else { return };
        assert!(
            !all.contains("[=") && !all.contains("samples/s"),
            "{columns} {environment}\n{all}"
        );
        for expected in ["data: digits", "validation", "accuracy", "model", "next"] {
            assert!(all.contains(expected), "{expected}, {columns} columns, {environment}\n{all}");
        }
        assert!(all.lines().count() < 40, "{all}");
    }
}

#[test]
fn a_dumb_terminal_has_a_line_for_each_epoch() {
    let Some(all) = trained(80, "TERM=dumb") else { return };
    assert_eq!(all.lines().filter(|line| line.starts_with("epoch ")).count(), 40, "{all}");
    assert!(all.lines().all(|line| !line.contains("[=")), "{all}");
}

#[test]
fn what_is_piped_has_no_control_characters() {
    let place = Place::new();
    let ran = place.ok("train digits --device cpu --layers 16:relu --epochs 3 --out run");
    for text in [&ran.stdout, &ran.stderr] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
    assert_eq!(ran.stderr.matches("epoch ").count(), 3, "{}", ran.stderr);
}

#[test]
fn a_dashboard_obeys_its_keys_and_gives_the_terminal_back() {
    let place = Place::new();
    let Some(terminal) = Terminal::open(&place, 100, 30, "") else { return };
    terminal.enter("clear; stty -g >before");
    terminal.enter(&format!(
        "{TRAIN} --epochs 1000000 --dashboard --out run; echo code=$?; stty -g >after"
    ));
    // The metrics are there when the first epoch has ended.
    let has_all = |shown: &str| shown.contains("layers at step") && shown.contains("accuracy");
    let shown = terminal.wait("layers and an epoch", has_all);
    assert!(terminal.is_alternate());
    for expected in
        ["epoch ", "samples/s", "loss", "accuracy", "learning rate", "memory", "p pause"]
    {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
    // It stands still while it is paused, and follows the size of the terminal.
    terminal.keys("p");
    terminal.wait_for("paused");
    let step = |shown: &str| -> String {
        let at = shown.find("step ").unwrap();
        shown[at..].split("  ").next().unwrap().to_string()
    };
    terminal.tmux(&["resize-window", "-x", "60", "-y", "20"]);
    let mut before =
        step(&terminal.wait("narrow", |shown| shown.contains("p resume  s save  q stop")));
    // The steps that were handed over before the key are still done and drawn.
    let stands = (0..40).any(|_| {
        std::thread::sleep(Duration::from_millis(500));
        let last = std::mem::replace(&mut before, step(&terminal.shown()));
        last == before
    });
    assert!(stands, "steps are done in a pause: {before}");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(step(&terminal.shown()), before);
    terminal.keys("p");
    terminal.wait("more steps", |shown| shown.contains("step ") && step(shown) != before);
    terminal.keys("-");
    terminal.wait_for("by hand");
    // At once, for it to stand there if the run is killed; with the reasons for what was chosen.
    let config = place.read("run/config.toml");
    for says in ["the learning rate was 0.5 times the scheduled one, by hand", "# chosen for these"]
    {
        assert!(config.contains(says), "{config}");
    }
    terminal.keys("s");
    terminal.wait_for("writing a checkpoint");
    terminal.keys("q");
    let shown = terminal.wait("end", |shown| shown.contains("code="));
    assert!(shown.contains("code=130"), "{shown}");
    assert!(!terminal.is_alternate());
    terminal.wait("prompt", |shown| shown.trim_end().ends_with('$'));
    assert_eq!(place.read("before"), place.read("after"), "stty");
    let events = place.read("run/metrics.jsonl");
    assert!(
        events.contains("{\"event\":\"rate\",") && events.contains("\"factor\":0.5"),
        "{events}"
    );
    let config = place.read("run/config.toml");
    assert!(
        config.contains("the learning rate was 0.5 times the scheduled one, by hand"),
        "{config}"
    );
    assert!(config.contains("may train a different model"), "{config}");
    assert!(place.path("run/model.safetensors").is_file());
}

#[test]
fn a_rate_that_was_changed_in_a_net_of_an_ensemble_stands_in_the_configuration_of_all() {
    let place = Place::new();
    let Some(terminal) = Terminal::open(&place, 100, 30, "") else { return };
    terminal.enter(&format!(
        "clear; {TRAIN} --ensemble 2 --epochs 1000000 --dashboard --out run; echo code=$?"
    ));
    terminal.wait_for("step ");
    terminal.keys("-");
    terminal.wait_for("by hand");
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.wait_for("code=130");
    let config = place.read("run/config.toml");
    let line = config.lines().find(|line| line.starts_with("# history: net 1: from step "));
    let end = "on the learning rate was 0.5 times the scheduled one, by hand";
    assert!(line.is_some_and(|line| line.ends_with(end)), "{config}");
    assert!(place.read("run/net-1/config.toml").contains(end));
}

#[test]
fn a_dashboard_gives_the_terminal_back_after_an_error_and_after_ctrl_c() {
    let place = Place::new();
    let Some(terminal) = Terminal::open(&place, 80, 24, "LC_ALL=C") else { return };
    terminal.enter("clear; stty -g >before");
    let diverges = format!(
        "{TRAIN} --lr 1e30 --optimizer sgd --dashboard --out bad; echo code=$?; stty -g >after"
    );
    terminal.enter(&diverges);
    let shown = terminal.wait_for("code=5");
    assert!(shown.contains("training diverged") && !terminal.is_alternate(), "{shown}");
    terminal.enter(&format!("clear; {TRAIN} --epochs 1000000 --dashboard --out run; echo code=$?"));
    terminal.wait_for("step ");
    assert!(terminal.shown().is_ascii(), "{}", terminal.shown());
    terminal.keys("p");
    terminal.wait_for("paused");
    // In raw mode no signal; it ends a pause too.
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.wait_for("code=130");
    assert!(!terminal.is_alternate());
    terminal.enter("stty -g >after; clear");
    terminal.wait("prompt", |shown| shown.trim() == "$");
    assert_eq!(place.read("before"), place.read("after"), "stty");
}

#[test]
fn a_terminal_that_goes_away_ends_the_run_as_ctrl_c_does() {
    let place = Place::new();
    let Some(terminal) = Terminal::open(&place, 80, 24, "") else { return };
    terminal.enter(&format!("exec {TRAIN} --epochs 1000000 --dashboard --out run"));
    terminal.wait_for("samples/s");
    let process = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    let is_there = || {
        let found = Command::new("kill").args(["-0", process.trim()]).output().unwrap();
        found.status.success()
    };
    assert!(is_there());
    drop(terminal);
    let begin = Instant::now();
    while is_there() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it goes on without a terminal");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(place.path("run/model.safetensors").is_file());
    assert!(place.read("run/metrics.jsonl").contains("\"ending\":\"interrupted\""));
}

#[test]
fn a_dashboard_is_refused_where_there_is_no_terminal_for_it() {
    let place = Place::new();
    let ran = place.run("train digits --dashboard --out run");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("standard error is not a terminal"), "{}", ran.stderr);
    let ran = place.run("train digits --dashboard --json --out run");
    assert!(
        ran.code == 2 && ran.stderr.contains("--dashboard cannot be used with --json"),
        "{}",
        ran.stderr
    );
    assert!(!place.path("run").exists());
    let Some(terminal) = Terminal::open(&place, 80, 24, "TERM=dumb") else { return };
    let all = terminal.run(&format!("{TRAIN} --dashboard --out run"));
    assert!(all.contains("code=2") && all.contains("the terminal is dumb"), "{all}");
}

#[test]
fn runs_and_comparisons_fit_narrow_terminals() {
    let place = Place::new();
    for (out, lr) in [("runs/a", "0.01"), ("runs/b", "0.02")] {
        place.ok(&format!("train moons --device cpu --quiet --epochs 1 --lr {lr} --out {out}"));
    }
    for (columns, is_table) in [(40, false), (100, true)] {
        let Some(terminal) = Terminal::open(&place, columns, 60, "") else { return };
        let listed = terminal.run("wgrad runs");
        assert!(listed.lines().all(|line| line.chars().count() <= columns), "{listed}");
        assert!(listed.contains("runs/a") && listed.contains("runs/b"), "{listed}");
        assert_eq!(listed.contains("state  data"), is_table, "{columns}: {listed}");
        assert_eq!(listed.contains("\n  metric  accuracy"), !is_table, "{columns}: {listed}");
        terminal.enter("clear; wgrad compare runs/a runs/b");
        terminal.wait_for("version");
        let compared = terminal.all();
        assert!(compared.contains("0.01") && compared.contains("0.02"), "{compared}");
        terminal.enter("clear; wgrad train -h");
        terminal.wait_for("more options: wgrad train --help");
    }
}
