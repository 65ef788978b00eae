//! The nets of an ensemble, each trained, or resumed, in its own directory.

use super::ensemble::EnsembleRun;
use super::ensemble_judgement::Trained;
use crate::backend::device;
use crate::base::error::Result;
use crate::base::words::{duration, short};
use crate::cli::arguments::terminal::{count, say};
use crate::cli::judging::judgement::{Baselines, JudgeCpu};
use crate::cli::judging::report_files;
use crate::cli::ranks;
use crate::cli::runs::begin::{title, trainer};
use crate::cli::runs::going_on::{Begun, goes_on};
use crate::cli::runs::names::CONFIG;
use crate::cli::runs::run::{Finished, Run, Shown};
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::runs::summary::Summary;
use crate::files::checkpoint::{Store, load_model};
use crate::observe::{Bar, Common, Display, Interrupt, Screen, can_redraw};
use crate::train::event::Ending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

impl EnsembleRun<'_> {
    /// Trains the nets of this rank, on the CPU as many at a time as it has threads; once one fails no other is
    /// started. Returns each with its number, counted from 0.
    pub(super) fn all(&self, interrupt: &Interrupt) -> Result<Vec<(usize, Trained)>> {
        let count = self.nets.ensemble.nets;
        let own: Vec<usize> = (0..count).filter(|net| ranks::is_own(*net)).collect();
        let [workers, threads] = self.workers();
        let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done: Mutex<Vec<(usize, Result<Trained>)>> = Mutex::new(Vec::with_capacity(count));
        let bar = Bar::common(own.len());
        let mut screen = self.args.screen(|| title(&self.directory, &self.nets.whole))?;
        let on = screen.as_ref();
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::SeqCst);
                        let Some(&i) = own.get(at) else { return };
                        if has_failed.load(Ordering::SeqCst) {
                            return;
                        }
                        let trained = self.one(i + 1, threads, interrupt, (&bar, on), false);
                        if trained.is_err() {
                            has_failed.store(true, Ordering::SeqCst);
                        }
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((i, trained));
                    }
                });
            }
        });
        bar.clear();
        screen.iter_mut().for_each(Screen::close);
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(i, _)| *i);
        let named = |(i, trained): (usize, Result<Trained>)| {
            let trained = trained.map_err(|e| e.at(format!("net {} of {count}", i + 1)))?;
            Ok((i, trained))
        };
        done.into_iter().map(named).collect()
    }

    /// The number of nets trained at a time, and the threads of each; on a GPU one net at a time.
    fn workers(&self) -> [usize; 2] {
        let asked = ranks::threads(self.nets.whole.config.device.threads);
        let threads =
            asked.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        match self.info.backend == "cpu" {
            true => {
                let own = (0..self.nets.ensemble.nets).filter(|net| ranks::is_own(*net)).count();
                let workers = threads.min(own).max(1);
                [workers, (threads / workers).max(1)]
            }
            false => [1, threads],
        }
    }

    /// Trains or resumes net `member`, counted from 1. One that another rank trained, `elsewhere`, stays as it
    /// is.
    fn one(
        &self,
        member: usize,
        threads: usize,
        interrupt: &Interrupt,
        (bar, screen): (&Common, Option<&Screen>),
        elsewhere: bool,
    ) -> Result<Trained> {
        let mut job = self.nets.job(&self.source, member)?;
        let place = self.directory.net(member);
        let is_begun = elsewhere || self.given.is_some();
        let (directory, begun) = match is_begun && place.join(CONFIG).is_file() {
            true => {
                let directory = RunDirectory::open(&place)?;
                let found = Store::new(directory.checkpoints(), 1);
                found.tidy();
                (directory, found.newest()?.map(Begun::at).transpose()?)
            }
            false => (RunDirectory::create(Some(&place), "", self.given.is_some())?, None),
        };
        let mut events = directory.metrics_again()?;
        events.cut(begun.as_ref().map_or(0, |begun| begun.events))?;
        let given = self.given.clone().unwrap_or_default();
        let at = begun.as_ref().map(Begun::position).unwrap_or_default();
        let ended = begun.as_ref().and_then(|begun| begun.ended);
        let ended = ended.filter(|ending| elsewhere || !goes_on(*ending, &given, at));
        if ended.is_some() {
            job.spec.epochs = at.epoch;
        }
        let backend = device::open(&self.device, Some(threads))?.backend;
        let mut trainer = trainer(&job, backend)?;
        ranks::join_alone(&job, &mut trainer)?;
        if let Some(checkpoint) = begun.as_ref().and_then(|begun| begun.checkpoint.as_ref()) {
            trainer = trainer.go_on(checkpoint).map_err(|e| e.at(job.training.name()))?;
        }
        let config = job.config_text(&self.info)?;
        directory.write_config(&config)?;
        // All nets are evaluated together.
        let of_net = Run::new(&job, &self.info, &directory, &config, &[]);
        let run = Run { ended, is_judged: false, ..of_net };
        let shown = if self.args.quiet || self.args.json || ranks::follows() {
            Shown::Nothing
        } else {
            Shown::Bar
        };
        let bar = || Bar::of_one(bar);
        let mut display = Display::on(screen, &format!("net {member}"), bar);
        let mut cpu = JudgeCpu::new(Some(threads));
        let Finished { summary, .. } =
            run.fit(&mut trainer, &mut cpu, events, shown, &mut display, &mut interrupt.share())?;
        let is_redrawn = can_redraw() || display.is_dashboard();
        if shown == Shown::Bar && !is_redrawn && !elsewhere {
            say(net_line(member, self.nets.ensemble.nets, &summary));
        }
        if !self.args.no_report {
            report_files::of_net(&run, &mut trainer);
        }
        let is_alone = self.nets.folds.is_some() && summary.ending != Ending::Interrupted;
        let linear = match job.validation.as_ref().filter(|_| is_alone) {
            Some(data) => Baselines::fit(&job, &mut cpu)?.linear(data)?,
            None => None,
        };
        let rates = trainer.rates_by_hand().to_vec();
        Ok(Trained { model: load_model(&directory.model())?, summary, rates, linear })
    }

    /// All nets in order: those that this rank trained, and those that the others left in the run directory.
    pub(super) fn with_those_of_others(
        &self,
        trained: Vec<(usize, Trained)>,
        interrupt: &Interrupt,
    ) -> Result<Vec<Trained>> {
        ranks::meet()?;
        let mut own: Vec<Option<Trained>> = Vec::new();
        own.resize_with(self.nets.ensemble.nets, || None);
        trained.into_iter().for_each(|(net, trained)| own[net] = Some(trained));
        let [_, threads] = self.workers();
        let bar = Bar::common(1);
        own.into_iter()
            .enumerate()
            .map(|(net, trained)| match trained {
                Some(trained) => Ok(trained),
                None => self.one(net + 1, threads, interrupt, (&bar, None), true),
            })
            .collect()
    }
}

/// A finished net, where no bar shows the progress.
fn net_line(member: usize, nets: usize, summary: &Summary) -> String {
    let kept = summary.best.as_ref().map_or(String::new(), |best| {
        let value = best.value.map_or(String::new(), |value| format!(" {}", short(value)));
        format!(", kept epoch {}: validation {}{value}", best.epoch, best.metric)
    });
    let time = duration(summary.seconds);
    format!("net {member}/{nets}  {}, {time}{kept}", count(summary.epochs, "epoch"))
}
