//! Help texts beyond those of single options.

pub(super) const HELP: &str = "wgrad COMMAND -h lists the most common options of a command, --help all of them.\n\nExamples:\n  \
    wgrad train                                       train on the bundled digits\n  \
    wgrad train houses.csv --target price --dry-run   show what would be trained\n  \
    wgrad train houses.csv --target price\n  \
    wgrad predict runs/houses-1 new.csv -o prices.csv\n  \
    wgrad runs                                        list the runs so far";

pub(super) const DATA_HELP: &str = "Data set (digits, housing, mnist, fashion-mnist, spiral, moons, xor), table \
    (CSV, TSV, JSON lines, Parquet, Arrow, NPY, NPZ; may be compressed), directory of images or IDX files, \
    or - for standard input";

pub(super) const SHORT_DATA_HELP: &str = "digits, housing, mnist, fashion-mnist, spiral, moons or xor; a table (CSV, \
    Parquet, …), image directory, or - (stdin) [default: digits]";

/// In lines of less than 100 characters, shown as they are.
pub(super) const TRAIN_HELP: &str = "\
Every option can also be set in the environment (WGRAD_BATCH_SIZE for --batch-size) or in
the file given to --config. A flag overrides the environment, which overrides the file.

Optimizers:    sgd, momentum, nesterov, adam, adamw, adagrad, rmsprop, nadam, amsgrad, radam,
               lion, lamb, muon; rprop and lbfgs for full batches only
Schedules:     constant, linear, cosine, step(EVERY,FACTOR), exponential(FACTOR[,EVERY]),
               polynomial(POWER), cosine-restarts(FIRST,MULT), one-cycle(PEAK,START,END),
               inverse-sqrt, plateau(FACTOR,PATIENCE); lengths in steps (500), epochs (2epochs)
               or as a fraction of the run (0.3)
Losses:        for classes: cross-entropy, focal(γ), hinge, kl-divergence,
               cross-entropy-probabilities; for multilabel: binary-cross-entropy,
               binary-focal(γ); for numbers: squared-error, absolute-error, huber(δ), log-cosh,
               quantile(τ), gaussian-nll, poisson, cosine
Augmentation:  shift(PIXELS), rotation(DEGREES), scale(FRACTION), shear(DEGREES), elastic(α,σ),
               noise(VALUE), cutout(PIXELS), joined by +
Splits:        random, stratified (same class proportions), group:COL (equal values stay
               together), time:COL (the latest rows), column:COL (train, validation or test)

Examples:
  wgrad train
  wgrad train mnist --layers 128:relu --epochs 5
  wgrad train houses.csv --target price --layers 64,32 --lr 0.003
  wgrad train houses.csv --target price --preset strong";

pub(super) const EXPORT_HELP: &str = "An ONNX file has one input per data column, with the column's name and shape (N, 1): \
    double for numbers, string for text. Outputs: probabilities and label for classes, or value for numbers. Before the file is \
    written, another runtime (tract) runs it, and its predictions are compared with those of wgrad predict.\n\n\
    Examples:\n  \
    wgrad export runs/houses-1 -o houses.onnx\n  \
    wgrad export runs/houses-1 -o houses.c";

pub(super) const INIT_HELP: &str = "The file sets the data and target, describes the recognized columns, and lists \
    the most common options as comments, with values that suit the data.\n\nExamples:\n  \
    wgrad init houses.csv --target price -o houses.toml\n  \
    wgrad train --config houses.toml";
