//! The methods that both builders share, under the standard names.

/// The methods of a builder with a field `settings`.
macro_rules! builder {
    ($builder:ident) => {
        impl $builder {
            /// The number of units of each hidden layer, in order; an empty list for a linear model. Default:
            /// 128 and 128 for rows and tables.
            #[must_use]
            pub fn hidden_layers(mut self, units: impl IntoIterator<Item = usize>) -> Self {
                let units: Vec<String> = units.into_iter().map(|n| n.to_string()).collect();
                let text = if units.is_empty() { "none".into() } else { units.join(",") };
                let layers = text.parse().map_err(|e: Error| e.at("hidden_layers"));
                self.settings.config.net.layers = self.settings.take(layers);
                self
            }

            /// The activation of the hidden layers. Default: relu.
            #[must_use]
            pub fn activation(mut self, activation: Activation) -> Self {
                self.settings.config.net.activation = Some(activation.into());
                self
            }

            /// The dropout rate of hidden layers, at least 0 and below 1. Default: 0.
            #[must_use]
            pub fn dropout(mut self, fraction: f32) -> Self {
                self.settings.config.net.dropout = Some(fraction);
                self
            }

            /// The loss. Default: cross-entropy for classes, squared error for numbers.
            #[must_use]
            pub fn loss(mut self, loss: Loss) -> Self {
                self.settings.config.net.loss = Some(loss.into());
                self
            }

            /// The optimizer. Default: Adam.
            #[must_use]
            pub fn optimizer(mut self, optimizer: Optimizer) -> Self {
                self.settings.config.step.optimizer = Some(optimizer);
                self
            }

            /// The learning rate. Default: chosen for the optimizer and the data.
            #[must_use]
            pub fn learning_rate(mut self, rate: f32) -> Self {
                self.settings.config.step.lr = Some(rate);
                self
            }

            /// The learning-rate schedule. Default: cosine for rows and tables.
            #[must_use]
            pub fn schedule(mut self, schedule: Schedule) -> Self {
                self.settings.config.step.schedule = Some(schedule);
                self
            }

            /// The weight decay factor; biases are exempt. Default: 0.
            #[must_use]
            pub fn weight_decay(mut self, factor: f32) -> Self {
                self.settings.config.step.weight_decay = Some(factor);
                self
            }

            /// The batch size. Default: 64.
            #[must_use]
            pub fn batch_size(mut self, rows: usize) -> Self {
                self.settings.config.step.batch_size = Some(rows);
                self
            }

            /// The number of passes over the training rows. Default: chosen by the number of rows, more for fewer
            /// rows; a trained model's [`settings`](crate::Regressor::settings) have the number.
            #[must_use]
            pub fn epochs(mut self, epochs: usize) -> Self {
                self.settings.config.run.epochs = Some(epochs);
                self
            }

            /// The random seed for initial weights, split and shuffling, below 2⁶³. Default: 0.
            #[must_use]
            pub fn seed(mut self, seed: u64) -> Self {
                self.settings.config.data.seed = Some(seed);
                self
            }

            /// The device. Default: [`Device::Auto`](crate::Device), the fastest by measurement.
            #[must_use]
            pub fn device(mut self, device: Device) -> Self {
                self.settings.config.device.device = Some(device);
                self
            }

            /// The number of CPU threads, which doesn't affect results. Default: one per processor.
            #[must_use]
            pub fn threads(mut self, threads: usize) -> Self {
                self.settings.config.device.threads = Some(threads);
                self
            }

            /// Your own backend, such as [`Gpu::from_device`](crate::backend::gpu::Gpu::from_device) on a
            /// `wgpu::Device` that the program already has. The model keeps it for predictions. Default: a new one
            /// for [`device`](Self::device).
            #[must_use]
            pub fn backend(mut self, backend: Box<dyn Backend>) -> Self {
                self.settings.backend = Some(backend);
                self
            }

            /// Early stopping: ends the training of a net after this many epochs without improvement on its
            /// validation rows. The weights of the best epoch are kept with or without it. Default: none. The nets of
            /// an [`ensemble`](Self::ensemble) stop independently. Without validation rows it is an error.
            #[must_use]
            pub fn early_stopping(mut self, patience: usize) -> Self {
                self.settings.config.run.patience = Some(patience);
                self
            }

            /// The metric on the validation rows by which epochs are compared, such as `loss`, `accuracy` or `rmse`;
            /// [`EpochReport::metric`] lists the names. Default: the loss.
            #[must_use]
            pub fn metric(mut self, name: impl Into<String>) -> Self {
                self.settings.config.run.metric = Some(name.into());
                self
            }

            /// Ends the training of each net after this time.
            #[must_use]
            pub fn time_limit(mut self, limit: Duration) -> Self {
                self.settings.config.run.time_limit = Some(TimeSpan(limit.as_secs_f64()));
                self
            }

            /// The fraction of the rows held out for validation, at least 0 and below 1; 0 for none. If it is set, a
            /// single net is trained. Default: with up to 30,000 rows, three nets each hold out a different third;
            /// with more, a tenth is held out.
            #[must_use]
            pub fn validation_fraction(mut self, fraction: f64) -> Self {
                let fraction = match (0.0..1.0).contains(&fraction) {
                    true => Ok(HeldOutData::Fraction(fraction)),
                    false => Err(Error::usage(format!("{fraction} is not a fraction of the rows"))
                        .at("validation_fraction")
                        .help("give a number of at least 0 and below 1")),
                };
                self.settings.config.run.validation = self.settings.take(fraction);
                self
            }

            /// How the held-out rows are chosen. Default: stratified for classes, else random.
            #[must_use]
            pub fn split(mut self, split: Split) -> Self {
                self.settings.config.run.split = Some(split);
                self
            }

            /// Trains this many nets with different seeds and averages their predictions; 1 for a single net.
            /// Default: 3 nets by folds for up to 30,000 rows, else 1.
            #[must_use]
            pub fn ensemble(mut self, nets: usize) -> Self {
                let ensemble = nets.to_string().parse().map_err(|e: Error| e.at("ensemble"));
                self.settings.config.run.ensemble = self.settings.take(ensemble);
                self
            }

            /// Trains this many nets, at least 2, each with a different fold of the rows held out, and averages their
            /// predictions.
            #[must_use]
            pub fn ensemble_by_folds(mut self, nets: usize) -> Self {
                let ensemble = format!("{nets}:folds").parse();
                let ensemble = ensemble.map_err(|e: Error| e.at("ensemble_by_folds"));
                self.settings.config.run.ensemble = self.settings.take(ensemble);
                self
            }

            /// A preset of settings that suit the data; explicit settings override it.
            #[must_use]
            pub fn preset(mut self, preset: Preset) -> Self {
                self.settings.config.run.preset = Some(preset);
                self
            }

            /// The scaling of the features. Default: standard, or quantile for 2,000 or more rows.
            #[must_use]
            pub fn scaling(mut self, scaling: Scaling) -> Self {
                self.settings.config.data.scaling = Some(scaling);
                self
            }

            /// The weight of each row in the training loss, shape (rows), finite and not negative. Held-out
            /// rows are weighted in their metrics too.
            #[must_use]
            pub fn sample_weight(mut self, weights: impl Into<Vec<f32>>) -> Self {
                self.settings.sample_weight = Some(weights.into());
                self
            }

            /// The names of the columns of x, stored in the model. Default: numbers from 1 on.
            #[must_use]
            pub fn column_names<S: Into<String>>(
                mut self,
                names: impl IntoIterator<Item = S>,
            ) -> Self {
                self.settings.column_names = Some(names.into_iter().map(Into::into).collect());
                self
            }

            /// The columns of x to treat as categorical, counted from 0.
            #[must_use]
            pub fn categorical_columns(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
                self.settings.categorical = columns.into_iter().collect();
                self
            }

            /// Whether NaN in x is a missing value, which is imputed with the column's median and flagged with
            /// an indicator input; otherwise NaN is an error. Default: false.
            #[must_use]
            pub fn missing_values(mut self, are_imputed: bool) -> Self {
                self.settings.has_missing = are_imputed;
                self
            }

            /// The target column of a table in a file, by name or 1-based number. Default: the last one.
            #[must_use]
            pub fn target(mut self, name: impl Into<String>) -> Self {
                self.settings.config.data.target = Some(vec![ColumnNames::new(vec![name.into()])]);
                self
            }

            /// A callback that is called after each epoch. It returns [`Flow::Continue`], [`Flow::Stop`] to end the
            /// training of this net and keep its weights, or [`Flow::Interrupt`] to cancel the whole training with an
            /// error of the kind [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted).
            #[must_use]
            pub fn callback(
                mut self,
                callback: impl FnMut(&EpochReport) -> Flow + Send + 'static,
            ) -> Self {
                self.settings.control.callback = Some(Box::new(callback));
                self
            }

            /// A token that cancels training from another thread. If several are given, any of them cancels it.
            #[must_use]
            pub fn cancel(mut self, token: CancelToken) -> Self {
                self.settings.control.cancel.push(token);
                self
            }

            /// A function that receives notes and warnings about the data and the device, each a sentence that begins
            /// with `note: ` or `warning: `. It can't be a closure that captures variables. Example:
            /// `|message| eprintln!("{message}")`. Default: none.
            #[must_use]
            pub fn notify(mut self, notify: fn(&str)) -> Self {
                self.settings.hooks.notify = Some(notify);
                self
            }

            /// Changes any option of `wgrad train`, including those without a method here.
            ///
            /// ```
            /// # use wgrad::Regressor;
            /// let builder = Regressor::builder().configure(|options| options.step.ema = Some(0.99));
            /// ```
            #[must_use]
            pub fn configure(mut self, change: impl FnOnce(&mut TrainConfig)) -> Self {
                change(&mut self.settings.config);
                self
            }
        }
    };
}
pub(super) use builder;
