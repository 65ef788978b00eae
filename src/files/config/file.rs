//! Options in a TOML file.

use super::TrainConfig;
use crate::base::error::{Error, Result, nearest};
use clap::Args as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::de::DeTable;

impl TrainConfig {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// With file, line and column: for what isn't TOML, an unknown key (the nearest
    /// is suggested), and an invalid value.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let help = "give a TOML file of options, such as a run's config.toml";
            match e.kind() {
                std::io::ErrorKind::NotFound => {
                    Error::usage(format!("there is no file {}", path.display())).help(help)
                }
                _ => Error::usage(format!("cannot read {}: {e}", path.display())).help(help),
            }
        })?;
        Self::parse(&text).map_err(|(error, at)| match at {
            Some((line, column)) => {
                error.at(format!("{}, line {line}, column {column}", path.display()))
            }
            None => error.at(path.display()),
        })
    }

    /// Reads TOML that was read from a file before.
    ///
    /// # Errors
    /// As [`TrainConfig::read`], with line and column.
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::parse(text).map_err(|(error, at)| match at {
            Some((line, column)) => error.at(format!("line {line}, column {column}")),
            None => error,
        })
    }

    fn parse(text: &str) -> std::result::Result<Self, (Error, Option<(usize, usize)>)> {
        let toml = |e: toml::de::Error| {
            (value_error(e.message()), e.span().map(|span| position(text, span.start)))
        };
        let known = Self::keys();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let old = Self::old_keys();
        for key in DeTable::parse(text).map_err(toml)?.get_ref().keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) && !old.iter().any(|key| key == name) {
                let at = position(text, key.span().start);
                return Err((unknown_key(name, &known), Some(at)));
            }
        }
        fn part<T: DeserializeOwned>(text: &str) -> std::result::Result<T, toml::de::Error> {
            toml::from_str(text)
        }
        Ok(TrainConfig {
            data: part(text).map_err(toml)?,
            text: part(text).map_err(toml)?,
            net: part(text).map_err(toml)?,
            step: part(text).map_err(toml)?,
            run: part(text).map_err(toml)?,
            device: part(text).map_err(toml)?,
        })
    }

    /// The options that are given, as a TOML file.
    ///
    /// # Errors
    /// When a path isn't UTF-8.
    pub fn to_toml(&self) -> Result<String> {
        fn part(heading: &str, options: &impl Serialize) -> Result<String> {
            let lines = toml::to_string(options)
                .map_err(|e| Error::usage(format!("cannot write the configuration: {e}")))?;
            Ok(if lines.is_empty() { lines } else { format!("\n# {heading}\n{lines}") })
        }
        Ok([
            part("data", &self.data)?,
            part("text of the data", &self.text)?,
            part("net", &self.net)?,
            part("optimizer", &self.step)?,
            part("run", &self.run)?,
            part("device", &self.device)?,
        ]
        .concat())
    }

    /// The options that are given, by name.
    ///
    /// # Errors
    /// As [`TrainConfig::to_toml`].
    pub fn to_table(&self) -> Result<toml::Table> {
        let text = self.to_toml()?;
        text.parse().map_err(|e| Error::failed(format!("cannot compare the options: {e}")))
    }

    /// The options of `after` that aren't in these: names and values.
    ///
    /// # Errors
    /// As [`TrainConfig::to_toml`].
    pub fn new_options(&self, after: &TrainConfig) -> Result<Vec<(String, String)>> {
        let before = self.to_table()?;
        let options = after.to_table()?.into_iter().filter(|(name, _)| !before.contains_key(name));
        let written = |value: toml::Value| value.to_string().trim_matches('"').to_string();
        Ok(options.map(|(name, value)| (name, written(value))).collect())
    }

    /// The keys that a file may have: the names of the flags.
    pub(crate) fn keys() -> Vec<String> {
        let flags = Self::augment_args(clap::Command::new("wgrad"));
        let mut keys: Vec<String> =
            flags.get_arguments().filter_map(|a| a.get_long()).map(str::to_string).collect();
        keys.sort();
        keys
    }

    /// Earlier names of keys, which are still read.
    fn old_keys() -> Vec<String> {
        let flags = Self::augment_args(clap::Command::new("wgrad"));
        let aliases = flags.get_arguments().filter_map(|a| a.get_all_aliases()).flatten();
        aliases.map(str::to_string).collect()
    }
}

/// Line and column, from 1, of a byte in `text`.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn unknown_key(name: &str, known: &[&str]) -> Error {
    let error = Error::usage(format!("unknown option {name:?}"));
    match nearest(&name.replace('_', "-"), known.iter().copied()) {
        Some(near) => error.help(format!("did you mean {near}? known: {}", known.join(", "))),
        None => error.help(format!("known: {}", known.join(", "))),
    }
}

/// The error in a message from TOML, which may contain one of ours as text.
fn value_error(message: &str) -> Error {
    match message.trim_end().split_once("\n  help: ") {
        Some((what, help)) => Error::usage(what.replace("\n  where: ", " in ")).help(help),
        None => Error::usage(message.trim_end().replace('\n', ", "))
            .help("write lines such as epochs = 10 and layers = \"128:relu\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::config::HeldOutData;

    #[test]
    fn every_option_reads_back_from_its_own_toml() {
        let text = r#"
            data = "houses.csv"
            data-dir = "d"
            target = ["price", "rent"]
            columns = ["rooms", "town"]
            ignore = ["id"]
            categorical = ["town"]
            numeric = ["rooms"]
            log-transform = ["rooms"]
            one-hot = ["street"]
            hash = ["shop"]
            embed = ["town"]
            embedding-dims = 8
            class-weight = "yes=3,no=0.5"
            sample-weight = "w"
            image-size = "28x20"
            image-color = "grey"
            task = "regression"
            missing-target = "drop"
            on-error = "skip"
            scaling = "standard"
            seed = 7
            decimal = ","
            thousands = "space"
            separator = ";"
            header = "no"
            missing = ["-999", "unknown"]
            date-format = "%d/%m/%Y"
            layers = "8:tanh,4:relu*2+sine*2"
            activation = "gelu"
            output-activation = "softmax"
            bias = "subtract"
            norm = "layer"
            residual = 2
            dropout = 0.5
            input-dropout = 0.25
            initializer = "normal(0.02)"
            loss = "huber(0.5):mean-batch"
            label-smoothing = 0.1
            optimizer = "nesterov"
            lr = 0.001
            schedule = "step(2epochs,0.5)"
            warmup = 0.05
            momentum = 0.8
            cycle-momentum = "0.9,0.8"
            beta1 = 0.85
            beta2 = 0.95
            epsilon = 1e-6
            weight-decay = 1e-5
            decay-all = true
            max-norm = 3.5
            l1 = 1e-6
            clip-value = 2.0
            clip-norm = 3.0
            clip-global-norm = 4.0
            gradient-noise = 0.01
            ema = 0.99
            swa = 0.25
            augment = "shift(2)+elastic(3,7)"
            mixup = 0.25
            batch-size = 32
            micro-batch = 8
            precision = "f16"
            loss-scale = 1024.0
            validation = 0.2
            split = "group:street"
            folds = 5
            fold = 2
            ensemble = "5:folds"
            member = 4
            calibrate = "none"
            test = "test.csv"
            preset = "strong"
            init = "w.safetensors"
            epochs = 3
            no-shuffle = true
            stop-at = "rmse=2.5"
            keep-weights = "last"
            metric = "rmse"
            patience = 5
            time-limit = "10m"
            memory-limit = "256M"
            on-divergence = "skip-batch"
            checkpoint-every = "5epochs"
            keep-checkpoints = 3
            out = "there"
            tensorboard = "logs"
            plan = "plain"
            reproducible = "16"
            shard = "16"
            device = 0
            threads = 2
        "#;
        let config = TrainConfig::from_toml(text).unwrap();
        let written = config.to_toml().unwrap();
        assert_eq!(TrainConfig::from_toml(&written).unwrap(), config, "{written}");
        for key in TrainConfig::keys() {
            assert!(written.contains(&format!("\n{key} = ")), "{key} in {written}");
        }
        assert!(written.contains("lr = 0.001\n") && written.contains("device = 0\n"), "{written}");
    }

    #[test]
    fn what_is_given_first_wins() {
        let flags = TrainConfig::from_toml("epochs = 1\nlr = 0.5").unwrap();
        let file = TrainConfig::from_toml("epochs = 2\nseed = 3").unwrap();
        let both = flags.or(file);
        assert_eq!((both.run.epochs, both.step.lr, both.data.seed), (Some(1), Some(0.5), Some(3)));
        assert_eq!(both.device.threads, None);
    }

    #[test]
    fn mistakes_are_named_with_line_and_column_and_the_nearest_key() {
        let error = |text: &str| {
            let error = TrainConfig::from_toml(text).unwrap_err();
            assert_eq!(error.kind().exit_code(), 2);
            error.to_string()
        };
        let key = error("epochs = 3\n  batch_size = 4\n");
        assert!(key.contains("unknown option \"batch_size\""), "{key}");
        assert!(
            key.contains("line 2, column 3") && key.contains("did you mean batch-size?"),
            "{key}"
        );
        let value = error("# a comment\nloss = \"crossentropy\"");
        assert!(value.contains("line 2, column 8") && value.contains("cross-entropy"), "{value}");
        assert!(value.contains("unknown loss \"crossentropy\"\n"), "{value}");
        let layers = error("layers = \"12:rellu\"");
        assert!(layers.contains("in layer 1") && layers.contains("did you mean relu?"), "{layers}");
        assert!(error("epochs = \"ten\"").contains("line 1, column 10"));
        assert!(error("epochs = 3\nepochs = 4").contains("line 2"));
        assert!(error("epochs = ").contains("line 1"));
        assert!(error("[net]\nlayers = \"8\"").contains("unknown option \"net\""));
        assert!(error("validation = 1.5").contains("not a fraction of the rows"));
        assert!(error("stop-at = \"acuracy=0.9\"").contains("did you mean accuracy?"));
        assert!(error("plan = \"fuse\"").contains("did you mean fused?"));
    }

    #[test]
    fn numbers_and_texts_stand_for_each_other_where_both_make_sense() {
        let config = TrainConfig::from_toml("validation = \"0.25\"\ntarget = \"a,b\"").unwrap();
        assert_eq!(config.run.validation, Some(HeldOutData::Fraction(0.25)));
        assert_eq!(config.data.target, Some(vec!["a,b".parse().unwrap()]));
    }
}
