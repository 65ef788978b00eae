//! The terminal of a dashboard: taken over, drawn on by a separate thread, and restored in any case.
//!
//! Drawing and keys have a thread so that training waits for neither. The terminal belongs to the process, and
//! so does its state here.

use super::board::{Action, Board};
use super::draw::{Looks, draw};
use crate::base::error::{Error, Result};
use crate::base::system_memory;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::env;
use std::io::{IsTerminal, Stderr, Write, stderr};
use std::panic;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The interval of redraws, unless a key is pressed.
const FRAME: Duration = Duration::from_millis(250);
/// How long the thread waits for a key at a time.
const WAIT: Duration = Duration::from_millis(50);
/// How long to wait for the end of the thread.
const PATIENCE: Duration = Duration::from_secs(1);
/// The exit code of a run that was ended at once.
const INTERRUPTED: i32 = 130;

/// Whether a dashboard has the terminal.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);
/// The dashboard that receives messages, if there is one.
static SHOWN: Mutex<Option<Arc<Shared>>> = Mutex::new(None);

/// The state shared by the training threads and the thread of the screen.
#[derive(Default)]
pub(super) struct Shared {
    board: Mutex<Board>,
    /// Notified when training continues after a pause, or ends.
    goes_on: Condvar,
    is_closed: AtomicBool,
}

impl Shared {
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while training is paused; returns whether it should end.
    pub fn wait_while_paused(&self) -> bool {
        let is_paused =
            |board: &mut Board| board.is_paused && !self.is_closed.load(Ordering::SeqCst);
        let waited = self.goes_on.wait_while(self.board(), is_paused);
        waited.unwrap_or_else(PoisonError::into_inner).is_stopping
    }

    /// Performs the action of a key; the second stop ends the process at once.
    fn act(&self, action: Action) {
        let mut board = self.board();
        if action == Action::Stop && board.is_stopping {
            drop(board);
            restore();
            exit(INTERRUPTED);
        }
        board.act(action);
        self.goes_on.notify_all();
    }
}

/// The terminal at standard error, taken over by a dashboard. Dropping it restores the terminal.
pub struct Screen {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Checks that there is a terminal for it.
    ///
    /// # Errors
    /// When standard error isn't a terminal, or one that can't move its cursor.
    pub fn check() -> Result<()> {
        let refuse = |what: &str| {
            Err(Error::usage(format!("--dashboard, but {what}"))
                .help("omit it: progress is then shown in a form that suits the terminal"))
        };
        if !stderr().is_terminal() {
            return refuse("standard error is not a terminal");
        }
        match env::var("TERM") {
            Ok(term) if term == "dumb" => refuse("the terminal is dumb (TERM)"),
            Err(_) if cfg!(unix) => refuse("the kind of terminal is unknown (TERM)"),
            _ => Ok(()),
        }
    }

    /// Takes over the terminal and shows a dashboard with this title.
    ///
    /// # Errors
    /// As [`Screen::check`]; and when the terminal can't be set up.
    pub fn open(title: impl Into<String>) -> Result<Self> {
        Self::check()?;
        let fail = |e: std::io::Error| {
            restore();
            Error::failed(format!("cannot set up the terminal for --dashboard: {e}"))
                .help("omit --dashboard")
        };
        restore_before_panics();
        IS_TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode().map_err(fail)?;
        execute!(stderr(), EnterAlternateScreen, cursor::Hide).map_err(fail)?;
        let terminal = Terminal::new(CrosstermBackend::new(stderr())).map_err(fail)?;
        let board = Mutex::new(Board::new(title));
        let shared = Arc::new(Shared { board, ..Shared::default() });
        *shown() = Some(shared.clone());
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("dashboard".into());
        let thread = thread.spawn(move || run(&of_thread, terminal, looks())).map_err(fail)?;
        Ok(Screen { shared, thread: Some(thread) })
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Whether a key has asked the run to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.board().is_stopping
    }

    /// Restores the terminal, and repeats the messages there.
    pub fn close(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.is_closed.store(true, Ordering::SeqCst);
        self.shared.goes_on.notify_all();
        // If the terminal hung up, the thread may never return from waiting for a key (crossterm 0.29): it then
        // ends with the process.
        let begin = Instant::now();
        while !thread.is_finished() && begin.elapsed() < PATIENCE {
            thread::sleep(WAIT / 10);
        }
        if thread.is_finished() {
            // If it panicked, the panic was reported and the terminal restored.
            let _ = thread.join();
        }
        *shown() = None;
        restore();
        for message in &self.shared.board().messages {
            let _ = writeln!(stderr().lock(), "{message}");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

fn shown() -> MutexGuard<'static, Option<Arc<Shared>>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes a message to the dashboard on the screen; returns whether there is one. It shows the message, and
/// writes it to standard error when it restores the terminal.
pub fn take_message(message: &str) -> bool {
    let Some(shared) = shown().clone().filter(|_| IS_TAKEN.load(Ordering::SeqCst)) else {
        return false;
    };
    shared.board().say(message);
    true
}

/// Ends a pause, if there is one, as the run was asked to end, maybe because its terminal hung up.
pub fn end_pause() {
    let shared = shown().clone();
    if let Some(shared) = shared {
        shared.board().is_paused = false;
        shared.goes_on.notify_all();
    }
}

/// Restores the terminal, if a dashboard has it, before the process ends.
pub fn restore() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        // Nothing else can be done if the terminal is gone.
        let _ = disable_raw_mode();
        let _ = execute!(stderr(), LeaveAlternateScreen, cursor::Show);
    }
}

/// Has the terminal restored before a panic is reported.
fn restore_before_panics() {
    static IS_SET: AtomicBool = AtomicBool::new(false);
    if !IS_SET.swap(true, Ordering::SeqCst) {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A panic of a decoder becomes an ordinary error.
            if !crate::data::is_decoding() {
                restore();
            }
            usual(info);
        }));
    }
}

/// The capabilities of the terminal: more than ASCII if the locale is UTF-8.
fn looks() -> Looks {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_lowercase();
    let unicode = !cfg!(unix) || locale.contains("utf-8") || locale.contains("utf8");
    Looks { unicode, color: set("NO_COLOR").is_none() }
}

/// Draws and handles keys until the dashboard is closed.
fn run(shared: &Shared, mut terminal: Terminal<CrosstermBackend<Stderr>>, looks: Looks) {
    let mut drawn: Option<Instant> = None;
    while !shared.is_closed.load(Ordering::SeqCst) && IS_TAKEN.load(Ordering::SeqCst) {
        if drawn.is_none_or(|at| at.elapsed() >= FRAME) {
            let mut board = shared.board();
            system_memory::resident().into_iter().for_each(|bytes| board.holds(bytes));
            let now = board.clone();
            drop(board);
            // A terminal that is gone is no reason to end the run.
            let _ = terminal.draw(|frame| draw(frame, &now, looks));
            drawn = Some(Instant::now());
        }
        match event::poll(WAIT) {
            Ok(true) => {
                if let Ok(event) = event::read() {
                    if let Some(action) = action(&event) {
                        shared.act(action);
                    }
                    drawn = None;
                }
            }
            Ok(false) => {}
            // Without keys it still shows the run.
            Err(_) => thread::sleep(WAIT),
        }
    }
}

/// The action of a terminal event.
fn action(event: &Event) -> Option<Action> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    let is_control = modifiers.contains(KeyModifiers::CONTROL);
    match code {
        // In raw mode it isn't a signal.
        KeyCode::Char('c') if is_control => Some(Action::Stop),
        KeyCode::Char(_) if is_control => None,
        KeyCode::Char('q' | 'Q') => Some(Action::Stop),
        KeyCode::Char('p' | 'P' | ' ') => Some(Action::Pause),
        KeyCode::Char('s' | 'S') => Some(Action::Save),
        KeyCode::Char('-' | 'l' | 'L') => Some(Action::Lower),
        KeyCode::Char('+' | '=') => Some(Action::Raise),
        KeyCode::Tab => Some(Action::Next),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_last_line_says() {
        let key = |c, modifiers| action(&Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers)));
        let plain = |c| key(c, KeyModifiers::NONE);
        assert_eq!(key('c', KeyModifiers::CONTROL), Some(Action::Stop));
        assert_eq!(key('s', KeyModifiers::CONTROL), None);
        assert_eq!(
            ['q', 'p', 's', '-', 'l', '+', 'x'].map(plain),
            [
                Some(Action::Stop),
                Some(Action::Pause),
                Some(Action::Save),
                Some(Action::Lower),
                Some(Action::Lower),
                Some(Action::Raise),
                None,
            ]
        );
        assert_eq!(action(&Event::Resize(1, 1)), None);
    }

    #[test]
    fn a_pause_holds_training_until_a_key_or_the_end() {
        let shared = Arc::new(Shared::default());
        assert!(!shared.wait_while_paused());
        shared.act(Action::Pause);
        let waiting = shared.clone();
        let thread = thread::spawn(move || waiting.wait_while_paused());
        thread::sleep(Duration::from_millis(50));
        assert!(!thread.is_finished());
        shared.act(Action::Stop);
        assert!(thread.join().unwrap(), "asked to end");
    }
}
