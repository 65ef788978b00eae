"""The other methods, with their defaults: python peers.py METHOD TABLE_FOLDER TARGET TASK SPLIT THREADS OUT.npz

Writes predictions of the test rows (a probability for each class, in the order of the sorted names, or
values) and the seconds of fitting: making the inputs from the table in memory, and the fit itself. No tuning.
Texts are categories for methods that take them.
"""

import importlib
import os
import sys
import time
import warnings

THREADS = int(sys.argv[6]) if __name__ == "__main__" else 1
for name in "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS":
    os.environ[name] = str(THREADS)
# Older processors' kernels, set here for other programs, would slow the MLP down.
for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":
    os.environ.pop(name, None)

import numpy as np
import pandas as pd

LIBRARIES = {
    "lightgbm": ["lightgbm"],
    "xgboost": ["xgboost"],
    "catboost": ["catboost"],
    "histgb": ["sklearn.ensemble"],
    "mlp": ["sklearn.compose", "sklearn.impute", "sklearn.neural_network", "sklearn.pipeline", "sklearn.preprocessing"],
    "realmlp": ["torch", "pytabkit"],
    "tabm": ["torch", "pytabkit"],
}
METHODS = list(LIBRARIES)


def read(path, target):
    table = pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)
    return table.drop(columns=target), table[target].to_numpy()


def inputs(train, test):
    """Columns renamed, for libraries that refuse some names; texts as pandas categories of the training rows."""
    names = [f"x{i}" for i in range(train.shape[1])]
    train, test = train.set_axis(names, axis=1), test.set_axis(names, axis=1)
    texts = [name for name in names if not pd.api.types.is_numeric_dtype(train[name]) or train[name].dtype == bool]
    for name in texts:
        values = pd.CategoricalDtype(sorted(train[name].dropna().astype(str).unique()))
        train[name] = train[name].astype(object).where(train[name].notna()).astype(str).astype(values)
        test[name] = test[name].astype(object).where(test[name].notna()).astype(str).astype(values)
    return train, test, texts


def lightgbm(task, train, y, test, texts, seed):
    from lightgbm import LGBMClassifier, LGBMRegressor

    model = {"classes": LGBMClassifier, "numbers": LGBMRegressor}[task](n_jobs=THREADS, verbose=-1, random_state=seed)
    return model.fit(train, y)


def xgboost(task, train, y, test, texts, seed):
    from xgboost import XGBClassifier, XGBRegressor

    kind = {"classes": XGBClassifier, "numbers": XGBRegressor}[task]
    return kind(n_jobs=THREADS, enable_categorical=True, random_state=seed).fit(train, y)


def catboost(task, train, y, test, texts, seed):
    from catboost import CatBoostClassifier, CatBoostRegressor

    for table in train, test:
        table[texts] = table[texts].astype(object).fillna("missing").astype(str)
    kind = {"classes": CatBoostClassifier, "numbers": CatBoostRegressor}[task]
    quiet = dict(verbose=0, allow_writing_files=False)
    return kind(thread_count=THREADS, random_seed=seed, cat_features=texts, **quiet).fit(train, y)


def histgb(task, train, y, test, texts, seed):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    # It takes up to 255 categories: columns with more are numbered in alphabetical order.
    for name in texts:
        if len(train[name].cat.categories) > 255:
            for table in train, test:
                table[name] = table[name].cat.codes.astype(float).where(table[name].notna())
    kind = {"classes": HistGradientBoostingClassifier, "numbers": HistGradientBoostingRegressor}[task]
    return kind(random_state=seed).fit(train, y)


def mlp(task, train, y, test, texts, seed):
    """Medians with an indicator, standard scaling, one-hot; the target standardized."""
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    warnings.simplefilter("ignore", ConvergenceWarning)
    for table in train, test:
        table[texts] = table[texts].astype(object).fillna("missing")
    numbers = [name for name in train if name not in texts]
    scale = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    columns = make_column_transformer((scale, numbers), (OneHotEncoder(handle_unknown="ignore"), texts))
    if task == "classes":
        net = MLPClassifier(random_state=seed)
    else:
        net = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
    return make_pipeline(columns, net).fit(train, y)


def pytabkit(name, task, train, y, seed, **options):
    import pytabkit

    if task == "classes":
        # What its authors recommend where the log loss counts: judge epochs by it, no label smoothing.
        options["val_metric_name"] = "cross_entropy"
    else:
        options.pop("use_ls", None)
    kind = getattr(pytabkit, name + {"classes": "_Classifier", "numbers": "_Regressor"}[task])
    return kind(device="cpu", n_threads=THREADS, random_state=seed, verbosity=0, **options).fit(train, y)


def realmlp(task, train, y, test, texts, seed):
    return pytabkit("RealMLP_TD", task, train, y, seed, use_ls=False)


def tabm(task, train, y, test, texts, seed):
    return pytabkit("TabM_D", task, train, y, seed)


def main():
    method, folder, target, task, split, _, out = sys.argv[1:]
    (train, y), (test, y_test) = (read(f"{folder}/{part}-{split}.csv", target) for part in ["train", "test"])
    if task == "classes":
        classes = sorted({str(value) for value in [*y, *y_test]})
        y = np.array([classes.index(str(value)) for value in y])
        assert len(set(y)) == len(classes), "a class has no training row"
    warnings.filterwarnings("ignore")
    # Importing a library is no part of fitting: it is loaded before the clock starts.
    for library in LIBRARIES[method]:
        importlib.import_module(library)
    begin, cpu = time.perf_counter(), time.process_time()
    train, test, texts = inputs(train, test)
    model = globals()[method](task, train, y, test, texts, int(split))
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    predicted = model.predict_proba(test) if task == "classes" else model.predict(test)
    np.savez(out, predicted=np.asarray(predicted), seconds=seconds, cpu=cpu)


if __name__ == "__main__":
    main()
